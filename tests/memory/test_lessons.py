"""What a run teaches: from success, from failure, and from the contrast of both."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.memory.conftest import PATCH, TEST, MakeRun

from evo_agent.core.agent import prompts
from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.events import RunLog
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Assignment
from evo_agent.core.types import (
    CommandResult,
    Diagnosis,
    DiagnosisKind,
    Grade,
    Issue,
    Query,
    Recalled,
    Task,
)
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.lessons import MOST
from evo_agent.memory.lifecycle.trace import first_divergence, steps
from evo_agent.memory.store import Memory
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.testing import CommandRunner

OTHER = PATCH.replace("algo/bitcount.py", "algo/popcount.py")


def taught(memory: Memory, run: str) -> dict[str, list[str]]:
    """Texts of a run's insights by type and kind of principle."""
    found: dict[str, list[str]] = {}
    for stored in reversed(memory.records(kind="insight")):
        body = stored.record.body
        assert isinstance(body, Insight)
        if any(evidence.startswith(f"run:{run}#") for evidence in stored.record.evidence_ids):
            found.setdefault(f"{body.type}/{stored.record.tags[0]}", []).append(body.text)
    return found


def acts(*actions: str) -> tuple[Mapping[str, Any], ...]:
    """Steps of a run."""
    return tuple({"action": action, "exit": 0} for action in actions)


def failed(facts: RunFacts, kind: DiagnosisKind, *broken: str) -> RunFacts:
    """The same run with a diagnosis, and tests that it broke."""
    diagnosis = Diagnosis(kind, "the named test still fails", broken)
    return replace(facts, verdict=replace(facts.verdict, broken=broken, diagnosis=diagnosis))


def test_a_proved_fix_teaches_what_the_verifier_saw(memory: Memory, make_run: MakeRun):
    """ReMe: distillation from success, from failure and by comparison; each cites its evidence."""
    kept = memory.record_run(make_run())
    assert taught(memory, "r1") == {
        "strategy/guiding": [
            (
                "A failure like “TimeoutError: bitcount did not return” was proved fixed by "
                "`swap-bitwise`: `n ^= n - 1` in `bitcount` was wrong; `n &= n - 1` is right."
            ),
            (
                f"When `{TEST}` fails, look at `algo/bitcount.py` (`def bitcount(n):`): "
                "its fix was there."
            ),
        ],
        "tool/guiding": [
            (
                "A fix in `algo/bitcount.py` (`def bitcount(n):`) is checked with "
                f"`python -m pytest {TEST}`."
            )
        ],
    }
    assert len(kept.insights) == 3
    for record_id in kept.insights:
        stored = memory.get(record_id)
        assert stored is not None
        assert stored.record.evidence_ids == ("run:r1#7",)
        assert stored.record.source_ids == (kept.episode_id,)
        assert (stored.state, stored.record.trust) == ("validated", "verified")
        assert "candidate → validated: its evidence exists: run:r1#7" in memory.why(record_id)


def test_a_failure_warns(memory: Memory, make_run: MakeRun):
    """ReMe: from failure."""
    facts = failed(make_run(grade=Grade.REJECTED), DiagnosisKind.REGRESSION, "tests/test_b.py::b")
    step = {"action": "$ python manage.py migrate", "exit": 1}
    memory.record_run(replace(facts, steps=(step, *acts("$ ls"), step, step)))
    told = taught(memory, "r1")
    assert told["strategy/cautionary"] == [
        (
            "A change in `algo/bitcount.py` (`def bitcount(n):`) for “TimeoutError: bitcount did not "
            "return” broke `tests/test_b.py::b`: run them with it."
        )
    ]
    assert told["tool/cautionary"] == [
        "`python manage.py migrate` failed 3 times in one run: read why before repeating it."
    ]


def test_the_contrast_names_the_first_diverging_step(memory: Memory, make_run: MakeRun):
    """MEL: a planted divergence at step k is reported as k; ReMe: from the comparison of both."""
    same = ("$ git grep -n bitcount", "$ cat /tmp/tmp3f/a.py")
    lost = failed(make_run("lost", grade=Grade.REJECTED, patch=OTHER), DiagnosisKind.STILL_FAILING)
    memory.record_run(replace(lost, steps=acts(*same, "write algo/popcount.py", "run tests")))
    again = (same[0], "$ cat /tmp/tmp9x/a.py")  # scratch files are named anew in every run
    won = make_run("won")
    memory.record_run(replace(won, steps=acts(*again, "$ cat algo/bitcount.py", "run tests")))
    assert taught(memory, "won")["contrast/guiding"] == [
        (
            "For “TimeoutError: bitcount did not return”: Two runs went the same way for 2 steps. At "
            "step 3 the one that held did `$ cat algo/bitcount.py`, the one that did not did `write "
            "algo/popcount.py`. The fix was in `algo/bitcount.py` (`def bitcount(n):`), not in "
            "`algo/popcount.py` (`def bitcount(n):`)."
        )
    ]
    (contrast,) = (
        s
        for s in memory.records(kind="insight")
        if getattr(s.record.body, "type", "") == "contrast"
    )
    assert contrast.record.evidence_ids == ("run:won#7", "run:lost#7")


