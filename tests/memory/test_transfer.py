"""Memory goes out and comes back the same; several become one, whichever comes first."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import StoreError
from evo_agent.core.types import Grade
from evo_agent.memory.custody import purge
from evo_agent.memory.custody.transfer import ImportReport, lines, merge, take_lines
from evo_agent.memory.custody.wire import LARGEST_LINE
from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import AsOf, Record, Scope, Trust, canonical, make
from evo_agent.memory.journal.rows import Change, added
from evo_agent.memory.lifecycle.lifecycle import write_back


def insight(text: str, **envelope: Any) -> Record:
    return make(Insight("rule", text), repo="r", scope=Scope.GLOBAL, **envelope)


def export(journal: Journal) -> bytes:
    return "".join(f"{line}\n" for line in lines(journal)).encode()


def take(journal: Journal, data: bytes, *, trust: bool = True) -> ImportReport:
    return take_lines(journal, io.BytesIO(data), trust=trust)


def _known(journal: Journal) -> dict[str, tuple[Any, ...]]:
    return {s.record.id: (s.record, s.state, s.uses, s.wins) for s in journal.listed()}


def step(record: Record, to: str, was: str = "candidate") -> Change:
    return Change("state", record.id, {"from": was, "to": to, "why": "a test"})


@pytest.fixture
def full(tmp_path: Path, make_run: Any) -> Journal:
    """A memory with runs, a skill that was promoted, credits and commits."""
    journal = Journal(tmp_path / "full")
    for number in range(3):
        episode = Episode("commit", f"Fix number {number} — ü", sha=f"{number:040d}")
        record = make(episode, repo="r", scope=Scope.REPO, as_of=AsOf("c", 10.0 - number))
        journal.write("learn", [added(record)])
    first = write_back(journal, make_run("r1"))
    write_back(journal, make_run("r2", task="task-2", cited=(first.skill_id,)))
    write_back(journal, make_run("r3", task="task-3", grade=Grade.REJECTED))
    return journal


def test_export_import_export_gives_the_same_bytes(full: Journal, tmp_path: Path):
    told = export(full)
    kinds = [next(iter(json.loads(line))) for line in told.splitlines()]
    assert kinds[0] == "evo-memory"
    assert {"record", "event"} == set(kinds[1:])
    with Journal(tmp_path / "empty") as empty:
        report = take(empty, told)
        assert (report.taken.records, report.refused) == (full.count(), ())
        assert export(empty) == told
        assert _known(empty) == _known(full)
        assert any(s.state == "active" and s.wins == 1 for s in empty.listed())
        again = take(empty, told).taken
        assert (again.records, again.copies, again.events) == (0, 0, 0)
        assert export(empty) == told


def test_trust_is_not_raised_by_an_import(full: Journal, tmp_path: Path):
    with Journal(tmp_path / "empty") as empty:
        report = take(empty, export(full), trust=False)
        assert report.taken.records == full.count()
        assert report.taken.left_out == sum(b'{"event"' in x for x in export(full).splitlines())
        for stored in empty.listed():
            assert (stored.record.trust, stored.state, stored.uses) == ("untrusted", "candidate", 0)
        assert {s.record.id for s in empty.listed()} == {s.record.id for s in full.listed()}
        # What is known and trusted stays so, whoever sends it again.
        told = export(full)
        doubted = take(full, export(empty), trust=False).taken
        assert (doubted.records, doubted.copies) == (0, 0)
        assert export(full) == told


def _cut(line: bytes) -> bytes:
    return line[: len(line) // 2]


def _other_content(line: bytes) -> bytes:
    return line.replace(b"number 1", b"number 7")


def _wrong_type(line: bytes) -> bytes:
    data = json.loads(line)
    data["record"]["tags"] = [7]
    return canonical(data)


def _no_time(line: bytes) -> bytes:
    return line.replace(b'"time":9.0', b'"time":NaN')


def _newer(line: bytes) -> bytes:
    return line.replace(b'"schema":1', b'"schema":9')


def _too_long(line: bytes) -> bytes:
    return line + b" " * LARGEST_LINE


def _too_deep(_: bytes) -> bytes:
    return b"[" * 100_000


def _secret(_: bytes) -> bytes:
    record = replace(insight("x"), body=Insight("rule", "token ghp_" + "a" * 36))
    return b'{"record":' + _json(record) + b"}"


def _escape(_: bytes) -> bytes:
    return b'{"record":' + _json(replace(insight("x"), body=Insight("rule", "\x1b[2J"))) + b"}"


def _json(record: Record) -> bytes:
    from evo_agent.memory.journal.records import to_json

    return to_json(record).encode()


DAMAGE = [
    _cut,
    _other_content,
    _wrong_type,
    _no_time,
    _newer,
    _too_long,
    _too_deep,
    _secret,
    _escape,
    lambda _: b"\xff\xfe",
    lambda _: b"",
    lambda _: b'{"record":{}}',
    lambda _: b'{"event":7}',
    lambda _: b"{}",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_is_refused_by_number_and_the_others_are_not_lost(
    full: Journal, tmp_path: Path, damage: Callable[[bytes], bytes]
):
    told = export(full).splitlines()
    at = next(n for n, line in enumerate(told) if b"number 1" in line)
    told[at] = damage(told[at])
    with Journal(tmp_path / "empty") as empty:
        report = take(empty, b"\n".join(told), trust=False)
        assert [refused.number for refused in report.refused] == [at + 1]
        assert "\n" not in report.refused[0].reason
        assert report.taken.records == full.count() - 1 == empty.count()


@pytest.mark.parametrize("first", [b"", b"{}", b"[1]", b'{"evo-memory":2,"schema":1}', b"\xff"])
def test_what_is_no_export_is_refused_as_a_whole(full: Journal, first: bytes):
    told = export(full)
    with pytest.raises(StoreError):
        take(full, b"\n".join([first, *told.splitlines()[1:]]))
    assert export(full) == told


def _worker(folder: Path, name: str, shared: Sequence[Record]) -> Journal:
    """A worker's memory: what all know, what it alone knows, and its own view of the shared."""
    journal = Journal(folder / name)
    journal.write(f"learn-{name}", [added(replace(r, created=ord(name))) for r in shared])
    journal.write(f"own-{name}", [added(insight(f"only {name} knows"))])
    journal.write(f"run-{name}", [Change("credit", shared[0].id, {"win": name == "a"})])
    journal.write("run-both", [Change("credit", shared[1].id, {"win": name == "a"})])
    return journal


