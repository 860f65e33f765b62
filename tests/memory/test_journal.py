"""The journal keeps what it acknowledged, whoever else writes and whatever breaks."""

import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.journal import FILE, Journal
from evo_agent.memory.journal.records import Record, Scope, make, pack, to_json
from evo_agent.memory.journal.rows import Change, added
from evo_agent.memory.journal.views import laid
from evo_agent.memory.journal.words import terms

WRITER = """
import sys
import zlib
from pathlib import Path
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Scope, make
from evo_agent.memory.journal.rows import added
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Journal(folder) as journal:
    for number in range(count):
        record = make(Insight("rule", f"{name} says {number}"), repo="r", scope=Scope.GLOBAL)
        journal.write(f"run-{name}", [added(record)])
        print(record.id, flush=True)
"""


def insight(text: str) -> Record:
    return make(Insight("rule", text), repo="r", scope=Scope.GLOBAL)


def start(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_two_writer_processes_lose_nothing(tmp_path: Path):
    """RoboOS-NeXT: shared memory for many workers; 2 writers, no lost record."""
    writers = [start(tmp_path / "memory", name, 100) for name in ("ada", "bob")]
    acknowledged: list[str] = []
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        acknowledged += out.split()
    with Journal(tmp_path / "memory") as journal:
        assert len(acknowledged) == 200
        assert {s.record.id for s in journal.listed()} == set(acknowledged)
        for name in ("ada", "bob"):
            sequences = [event.sequence for event in journal.events(run=f"run-{name}")]
            assert sequences == list(range(1, 101))


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path):
    writer = start(tmp_path, "ada", 10_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(25)]
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate()
    acknowledged += [line for line in rest.split() if len(line) == 64]
    with Journal(tmp_path) as journal:
        journal.check()
        known = {stored.record.id for stored in journal.listed()}
        assert set(acknowledged) <= known
        assert len(known) <= len(acknowledged) + 1
        assert sum(1 for _ in journal.matches(["say"])) == len(known)


def test_a_reader_that_was_open_sees_what_another_process_wrote(tmp_path: Path):
    with Journal(tmp_path) as journal:
        before = journal.generation()
        out, _ = start(tmp_path, "ada", 3).communicate(timeout=60)
        after = journal.generation()
        assert after.epoch == before.epoch
        assert (before.number, after.number, after.last) == (0, 3, out.split()[-1])


def test_a_known_record_is_left_out_and_a_transaction_is_all_or_nothing(tmp_path: Path):
    with Journal(tmp_path) as journal:
        assert journal.write("a", [added(insight("x")), added(insight("x"))]) == 1
        assert journal.write("b", [added(insight("x"))]) == 0
        too_large = make(Episode("run", "t", problem="x y" * 400_000), repo="r", scope=Scope.REPO)
        with pytest.raises(StoreError, match="refused"):
            journal.write("c", [added(insight("y")), added(too_large)])
        assert journal.count() == 1
        assert journal.events(run="c") == []


def test_write_once_decides_only_the_first_time(tmp_path: Path):
    calls: list[int] = []

    def decide() -> list[Change]:
        calls.append(1)
        return [added(insight("x"))]

    with Journal(tmp_path) as journal:
        assert journal.write_once("run", decide)
        assert not journal.write_once("run", decide)
    assert calls == [1]


def test_states_and_credits_are_events_and_the_views_can_be_made_anew(tmp_path: Path):
    record = insight("look at the caller first")
    with Journal(tmp_path) as journal:
        journal.write("a", [added(record)])
        journal.write("b", [Change("credit", record.id, {"win": True})])
        journal.write("c", [Change("credit", record.id, {"win": False})])
        journal.write("c", [Change("credit", record.id, {"win": False})])  # once a run
        step = {"from": "candidate", "to": "validated", "why": "w"}
        journal.write("c", [Change("state", record.id, step)])
        before = journal.get(record.id)
        assert before is not None
        assert (before.uses, before.wins, before.losses, before.state) == (2, 1, 1, "validated")
        assert journal.rebuild() == 1
        assert journal.get(record.id[:8]) == before
        assert [n for n, _ in journal.matches(terms("caller"))] == [before.number]


def test_full_text_ranks_titles_first_and_splits_identifiers(tmp_path: Path):
    episodes = [
        Episode("commit", "unrelated", diff="+ parse_header(x)", sha="1"),
        Episode("commit", "Fix parseHeader for empty input", sha="2"),
        Episode("commit", "tidy", sha="3"),
    ]
    with Journal(tmp_path) as journal:
        changes = [added(make(e, repo="r", scope=Scope.REPO)) for e in episodes]
        journal.write("a", changes)
        assert [number for number, _ in journal.matches(terms("header parsing"))] == [2, 1]
        assert journal.frequency("header") == 2
        assert list(journal.matches(['x" OR tidy OR "'])) == []
        assert list(journal.matches([])) == []


def test_a_folder_that_cannot_be_made_is_one_line_and_a_remedy(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError) as caught:
        Journal(tmp_path / "file" / "memory")
    assert "\n" not in caught.value.cause
    assert "memory.path" in caught.value.remedy


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path):
    noise = os.urandom(8192)
    (tmp_path / FILE).write_bytes(noise)
    with pytest.raises(StoreError, match="not a database") as caught:
        Journal(tmp_path)
    assert "evo learn" in caught.value.remedy
    assert (tmp_path / FILE).read_bytes() == noise


