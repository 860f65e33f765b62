"""A patch may not weaken what judges it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.tasks.judge import FAILING, FIXED, GCD, Files, Judge, configured

from evo_agent.core.types import DiagnosisKind, Grade
from evo_agent.tasks.judging import compare, judging_files, put_back

SKIP_ALL = "import pytest\ndef pytest_collection_modifyitems(items):\n    items[:] = []\n"
FORGE = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    return report
"""


@pytest.fixture
def judge(repo_factory: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Judge]]:
    made: list[Judge] = []

    def make(files: Files = GCD) -> Judge:
        made.append(Judge(repo_factory((files, "start")), tmp_path / "judge", configured()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("changes", "restored"),
    [
        ({"tests/test_gcd.py": "def test_gcd(): pass\n"}, "tests/test_gcd.py"),
        ({"tests/test_gcd.py": None}, "tests/test_gcd.py"),
        ({"conftest.py": SKIP_ALL}, "conftest.py"),
        ({"tests/conftest.py": FORGE}, "tests/conftest.py"),
        ({"pytest.ini": "[pytest]\naddopts = -p no:python\n"}, "pytest.ini"),
        ({"tox.ini": "[pytest]\naddopts = --collect-only\n"}, "tox.ini"),
    ],
    ids=["edits", "deletes", "deselects", "forges", "configures", "collects-only"],
)
def test_a_weakened_test_is_put_back_and_still_fails(
    judge: Callable[..., Judge], changes: Files, restored: str
):
    verdict = judge().verify({"lcm.py": GCD["lcm.py"] + "# touched\n", **changes})
    assert verdict.grade is Grade.REJECTED
    assert verdict.restored == (restored,)
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.STILL_FAILING


@pytest.mark.bubblewrap
def test_a_true_fix_that_also_edits_the_test_is_proved_by_the_test_at_base(
    judge: Callable[..., Judge],
):
    verdict = judge().verify({"gcd.py": FIXED, "tests/test_gcd.py": "def test_gcd(): pass\n"})
    assert verdict.grade is Grade.PROVED
    assert "put back to base before judging: tests/test_gcd.py" in verdict.reason


@pytest.mark.bubblewrap
def test_what_the_judged_test_imports_from_the_tests_is_put_back_too(
    judge: Callable[..., Judge],
):
    files = {
        **GCD,
        "tests/__init__.py": "",
        "tests/expect.py": "def same(a, b):\n    assert a == b\n",
        "tests/test_gcd.py": (
            "from gcd import gcd\nfrom tests.expect import same\n\n\n"
            "def test_gcd():\n    same(gcd(12, 8), 4)\n"
        ),
    }
    lenient = {"tests/expect.py": "def same(a, b): pass\n", "gcd.py": "def gcd(a, b): return 0\n"}
    verdict = judge(files).verify(lenient)
    assert verdict.grade is Grade.REJECTED
    assert verdict.restored == ("tests/expect.py",)


@pytest.mark.parametrize(
    ("path", "content", "word"),
    [
        ("sitecustomize.py", "x = 1\n", "every start"),
        ("src/usercustomize.py", "x = 1\n", "every start"),
        ("evil.pth", "import os\n", "every start"),
        ("pytest.py", "x = 1\n", "place of pytest"),
        ("_pytest/__init__.py", "", "place of _pytest"),
        ("tests/unittest.py", "x = 1\n", "place of unittest"),
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-k nothing'\n", "tests are run"),
        ("setup.cfg", "[tool:pytest]\naddopts = -k nothing\n", "tests are run"),
        ("package.json", '{"scripts": {"test": "true"}}', "tests are run"),
        ("x.egg-info/entry_points.txt", "[pytest11]\nx = x\n", "plugin"),
        ("src/x-1.dist-info/entry_points.txt", "[pytest11]\nx = x\n", "plugin"),
        ("gcd.py", "import _pytest.runner\n", "reaches into pytest"),
        ("gcd.py", "def f():\n    from pytest import skip\n    skip()\n", "reaches into pytest"),
        ("gcd.py", "import sys\nx = sys.modules['_pytest.junitxml']\n", "reaches into pytest"),
        ("gcd.py", "import os\nx = 'PYTEST_CURRENT_TEST' in os.environ\n", "reaches into pytest"),
    ],
)
def test_edits_that_cannot_be_judged_fairly_are_forbidden(
    tmp_path: Path, path: str, content: str, word: str
):
    base, patched = tmp_path / "base", tmp_path / "patched"
    for tree in (base, patched):
        (tree / "tests").mkdir(parents=True)
        (tree / "tests" / "test_a.py").touch()
    (patched / path).parent.mkdir(parents=True, exist_ok=True)
    (patched / path).write_text(content)
    (line,) = compare(base, patched).forbidden
    assert line.startswith(f"{path}: ")
    assert word in line


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("pyproject.toml", "[project]\nname='a'\n", "[project]\nname='b'\n"),
        (
            "pyproject.toml",
            "[tool.pytest.ini_options]\nmarkers=[]\n",
            "[tool.pytest.ini_options]\nmarkers=['slow: slow']\n",
        ),
        ("setup.cfg", "[metadata]\nname=a\n", "[metadata]\nname=a\nversion=2\n"),
        ("package.json", '{"scripts": {"test": "x"}}', '{"scripts": {"test": "x"}, "v": 1}'),
        ("pkg/types.py", None, "x = 1\n"),
        ("types.py", "x = 1\n", "x = 2\n"),
        ("docs/calendar.py", None, "x = 1\n"),
        ("plugin.py", "import pytest\n", "import pytest\nx = pytest.mark\n"),
        ("gcd.py", None, "x = 1  # what pytest sees\n"),
        ("setup.py", "", "from setuptools import setup\nsetup(tests_require=['pytest'])\n"),
        ("tests/test_b.py", None, "import pytest\n"),
    ],
)
def test_ordinary_edits_are_not_forbidden(
    tmp_path: Path, path: str, before: str | None, after: str
):
    base, patched = tmp_path / "base", tmp_path / "patched"
    for tree, content in ((base, before), (patched, after)):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / "pkg").mkdir(exist_ok=True)
        (tree / "pkg" / "__init__.py").touch()
        if content is not None:
            (tree / path).write_text(content)
    touched = compare(base, patched)
    assert touched.forbidden == ()
    assert touched.paths == (path,)


