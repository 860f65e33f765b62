"""Nothing acknowledged is lost, whoever else writes, is killed, or runs out of disk."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.errors import StoreError
from evo_agent.core.git import open_repository
from evo_agent.core.types import Query
from evo_agent.memory.journal.journal import FILE, Journal
from evo_agent.memory.store import Memory

EVO = Path(sys.executable).parent / "evo"
WRITERS, EACH = 8, 500
LEARNS, RECORDS = 20, 30  # kills: 50 in all
COMMITS = 240  # learnt by one process, in two transactions (test_mining kills crews of them)
NAMES = "ada bob cleo dan eve fay gus hal".split()  # noqa: SIM905 - reads better


class Forks:
    """The process of tests/memory/forks.py; `start` gives a child's id."""

    def __init__(self) -> None:
        argv = [sys.executable, str(Path(__file__).with_name("forks.py"))]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, do: str, acknowledged: Path, **order: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"do": do, "acknowledged": str(acknowledged), **order}, default=str)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(path: Path, count: int) -> None:
    while len(lines(path)) < count:
        time.sleep(0.002)


def history(folder: Path, commits: int) -> Path:
    """A repository of many commits, in no time."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    told: list[str] = []
    for number in range(commits):
        message, text = f"Fix number {number} in the pager", f"value = {number}\n"
        told.append(
            f"commit refs/heads/main\ncommitter Ada <a@b.c> {1_700_000_000 + number} +0000\n"
            f"data {len(message)}\n{message}\n"
            f"M 644 inline m{number % 7}.py\ndata {len(text)}\n{text}\n"
        )
    argv = ["git", "-C", str(folder), "fast-import", "--quiet"]
    subprocess.run(argv, input="".join(told), text=True, check=True)
    subprocess.run(["git", "-C", str(folder), "reset", "-q", "--hard"], check=True)
    return folder


def asked(text: str, **more: Any) -> Query:
    return Query(text=text, repo="r", **more)


def test_eight_writers_of_500_lose_nothing_and_open_readers_see_it_all(
    tmp_path: Path, forks: Forks
):
    """RoboOS-NeXT: shared memory for many workers; no lost record."""
    folder = tmp_path / "memory"
    told = [tmp_path / name for name in NAMES]
    with Memory.open(folder) as reader:  # this process is open before, and asks all the while
        assert reader.recall(asked("what ada found out")) == ()
        for name, path in zip(NAMES, told, strict=True):
            forks.start("write", path, folder=folder, name=name, count=EACH)
        seen = 0
        while (written := sum(len(lines(path)) for path in told)) < WRITERS * (EACH + 1):
            last = lines(told[0])[1:]
            if last:  # what one process was told is stored, the next query of another finds
                (found, *_) = reader.recall(asked(f"ada{len(last) - 1:04d}"))
                assert found.id == last[-1]
            count = reader.stats().records
            assert count >= max(seen, written - 2 * WRITERS - len(last))
            seen = count
            time.sleep(0.05)
        acknowledged = {line for path in told for line in lines(path)[1:]}
        assert len(acknowledged) == WRITERS * EACH
        assert {stored.record.id for stored in reader.records()} == acknowledged
        assert len(reader._recall.answering(asked("anything"))) == WRITERS * EACH
        for name in NAMES:
            (found, *_) = reader.recall(asked(f"{name}0499"))
            assert found.text.startswith(f"{name}0499")
        assert reader.custody.verify() == ()


def _killed(child: int, delay: float) -> None:
    time.sleep(delay)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def test_a_learn_killed_at_20_moments_loses_nothing(tmp_path: Path, forks: Forks):
    repo = history(tmp_path / "repo", COMMITS)
    identity, head = open_repository(repo).identity, open_repository(repo).head
    told = tmp_path / "told"
    started = time.monotonic()
    forks.start("learn", told, folder=tmp_path / "whole", repo=repo)
    wait_for(told, 2)
    while lines(told)[-1] != "end":
        time.sleep(0.01)
    whole = time.monotonic() - started
    rng = random.Random(7)
    stopped = 0
    for number in range(LEARNS):
        folder, told = tmp_path / f"m{number}", tmp_path / f"t{number}"
        child = forks.start("learn", told, folder=folder, repo=repo)
        wait_for(told, 1)
        _killed(child, rng.uniform(0, whole))
        done = [int(line) for line in lines(told)[1:] if line != "end"]
        with Memory.open(folder, repo=repo) as memory:
            kept = memory.stats().records
            assert kept >= max(done, default=0)
            memory._journal.check()
            stopped += kept < COMMITS
            if kept and number % 5 == 0:
                assert memory.custody.verify() == ()
                # What is derived says the same as made anew.
                query = Query("Fix the pager", repo=identity, base=head, limit=20)
                before = [(r.id, r.score) for r in memory.recall(query)]
                memory.custody.rebuild()
                assert [(r.id, r.score) for r in memory.recall(query)] == before
        shutil.rmtree(folder)
    assert stopped >= LEARNS // 4  # or the moments were no moments of the learn


def test_recording_runs_killed_at_30_moments_loses_nothing(tmp_path: Path, forks: Forks):
    repo = history(tmp_path / "repo", 2)
    folder = tmp_path / "memory"
    rng = random.Random(11)
    acknowledged: set[str] = set()
    for number in range(RECORDS):
        told = tmp_path / f"t{number}"
        child = forks.start("record", told, folder=folder, repo=repo, start=number * 10_000)
        wait_for(told, 1)
        _killed(child, rng.uniform(0, 0.4))
        new = {i for line in lines(told)[1:] for i in line.split() if len(i) == 64}
        acknowledged |= new
        with Memory.open(folder) as memory:
            known = {stored.record.id for stored in memory.records()}
            assert acknowledged <= known
            memory._journal.check()
    assert len(acknowledged) > RECORDS
    with Memory.open(folder) as memory:
        found = [f for f in memory.custody.verify() if not f.where.startswith("skill ")]
        assert found == []
        query = Query("Broken: It is 1", repo="repo", limit=10)
        before = [(r.id, r.score) for r in memory.recall(query)]
        assert before
        memory.custody.rebuild()
        assert [(r.id, r.score) for r in memory.recall(query)] == before


def _truncated(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 2)


def _noise(folder: Path) -> None:
    rng = random.Random(3)
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(rng.randbytes(2048))


@pytest.mark.parametrize("damage", [shutil.rmtree, _truncated, _noise])
def test_a_damaged_index_folder_is_made_anew_with_the_same_answers(
    tmp_path: Path, damage: Callable[[Path], None]
):
    repo = history(tmp_path / "repo", 120)
    folder = tmp_path / "memory"
    head = open_repository(repo).head
    with Memory.open(folder, repo=repo) as memory:
        identity = memory.learn(repo).repo
        query = Query("Fix number 57 in the pager", repo=identity, base=head, limit=10)
        before = [(r.id, r.score) for r in memory.recall(query)]
        assert len(before) == 10
    damage(folder / "index")
    with Memory.open(folder, repo=repo) as memory:
        assert [(r.id, r.score) for r in memory.recall(query)] == before
    damage(folder / "index")
    with Memory.open(folder, repo=repo) as memory:
        assert [(r.id, r.score) for r in memory.recall(query)] == before
        assert memory.custody.verify() == ()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_journal_of_a_newer_evo_is_refused_and_not_touched(tmp_path: Path, mode: str):
    with Journal(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute(f"PRAGMA journal_mode = {mode}")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StoreError, match="newer evo") as caught:
        Journal(tmp_path)
    assert caught.value.remedy == "upgrade evo"
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_two_learns_at_once_learn_each_commit_once(tmp_path: Path, own_evo_home: Path):
    repo = history(tmp_path / "repo", 300)
    env = {**os.environ, "EVO_HOME": str(own_evo_home)}
    both = [
        subprocess.Popen(
            [EVO, "learn", "--json"], cwd=repo, env=env, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    reports = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum(report["added"] for report in reports) == 300
    with Memory.open(own_evo_home / "memory", repo=repo) as memory:
        assert memory.stats().records == 300
        assert memory.custody.verify() == ()


FILL = """
import json, subprocess, sys
from pathlib import Path
from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Scope, make
from evo_agent.memory.journal.rows import added
import random
folder, evo, repo = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
acknowledged, cause = [], ""
rng = random.Random(1)
with Journal(folder) as journal:
    try:
        for number in range(100_000):
            text = " ".join(rng.randbytes(8).hex() for _ in range(500))
            record = make(Insight("rule", text), repo="r", scope=Scope.GLOBAL)
            journal.write("run", [added(record)])
            acknowledged.append(record.id)
    except StoreError as error:
        cause = f"{error.cause}\\n{error.remedy}"
