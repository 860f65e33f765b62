"""Runners against real sandboxes; reports as hostile input."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from evo_agent.core.config import Config, SandboxConfig
from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import EnvironmentBuildError
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Sandbox
from evo_agent.core.types import Outcome, TestReport
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.detect import detect
from evo_agent.tasks.environment import Environment, prepare
from evo_agent.tasks.junit import MAX_DEPTH, Case, ReportError, read_junit
from evo_agent.tasks.node_ids import matches, node_id, outcome_of, unknown_tests
from evo_agent.tasks.testing import CommandRunner, PytestRunner

SUITE = {
    "tests/test_shapes.py": """
import pytest

class Inherited:
    def test_base(self):
        assert True

class TestArea(Inherited):
    @pytest.mark.parametrize("side", ["a::b", "c/d"])
    def test_side(self, side):
        assert side

    def test_wrong(self):
        assert 2 + 2 == 5, "five"

@pytest.mark.skip(reason="later")
def test_skipped():
    pass

@pytest.fixture
def torn():
    yield
    raise OSError("torn down")

def test_torn(torn):
    pass
""",
    "tests/test_broken.py": "import no_such_module\n",
}

Opener = Callable[[Mapping[str, str]], Sandbox]


@pytest.fixture(scope="module")
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    made: list[Environment] = []

    def make(workspace: Workspace, config: Config) -> Environment:
        if not made:
            made.append(prepare(detect(workspace.folder, config), config, workspace))
        return made[0]

    del tmp_path_factory
    return make


@pytest.fixture
def opened(
    repo_factory: Callable[..., Path],
    tmp_path: Path,
    plain_environment: Callable[..., Environment],
) -> Iterator[Opener]:
    sandboxes: list[Sandbox] = []
    config = Config(sandbox=SandboxConfig(backend="bubblewrap"))

    def open_(files: Mapping[str, str]) -> Sandbox:
        repo = repo_factory((files, "start"))
        workspace = Workspace.create(open_repository(repo), "HEAD", tmp_path / "workspace")
        environment = plain_environment(workspace, config)
        spec = environment.spec(workspace.folder, config)
        sandboxes.append(open_sandbox(spec, workspace, "bubblewrap"))
        return sandboxes[-1]

    yield open_
    for sandbox in sandboxes:
        sandbox.close()


PYTEST = PytestRunner("/opt/evo/env/bin/python")


@pytest.mark.bubblewrap
def test_pytest_outcomes_have_the_ids_that_pytest_uses(opened: Opener):
    report = PYTEST.run(opened(SUITE))
    area = "tests/test_shapes.py::TestArea"
    assert report.outcomes == {
        "tests/test_broken.py": Outcome.ERROR,
        f"{area}::test_base": Outcome.PASSED,
        f"{area}::test_side[a::b]": Outcome.PASSED,
        f"{area}::test_side[c/d]": Outcome.PASSED,
        f"{area}::test_wrong": Outcome.FAILED,
        "tests/test_shapes.py::test_skipped": Outcome.SKIPPED,
        "tests/test_shapes.py::test_torn": Outcome.ERROR,
    }
    assert "five" in report.messages[f"{area}::test_wrong"]
    assert "no_such_module" in report.messages["tests/test_broken.py"]


@pytest.mark.bubblewrap
def test_each_id_reported_can_be_asked_for_again(opened: Opener):
    sandbox = opened(SUITE)
    asked = ("tests/test_shapes.py::TestArea::test_side[a::b]", "tests/test_shapes.py::test_torn")
    report = PYTEST.run(sandbox, asked)
    assert set(report.outcomes) == set(asked)
    whole = PYTEST.run(sandbox, ["tests/test_shapes.py::TestArea::test_side"])
    assert outcome_of(whole, "tests/test_shapes.py::TestArea::test_side") is Outcome.PASSED
    assert len(whole.outcomes) == 2


@pytest.mark.bubblewrap
def test_an_unknown_test_is_named_with_near_ones_and_the_others_run(opened: Opener):
    sandbox = opened(SUITE)
    known = "tests/test_shapes.py::test_torn"
    report = PYTEST.run(sandbox, ["tests/test_shapes.py::TestArea::test_wrongg", known])
    assert unknown_tests(report) == ("tests/test_shapes.py::TestArea::test_wrongg",)
    line = report.messages["tests/test_shapes.py::TestArea::test_wrongg"]
    assert "near: tests/test_shapes.py::TestArea::test_wrong" in line
    assert report.outcomes[known] is Outcome.ERROR
    missing = PYTEST.run(sandbox, ["tests/test_nowhere.py"])
    assert unknown_tests(missing) == ("tests/test_nowhere.py",)


@pytest.mark.bubblewrap
def test_a_test_whose_file_cannot_be_imported_is_an_error_not_unknown(opened: Opener):
    report = PYTEST.run(opened(SUITE), ["tests/test_broken.py::test_it"])
    assert report.outcomes["tests/test_broken.py::test_it"] is Outcome.ERROR
    assert not unknown_tests(report)
    assert "no_such_module" in report.messages["tests/test_broken.py::test_it"]


@pytest.mark.bubblewrap
def test_a_hanging_test_is_an_error_with_the_reason(opened: Opener):
    sandbox = opened({"test_loop.py": "def test_loop():\n    while True: pass\n"})
    report = PYTEST.run(sandbox, ["test_loop.py::test_loop"], timeout=3)
    assert report.timed_out
    assert report.outcomes == {"test_loop.py::test_loop": Outcome.ERROR}
    assert report.messages["test_loop.py::test_loop"].startswith("timed out")


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    "exit_", ["import os; os._exit(0)", "import pytest; pytest.exit('bye', returncode=0)"]
)
def test_a_run_that_ends_early_passes_nothing(opened: Opener, exit_: str):
    sandbox = opened({"test_it.py": f"def test_it():\n    {exit_}\n"})
    report = PYTEST.run(sandbox, ["test_it.py::test_it"])
    assert report.exit_code == 0
    assert report.outcomes == {"test_it.py::test_it": Outcome.ERROR}


_ALL_PASS = '<testsuite><testcase classname="test_it" name="test_it"/></testsuite>'
_REWRITE = """
import glob, re
def rewrite():
    for path in glob.glob("/tmp/*.xml"):
        text = open(path).read()
        open(path, "w").write(re.sub(r"<failure.*?</failure>", "", text, flags=re.S))
