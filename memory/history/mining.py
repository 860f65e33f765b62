"""Reading a history with as many processes as pay, in order and in bounded memory.

One process reads, redacts and lays out about a thousand commits a second, and git needs half of
another core; what is written comes after. So beyond a few hundred commits, chunks of the history
go to worker processes (memory.history.miner), and come back in order. A worker that dies costs nothing
but its speed: its chunk is mined here.
"""

import os
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait

from evo_agent.core.errors import RepositoryError, StoreError
from evo_agent.memory.history.commits import commit_record, slim, traits
from evo_agent.memory.history.gitlog import read_commits
from evo_agent.memory.journal.rows import Laid
from evo_agent.memory.journal.views import laid

CHUNK = 1_000  # commits at most of a git process and of a transaction: starting git costs 50 ms
MOST_WORKERS = 8  # beyond, the one that writes is behind
GIVEN = 2  # chunks that a worker has at a time, so that it never waits for the next
AHEAD = 4  # chunks a worker that are read and not yet written
ALONE = 400  # commits that are not worth starting a process for
SHARES = 4  # chunks a worker when there are few commits, so that none is long alone at the end


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some commits in order, ready to be stored, and what there is to count of them."""

    rows: tuple[Laid, ...]
    traits: Mapping[str, int]  # see commits.traits


@dataclass(frozen=True, slots=True)
class Job:
    """What every chunk has in common: git's argv and the repository's identity."""

    git: tuple[str, ...]
    repo: str


def mined(git: Sequence[str], repo: str, shas: Sequence[str]) -> Iterator[Chunk]:
    """Read commits and make of them what the journal stores.

    Args:
        git: see gitlog.read_commits.
        repo: the repository's identity.
        shas: which, in order.

    Raises:
        RepositoryError: git failed; what was yielded before is good.
    """
    job = Job(tuple(git), repo)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(cpus or 1, MOST_WORKERS) if len(shas) > ALONE and sys.executable else 0
    size = min(CHUNK, max(ALONE // 2, len(shas) // (SHARES * workers or 1)))
    chunks = [shas[start : start + size] for start in range(0, len(shas), size)]
    return _Crew(job, chunks, workers).chunks()


def mine(job: Job, shas: Sequence[str]) -> Chunk:
    """Make one chunk, in this process."""
    counted: Counter[str] = Counter()
    rows: list[Laid] = []
    for commit in read_commits(job.git, shas):
        try:
            rows.append(laid(commit_record(commit, job.repo)))
            counted.update(traits(commit))
        except StoreError:  # hundreds of files with names of thousands of characters
            rows.append(laid(commit_record(slim(commit), job.repo)))
            counted.update(traits(slim(commit)))
    return Chunk(tuple(rows), dict(counted))


class _Worker:
    """A process that mines, and the chunks that it was given; see memory.history.miner."""

    def __init__(self, job: Job) -> None:
        self.line, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            # -P: the present folder may be the repository, whose files must not be imported.
            argv = [sys.executable, "-P", "-m", "evo_agent.memory.history.miner", str(number)]
            self.process = subprocess.Popen(argv, pass_fds=[number], stdin=subprocess.DEVNULL)
        self.given: deque[int] = deque()
        self.line.send(job)

    def close(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


class _Crew:
    """Workers, and the chunks that they mine."""

    def __init__(self, job: Job, chunks: Sequence[Sequence[str]], count: int) -> None:
        self._job = job
        self._chunks = chunks
        self._next = 0
        self._ahead = AHEAD * count
        self._ready: dict[int, Chunk] = {}
        self._workers: dict[Connection, _Worker] = {}
        self._count = count

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk, in order."""
        try:
            self._start()
            for number in range(len(self._chunks)):
                self._hand_out(number)
                while number not in self._ready:
                    self._collect()
                    self._hand_out(number)
                yield self._ready.pop(number)
        finally:
            for worker in self._workers.values():
                worker.close()

    def _start(self) -> None:
        with suppress(OSError):  # no more processes: fewer do, or none
            for _ in range(self._count):
                worker = _Worker(self._job)
                self._workers[worker.line] = worker

    def _hand_out(self, wanted: int) -> None:
        """Keep every worker busy, but not so far ahead that memory fills."""
        for worker in list(self._workers.values()):
            while len(worker.given) < GIVEN and self._next < min(
                len(self._chunks), wanted + self._ahead
            ):
                worker.given.append(self._next)
                self._next += 1
                try:
                    worker.line.send(tuple(self._chunks[worker.given[-1]]))
                except OSError:
                    self._bury(worker)
                    break
        if not self._workers and self._next == wanted < len(self._chunks):
            self._ready[wanted] = mine(self._job, self._chunks[wanted])
            self._next += 1

    def _collect(self) -> None:
        """Wait until something is done, and take it."""
        for line in wait(list(self._workers)):
            worker = self._workers[line]  # type: ignore[index]
            try:
                answer = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if not isinstance(answer, Chunk):
                raise RepositoryError(*answer)
            self._ready[worker.given.popleft()] = answer

    def _bury(self, worker: _Worker) -> None:
        """A worker died (killed for memory?): what it was given is mined here."""
        del self._workers[worker.line]
        worker.close()
        for number in worker.given:
            self._ready[number] = mine(self._job, self._chunks[number])
