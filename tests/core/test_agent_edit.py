"""The edit tool on real files in a real sandbox: exact, byte-preserving, and helpful when wrong."""

from typing import Any

import pytest

from evo_agent.core.agent import edit
from evo_agent.core.agent.actions import Create, Replace, View
from evo_agent.core.agent.stops import ToolError
from evo_agent.core.protocols import Sandbox

pytestmark = pytest.mark.bubblewrap


def refused(what: Any, sandbox: Sandbox, action: Any) -> str:
    with pytest.raises(ToolError) as caught:
        what(sandbox, action)
    return str(caught.value)


def test_view_numbers_lines_and_says_what_it_leaves_out(sandbox: Sandbox) -> None:
    sandbox.write("long.txt", b"".join(b"line %d\n" % n for n in range(1, 1001)))
    assert edit.view(sandbox, View("long.txt", 3, 4)) == "     3\tline 3\n     4\tline 4"
    whole = edit.view(sandbox, View("long.txt"))
    assert whole.splitlines()[399].endswith("line 400")
    assert "lines 401-1000 not shown" in whole.splitlines()[400]
    assert "1000 lines" in refused(edit.view, sandbox, View("long.txt", 2000, 0))
    assert edit.view(sandbox, View("/testbed/README.md")) == "     1\tcalc"


def test_view_of_what_is_no_file(sandbox: Sandbox) -> None:
    sandbox.write("empty.txt", b"")
    assert edit.view(sandbox, View("empty.txt")) == "empty.txt is empty"
    assert "there is no file gone.py" in refused(edit.view, sandbox, View("gone.py"))
    sandbox.exec("mkdir folder")
    assert "there is no file folder" in refused(edit.view, sandbox, View("folder"))


def test_create_makes_folders_and_overwrites_nothing(sandbox: Sandbox) -> None:
    edit.create(sandbox, Create("a/b/c.py", "x = 1\n"))
    assert sandbox.read("a/b/c.py") == b"x = 1\n"
    assert "exists already" in refused(edit.create, sandbox, Create("calc.py", "gone"))
    assert sandbox.read("calc.py").startswith(b"def add")
    assert "another path" in refused(edit.create, sandbox, Create("calc.py/x.py", "x"))
    assert "another path" in refused(edit.create, sandbox, Create("/proc/x", "x"))


def test_replace_wants_one_exact_place(sandbox: Sandbox) -> None:
    twice = refused(edit.replace, sandbox, Replace("calc.py", "(a, b):", "(a, c):"))
    assert "occurs 2 times in calc.py (lines 1, 5)" in twice
    near = refused(edit.replace, sandbox, Replace("calc.py", "    return a -b", "x"))
    assert "Line 2 is similar: '    return a - b'" in near
    assert "is empty" in refused(edit.replace, sandbox, Replace("calc.py", "", "x"))
    assert "the same" in refused(edit.replace, sandbox, Replace("calc.py", "a", "a"))
    told = edit.replace(sandbox, Replace("calc.py", "    return a - b", "    return a + b"))
    assert "replaced at line 2" in told
    assert "     2\t    return a + b" in told


def test_line_ends_and_foreign_bytes_survive_an_edit(sandbox: Sandbox) -> None:
    sandbox.write("dos.txt", b"caf\xe9\r\none\r\ntwo\r\n")
    edit.replace(sandbox, Replace("dos.txt", "one\ntwo", "1\n2\n3"))
    assert sandbox.read("dos.txt") == b"caf\xe9\r\n1\r\n2\r\n3\r\n"
    assert "caf" in edit.view(sandbox, View("dos.txt"))
