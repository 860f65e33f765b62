"""How fast is a history read, and how fast is it learnt?

    python bench/mine.py --repos DIR [--name OWNER/NAME] | --repo DIR   [--quick]

Reading: `read_commits` (one process: git's pipe, split and parsed into messages, files and hunks)
against PyDriller over the same commits, in alternation; PyDriller runs in a virtual environment
of its own, which is made at the first run (--pydriller PYTHON takes another that has it), and
is asked for each commit's message and for the diffs of its files.

Learning: the whole command `evo learn` into an empty memory (journal, full text and dense index),
between two runs of the floor, the bare pipe `git log --no-merges -p` of the same commits, both to
/dev/null and read by Python; then again (it should add nothing), then some ten new commits.
Memory is the sum over all its processes, sampled: RSS counts what they share (the mapped pack)
once for each, PSS once. `--quick` takes the newest 3,000 commits.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measured import children_cpu, run
from repos import find_repository

from evo_agent.core.git import Repository, git_command, open_repository
from evo_agent.core.types import Query
from evo_agent.memory.history.gitlog import read_commits, revisions
from evo_agent.memory.history.history import EVERYTHING
from evo_agent.memory.store import Memory

PYDRILLER = "pydriller==2.12"
SCRATCH = Path(tempfile.gettempdir()) / "evo-bench-pydriller"
QUICK = 3_000  # commits
RIVAL = """
import sys, time
from pydriller import Git
git = Git(sys.argv[1])
for line in sys.stdin:
    started, size = time.perf_counter(), 0
    for sha in line.split():
        commit = git.get_commit(sha)
        size += len(commit.msg) + sum(len(file.diff) for file in commit.modified_files)
    print(time.perf_counter() - started, size, flush=True)
"""


def rival_python(given: str) -> str:
    """An interpreter that has PyDriller."""
    if given:
        return given
    python = SCRATCH / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(SCRATCH)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PYDRILLER], check=True)
    return str(python)


def reading(
    repository: Repository, shas: Sequence[str], python: str, rounds: int
) -> tuple[float, float]:
    """Commits a second of evo and of PyDriller, over the same ranges, in alternation."""
    size = 250
    step = max(size, len(shas) // rounds)
    spent = {"evo": 0.0, "pydriller": 0.0}
    commits = 0
    rival = subprocess.Popen(
        [python, "-c", RIVAL, str(repository.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert rival.stdin is not None
    assert rival.stdout is not None
    for turn, number in enumerate((0, *range(rounds))):
        part = shas[number * step : number * step + size]
        started = time.perf_counter()
        mine = sum(
            len(c.message) + len(c.patch) + c.cut
            for c in read_commits(git_command(repository), part)
        )
        ours = time.perf_counter() - started
        rival.stdin.write(" ".join(part) + "\n")
        rival.stdin.flush()
        theirs, their_size = rival.stdout.readline().split()
        if not turn:  # both are warm now
            continue
        commits += len(part)
        spent["evo"] += ours
        spent["pydriller"] += float(theirs)
        print(
            f"  {len(part)} commits: evo {len(part) / ours:7,.0f}/s ({mine / 1e6:.1f} MB)   "
            f"PyDriller {len(part) / float(theirs):6,.0f}/s ({int(their_size) / 1e6:.1f} MB)   x{float(theirs) / ours:.1f}"
        )
    rival.stdin.close()
    rival.wait()
    return commits / spent["evo"], commits / spent["pydriller"]


def floors(repository: Repository, head: str, limit: int) -> dict[str, float]:
    """Seconds of the bare pipe: into nothing, and read by Python."""
    argv = ["git", "-C", str(repository.root), "log", "--no-merges", "-p", f"-n{limit}", head]
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    nothing = time.perf_counter() - started
    started, used = time.perf_counter(), children_cpu()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while process.stdout.read(1 << 20):
            pass
    seconds = time.perf_counter() - started
    cpu = children_cpu() - used
    return {"to /dev/null": nothing, "read by Python": seconds, "git's processor": cpu}


def some_older(repository: Repository, count: int) -> tuple[str, int]:
    """A commit on the first-parent line that lacks at least `count` commits, and how many."""
    for commit in git(repository, "rev-list", "--first-parent", "--max-count=200", "HEAD").split():
        lacking = int(git(repository, "rev-list", "--count", "--no-merges", f"{commit}..HEAD"))
        if lacking >= count:
            return commit, lacking
    raise SystemExit("the history is too short")


def git(repository: Repository, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(repository.root), *arguments], check=True, capture_output=True, text=True
    ).stdout


def searchable(repository: Repository, folder: Path) -> bool:
    """Whether the journal's every record is in the dense index, and old commits are found."""
    commits = git(
        repository, "rev-list", "--no-merges", "--min-parents=1", "--max-count=400", "HEAD"
    ).split()
    with Memory.open(folder / "memory", repo=repository.root) as memory:
        hits = 0
        for sha in commits[100:400:60]:
            told = git(repository, "show", "-s", "--format=%B", sha)
            found = memory.recall(Query(told, repository.identity, repository.head, limit=10))
            hits += any(record.data.get("commit") == sha for record in found)
        print(f"  recall finds {hits} of 5 commits by their own messages")
        return hits >= 4


