"""Merging, caps, archives: what upkeep does, says, and does only once."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.memory.conftest import MakeRun

from evo_agent.core.config import MemoryConfig
from evo_agent.core.types import Grade, Query
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, Scope, Trust, make
from evo_agent.memory.lifecycle.admit import threshold
from evo_agent.memory.lifecycle.upkeep import DAY, Upkeep
from evo_agent.memory.recall.embed import Lexical
from evo_agent.memory.store import Memory

TEXT = (
    "When the settings loader merges nested tables, copy the inner table before updating it, "
    "because the defaults are shared between every instance of the loader"
)
NEARLY = TEXT.replace("every instance", "all instances")


def lesson(text: str = TEXT, **fields: object) -> Record:
    """An insight; `kind`, `trust`, `scope`, `repo` and `evidence` matter to tests."""
    given = {"kind": "strategy", "trust": Trust.VERIFIED, "scope": Scope.REPO, "repo": "repo-a"}
    given |= {"created": 1.0, "evidence": (), "when": "a loader loses its defaults"} | fields
    return make(
        Insight(str(given["kind"]), text),
        repo=given["repo"],
        scope=given["scope"],
        trust=given["trust"],
        created=given["created"],
        evidence_ids=given["evidence"],
        when_to_use=given["when"],
    )


def live(memory: Memory) -> dict[str, str]:
    """Text to state, of what may answer."""
    found = memory.records(kind="insight")
    return {
        s.record.body.text: s.state.value
        for s in found
        if isinstance(s.record.body, Insight) and s.state not in ("archived", "quarantined")
    }


def test_a_near_duplicate_merges_and_both_ids_live_on(memory: Memory):
    first = memory.upkeep.admit(lesson(evidence=("commit:a",)))
    second = lesson(NEARLY, evidence=("commit:b",), created=2.0)
    heir = memory.upkeep.admit(second)
    assert heir not in (first, second.id)
    stored = memory.get(heir)
    assert stored is not None
    assert isinstance(stored.record.body, Insight)
    assert stored.record.body.merged == tuple(sorted((first, second.id)))
    assert set(stored.record.source_ids) == {first, second.id}
    assert stored.record.evidence_ids == ("commit:a", "commit:b")
    assert list(live(memory)) == [TEXT]  # the elder's words
    assert memory.upkeep.heir(first) == memory.upkeep.heir(second.id) == heir
    assert f"merged into {heir[:12]}" in memory.why(first)
    assert first[:12] in memory.why(heir)
    assert second.id[:12] in memory.why(heir)


@pytest.mark.parametrize(
    "other",
    [
        lesson(kind="rule"),  # equal text of another type
        lesson(scope=Scope.LANGUAGE),
        lesson(repo="repo-b"),
        lesson(TEXT.replace("copy the inner", "never copy the inner")),
        lesson(TEXT + " (version 3)"),
        lesson(TEXT.replace("inner table", "`inner` table")),
        lesson("Close the file handle before renaming it, or Windows refuses to replace it"),
    ],
)
def test_what_says_something_else_does_not_merge(memory: Memory, other: Record):
    memory.upkeep.admit(lesson())
    assert memory.upkeep.admit(other) == other.id
    assert memory.upkeep.run().steps == ()
    assert memory.stats().records == 2


def test_merging_again_and_applying_again_changes_nothing(memory: Memory):
    """IDER: re-apply and merge are idempotent."""
    first, second = lesson(), lesson(NEARLY)
    heir = {memory.upkeep.admit(one) for one in (first, second)}.pop()
    before = memory._journal.position()
    assert memory.upkeep.run().steps == ()
    assert memory._journal.position() == before
    for one in (first, second, first):
        assert memory.upkeep.admit(one) == memory.upkeep.heir(first.id)
    assert memory.upkeep.heir(second.id) == memory.upkeep.heir(heir)
    assert memory.stats().records == 3


def test_whoever_outranks_keeps_the_word(memory: Memory):
    """A model's wording never outranks a human's or a verified record, however early it came."""
    model = lesson(trust=Trust.MODEL, created=0.0)
    human = lesson(NEARLY, trust=Trust.HUMAN, created=9.0)
    memory.upkeep.admit(model)
    stored = memory.get(memory.upkeep.admit(human))
    assert stored is not None
    assert (stored.record.trust, list(live(memory))) == ("human", [NEARLY])


def test_what_both_earned_lives_on_and_a_run_counts_once(memory: Memory, make_run: MakeRun):
    first, second = lesson(), lesson(NEARLY)
    apart = MemoryConfig(merge_cosine=1.1)
    upkeep = Upkeep(memory._journal, Lexical(), apart)
    upkeep.admit(first)
    upkeep.admit(second)
    memory.upkeep._config = apart
    memory.record_run(make_run("r1", task="t1", cited=(first.id, second.id)))
    memory.record_run(make_run("r2", task="t2", grade=Grade.REJECTED, cited=(first.id,)))
    memory.upkeep._config = MemoryConfig()
    memory.upkeep.run()
    stored = memory.get(memory.upkeep.heir(first.id))
    assert stored is not None
    assert (stored.uses, stored.wins) == (2, 1)
    memory._journal.rebuild()
    again = memory.get(stored.record.id)
    assert again is not None
    assert (again.uses, again.wins, again.state) == (2, 1, stored.state)


def test_two_that_merge_at_once_lose_nothing(tmp_path: Path):
    """RoboOS-NeXT: two writers, no lost record."""
    texts = [TEXT.replace("settings", f"settings{'x' * n}") for n in range(6)]
    start = threading.Barrier(2)

    def write(half: list[str]) -> None:
        with Memory.open(tmp_path / "m") as memory:
            start.wait()
            for text in half:
                memory.upkeep.admit(lesson(text))

    writers = [threading.Thread(target=write, args=(texts[n::2],)) for n in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with Memory.open(tmp_path / "m") as memory:
        memory.upkeep.run()
        assert memory.upkeep.run().steps == ()
        for text in texts:
            record = lesson(text)
            assert memory.get(record.id) is not None
            heir = memory.get(memory.upkeep.heir(record.id))
            assert heir is not None
            assert heir.state not in ("archived", "quarantined")


def test_a_dry_run_says_the_same_and_does_nothing(memory: Memory):
    with Journal(memory._folder) as journal:
        Upkeep(journal, Lexical(), MemoryConfig(merge_cosine=1.1)).admit(lesson())
        Upkeep(journal, Lexical(), MemoryConfig(merge_cosine=1.1)).admit(lesson(NEARLY))
    before = memory._journal.position()
    dry = memory.upkeep.run(dry=True)
    assert (dry.dry, memory._journal.position()) == (True, before)
    assert dry.count("merged") == 1
    done = memory.upkeep.run()
    assert [(s.what, s.ids) for s in done.steps] == [(s.what, s.ids) for s in dry.steps]
    assert not done.dry


def test_an_insight_is_validated_when_its_evidence_exists(memory: Memory, make_run: MakeRun):
    memory.record_run(make_run())
    sound = lesson(evidence=("run:r1#7",))
    memory.upkeep.admit(sound)
    unsound = lesson("Something that nobody ever saw in any run", evidence=("run:r1#8",))
    memory.upkeep.admit(unsound)
    assert live(memory)[TEXT] == "validated"
    report = memory.upkeep.run()
    assert report.unsupported == (unsound.id,)
    assert live(memory)["Something that nobody ever saw in any run"] == "candidate"


def capped(tmp_path: Path, cap: int, make_run: MakeRun) -> set[str]:
    """Texts that stay of five under a cap, in a repository whose tasks are about bitcount."""
    told = [
        "bitcount loops for ever when the mask is applied with the wrong operator",
        "calling bitcount(127) times out",
        "Pad the header of the archive to 512 bytes",
        "The invoice total is rounded per line and not per sheet",
        "A person wrote this about fonts",
    ]
    folder = tmp_path / f"cap-{cap}"
    with Memory.open(folder, rules=MemoryConfig(cap=0)) as memory:
        facts = make_run(grade=Grade.UNPROVED, patch="")
        memory.record_run(replace(facts, verdict=replace(facts.verdict, before=None, after=None)))
        for text in told:
            trust = Trust.HUMAN if "person" in text else Trust.VERIFIED
            memory.upkeep.admit(lesson(text, trust=trust))
        memory.upkeep._config = MemoryConfig(cap=cap)
        memory.upkeep.run()
        assert memory.upkeep.run().steps == ()
        assert memory.stats().by.get("insight/archived", 0) == max(0, 5 - cap if cap else 0)
        return set(live(memory))


def test_the_cap_keeps_what_is_nearest_to_the_tasks(tmp_path: Path, make_run: MakeRun):
    """Offline Experience Replay: cap N keeps the nearest, deterministic."""
    three = capped(tmp_path, 3, make_run)
    assert len(three) == 3
    assert sum("bitcount" in text for text in three) == 2
    assert "A person wrote this about fonts" in three  # human outranks model, and the cap
    assert capped(tmp_path / "again", 3, make_run) == three
    assert len(capped(tmp_path, 0, make_run)) == 5


def test_what_nobody_used_is_archived_never_deleted(memory: Memory):
    record = memory.upkeep.admit(lesson())
    later = [1e9]
    upkeep = Upkeep(memory._journal, Lexical(), MemoryConfig(), now=lambda: later[0])
    stored_at = memory._journal.events(record=record)[-1].time
    later[0] = stored_at + 365 * DAY
    assert upkeep.run().steps == ()
    later[0] += 1.0
    assert upkeep.run(dry=True).count("idle") == 1
    assert upkeep.run().count("idle") == 1
    assert memory.recall(Query(TEXT, repo="repo-a")) == ()
    assert memory.get(record) is not None
    never = Upkeep(memory._journal, Lexical(), MemoryConfig(idle_days=0), now=lambda: 1e12)
    assert never.run().steps == ()


def test_each_embedder_has_its_own_threshold():
    """EvolveR's 0.85 is for its embedder: ours was measured, and an unknown one is careful."""
    assert threshold(Lexical().name) == 0.90
    assert threshold("litellm-x") == 0.95
    assert threshold(Lexical().name, 0.5) == 0.5
