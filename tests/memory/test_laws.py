"""Laws, rules and the playbook: evaluated when active, revised by what contradicts them."""

from dataclasses import replace

import pytest
from tests.memory.conftest import PATCH, MakeRun

from evo_agent.core.errors import UsageError
from evo_agent.core.types import Diagnosis, DiagnosisKind, Grade
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.records import Record, Scope, Trust, make
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.laws import observe, situation, standing
from evo_agent.memory.lifecycle.predicates import Fact, holds, parse
from evo_agent.memory.store import Memory

FACTS: dict[str, Fact] = {
    "error": "TypeError",
    "paths": ("src/a.py", "src/b.py"),
    "steps": 3.0,
    "win": True,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('error == "TypeError"', True),
        ('error != "TypeError"', False),
        ('paths contains "src/a.py"', True),
        ('paths contains "src"', False),  # a whole path, not a part of one
        ('paths startswith "src/"', True),
        ('error contains "Type" and steps >= 3', True),
        ("steps < 3 or win == true", True),
        ('not (error == "KeyError")', True),
        ('unknown == "x"', None),
        ('not (unknown == "x")', None),
        ('unknown == "x" and win == false', False),  # decided whatever the unknown is
        ('unknown == "x" or win == true', True),
        ('steps == "3"', None),  # a number is no word
        ("error > 3", None),
        ('error == "a \\" or win == true"', False),  # quoted, so not code
    ],
)
def test_predicates_have_three_values(text: str, expected: bool | None):  # noqa: FBT001
    assert holds(parse(text), FACTS) is expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error",
        "error ==",
        'error == "a" and',
        '(error == "a"',
        "__import__('os').system('true')",
        'error == "a"; steps == 1',
        "error == 'a'",
        "and == 1",
        "error == TypeError",
        "(" * 50 + "win == true" + ")" * 50,
        "not " * 50 + "win == true",
        'error == "' + "a" * 2_000 + '"',
    ],
)
def test_what_is_no_predicate_is_refused_never_run(text: str):
    with pytest.raises(UsageError, match="a predicate is refused"):
        parse(text)


def law(precondition: str, effect: str, kind: str = "law") -> Record:
    """A law of repo-a."""
    return make(
        Insight(kind, f"when {precondition} then {effect}", precondition, effect),
        repo="repo-a",
        scope=Scope.REPO,
        trust=Trust.HUMAN,
        created=1.0,
    )


def run_of(
    make_run: MakeRun,
    number: int,
    broken: tuple[str, ...] = (),
    path: str = "algo/bitcount.py",
    operator: str = "swap-bitwise",
) -> RunFacts:
    """A run on a task of its own that changed a file with an operator, and broke some tests."""
    grade = Grade.REJECTED if broken else Grade.PROVED
    facts = make_run(
        f"r{number}", task=f"t{number}", grade=grade, patch=PATCH.replace("algo/bitcount.py", path)
    )
    verdict = replace(facts.verdict, broken=broken)
    if broken:
        verdict = replace(verdict, diagnosis=Diagnosis(DiagnosisKind.REGRESSION, "broke", broken))
    assert facts.candidate is not None
    own = {**facts.candidate.facts, "operators": [operator]}
    return replace(facts, verdict=verdict, candidate=replace(facts.candidate, facts=own))


def test_a_law_is_evaluated_only_when_active_and_a_refuted_one_loses_weight(
    memory: Memory, make_run: MakeRun
):
    """OneLife: a law is evaluated only when active; a refuted law loses weight."""
    true = memory.upkeep.admit(law('paths contains "algo/bitcount.py"', "win == true"))
    asleep = memory.upkeep.admit(law('paths contains "other.py"', "win == true"))
    nobody = memory.upkeep.admit(law('paths contains "algo/bitcount.py"', 'moon == "full"'))
    prose = memory.upkeep.admit(law("whenever you like", "it works"))
    weights = []
    for number, broken in enumerate(((), (), ("test_a",))):
        memory.record_run(run_of(make_run, number, broken))
        weights.append(standing(memory._journal, true).weight)
    assert weights == [2 / 3, 3 / 4, 3 / 5]  # (held + 1) / (active + 2)
    assert standing(memory._journal, true).active == 3
    for inactive in (asleep, nobody, prose):
        assert standing(memory._journal, inactive).active == 0
        assert standing(memory._journal, inactive).weight == 1 / 2
    memory.record_run(run_of(make_run, 2, ("test_a",)))  # the same run again
    assert standing(memory._journal, true).active == 3
    assert "refuted by a run" in memory.why(true)
    assert "confirmed by a run" in memory.why(true)


