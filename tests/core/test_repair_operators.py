"""Operators propose exact text edits: what they do not name stays byte for byte."""

import ast
from importlib import resources

import pytest

from evo_agent.core.repair.driver import TestRun
from evo_agent.core.repair.edits import Edit, Mutant, apply_edits
from evo_agent.core.repair.localise import (
    Place,
    from_spectrum,
    from_traceback,
    is_test_file,
    ochiai,
)
from evo_agent.core.repair.mutants import Filter, mutants
from evo_agent.core.repair.operators import ALL
from evo_agent.core.repair.rank import ranked
from evo_agent.core.repair.recollect import OPERATOR_BOOST, boosted, hints
from evo_agent.core.repair.search import queue
from evo_agent.core.repair.source import MAX_BYTES, Source, UnparsableError
from evo_agent.core.types import Outcome, Recalled


def changed(text: str, operator: str) -> set[str]:
    """Every program that an operator makes of a text."""
    source = Source("m.py", text.encode())
    places = [Place("m.py", n, 1.0, 1) for n in range(1, text.count("\n") + 2)]
    found = [m for m in mutants(source, places) if m.operator == operator]
    admits = Filter([source])
    return {apply_edits(source.data, m.edits).decode() for m in found if admits.admits(m)}


CASES = [
    ("swap-arguments", "return g(b, a % b)", "return g(a % b, b)"),
    ("compare-strictness", "return a < b  # strict", "return a <= b  # strict"),
    ("compare-direction", "return a is b", "return a is not b"),
    ("compare-negation", "return a not in b", "return a in b"),
    ("compare-boundary", "return a == 0", "return a <= 1"),
    ("bitwise-operator", "a ^= b", "a &= b"),
    ("arithmetic-operator", "return a / b", "return a // b"),
    ("constant-off-by-one", "return a[0]", "return a[1]"),
    ("expression-off-by-one", "return range(a)", "return range(a + 1)"),
    ("swap-operands", "return a + b", "return b + a"),
    ("drop-operand", "return 1 + g(a)", "return g(a)"),
    ("extend-operand", "return g(a)", "return g(a - b)"),
    ("sibling-function", "return any(x for x in a)", "return all(x for x in a)"),
    ("replace-variable", "return a", "return b"),
    ("replace-attribute", "a.left; return a.right", "a.left; return a.left"),
    ("swap-elements", "return a[a, b]", "return a[b, a]"),
    ("boolean-operator", "return a and b", "return a or b"),
    ("drop-not", "return not a", "return a"),
    ("negate-condition", "return 1 if a > b else 2", "return 1 if not (a > b) else 2"),
    ("flip-boolean", "return True", "return False"),
    ("guard-none", "return 1 if a.x else 2", "return 1 if a is not None and a.x else 2"),
    ("while-variable", "while True: a = b", "while a: a = b"),
    ("return-condition", "return True", "return a == 0"),
    ("extend-condition", "return 1 if a else 2", "return 1 if a or not b else 2"),
    ("fill-literal", "return []", "return [a]"),
    ("unwrap-call", "return g(a)", "return a"),
    ("change-slice", "return a[b:]", "return a[:b]"),
    ("add-slice", "return g(a)", "return g(a[1:])"),
    ("clamp", "a = b", "a = max(a, b)"),
    ("return-value", "return g(a)", "return b"),
    ("assign-instead", "a.update(b)", "a = b"),
    ("delete-statement", "a = b", "pass"),
]


@pytest.mark.parametrize(("operator", "before", "after"), CASES, ids=[c[0] for c in CASES])
def test_operator_makes_the_edit_it_is_named_for(operator: str, before: str, after: str):
    frame = '"""Doc."""\n\n\ndef f(a, b):   # odd  spacing stays\n    {}\n'
    assert frame.format(after) in changed(frame.format(before), operator)


def test_statements_are_inserted_at_the_indentation_of_their_neighbours():
    text = "def f(items, seen):\n    for i in items:\n        if i in seen:\n            return i\n"
    wanted = text + "        seen.add(i)\n"
    assert wanted in changed(text, "insert-bookkeeping")