def linking(repository: Repository, folder: Path, count: int) -> dict[str, float]:
    """What recall works out lazily: symbols of commits, and who introduced what fixes replaced."""
    with Memory.open(folder / "memory", repo=repository.root) as memory:
        newest = memory.records(origin="commit", limit=20 * count)
        fixes = [s.record.id for s in newest if getattr(s.record.body, "intent", "") == "fix"]
        report = memory.link(repository.root, fixes[:count], budget=60.0)
        found = [memory.links(record_id) for record_id in fixes[:count]]
    introduced = sum(bool(links and links.introduced) for links in found)
    print(
        f"\n  of {report.worked_out} fixes: symbols {report.symbol_rate:.0f} commits/s, the commits "
        f"that introduced what they replaced {report.fix_rate:.0f} fixes/s ({introduced} have some)"
    )
    return {
        "symbols_per_s": round(report.symbol_rate, 1),
        "fixes_per_s": round(report.fix_rate, 1),
    }


def learning(repository: Repository, limit: int, folder: Path) -> dict[str, float]:
    """Learn from nothing between two floors, then some ten new commits, then nothing new."""
    evo = [sys.executable, "-m", "evo_agent.cli.main", "learn", "--json", f"--limit={limit}"]
    evo += ["--repo", str(repository.root)]
    older, new = some_older(repository, 10)
    before = floors(repository, older, limit)
    first = run([*evo, "--head", older], folder, sampled=True)
    after = floors(repository, older, limit)
    print("\n  the floor, `git log --no-merges -p`, before and after:")
    for name in before:
        print(f"    {name:15} {before[name]:6.1f} s {after[name]:6.1f} s")
    report = json.loads(first.output)
    floor = (before["read by Python"] + after["read by Python"]) / 2
    print(
        f"  evo learn: {report['added']:,} commits in {first.seconds:.1f} s "
        f"({report['added'] / first.seconds:,.0f}/s), x{first.seconds / floor:.2f} of the pipe read by "
        f"Python; at most {first.rss} MB RSS ({first.pss} MB PSS)"
    )
    print(f"    {first.output.strip()}")
    cpu_floor = (before["git's processor"] + after["git's processor"]) / 2
    print(
        f"    processor: {first.cpu:.0f} s in all its processes, git's own {cpu_floor:.0f} s for the "
        f"pipe: x{first.cpu / cpu_floor:.2f}; on {os.cpu_count()} free processors no less than "
        f"x{first.cpu / cpu_floor / (os.cpu_count() or 1):.2f} of the pipe's time"
    )
    ten = run(evo, folder)
    added = json.loads(ten.output)["added"]
    started = time.perf_counter()
    with Memory.open(folder / "memory", repo=repository.root) as memory:
        again = memory.learn(repository.root, limit=limit)
    second = time.perf_counter() - started
    assert added == new, (added, new)
    print(f"  {added} new commits: {ten.seconds:.2f} s for the whole command")
    print(f"  a second learn adds {again.added} of {again.seen:,} in {second:.2f} s, in process")
    return {
        "over_floor": round(first.seconds / floor, 2),
        "second_adds": again.added,
        "rss_mb": first.rss,
        "pss_mb": first.pss,
        "ten_new_s": round(ten.seconds, 2),
        "cpu_over_floor": round(first.cpu / cpu_floor, 2),
        "ten_new_cpu_s": round(ten.cpu, 2),
        "learn_s": round(first.seconds, 1),
        "floor_s": round(floor, 1),
        "learnt_per_s": round(report["added"] / first.seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repo", type=Path, metavar="DIR")
    parser.add_argument("--repos", type=Path, metavar="DIR")
    parser.add_argument("--name", default="sympy/sympy", metavar="OWNER/NAME")
    parser.add_argument("--pydriller", default="", metavar="PYTHON")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    if not chosen.repo and not chosen.repos:
        parser.error("give --repo or --repos")
    found = chosen.repo or find_repository(chosen.repos, chosen.name)
    limit = QUICK if chosen.quick else EVERYTHING
    with tempfile.TemporaryDirectory(prefix="evo-bench-") as scratch:
        folder = Path(scratch)
        clone = [
            "git",
            "clone",
            "-q",
            "--shared",
            "--no-checkout",
            str(found),
            str(folder / "clone"),
        ]
        subprocess.run(clone, check=True)
        repository = open_repository(folder / "clone")
        shas = revisions(repository, repository.head, limit).shas
        print(
            f"{found}: {len(shas):,} commits without merges\n\nreading and parsing, one process each:"
        )
        ours, theirs = reading(
            repository, shas, rival_python(chosen.pydriller), 3 if chosen.quick else 8
        )
        print(f"  all: evo {ours:,.0f}/s, PyDriller {theirs:,.0f}/s: x{ours / theirs:.1f}")
        learnt = learning(repository, limit, folder)
        found_again = searchable(repository, folder)
        learnt |= linking(repository, folder, 20 if chosen.quick else 100)
    result = {"commits_per_s": round(ours), "over_pydriller": round(ours / theirs, 1), **learnt}
    print(json.dumps(result | {"searchable": found_again}))


if __name__ == "__main__":
    main()