def test_a_law_that_surely_fails_more_often_than_not_is_quarantined(
    memory: Memory, make_run: MakeRun
):
    wrong = memory.upkeep.admit(law('paths contains "algo/bitcount.py"', "win == true"))
    for number in range(5):
        memory.record_run(run_of(make_run, number, ("test_a",)))
        stored = memory.get(wrong)
        assert stored is not None
        assert stored.state == ("candidate" if number < 4 else "quarantined")
    assert "refuted: held in 0 of 5 runs, weight 0.14" in memory.why(wrong)
    memory.record_run(run_of(make_run, 6, ("test_a",)))
    assert standing(memory._journal, wrong).active == 5  # not evaluated any more


def rules(memory: Memory, kind: str = "rule") -> list[Stored]:
    """The repository's rules that may answer, newest first."""
    found = memory.records(kind="insight", repo="repo-a")
    return [
        stored
        for stored in found
        if getattr(stored.record.body, "type", "") == kind
        and stored.state not in ("archived", "quarantined")
    ]


def test_a_contradicting_trace_revises_the_rule_and_keeps_its_history(
    memory: Memory, make_run: MakeRun
):
    """Cogito, Ergo Ludo: a contradicting trace revises the rule and keeps its history."""
    memory.record_run(run_of(make_run, 1, ("test_a",)))
    assert rules(memory) == []  # one run is no rule
    memory.record_run(run_of(make_run, 2, ("test_a",)))
    (first,) = rules(memory)
    body = first.record.body
    assert isinstance(body, Insight)
    assert body.text == "In this repository a change in `algo/bitcount.py` breaks `test_a`: run it."
    assert (first.state, body.issue_id) == ("validated", "t1\nt2")
    assert first.record.evidence_ids == ("run:r1#7", "run:r2#7")
    assert standing(memory._journal, first.record.id).weight == 3 / 4
    kept = memory.record_run(run_of(make_run, 3))  # the same file, and nothing broke
    (second,) = rules(memory)
    assert second.record.id in kept.insights
    assert second.record.parent_id == first.record.id
    assert first.record.id in second.record.source_ids
    assert second.record.evidence_ids == ("run:r1#7", "run:r2#7", "run:r3#7")
    new = second.record.body
    assert isinstance(new, Insight)
    # What tells the contradicting run from the others narrows the rule.
    assert new.precondition == ('(paths contains "algo/bitcount.py") and diagnosis == "regression"')
    old = memory.get(first.record.id)
    assert old is not None
    assert old.state == "archived"
    why = memory.why(second.record.id)
    assert "validated → archived: run r3 contradicts it; revised as" in why
    memory.record_run(run_of(make_run, 4, ("test_a",)))
    assert [s.record.id for s in rules(memory)] == [second.record.id]  # the old one stays away
    assert standing(memory._journal, second.record.id).active == 3


def test_a_rule_that_nothing_narrows_is_weakened_once(memory: Memory, make_run: MakeRun):
    for number in (1, 2):
        memory.record_run(run_of(make_run, number))
    (first,) = rules(memory)
    assert "mended by `swap-bitwise`" in getattr(first.record.body, "text", "")
    facts = run_of(make_run, 3, operator="other-operator")
    memory.record_run(facts)
    texts = [getattr(s.record.body, "text", "") for s in rules(memory)]
    assert len(texts) == 1
    assert texts[0].startswith("Usually, not always: ") or "This holds where" in texts[0]


def test_rules_and_playbook_are_separate(memory: Memory, make_run: MakeRun):
    """Cogito, Ergo Ludo: repo rules and playbook, separate."""
    step = {"action": "$ python -m pytest tests/test_a.py", "exit": 1}
    view = {"action": "$ git grep -n bitcount", "exit": 0}
    memory.record_run(replace(run_of(make_run, 1), steps=(view, step)))
    assert rules(memory, "playbook") == []
    memory.record_run(replace(run_of(make_run, 2), steps=(view, step, step)))
    (book,) = rules(memory, "playbook")
    assert getattr(book.record.body, "text", "") == (
        "What runs that held did here, in order:\n1. `git grep -n`\n2. `python -m pytest`"
    )
    assert len(rules(memory)) == 1
    for number in (3, 4, 5):
        memory.record_run(replace(run_of(make_run, number), steps=(step,)))
    (revised,) = rules(memory, "playbook")
    assert revised.record.parent_id == book.record.id
    assert "git" not in getattr(revised.record.body, "text", "")
    assert "revised as" in memory.why(book.record.id)


def test_a_situation_says_only_what_is_known(make_run: MakeRun):
    from evo_agent.memory.journal.bodies import Episode
    from evo_agent.memory.lifecycle.distil import run_episode

    body = run_episode(run_of(make_run, 1)).body
    assert isinstance(body, Episode)
    facts = situation(body)
    assert facts["error"] == "TimeoutError"
    assert facts["win"] is True
    assert "diagnosis" not in facts
    assert list(observe([], facts, "repo-a")) == []