def test_merging_is_a_union_whichever_comes_first_and_twice_is_once(tmp_path: Path):
    """IDER: merging is idempotent."""
    shared = [insight(f"shared {number}") for number in range(5)]
    made: dict[str, bytes] = {}
    for order in ("abc", "cba", "bca"):
        folder = tmp_path / order
        workers = {name: _worker(folder, name, shared) for name in "abc"}
        workers["b"].write("s1", [step(shared[2], "quarantined")])
        workers["a"].write("s2", [step(shared[2], "validated"), step(shared[3], "archived")])
        workers["a"].write("t", [added(replace(insight("told twice"), trust=Trust.HUMAN))])
        workers["c"].write("t", [added(insight("told twice"))])
        for journal in workers.values():
            _fix_times(journal)
        first, *rest = order
        merge(workers[first], [folder / name for name in rest])
        made[order] = export(workers[first])
        again = merge(workers[first], [folder / name for name in order]).taken
        assert (again.records, again.copies, again.events, again.purged) == (0, 0, 0, 0)
        assert export(workers[first]) == made[order]
        assert workers[first].count() == 5 + 3 + 1
        told = workers[first].get(insight("told twice").id)
        assert told is not None
        assert told.record.trust is Trust.HUMAN
        states = {s.record.id: s.state for s in workers[first].listed()}
        assert states[shared[2].id] == "quarantined"  # the later step, wherever it arrived first
        used = workers[first].get(shared[0].id)
        assert used is not None
        assert (used.uses, used.wins) == (3, 1)
        differed = workers[first].get(shared[1].id)
        assert differed is not None
        assert (differed.uses, differed.wins) == (1, 0)  # one run, told as a win and as a loss
        before = workers[first].listed()
        workers[first].rebuild()
        assert workers[first].listed() == before
        for journal in workers.values():
            journal.close()
    assert made["abc"] == made["cba"] == made["bca"]


def _fix_times(journal: Journal) -> None:
    """Give events the same times in each of the test's rounds; s1 came after s2."""
    with journal.transaction() as connection:
        connection.execute("UPDATE events SET time = 1000.0")
        connection.execute("UPDATE events SET time = 2000.0 WHERE run = 's1'")


def test_what_one_side_purged_is_gone_from_the_union(tmp_path: Path):
    secret = insight("the password is swordfish")
    made = []
    for order in ("ab", "ba"):
        folders = [tmp_path / order / name for name in "ab"]
        a, b = (Journal(folder) for folder in folders)
        for journal in (a, b):
            journal.write("learn", [added(secret), added(insight("harmless"))])
            journal.write("run-1", [Change("credit", secret.id, {"win": True})])
            journal.write("n", [Change("note", insight("harmless").id, {"why": "swordfish"})])
            with journal.transaction() as connection:
                connection.execute("UPDATE events SET time = 5.0")
        purge.bury(a, purge.holding(a, "swordfish"), "swordfish")
        with a.transaction() as connection:
            connection.execute("UPDATE events SET time = 6.0, run = 'p' WHERE kind = 'purge'")
        ours, other = (a, folders[1]) if order == "ab" else (b, folders[0])
        assert merge(ours, [other]).refused == ()
        made.append(export(ours))
        assert b"swordfish" not in made[-1]
        assert ours.get(secret.id) is None
        assert ours.write("again", [added(secret)]) == 0
        assert merge(ours, [other]).taken.records == 0
        assert export(ours) == made[-1]
        a.close()
        b.close()
    assert made[0] == made[1]


def test_a_folder_without_a_journal_is_refused_and_none_is_made(full: Journal, tmp_path: Path):
    with pytest.raises(StoreError, match="holds no"):
        merge(full, [tmp_path / "nowhere"])
    assert not (tmp_path / "nowhere").exists()