def test_a_return_is_moved_out_of_a_loop():
    text = "def f(a):\n    s = 0\n    for i in a:\n        s += i\n        return s\n"
    assert text.replace("        return", "    return") in changed(text, "move-out-of-block")


def test_a_missing_guard_goes_behind_the_docstring():
    text = 'def f(a):\n    """Doc."""\n    return a[0]\n'
    wanted = 'def f(a):\n    """Doc."""\n    if not a:\n        return None\n    return a[0]\n'
    assert wanted in changed(text, "insert-guard")


def test_every_operator_has_its_own_name_and_a_prior():
    names = [operator.name for operator in ALL]
    assert len(names) == len(set(names))
    assert {c[0] for c in CASES} <= set(names)
    assert all(0 < operator.prior <= 1 for operator in ALL)


def test_operands_keep_their_grouping():
    """`(a - b) * c` must not lose its parentheses when a side is replaced or extended."""
    for operator in ("extend-operand", "drop-operand", "expression-off-by-one"):
        for text in changed("def f(a, b, c):\n    return (a - b) * g(c)\n", operator):
            ast.parse(text)
    assert "def f(a, b):\n    return (a + 1) * b\n" in changed(
        "def f(a, b):\n    return a * b\n", "expression-off-by-one"
    )


def test_line_endings_and_wide_characters_survive():
    text = 'def f(a, b):\r\n    s = "äöü 漢字"; t = a < b  # größer\r\n    return s, t\r\n'
    assert text.replace("a < b", "a <= b") in changed(text, "compare-strictness")


def test_literals_come_only_from_the_code_never_from_a_test():
    text = "def f(a):\n    return a + 41\n"
    numbers = {
        node.value
        for mutated in changed(text, "constant-off-by-one")
        for node in ast.walk(ast.parse(mutated))
        if isinstance(node, ast.Constant)
    }
    assert numbers <= {0, 1, 40, 41, 42}


def test_edits_that_overlap_are_refused():
    with pytest.raises(ValueError, match="overlapping"):
        apply_edits(b"abcdef", [Edit("m", 0, 3, "x"), Edit("m", 2, 4, "y")])


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (MAX_BYTES + 1),
        b"(" * 5000,
        b"-" * 100_000 + b"1",
        b"x = " + b"[" * 150 + b"]" * 149,
        b"\xff\xfe",
        b"x\0y",
        b"print 'two'",
    ],
    ids=["large", "parentheses", "unary", "unbalanced", "not-utf8", "nul", "python2"],
)
def test_hostile_source_is_refused_not_fatal(data: bytes):
    with pytest.raises(UnparsableError):
        Source("m.py", data)


def test_ochiai_by_hand():
    assert ochiai(2, 0, 2) == 1.0
    assert ochiai(1, 3, 1) == 0.5
    assert ochiai(0, 5, 3) == 0.0


def _ran(test: str, outcome: Outcome, *lines: int, path: str = "m.py") -> TestRun:
    return TestRun(test, outcome, 0.0, "", timed_out=False, lines={path: frozenset(lines)})


def test_lines_that_only_failing_tests_reach_come_first():
    runs = [
        _ran("t1", Outcome.FAILED, 1, 2, 3),
        _ran("t2", Outcome.PASSED, 1, 2),
        _ran("t3", Outcome.PASSED, 1),
        _ran("t4", Outcome.SKIPPED, 3),
    ]
    places = from_spectrum(runs)
    assert [(p.line, p.rank) for p in places] == [(3, 1), (2, 2), (1, 3)]


def test_tests_are_never_suspects():
    runs = [_ran("t", Outcome.FAILED, 1, path=p) for p in ("tests/a.py", "conftest.py", "ok.py")]
    assert [p.path for p in from_spectrum(runs)] == ["ok.py"]
    assert from_spectrum(runs, judging=["ok.py"]) == ()
    assert is_test_file("pkg/widget_test.py")
    assert not is_test_file("pkg/contest.py")