@pytest.mark.parametrize(
    ("one", "other", "step"),
    [("abc", "abd", 3), ("abc", "xbc", 1), ("abc", "abc", 0), ("ab", "abc", 3), ("", "", 0)],
)
def test_runs_diverge_at_the_first_difference(one: str, other: str, step: int):
    """MEL: the first diverging step."""
    assert first_divergence(acts(*one), acts(*other)) == step


def test_no_source_gives_more_than_three(memory: Memory, make_run: MakeRun):
    for number in range(5):
        facts = failed(
            make_run(f"lost{number}", grade=Grade.REJECTED, patch=OTHER),
            DiagnosisKind.STILL_FAILING,
        )
        memory.record_run(replace(facts, steps=acts(f"$ try {number}")))
    won = replace(make_run("won"), steps=acts("$ look"))
    memory.upkeep._config = replace(memory.upkeep._config, merge_cosine=1.1)
    kept = memory.record_run(won)
    told = taught(memory, "won")
    assert len(told["contrast/guiding"]) == MOST
    assert sum(len(texts) for kind, texts in told.items() if "contrast" not in kind) == MOST
    assert len(kept.insights) == 2 * MOST


def test_the_same_facts_teach_the_same_and_a_repetition_is_evidence(
    memory: Memory, make_run: MakeRun
):
    """IDER: distilling again adds nothing; a run that says the same again is evidence for it."""
    first = memory.record_run(make_run())
    assert memory.record_run(make_run()) == first
    second = memory.record_run(make_run("r2"))
    assert second.insights == first.insights
    (event,) = memory._journal.events(record=first.insights[0], kind="evidence")
    assert event.data["ids"] == ["run:r2#7"]


def test_a_lesson_never_answers_for_the_issue_that_it_came_from(memory: Memory, make_run: MakeRun):
    memory.record_run(make_run())
    text = "bitcount never returns TimeoutError: bitcount did not return"
    asked = Query(text, repo="repo-a", issue_id="task-2", kinds=("insight",))
    assert {found.kind for found in memory.recall(asked)} == {"insight"}
    assert memory.recall(replace(asked, issue_id="task-1")) == ()


def test_steps_are_read_off_the_runs_log(tmp_path: Path, memory: Memory, make_run: MakeRun):
    with RunLog.create(tmp_path / "run") as log:
        for number, code in enumerate((1, 0)):
            result = CommandResult(code, "Traceback\nValueError: no such thing\n" if code else "ok")
            log.call(
                "command",
                {"command": f"step {number}"},
                lambda r=result, n=number: {
                    "exit_code": r.exit_code,
                    "output": r.output,
                    "tree": f"tree{n}",
                },
                dict,
                dict,
            )
        log.emit("guard", rules=[{"id": "rule-1", "reason": "no"}, {"id": "rule-1"}])
        verdict = log.emit("verdict", grade="proved", reason="r")
    found = steps(tmp_path / "run")
    assert [step["action"] for step in found] == ["$ step 0", "$ step 1"]
    assert found[0]["diagnosis"] == "ValueError: no such thing"
    assert (found[1]["pre"], found[1]["post"], found[1]["progress"]) == ("tree0", "tree1", True)
    facts = make_run(event=verdict, log=tmp_path / "run")
    assert facts.used == ("rule-1",)
    stored = memory.get(memory.record_run(facts).episode_id)
    assert stored is not None
    assert len(getattr(stored.record.body, "steps", ())) == 2


def test_the_next_issues_prompt_holds_the_pair_of_the_first(
    memory: Memory, make_run: MakeRun, repo_factory: Callable[..., Path], tmp_path: Path
):
    """ExpeRepair: issue 2's prompt contains issue 1's failed→fixed pair, and no same-issue record."""
    memory.record_run(make_run(title="bitcount never returns " + "as told at length " * 300))
    repo = repo_factory(({"a.py": "x = 1\n"}, "start"))
    workspace = Workspace.create(open_repository(repo), "HEAD", tmp_path / "work")
    issue = Issue("popcount(255) never returns", "TimeoutError: popcount did not return")

    def prompt(task_id: str) -> tuple[str, tuple[Recalled, ...]]:
        found = memory.recall(
            Query(f"{issue.title}\n{issue.text}", repo="repo-b", issue_id=task_id, limit=5)
        )
        spec = SandboxSpec(workspace=workspace.folder, env={}, spool=tmp_path / "spool")
        with open_sandbox(spec, workspace, "local") as sandbox:
            assignment = Assignment(
                Task(task_id, repo, "base", issue),
                sandbox,
                CommandRunner("true", "true {tests}"),
                found,
                memory,
                RunLog.create(tmp_path / f"run-{task_id}"),
            )
            return prompts.opening(assignment, calls_tools=True)[1].content, found

    told, found = prompt("task-2")
    assert {record.kind for record in found} == {"episode", "insight", "skill"}
    demonstration = told.split("what failed and what was done about it:")[1].split("Lessons")[0]
    assert f"Failing tests: {TEST}" in demonstration
    assert "Failure: TimeoutError: bitcount did not return" in demonstration
    assert "Fixed by (proved):\ndiff --git a/algo/bitcount.py" in demonstration
    assert "-        n ^= n - 1\n+        n &= n - 1" in demonstration
    lessons = told.split("Lessons and rules:")[1].split("Skills:")[0]
    assert "`n &= n - 1` is right" in lessons
    same, none = prompt("task-1")
    assert none == ()
    assert "n &= n - 1" not in same