"""
_FORGERIES = {
    "leaves with a report at the place that its arguments name": f"""
import os
for word in open("/proc/self/cmdline").read().split(chr(0)):
    if word.startswith("--junitxml="):
        open(word.split("=", 1)[1], "w").write({_ALL_PASS!r})
        os._exit(0)
""",
    "rewrites the report at exit": f"""{_REWRITE}
import atexit, os
atexit.register(lambda: (rewrite(), os._exit(0)))
""",
    "rewrites the report at exit and keeps the status": f"""{_REWRITE}
import atexit
atexit.register(rewrite)
""",
    "rewrites the report from another process": f"""{_REWRITE}
import os, time
if os.fork() == 0:
    os.setsid()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        rewrite()
    os._exit(0)
""",
}


@pytest.mark.bubblewrap
@pytest.mark.parametrize("forgery", _FORGERIES.values(), ids=_FORGERIES)
def test_code_under_test_cannot_write_the_report_itself(opened: Opener, forgery: str):
    test = "import it\n\n\ndef test_it():\n    assert it.VALUE == 1\n"
    sandbox = opened({"it.py": f"{forgery}\nVALUE = 0\n", "test_it.py": test})
    report = PYTEST.run(sandbox, ["test_it.py::test_it"])
    assert report.failing == ("test_it.py::test_it",)
    assert "evo-" not in report.output


@pytest.mark.bubblewrap
def test_a_thread_that_outlives_the_tests_does_not_undo_them(opened: Opener):
    code = "import threading, time\n\n\ndef test_it():\n"
    code += "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
    report = PYTEST.run(opened({"test_it.py": code}), timeout=3.0)
    assert report.timed_out
    assert report.outcomes["test_it.py::test_it"] is Outcome.PASSED


@pytest.mark.bubblewrap
def test_a_file_named_pytest_at_the_root_is_not_run_in_its_place(opened: Opener):
    shadow = "import sys\nprint('shadow')\nsys.exit(0)\n"
    sandbox = opened({"pytest.py": shadow, "test_it.py": "def test_it(): assert False\n"})
    report = PYTEST.run(sandbox, ["test_it.py::test_it"])
    assert report.outcomes == {"test_it.py::test_it": Outcome.FAILED}
    assert "shadow" not in report.output


@pytest.mark.bubblewrap
def test_the_projects_own_options_do_not_end_the_run_early(opened: Opener):
    files = {
        "pytest.ini": "[pytest]\naddopts = -x --ff --no-header\n",
        "test_a.py": "def test_a(): assert False\ndef test_b(): pass\n",
    }
    assert PYTEST.run(opened(files)).outcomes["test_a.py::test_b"] is Outcome.PASSED


@pytest.mark.bubblewrap
def test_tests_are_left_out_by_name_and_not_by_prefix(opened: Opener):
    files = {"test_a.py": "def test_a(): assert 0\ndef test_ab(): pass\n"}
    runner = PytestRunner(PYTEST.python, without=("test_a.py::test_a",))
    assert runner.run(opened(files)).outcomes == {"test_a.py::test_ab": Outcome.PASSED}


@pytest.mark.bubblewrap
def test_tests_leave_no_caches_in_the_tree(opened: Opener):
    sandbox = opened(SUITE)
    PYTEST.run(sandbox)
    assert sandbox.diff() == ""
    assert sandbox.exec("find . -name __pycache__ -o -name .pytest_cache").output == ""


@pytest.mark.bubblewrap
def test_an_environment_without_pytest_is_infrastructure(tmp_path: Path):
    with (
        open_sandbox(SandboxSpec(tmp_path), None, "bubblewrap") as sandbox,
        pytest.raises(EnvironmentBuildError, match="no pytest") as error,
    ):
        PytestRunner("/usr/bin/python3 -S").run(sandbox)
    assert "sandbox.setup" in error.value.remedy


NODE_SUITE = {
    "sum.js": "exports.sum = (a, b) => a - b;\n",
    "test/sum.test.js": """
