"""Mining with several processes: in order, whole, and whatever ends in between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import RepoFactory, git

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import git_command, open_repository
from evo_agent.memory.history import history, mining
from evo_agent.memory.history.gitlog import revisions
from evo_agent.memory.history.mining import Chunk, mined
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import from_json, unpack

COMMITS = 60


def fast_history(repo: Path, count: int, text: str = "line") -> None:
    """Many commits at once, by `git fast-import`."""
    parts: list[str] = []
    for number in range(count):
        told = f"Step {number}: change the {text} of file {number % 7}"
        data = "".join(f"{text} {n}\n" for n in range(number % 5 + 1)) + f"{number}\n"
        parts += [
            "commit refs/heads/main",
            f"committer Ada <ada@example.org> {1_700_000_000 + number * 60} +0000",
            f"data {len(told)}\n{told}",
            *(["from refs/heads/main^0"] if number == 0 and head(repo) else []),
            f"M 100644 inline f{number % 7}.py",
            f"data {len(data)}\n{data}",
        ]
    script = "\n".join(parts) + "\n"
    argv = ["git", "-C", str(repo), "fast-import", "--quiet", "--force"]
    subprocess.run(argv, input=script, text=True, check=True)
    git(repo, "checkout", "-q", "-f", "main")


def head(repo: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(repo), "rev-parse", "-q", "--verify", "HEAD"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def many(repo_factory: RepoFactory) -> Path:
    repo = repo_factory()
    fast_history(repo, COMMITS)
    return repo


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes, and several chunks for each, from a few commits on."""
    monkeypatch.setattr(mining, "ALONE", 8)
    monkeypatch.setattr(mining, "CHUNK", 4)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)


def chunks(repo: Path) -> list[Chunk]:
    repository = open_repository(repo)
    shas = revisions(repository, repository.head, 10**9).shas[::-1]
    return list(mined(git_command(repository), repository.identity, shas))


@pytest.mark.usefixtures("crowded")
def test_several_processes_give_what_one_gives_in_order(
    many: Path, monkeypatch: pytest.MonkeyPatch
):
    shared = [row for chunk in chunks(many) for row in chunk.rows]
    monkeypatch.setattr(mining, "ALONE", 10**6)
    alone = [row for chunk in chunks(many) for row in chunk.rows]
    assert [row.id for row in shared] == [row.id for row in alone]
    assert [row.search for row in shared] == [row.search for row in alone]
    assert len(shared) == COMMITS
    titles = [getattr(from_json(unpack(row.data)).body, "title", "") for row in shared]
    assert titles == [f"Step {n}: change the line of file {n % 7}" for n in range(COMMITS)]


@pytest.mark.usefixtures("crowded")
def test_a_worker_that_is_killed_costs_no_commit(many: Path):
    repository = open_repository(many)
    shas = revisions(repository, repository.head, 10**9).shas[::-1]
    stream = mined(git_command(repository), repository.identity, shas)
    found = [*next(stream).rows]
    for victim in workers():
        os.kill(victim, signal.SIGKILL)
    found += [row for chunk in stream for row in chunk.rows]
    assert [from_json(unpack(row.data)).as_of.commit for row in found] == list(shas)


@pytest.mark.usefixtures("crowded")
def test_no_worker_outlives_a_reader_that_stops(many: Path):
    repository = open_repository(many)
    shas = revisions(repository, repository.head, 10**9).shas
    stream = mined(git_command(repository), repository.identity, shas)
    next(stream)
    assert workers()
    del stream
    assert workers() == []


@pytest.mark.usefixtures("crowded")
def test_git_failing_in_a_worker_is_an_error_of_one_line(many: Path):
    repository = open_repository(many)
    shas = [*revisions(repository, repository.head, 10**9).shas[:20], "f" * 40]
    with pytest.raises(RepositoryError, match="git log failed") as caught:
        list(mined(git_command(repository), repository.identity, shas))
    assert caught.value.remedy
    assert workers() == []


LEARN = """
import os, sys
from pathlib import Path
from evo_agent.core.git import open_repository
from evo_agent.memory.history import history, mining
from evo_agent.memory.journal.journal import Journal
mining.ALONE, mining.CHUNK = 8, 4
os.sched_getaffinity = lambda _: {0, 1}
with Journal(Path(sys.argv[1])) as journal:
    report = history.learn(journal, open_repository(Path(sys.argv[2])))
    print(report.added)
"""


def learner(folder: Path, repo: Path) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", LEARN, str(folder), str(repo)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_two_learns_at_once_store_every_commit_once(many: Path, tmp_path: Path):
    both = [learner(tmp_path / "memory", many) for _ in range(2)]
    added = [int(one.communicate(timeout=120)[0]) for one in both]
    with Journal(tmp_path / "memory") as journal:
        journal.check()
        shas = [stored.record.as_of.commit for stored in journal.listed()]
    assert sum(added) == COMMITS == len(shas) == len(set(shas))


def test_a_learn_killed_at_any_moment_leaves_a_beginning_of_the_history(many: Path, tmp_path: Path):
    repository = open_repository(many)
    shas = revisions(repository, repository.head, 10**9).shas[::-1]
    for number in range(8):
        one = learner(tmp_path / "memory", many)
        time.sleep(0.1 + 0.1 * number)
        one.kill()
        one.communicate()
    with Journal(tmp_path / "memory") as journal:
        journal.check()
        kept = [stored.record.as_of.commit for stored in journal.after(0, 10**6)]
        assert kept == list(shas[: len(kept)])
        assert history.learn(journal, repository).added == COMMITS - len(kept)
        assert history.learn(journal, repository).added == 0
    end = time.monotonic() + 20
    while orphans() and time.monotonic() < end:
        time.sleep(0.1)
    assert orphans() == []


