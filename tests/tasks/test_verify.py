"""What the verifier accepts, and the grade that it gives."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tasks.judge import FAILING, FIXED, GCD, Files, Judge, configured

from evo_agent.core.config import Config
from evo_agent.core.types import DiagnosisKind, Grade, Outcome

Judges = Callable[..., Judge]


@pytest.fixture
def judge(repo_factory: Callable[..., Path], tmp_path: Path) -> Iterator[Judges]:
    made: list[Judge] = []

    def make(files: Files = GCD, config: Config | None = None) -> Judge:
        repo = repo_factory((files, "start"))
        made.append(Judge(repo, tmp_path / "judge", config or configured()))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.bubblewrap
def test_a_fix_is_proved_when_the_failing_test_passes_and_others_hold(judge: Judges):
    court = judge(config=configured(repeats=2))
    verdict = court.verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED, verdict
    assert verdict.holds
    assert verdict.diagnosis is None
    assert verdict.before
    assert verdict.before.outcomes == {FAILING: Outcome.FAILED}
    assert verdict.after
    assert verdict.after.outcomes == {FAILING: Outcome.PASSED}
    assert verdict.regressions
    assert "tests/test_lcm.py::test_zero" in verdict.regressions.passing
    assert "1 failing test passes now" in verdict.reason
    runs = [(event["when"], event["run"]) for event in court.events]
    assert runs.count(("before", 1)) == runs.count(("after", 2)) == 1
    assert {event["kind"] for event in court.events} == {"test-report"}


@pytest.mark.bubblewrap
def test_a_second_round_does_not_run_the_base_again(judge: Judges):
    court = judge()
    court.verify({"gcd.py": FIXED})
    court.events.clear()
    assert court.verify({"gcd.py": FIXED + "# shorter\n"}).grade is Grade.PROVED
    assert [e["when"] for e in court.events] == ["after", "regressions with the patch"]


@pytest.mark.bubblewrap
def test_tests_decide_whatever_a_critic_says(judge: Judges):
    """IRL-VLA: cheap critic prefilters, tests decide: critic pass + tests fail -> fail."""
    plausible = "def gcd(a, b):\n    # correct: Euclid\n    return a if b == 0 else gcd(b, b % a)\n"
    compile(plausible, "gcd.py", "exec")  # the cheap critic: it parses, and looks right
    verdict = judge().verify({"gcd.py": plausible})
    assert verdict.grade is Grade.REJECTED
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.STILL_FAILING
    assert verdict.diagnosis.tests == (FAILING,)
    assert verdict.diagnosis.excerpt


@pytest.mark.bubblewrap
def test_runs_that_disagree_are_flaky_and_named(judge: Judges):
    """MoDem-V2: edits near known-good; verifier quorum: disagreement -> no write-back."""
    lucky = (
        "import os\ndef gcd(a, b):\n    return 4 if os.environ['PYTHONHASHSEED'] == '0' else 3\n"
    )
    verdict = judge(config=configured(repeats=2)).verify({"gcd.py": lucky})
    assert verdict.grade is Grade.FLAKY
    assert not verdict.holds
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.FLAKY
    assert verdict.diagnosis.tests == (FAILING,)
    assert FAILING in verdict.reason


@pytest.mark.bubblewrap
def test_another_test_that_wobbles_with_the_patch_is_flaky_too(judge: Judges):
    wobbling = FIXED + "import os\nSEED = os.environ['PYTHONHASHSEED']\n"
    files = {**GCD, "tests/test_seed.py": (
        "import gcd\ndef test_seed():\n    assert getattr(gcd, 'SEED', '0') == '0'\n"
    )}  # fmt: skip
    verdict = judge(files, configured(repeats=2)).verify({"gcd.py": wobbling})
    assert verdict.grade is Grade.FLAKY
    assert verdict.diagnosis
    assert verdict.diagnosis.tests == ("tests/test_seed.py::test_seed",)


@pytest.mark.bubblewrap
def test_a_test_that_already_wobbles_at_base_is_not_held_against_the_patch(judge: Judges):
    files = {**GCD, "tests/test_seed.py": (
        "import os\nimport gcd\ndef test_seed():\n    assert os.environ['PYTHONHASHSEED'] == '0'\n"
    )}  # fmt: skip
    verdict = judge(files, configured(repeats=2)).verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED, verdict.reason


@pytest.mark.bubblewrap
def test_a_patch_that_breaks_another_test_is_rejected_and_names_it(judge: Judges):
    verdict = judge().verify({"gcd.py": FIXED, "lcm.py": "def lcm(a, b):\n    return a * b + 1\n"})
    assert verdict.grade is Grade.REJECTED
    assert verdict.broken == ("tests/test_lcm.py::test_zero",)
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.REGRESSION
    assert "assert" in verdict.diagnosis.excerpt


@pytest.mark.bubblewrap
def test_a_module_that_can_no_longer_be_imported_breaks_its_tests(judge: Judges):
    verdict = judge().verify({"gcd.py": FIXED, "lcm.py": "from gcd import greatest\n"})
    assert verdict.broken == ("tests/test_lcm.py::test_zero",)


@pytest.mark.bubblewrap
def test_a_patch_that_makes_other_tests_hang_is_rejected(
    judge: Judges, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("evo_agent.tasks.regressions.HANG_SECONDS", 4.0)
    hanging = "def lcm(a, b):\n    while True: pass\n"
    verdict = judge().verify({"gcd.py": FIXED, "lcm.py": hanging})
    assert verdict.grade is Grade.REJECTED
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.TIMEOUT


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ("", DiagnosisKind.EMPTY_PATCH),
        ("not a patch", DiagnosisKind.PATCH_DOES_NOT_APPLY),
        (
            (
                "diff --git a/gcd.py b/gcd.py\n--- a/gcd.py\n+++ b/gcd.py\n"
                "@@ -1,1 +1,1 @@\n-no such line\n+x = 1\n"
            ),
            DiagnosisKind.PATCH_DOES_NOT_APPLY,
        ),
        (
            (
                "diff --git a/.git/hooks/x b/.git/hooks/x\nnew file mode 100755\n"
                "--- /dev/null\n+++ b/.git/hooks/x\n@@ -0,0 +1 @@\n+true\n"
            ),
            DiagnosisKind.FORBIDDEN_EDIT,
        ),
        ({"gcd.py": "def gcd(a, b:\n    return 1\n"}, DiagnosisKind.SYNTAX_ERROR),
        ({"gcd.py": "from math import greatest as gcd\n"}, DiagnosisKind.IMPORT_ERROR),
        ({"gcd.py": None}, DiagnosisKind.IMPORT_ERROR),
        (
            {"gcd.py": "import unittest\ndef gcd(a, b):\n    raise unittest.SkipTest\n"},
            DiagnosisKind.STILL_FAILING,
        ),
        ({"gcd.py": "import os\nos._exit(0)\n"}, DiagnosisKind.STILL_FAILING),
    ],
    ids=["empty", "nonsense", "misfit", "dot-git", "syntax", "import", "gone", "skip", "exit"],
)
def test_each_way_to_fail_is_typed(judge: Judges, changes: str | Files, kind: DiagnosisKind):
    verdict = judge().verify(changes)
    assert verdict.grade is Grade.REJECTED
    assert verdict.diagnosis, verdict
    assert verdict.diagnosis.kind is kind, verdict
    assert "\n" not in verdict.reason


@pytest.mark.bubblewrap
def test_a_patch_that_never_ends_is_a_timeout(judge: Judges):
    court = judge(config=configured(timeout=4.0))
    verdict = court.verify({"gcd.py": "def gcd(a, b):\n    while True: pass\n"})
    assert verdict.grade is Grade.REJECTED
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.TIMEOUT


@pytest.mark.bubblewrap
def test_a_test_that_hung_at_base_and_passes_now_is_proved(judge: Judges):
    files = {**GCD, "gcd.py": "def gcd(a, b):\n    while a: pass\n"}
    court = judge(files, configured(timeout=4.0, repeats=2))
    court.config = replace(court.config)
    verdict = court.verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED, verdict
    assert "ran out of time" in verdict.reason


@pytest.mark.bubblewrap
def test_without_a_test_that_failed_a_patch_stays_unproved(judge: Judges):
    court = judge()
    verdict = court.verify({"gcd.py": FIXED}, tests=())
    assert verdict.grade is Grade.UNPROVED
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.NOTHING_FAILED_BEFORE
    passing = court.verify({"gcd.py": FIXED}, tests=("tests/test_lcm.py::test_zero",))
    assert passing.grade is Grade.UNPROVED
    assert "did not fail at base" in passing.reason


@pytest.mark.bubblewrap
def test_a_test_that_does_not_exist_proves_nothing_and_near_ones_are_named(judge: Judges):
    verdict = judge().verify({"gcd.py": FIXED}, tests=("tests/test_gcd.py::test_gdc",))
    assert verdict.grade is Grade.UNPROVED
    assert f"near: {FAILING}" in verdict.reason


REPRODUCTION = "from gcd import gcd\n\n\ndef test_issue():\n    assert gcd(9, 6) == 3\n"


@pytest.mark.bubblewrap
def test_a_frozen_test_reproduces(judge: Judges):
    court = judge()
    frozen = court.freeze("tests/test_issue.py", REPRODUCTION, "test_issue")
    with_test = {"gcd.py": FIXED, "tests/test_issue.py": "def test_issue(): pass\n"}
    verdict = court.verify(with_test, tests=(), frozen=frozen)
    assert verdict.grade is Grade.REPRODUCED, verdict
    assert verdict.before
    assert verdict.before.failing == ("tests/test_issue.py::test_issue",)
    wrong = court.verify({"gcd.py": FIXED.replace("b, a % b", "b, b % a")}, (), frozen)
    assert wrong.grade is Grade.REJECTED


@pytest.mark.bubblewrap
def test_a_test_written_after_the_code_was_changed_is_not_frozen(judge: Judges):
    court = judge()
    frozen = court.freeze("tests/test_issue.py", REPRODUCTION, "test_issue")
    tree = court.workspace({"gcd.py": FIXED, "tests/test_issue.py": REPRODUCTION}).snapshot()
    verdict = court.verify({"gcd.py": FIXED}, (), replace(frozen, tree_at_freeze=tree))
    assert verdict.grade is Grade.UNPROVED
    assert "not frozen before" in verdict.reason


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("tests/test_issue.py", "def test_issue(): pass\n"),
        ("tests/test_issue.py", "import no_such_module\ndef test_issue(): pass\n"),
        ("conftest.py", "def test_issue(): assert False\n"),
    ],
    ids=["passes-at-base", "cannot-run-at-base", "decides-how-tests-run"],
)
def test_a_frozen_test_that_reproduces_nothing_leaves_the_patch_unproved(
    judge: Judges, path: str, content: str
):
    court = judge()
    frozen = court.freeze(path, content, "test_issue")
    assert court.verify({"gcd.py": FIXED}, (), frozen).grade is Grade.UNPROVED


@pytest.mark.bubblewrap
def test_a_dependency_missing_before_and_after_says_nothing_about_the_patch(judge: Judges):
    files = {**GCD, "tests/test_gcd.py": f"import no_such_module\n{GCD['tests/test_gcd.py']}"}
    verdict = judge(files).verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.INFRASTRUCTURE
    assert "no_such_module" in verdict.reason


@pytest.mark.bubblewrap
def test_a_test_that_could_not_be_run_at_base_is_said_to_be_so(judge: Judges):
    files = {**GCD, "gcd.py": f"import no_such_module\n{FIXED}"}
    verdict = judge(files).verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED
    assert "could not be run at all: no module no_such_module" in verdict.reason


@pytest.mark.bubblewrap
def test_trouble_with_the_machinery_is_a_verdict_of_its_own(judge: Judges):
    verdict = judge().verify({"gcd.py": FIXED}, base="0" * 40)
    assert verdict.grade is Grade.INFRASTRUCTURE
    assert verdict.diagnosis
    assert verdict.diagnosis.kind is DiagnosisKind.INFRASTRUCTURE


@pytest.mark.bubblewrap
def test_regression_tests_that_do_not_fit_the_time_are_said_to_be_left_out(judge: Judges):
    config = configured()
    court = judge(config=replace(config, verify=replace(config.verify, seconds=0.0001)))
    verdict = court.verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED
    assert "verify.seconds" in verdict.tests_not_run
    assert "verify.seconds" in verdict.reason


@pytest.mark.docker
def test_a_fix_is_proved_in_docker(judge: Judges):
    verdict = judge(config=configured("docker")).verify({"gcd.py": FIXED})
    assert verdict.grade is Grade.PROVED, verdict