learn = subprocess.run([evo, "learn"], cwd=repo, capture_output=True, text=True)
with Journal(folder) as journal:
    journal.check()
    known = {stored.record.id for stored in journal.listed()}
    print(json.dumps({
        "acknowledged": len(acknowledged), "lost": len(set(acknowledged) - known),
        "cause": cause, "code": learn.returncode, "said": learn.stderr}))
"""


@pytest.mark.bubblewrap
def test_a_full_disk_loses_nothing_and_is_said_in_one_line(tmp_path: Path):
    repo = history(tmp_path / "repo", 300)
    small = tmp_path / "small"
    small.mkdir()
    argv = ["bwrap", "--dev-bind", "/", "/", "--size", str(3 << 20), "--tmpfs", str(small)]
    env = {**os.environ, "EVO_MEMORY_PATH": str(small / "memory")}
    done = subprocess.run(
        [*argv, sys.executable, "-c", FILL, str(small / "memory"), str(EVO), str(repo)],
        capture_output=True,
        text=True,
        env=env,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["acknowledged"] > 10
    assert found["lost"] == 0
    cause, remedy = found["cause"].splitlines()
    assert "full" in cause
    assert "free some space" in remedy
    assert found["code"] == 1
    assert "Traceback" not in found["said"]
    last = [line for line in found["said"].splitlines() if line.startswith(("error:", "remedy:"))]
    assert len(last) == 2
    assert "full" in last[0]