@pytest.mark.bubblewrap
def test_a_forbidden_edit_is_rejected_before_anything_runs(judge: Callable[..., Judge]):
    court = judge()
    verdict = court.verify({"gcd.py": FIXED, "sitecustomize.py": "x = 1\n"})
    assert verdict.grade is Grade.REJECTED
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.FORBIDDEN_EDIT
    assert court.events == []


@pytest.mark.bubblewrap
def test_deleting_other_tests_is_said(judge: Callable[..., Judge]):
    verdict = judge().verify({"gcd.py": FIXED, "tests/test_lcm.py": "def test_new(): pass\n"})
    assert verdict.grade is Grade.PROVED
    assert "no longer run: tests/test_lcm.py::test_zero" in verdict.reason


def test_a_folder_replaced_by_a_link_is_put_back_as_a_folder(tmp_path: Path):
    base, patched = tmp_path / "base", tmp_path / "patched"
    for tree in (base, patched):
        (tree / "other").mkdir(parents=True)
        (tree / "other" / "test_a.py").write_text("other\n")
    (base / "tests").mkdir()
    (base / "tests" / "test_a.py").write_text("base\n")
    (patched / "tests").symlink_to("other")
    touched = compare(base, patched)
    assert set(touched.paths) == {"tests", "tests/test_a.py"}
    paths = judging_files(touched.paths, [FAILING, "tests/test_a.py"])
    put_back(base, patched, paths)
    assert (patched / "tests" / "test_a.py").read_text() == "base\n"
    assert not (patched / "tests").is_symlink()
    assert (patched / "other" / "test_a.py").read_text() == "other\n"


@pytest.mark.bubblewrap
def test_a_javascript_fix_is_proved_and_its_tests_cannot_be_weakened(
    repo_factory: Callable[..., Path], tmp_path: Path
):
    files = {
        "sum.js": "exports.sum = (a, b) => a - b;\n",
        "test/sum.test.js": (
            "const test = require('node:test'); const assert = require('node:assert');\n"
            "const { sum } = require('../sum.js');\n"
            "test('adds', () => assert.strictEqual(sum(2, 3), 5));\n"
        ),
        "test/zero.test.js": "require('node:test')('zero', () => {});\n",
        ".gitignore": "report.xml\n",
    }
    reporter = "node --test --test-reporter=junit --test-reporter-destination=report.xml"
    config = configured(
        test=f"{reporter} test/", test_one=f"{reporter} {{tests}}", report="report.xml"
    )
    court = Judge(repo_factory((files, "start")), tmp_path / "judge", config)
    tests = ("test/sum.test.js",)
    fixed = {"sum.js": "exports.sum = (a, b) => a + b;\n"}
    proved = court.verify(fixed, tests)
    assert proved.grade is Grade.PROVED, proved
    weakened = court.verify(
        {"test/sum.test.js": "require('node:test')('adds', () => {});\n"}, tests
    )
    assert weakened.grade is Grade.REJECTED
    assert weakened.restored == tests
    court.close()