const test = require('node:test'); const assert = require('node:assert');
const { sum } = require('../sum.js');
test('adds', () => assert.strictEqual(sum(2, 3), 5));
test('zero', () => assert.strictEqual(sum(0, 0), 0));
""",
}
NODE = CommandRunner(
    test="node --test --test-reporter=junit --test-reporter-destination=report.xml test/",
    test_one="node --test --test-reporter=junit --test-reporter-destination=report.xml {tests}",
    report="report.xml",
)


@pytest.mark.bubblewrap
def test_a_javascript_suite_is_read_from_its_junit_report(opened: Opener):
    sandbox = opened(NODE_SUITE)
    if sandbox.exec("node --version").exit_code:
        pytest.skip("node is not installed")
    report = NODE.run(sandbox, ["test/sum.test.js"])
    by_name = {test.rpartition("::")[2]: outcome for test, outcome in report.outcomes.items()}
    assert by_name["adds"] is Outcome.FAILED
    assert by_name["zero"] is Outcome.PASSED
    sandbox.write("sum.js", b"exports.sum = (a, b) => a + b;\n")
    again = NODE.run(sandbox)
    assert not again.failing
    assert again.passing


@pytest.mark.bubblewrap
def test_a_command_without_a_report_is_judged_by_its_status(opened: Opener):
    sandbox = opened({"answer": "41\n"})
    runner = CommandRunner(test="grep -qx 42 answer", test_one="grep -qx {tests} answer")
    assert runner.run(sandbox).outcomes == {"grep -qx 42 answer": Outcome.FAILED}
    assert runner.run(sandbox, ["41"]).outcomes == {"41": Outcome.PASSED}
    hostile = "41 ; touch pwned #"
    assert runner.run(sandbox, [hostile]).outcomes == {hostile: Outcome.FAILED}
    assert sandbox.exec("ls pwned").exit_code != 0


@pytest.mark.bubblewrap
def test_a_stale_report_is_not_believed(opened: Opener):
    stale = '<testsuite><testcase classname="a" name="b"/></testsuite>'
    sandbox = opened({"report.xml": stale})
    report = CommandRunner(test="exit 3", report="report.xml").run(sandbox)
    assert report.outcomes == {"exit 3": Outcome.FAILED}


def cases(body: str) -> tuple[Case, ...]:
    return read_junit(f"<testsuites><testsuite name='s'>{body}</testsuite></testsuites>".encode())


def test_a_case_with_several_results_has_the_worst():
    (case,) = cases("<testcase name='t'><failure>a</failure><error message='b'/></testcase>")
    assert case.outcome is Outcome.ERROR
    assert case.message == "a\nb" or "b" in case.message


@pytest.mark.parametrize(
    "document",
    [
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><x>&b;</x>",
        b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>",
        b"<x>" * (MAX_DEPTH + 1) + b"</x>" * (MAX_DEPTH + 1),
        b"<testsuite><testcase name='t'/>",
        b"not xml",
        b"",
    ],
    ids=["entities", "external", "deep", "cut", "text", "empty"],
)
def test_hostile_reports_are_refused_in_one_line(document: bytes):
    with pytest.raises(ReportError) as error:
        read_junit(document)
    assert "\n" not in error.value.cause


def test_node_ids_of_inherited_and_uncollected_tests():
    inherited = Case(
        (), "tests.api.test_x.TestA.TestB", "test_m[1]", "lib/base.py", Outcome.PASSED, ""
    )
    assert node_id(inherited) == "tests/api/test_x.py::TestA::TestB::test_m[1]"
    odd = Case((), "tests.Caps.test_x", "test_m", "", Outcome.PASSED, "")
    assert node_id(odd, ["tests/Caps/test_x.py"]) == "tests/Caps/test_x.py::test_m"
    module = Case((), "", "tests.test_x", "", Outcome.ERROR, "")
    assert node_id(module) == "tests/test_x.py"


def test_an_id_matches_its_parameters_and_members_but_not_its_neighbours():
    assert matches("t.py::test_a", "t.py::test_a[1]")
    assert matches("t.py", "t.py::A::test_b")
    assert matches("tests", "tests/t.py::test_a")
    assert not matches("t.py::test_a", "t.py::test_ab")
    report = TestReport("", 0, {"t.py::a[1]": Outcome.PASSED, "t.py::a[2]": Outcome.FAILED})
    assert outcome_of(report, "t.py::a") is Outcome.FAILED
    assert outcome_of(report, "t.py::b") is None