def test_a_commit_of_files_with_names_without_end_is_stored_without_most_of_them(
    repo_factory: RepoFactory, tmp_path: Path
):
    repo = repo_factory(({"a.py": "x\n"}, "start"))
    folder = "/".join(f"{part}{'d' * 240}" for part in range(14))
    files = "".join(f"M 100644 inline {folder}/{n}.py\ndata 2\nx\n\n" for n in range(200))
    script = f"commit refs/heads/long\ncommitter A <a@b> 1700000000 +0000\ndata 4\nlong\n{files}"
    argv = ["git", "-C", str(repo), "fast-import", "--quiet"]
    subprocess.run(argv, input=script, text=True, check=True)
    with Journal(tmp_path / "memory") as journal:
        report = history.learn(journal, open_repository(repo), head="long")
        (stored,) = journal.listed()
    assert isinstance(stored.record.body, Episode)
    assert len(stored.record.body.files) == 20
    assert (report.added, report.cut) == (1, 1)
    assert report.dropped > 500_000


HUGE = """
import sys
from pathlib import Path
from evo_agent.core.git import open_repository
from evo_agent.memory.history import history
from evo_agent.memory.journal.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    report = history.learn(journal, open_repository(Path(sys.argv[2])))
(most,) = [l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM")]
print(report.added, report.cut, report.dropped, most.split()[1])
"""


def test_a_diff_of_100_megabytes_is_read_in_bounded_memory_and_its_loss_counted(
    repo_factory: RepoFactory, tmp_path: Path
):
    repo = repo_factory(({"a.py": "x\n"}, "start"))
    line = b"0123456789 abcdefghijklmnopqrstuvwxyz and so on until the line is long enough\n"
    data = line * (100 * 2**20 // len(line))
    script = (
        b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 4\nhuge\n"
        b"from refs/heads/main^0\nM 100644 inline huge.txt\ndata %d\n%s\n" % (len(data), data)
    )
    subprocess.run(["git", "-C", str(repo), "fast-import", "--quiet"], input=script, check=True)
    argv = [sys.executable, "-c", HUGE, str(tmp_path / "memory"), str(repo)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    added, cut, dropped, kilobytes = map(int, done.stdout.split())
    assert (added, cut) == (2, 1)
    assert dropped > 99 * 2**20
    assert kilobytes < 120 * 1024


def test_messages_in_any_encoding_and_empty_ones_are_stored(
    repo_factory: RepoFactory, tmp_path: Path
):
    repo = repo_factory(({"a.py": "x\n"}, "start"))
    told = [
        (b"encoding ISO-8859-1\n", "Naïve façade".encode("latin-1")),
        (b"encoding Shift_JIS\n", "修正する".encode("shift_jis")),
        (b"encoding no-such-encoding\n", b"Odd \xff\xfe header"),
        (b"", b"Broken \xc3( here"),
        (b"", b""),
    ]
    script = b"".join(
        b"commit refs/heads/main\ncommitter A <a@b> 170000000%d +0000\n%sdata %d\n%s\n%s"
        % (n, header, len(said), said, b"from refs/heads/main^0\n" if n == 0 else b"")
        for n, (header, said) in enumerate(told)
    )
    subprocess.run(["git", "-C", str(repo), "fast-import", "--quiet"], input=script, check=True)
    with Journal(tmp_path / "memory") as journal:
        report = history.learn(journal, open_repository(repo))
        titles = [getattr(s.record.body, "title", "") for s in journal.after(0, 99)]
    assert (report.added, report.empty, report.undecodable) == (6, 1, 2)
    assert titles[1:3] == ["Naïve façade", "修正する"]
    assert titles[3:5] == ["Odd ÿþ header", "Broken Ã( here"]
    assert titles[5].startswith("(no message)")


def workers() -> list[int]:
    """Worker processes that this one started."""
    return [process for process, parent, _ in miners() if parent == os.getpid()]


def orphans() -> list[int]:
    """Worker processes whose starter is gone."""
    return [process for process, parent, _ in miners() if parent == 1 or not alive(parent)]


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def miners() -> list[tuple[int, int, str]]:
    """Process, parent and command of every worker."""
    found: list[tuple[int, int, str]] = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, ValueError):
            continue
        if "evo_agent.memory.history.miner" in command and entry.name.isdigit():
            found.append((int(entry.name), int(parent), command))
    return found


def test_a_message_of_megabytes_is_cut_and_its_commit_stored(
    repo_factory: RepoFactory, tmp_path: Path
):
    repo = repo_factory(({"a.py": "x\n"}, "start"))
    said = b"Endless\n\n" + b"and so on " * 300_000
    script = (
        b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata %d\n%s\n"
        b"from refs/heads/main^0\nM 100644 inline b.py\ndata 2\ny\n\n" % (len(said), said)
    )
    subprocess.run(["git", "-C", str(repo), "fast-import", "--quiet"], input=script, check=True)
    with Journal(tmp_path / "memory") as journal:
        report = history.learn(journal, open_repository(repo))
        endless = journal.listed()[0].record.body
    assert (report.seen, report.added, report.cut) == (2, 2, 1)
    assert report.dropped > 1_900_000
    assert isinstance(endless, Episode)
    assert endless.title == "Endless"
    assert endless.problem.endswith("more characters]")