def test_a_damaged_page_is_found_by_the_check(tmp_path: Path):
    with Journal(tmp_path) as journal:
        journal.write("a", [added(insight(f"text {n} " * 200)) for n in range(50)])
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    data[4096 * 8 : 4096 * 12] = os.urandom(4096 * 4)
    path.write_bytes(data)
    with Journal(tmp_path) as journal, pytest.raises(StoreError):
        journal.check()


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path):
    with Journal(tmp_path) as journal:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 40}")
        written: list[str] = []

        def fill() -> None:
            for number in range(10_000):
                record = insight(f"number {number} " + "words " * 500)
                journal.write("a", [added(record)])
                written.append(record.id)

        with pytest.raises(StoreError, match="full") as caught:
            fill()
        assert "free some space" in caught.value.remedy
        assert written
    with Journal(tmp_path) as journal:
        assert {s.record.id for s in journal.listed()} == set(written)
        assert journal.write("b", [added(insight("after"))]) == 1


def test_a_journal_from_a_newer_evo_is_refused_clearly(tmp_path: Path):
    with Journal(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer evo") as caught:
        Journal(tmp_path)
    assert caught.value.remedy == "upgrade evo"


def test_only_the_owner_can_read_the_folder(tmp_path: Path):
    with Journal(tmp_path / "memory"):
        assert (tmp_path / "memory").stat().st_mode & 0o077 == 0


def test_several_processes_that_make_the_journal_at_once_all_get_it(tmp_path: Path):
    code = "import sys; from pathlib import Path; from evo_agent.memory.journal.journal import Journal\n"
    code += "print(flush=True); sys.stdin.readline(); Journal(Path(sys.argv[1])).close()"
    for number in range(10):
        argv = [sys.executable, "-c", code, str(tmp_path / str(number))]
        started = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
        ]
        for one in started:  # ready, and then all at the same moment, as far as possible
            assert one.stdout is not None
            one.stdout.readline()
        for one in started:
            assert one.stdin is not None
            one.stdin.write(b"\n")
            one.stdin.flush()
        for one in started:
            one.communicate()
        assert [one.returncode for one in started] == [0, 0, 0, 0]


def test_a_record_whose_bytes_changed_is_noticed_when_it_is_read(tmp_path: Path):
    record = insight("what was written")
    other = insight("what nobody wrote")
    with Journal(tmp_path) as journal:
        journal.write("a", [added(record), added(insight("beside it"))])
        flipped = bytearray(pack(record))
        flipped[len(flipped) // 2] ^= 1
        for data, said in ((bytes(flipped), "damaged"), (pack(other), "another record")):
            sql = "UPDATE events SET data = ? WHERE record = ?"
            journal._connection.execute(sql, (data, record.id))
            with pytest.raises(StoreError, match=said) as caught:
                journal.get(record.id)
            assert "copy" in caught.value.remedy
            with pytest.raises(StoreError, match=said):
                journal.check()


def test_the_check_computes_ids_anew(tmp_path: Path):
    record = insight("what was written")
    forged = to_json(record).replace("what was", "whatever")
    with Journal(tmp_path) as journal:
        journal.write("a", [added(record)])
        journal.check()
        data = zlib.compress(forged.encode())
        journal._connection.execute("UPDATE events SET data = ?", (data,))
        with pytest.raises(StoreError, match="does not fit its id"):
            journal.check()


def test_events_are_found_by_record_by_run_and_by_kind(tmp_path: Path):
    one, two = insight("one"), insight("two")
    with Journal(tmp_path) as journal:
        journal.write("a", [added(one), added(two)])
        journal.write("b", [Change("credit", one.id, {"win": True}), Change("note", two.id)])

        def told(**which: str) -> list[tuple[str, str]]:
            return [(event.kind, event.run) for event in journal.events(**which)]

        assert told(record=one.id) == [("record", "a"), ("credit", "b")]
        assert told(run="b") == [("credit", "b"), ("note", "b")]
        assert told(kind="record") == [("record", "a"), ("record", "a")]
        assert told(record=two.id, kind="note", run="b") == [("note", "b")]
        assert len(told()) == 4


def test_rows_laid_out_elsewhere_are_added_once(tmp_path: Path):
    one, two = laid(insight("one")), laid(insight("two"))
    with Journal(tmp_path) as journal:
        assert journal.add("a", [one, one]) == [1, 0]
        assert journal.add("b", [one, two]) == [0, 2]
        assert journal.write("c", [added(insight("two"))]) == 0
        assert [stored.record for stored in journal.after(0, 9)] == [insight("one"), insight("two")]


def test_a_frequency_can_be_counted_up_to_a_bound(tmp_path: Path):
    with Journal(tmp_path) as journal:
        journal.write("a", [added(insight(f"word number {n}")) for n in range(5)])
        assert (journal.frequency("word"), journal.frequency("word", 9)) == (5, 5)
        assert (journal.frequency("word", 3), journal.frequency("nowhere", 3)) == (3, 0)
