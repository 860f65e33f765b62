"""Guardrails: mined from reverts, from fixes of fixes and from failed runs; validated; as of a base."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import commit_files, git
from tests.memory.conftest import MakeRun

from evo_agent.core.git import open_repository
from evo_agent.core.guard import Guard, Rule, Step
from evo_agent.core.types import Diagnosis, DiagnosisKind, Grade, Query
from evo_agent.memory.guardrails.regrets import blamed
from evo_agent.memory.guardrails.traces import edits, hung, steps
from evo_agent.memory.journal.bodies import Guardrail, Kind
from evo_agent.memory.journal.records import State
from evo_agent.memory.store import Memory, Stored

RepoFactory = Callable[..., Path]

START = "def total(items):\n    return sum(items)\n"
WRONG = "def total(items):\n    return functools.reduce(operator.mul, items, 0)\n"
RULE: dict[str, Any] = {"type": "edit", "path": "a.py", "added": ["return reduce_all(items)"]}


@pytest.fixture
def repo(repo_factory: RepoFactory) -> Path:
    """A commit that is wrong, and its revert."""
    made = repo_factory(
        ({"shop.py": START, "README.md": "shop\n"}, "start"),
        ({"shop.py": WRONG}, "Multiply instead of adding"),
    )
    revert(made, "HEAD", "Orders of the shop came out as zero.")
    return made


def revert(repo: Path, what: str, why: str) -> str:
    sha = git(repo, "rev-parse", what)
    title = git(repo, "log", "-1", "--format=%s", sha)
    git(repo, "revert", "--no-edit", sha)
    message = f'Revert "{title}"\n\nThis reverts commit {sha}.\n\n{why}'
    count = int(git(repo, "rev-list", "--count", "HEAD"))
    date = f"2024-01-01T12:{count:02d}:00+00:00"
    git(repo, "commit", "-q", "--amend", "-m", message, "--date", date, date=date)
    return git(repo, "rev-parse", "HEAD")


def known(memory: Memory) -> list[Stored]:
    return memory.records(kind="guardrail")


def at(memory: Memory, repo: Path, ref: str = "HEAD", issue: str = "") -> tuple[Rule, ...]:
    repository = open_repository(repo)
    base = repository.resolve(ref)
    return memory.guardrails(Query("", repo=repository.identity, base=base, issue_id=issue))


def test_a_revert_becomes_a_rule_that_objects_to_what_was_reverted(
    repo: Path, memory: Memory
) -> None:
    commit_files(repo, {"README.md": "more\n"}, "Say more")
    memory.learn(repo)
    (stored,) = known(memory)
    assert stored.state is State.VALIDATED
    body = stored.record.body
    assert isinstance(body, Guardrail)
    assert body.predicate["added"] == ["return functools.reduce(operator.mul, items, 0)"]
    assert "was reverted by" in body.root_cause
    assert "Orders of the shop came out as zero." in body.root_cause
    (rule,) = at(memory, repo)
    assert rule.action == "warn"
    again = Step("edit", path="shop.py", added="x = 1\n" + WRONG)
    assert Guard([rule]).objections(again, ()) == (rule,)
    assert Guard([rule]).objections(replace(again, path="other.py"), ()) == ()
    assert Guard([rule]).objections(replace(again, added=START), ()) == ()
    assert memory.why(stored.record.id).count("Multiply instead of adding") >= 1


def test_a_rule_acts_only_where_its_revert_is_known(repo: Path, memory: Memory) -> None:
    """Time: at the revert itself, before it, and on another branch nobody knew better."""
    git(repo, "checkout", "-q", "-b", "side", "HEAD~1")
    commit_files(repo, {"side.py": "x\n"}, "Aside")
    git(repo, "checkout", "-q", "main")
    commit_files(repo, {"README.md": "more\n"}, "Say more")
    memory.learn(repo)
    assert len(at(memory, repo, "main")) == 1
    assert at(memory, repo, "main~1") == ()
    assert at(memory, repo, "main~2") == ()
    assert at(memory, repo, "side") == ()
    query = Query(
        "Orders of the shop came out as zero, multiply", repo=open_repository(repo).identity
    )
    kinds = (Kind.GUARDRAIL.value,)
    for ref, found in (("main", 1), ("main~1", 0), ("side", 0)):
        base = open_repository(repo).resolve(ref)
        assert len(memory.recall(replace(query, base=base, kinds=kinds))) == found


def test_what_was_done_again_and_stayed_is_no_rule(repo: Path, memory: Memory) -> None:
    commit_files(repo, {"shop.py": WRONG}, "Multiply after all")
    memory.learn(repo)
    (stored,) = known(memory)
    assert stored.state is State.CANDIDATE
    assert at(memory, repo) == ()


def test_a_later_commit_refutes_a_rule_that_acted(repo: Path, memory: Memory) -> None:
    memory.learn(repo)
    assert known(memory)[0].state is State.VALIDATED
    commit_files(repo, {"shop.py": WRONG}, "Multiply after all")
    memory.learn(repo)
    assert known(memory)[0].state is State.QUARANTINED
    assert "and went well" in memory.why(known(memory)[0].record.id)


def test_a_second_learn_and_a_rebuilt_journal_add_and_change_nothing(
    repo: Path, memory: Memory
) -> None:
    memory.learn(repo)
    commit_files(repo, {"shop.py": WRONG}, "Multiply after all")
    memory.learn(repo)
    before = [(s.record.id, s.state) for s in known(memory)]
    memory.learn(repo)
    memory._journal.rebuild()
    memory.learn(repo)
    assert [(s.record.id, s.state) for s in known(memory)] == before


def test_a_fix_of_a_fix_is_guarded(repo_factory: RepoFactory, memory: Memory) -> None:
    parse = "def parse(text):\n    return text.split(separator, maxsplit=1)\n"
    mended = parse.replace("maxsplit=1", "maxsplit=limit")
    made = repo_factory(
        ({"p.py": "def parse(text):\n    return text\n"}, "start"),
        ({"p.py": parse}, "Fix parsing of several fields"),
    )
    sha = git(made, "rev-parse", "HEAD")
    commit_files(made, {"p.py": mended}, f"Split all fields\n\nRegression introduced in {sha[:10]}")
    memory.learn(made)
    (stored,) = known(memory)
    assert stored.state is State.VALIDATED
    assert "fix-of-fix" in stored.record.tags
    body = stored.record.body
    assert isinstance(body, Guardrail)
    assert body.predicate["added"] == ["return text.split(separator, maxsplit=1)"]


def test_tests_prose_and_short_lines_are_not_guarded(
    repo_factory: RepoFactory, memory: Memory
) -> None:
    made = repo_factory(
        ({"a.py": "x = 1\n"}, "start"),
        (
            {
                "a.py": "x = 2\n",
                "tests/test_a.py": "def test_everything_about_a():\n    assert all_of_it\n",
                "README.md": "A long line of prose that says a lot\n",
            },
            "Change",
        ),
    )
    revert(made, "HEAD", "No.")
    memory.learn(made)
    assert known(memory) == []


def test_messages_that_blame_are_read_in_bounds() -> None:
    assert blamed("Fixes: abcdef1 (“x”)") == ("abcdef1",)
    assert blamed("broken by commit ABCDEF1234") == ("abcdef1234",)
    assert blamed("see abcdef1234; fixes #12. See 1234567") == ()
    assert blamed("caused " * 30_000 + "x" * 100_000) == ()


HANGS = {"action": "$ python -m shop serve", "exit": 124}
FINE = {"action": "$ pytest -q", "exit": 1}


def failed(make_run: MakeRun, run: str, task: str, *done: dict[str, Any], **more: Any) -> Any:
    facts = make_run(run, task=task, grade=Grade.REJECTED, patch=more.pop("patch", ""))
    told = Diagnosis(DiagnosisKind.STILL_FAILING, "still fails")
    verdict = replace(facts.verdict, diagnosis=told, **more)
    return replace(facts, steps=done, verdict=verdict)


def rules_of(memory: Memory, issue: str = "") -> tuple[Rule, ...]:
    return memory.guardrails(Query("", repo="repo-a", issue_id=issue))


def test_a_command_that_hung_is_warned_of_then_blocked(memory: Memory, make_run: MakeRun) -> None:
    """Steve-Evolving: the diagnosis of a failed run becomes a guardrail."""
    memory.record_run(failed(make_run, "r1", "t1", FINE, HANGS))
    (rule,) = rules_of(memory)
    assert (rule.action, rule.predicate["equals"]) == ("warn", "python -m shop serve")
    assert rules_of(memory, issue="t1") == (), "nothing of an issue answers for it"
    memory.record_run(failed(make_run, "r2", "t2", HANGS))
    (rule,) = rules_of(memory)
    assert rule.action == "block"
    assert rules_of(memory, issue="t2") == ()
    states = {s.record.body.action: s.state for s in known(memory)}  # type: ignore[union-attr]
    assert states == {"warn": State.ARCHIVED, "block": State.VALIDATED}
    assert known(memory)[0].record.parent_id == known(memory)[1].record.id
    count = len(known(memory))
    memory.record_run(failed(make_run, "r2", "t2", HANGS))
    assert len(known(memory)) == count


def test_what_a_good_run_did_too_stays_a_candidate(memory: Memory, make_run: MakeRun) -> None:
    held = replace(make_run("r0", task="t0"), steps=({**HANGS, "exit": 0},))
    memory.record_run(held)
    memory.record_run(failed(make_run, "r1", "t1", HANGS))
    assert [stored.state for stored in known(memory)] == [State.CANDIDATE]
    assert rules_of(memory) == ()


def test_a_command_that_also_ended_is_not_blamed(memory: Memory, make_run: MakeRun) -> None:
    memory.record_run(failed(make_run, "r1", "t1", HANGS, {**HANGS, "exit": 0}))
    assert known(memory) == []


def test_going_round_in_circles_becomes_a_trace_rule(memory: Memory, make_run: MakeRun) -> None:
    memory.record_run(failed(make_run, "r1", "t1", *[FINE] * 4))
    (rule,) = rules_of(memory)
    assert rule.predicate == {"type": "trace", "repeats": 4}
    run = Step("command", command="pytest -q")
    assert Guard([rule]).objections(run, (run, run, run)) == (rule,)
    assert Guard([rule]).objections(run, (run, run)) == ()


def test_an_edit_that_broke_tests_is_warned_of(memory: Memory, make_run: MakeRun) -> None:
    patch = (
        "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n"
        "-    return 0\n+    return reduce_all(items)\n"
    )
    memory.record_run(failed(make_run, "r1", "t1", patch=patch, broken=("test_a.py::test_b",)))
    (rule,) = rules_of(memory)
    assert rule.predicate == RULE
    assert "broke test_a.py::test_b" in rule.reason


def test_runs_that_held_and_flaky_ones_make_none(memory: Memory, make_run: MakeRun) -> None:
    memory.record_run(replace(make_run("r1"), steps=(HANGS,)))
    flaky = make_run("r2", task="t2", grade=Grade.FLAKY)
    memory.record_run(replace(flaky, steps=(HANGS,)))
    assert known(memory) == []


def test_diffs_and_steps_are_read_as_actions() -> None:
    diff = (
        "diff --git a/old name.py b/new name.py\nsimilarity index 90%\nrename from old name.py\n"
        "rename to new name.py\n--- a/old name.py\t\n+++ b/new name.py\t\n@@ -1,2 +1,2 @@ def f():\n"
        " same\n-gone\n+came\n"
        "diff --git a/dead.py b/dead.py\ndeleted file mode 100644\n--- a/dead.py\n+++ /dev/null\n"
        "@@ -1 +0,0 @@\n-all\n"
        "diff --git a/x.bin b/x.bin\nBinary files a/x.bin and b/x.bin differ\n"
    )
    assert edits(diff) == (
        Step("edit", path="new name.py", added="came", removed="gone"),
        Step("edit", path="dead.py", added="", removed="all"),
    )
    kept = [HANGS, {"action": "write a.py"}, {"action": "run tests x"}, {}]
    assert steps(kept) == (
        Step("command", command="python -m shop serve"),
        Step("edit", path="a.py"),
    )
    assert hung([HANGS, {"action": "write a.py", "exit": 124}]) == ("python -m shop serve",)