def test_tracebacks_name_places_inside_the_workspace_only():
    message = (
        'File "/testbed/tests/test_a.py", line 3, in test\n'
        '  File "/testbed/pkg/outer.py", line 7, in f\n'
        '  File "/testbed/pkg/inner.py", line 9, in g\n'
        '  File "/usr/lib/python3/json.py", line 1, in h\n'
        '  File "/testbed/../etc/evil.py", line 1, in h\n'
    )
    places = from_traceback([message], "/testbed")
    assert [(p.path, p.line) for p in places] == [("pkg/inner.py", 9), ("pkg/outer.py", 7)]


def _recalled(**more: object) -> Recalled:
    return Recalled("r1", "episode", 1.0, "", "", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [{"operators": ["clamp"]}, {"facts": {"operators": ["clamp"]}}, {"operators": "clamp"}]
)
def test_an_operator_that_memory_names_is_tried_first(data: dict[str, object]):
    source = Source("m.py", b"def f(a, b):\n    a = g(b, a)\n    return a < b\n")
    places = [Place("m.py", n, 1.0, 1) for n in (2, 3)]
    without = queue({"m.py": source}, places, ())
    recalled = queue({"m.py": source}, places, hints([_recalled(data=data)]))
    assert without[0].operator != "clamp"
    assert recalled[0].operator == "clamp"
    assert recalled[0].sources == ("r1",)
    assert {m.key for m in without} == {m.key for m in recalled}


def test_a_line_that_an_earlier_diff_added_is_an_ingredient():
    known = hints([_recalled(diff="--- a/m\n+++ b/m\n-x\n+    return  a <= b\n")])
    mutant = Mutant("compare-strictness", (Edit("m.py", 0, 1, "x"),), "m.py", 1)
    assert boosted(mutant, "return a <= b", known).boost > OPERATOR_BOOST
    assert boosted(mutant, "return a < c", known) == mutant


def test_hostile_records_are_harmless():
    data = {"operators": [1, None, {"x": 2}], "facts": "no mapping", "diff": 7}
    (hint,) = hints([_recalled(data=data)])
    assert "clamp" not in hint.operators


def test_the_order_is_the_same_every_time():
    source = Source("m.py", b"def f(a, b):\n    return g(a, b - 1) < a\n")
    places = [Place("m.py", 2, 1.0, 1)]
    keys = [[m.key for m in queue({"m.py": source}, places, ())] for _ in range(2)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) > 20


def test_a_patch_that_deletes_is_handed_over_last():
    edit = (Edit("m.py", 0, 4, "pass"),)
    deletes = Mutant("delete-statement", edit, "m.py", 1, prior=1.0, deletes=True)
    keeps = Mutant("clamp", (Edit("m.py", 0, 4, "max(a, b)"),), "m.py", 1, prior=0.01)
    assert ranked([deletes, keeps])[0] == keeps


def test_only_new_programs_that_parse_are_tried():
    source = Source("m.py", b"def f(a):\n    return (a)\n")
    admits = Filter([source])
    same = Mutant("x", (Edit("m.py", 21, 24, "a"),), "m.py", 2)
    broken = Mutant("x", (Edit("m.py", 21, 24, "(("),), "m.py", 2)
    new = Mutant("x", (Edit("m.py", 21, 24, "-a"),), "m.py", 2)
    assert [admits.admits(m) for m in (same, broken, new, new)] == [False, False, True, False]


def test_the_probe_is_python_3_6():
    """It runs under whatever interpreter the project has; the host's grammar proves nothing."""
    text = resources.files("evo_agent.core.repair").joinpath("probe.py").read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 6))
    evaluated = [ast.unparse(n.annotation) for n in tree.body if isinstance(n, ast.AnnAssign)]
    assert not any(a.startswith(("dict[", "list[", "set[")) for a in evaluated)
    imported = {n.names[0].name for n in ast.walk(tree) if isinstance(n, ast.Import)}
    assert not any(name.startswith("evo_agent") for name in imported)
