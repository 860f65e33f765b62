"""How fast does recall answer, how does that grow, and does what is fast find what is exact?

    python bench/recall.py --repos DIR [--name OWNER/NAME] | --memory DIR --repo DIR   [--quick]

Learns a repository (sympy) into a memory of its own, of the newest 2,000, 10,000 and 50,000
commits; --memory keeps them for the next time. Then, in each: 300 commits ask, with their message
or its first line, at their first parent, so that every query has another ancestry mask and its
own answer lies in the future; in process, timed one by one. Then the whole command `evo recall`
in fresh processes. And two rankings are held against what they stand for:

served   Memory.recall against the fused score of every record that may answer, by brute force:
         terms counted in the records themselves, cosines of all vectors, nothing left out early.
vectors  Chroma under the same mask, as dense.Dense asks it when there are too many vectors for a
         product, against the product (only with --chroma: making its graph takes a minute).

`--quick` does it at 2,000 and 5,000 commits with 100 queries.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np  # noqa: TID253  (a bench)
from repos import find_repository, work_tree

from evo_agent.core.git import Repository, open_repository
from evo_agent.core.types import Query
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.features import MENDING, PROVED, crc
from evo_agent.memory.recall.index import ChromaIndex
from evo_agent.memory.recall.lookup import lexical
from evo_agent.memory.recall.ranking import ColumnRanking
from evo_agent.memory.recall.scoring import Evidence, near, score, taken_apart
from evo_agent.memory.store import Memory

SIZES, QUICK_SIZES = (2_000, 10_000, 50_000), (2_000, 5_000)
QUERIES, QUICK_QUERIES = 300, 100
COMPARED = 60  # queries whose ranking is compared
COLD = 7  # commands started


@dataclass(frozen=True)
class Row:
    """What was measured at one size; milliseconds, seconds, shares."""

    records: int
    index_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    cold_s: float
    cold_cpu_s: float
    recall10: float
    chroma10: float
    mib: float


def main() -> None:
    options = _options()
    quick = options.quick
    with tempfile.TemporaryDirectory(prefix="evo-bench-recall-") as scratch:
        kept = Path(options.memory or scratch)
        kept.mkdir(parents=True, exist_ok=True)
        found = options.repo or work_tree(find_repository(options.repos, options.name), kept)
        repository = open_repository(found)
        rows = []
        for size in QUICK_SIZES if quick else SIZES:
            queries = QUICK_QUERIES if quick else QUERIES
            rows.append(measure(repository, kept / f"{size}", size, queries, chroma=options.chroma))
            show(rows[-1], first=len(rows) == 1)
    grown = rows[-1].p50_ms / rows[-2].p50_ms, rows[-1].records / rows[-2].records
    print(
        f"from {rows[-2].records:,} to {rows[-1].records:,}: p50 x{grown[0]:.2f} for x{grown[1]:.1f}"
    )
    last = rows[-1]
    figures = {
        name: round(getattr(last, name), 4) for name in ("p50_ms", "p99_ms", "cold_s", "recall10")
    }
    print(json.dumps(figures))


def measure(repository: Repository, folder: Path, size: int, count: int, *, chroma: bool) -> Row:
    """Learn so many commits, and ask."""
    with Memory.open(folder, repo=repository.root, notice=print) as memory:
        if not memory.stats().records:
            memory.learn(repository.root, limit=size)
        queries = questions(memory, repository, count)
    for path in (folder / "index").rglob("*.bin"):
        path.unlink()
    with Memory.open(folder, repo=repository.root, notice=print) as memory:
        started = time.perf_counter()
        memory._recall._columns.snapshot()  # noqa: SLF001
        memory._recall._dense._vectors.sync()  # noqa: SLF001
        index_s = time.perf_counter() - started
        memory._recall.past.warm(repository.identity, repository.head)  # noqa: SLF001
        memory.recall(queries[0])
        walls, cpus = timed(memory, queries)
        shares = [served(memory, query) for query in queries[:COMPARED]]
        approximate = chroma_recall(memory, queries[:COMPARED]) if chroma else float("nan")
        records = memory.stats().records
    clock, cpu = cold(folder, repository, queries)
    mib = sum(f.stat().st_size for f in (folder / "index").rglob("*.bin")) / 2**20
    return Row(
        records=records,
        index_s=index_s,
        p50_ms=statistics.median(walls),
        p99_ms=float(np.quantile(walls, 0.99)),
        cpu_ms=statistics.median(cpus),
        cold_s=clock,
        cold_cpu_s=cpu,
        recall10=statistics.mean(shares),
        chroma10=approximate,
        mib=mib,
    )


def questions(memory: Memory, repository: Repository, count: int) -> list[Query]:
    """Commits' messages, asked at their parents; every second one only its first line."""
    rng = random.Random(7)
    records = memory.records(repo=repository.identity, origin="commit", limit=20_000)
    asked = []
    for at, stored in enumerate(rng.sample(records, count)):
        body = stored.record.body
        assert isinstance(body, Episode)
        text = body.title if at % 2 else body.problem
        asked.append(Query(text, repo=repository.identity, base=body.base, limit=10))
    return asked


def timed(memory: Memory, queries: Sequence[Query]) -> tuple[list[float], list[float]]:
    """Milliseconds of each query: on the clock, and of this process."""
    walls, cpus = [], []
    for query in queries:
        wall, cpu = time.perf_counter(), time.process_time()
        memory.recall(query)
        walls.append(1e3 * (time.perf_counter() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    return walls, cpus


def served(memory: Memory, query: Query) -> float:
    """Share of the ten best by brute force that recall answers with, equals counting as equal.

    Near-duplicates of which recall shows two at most, and places kept for runs, are rules about
    the answer and not about the ranking: its candidates before these rules are compared.
    """
    recall = memory._recall  # noqa: SLF001
    ranking = recall._ranking  # noqa: SLF001
    assert isinstance(ranking, ColumnRanking)
    snapshot = ranking._columns.snapshot()  # noqa: SLF001
    counts = snapshot.parts[0].postings
    total = len(snapshot)

    def frequencies(words: Sequence[str]) -> list[int]:
        start, end = counts.spans(np.asarray([crc(word) for word in words], np.uint32))
        return [int(n) for n in end - start]

    assert len(snapshot.parts) == 1
    asked = taken_apart(query, frequencies, total)
    allowed = ranking.allowed(snapshot, query, time.time(), {})
    found = lexical(snapshot, asked, allowed)
    (vector,) = recall._embedder.embed([query.text[:4_000]])  # noqa: SLF001
    if vector is None or not allowed.any():
        return 1.0
    numbers = snapshot.rows["number"]
    cosines = recall._dense.cosines(vector, numbers)  # noqa: SLF001
    flags = snapshot.rows["flags"]
    touched = np.zeros(total, bool)
    rows, evidence = ranking.evidence(snapshot, query, asked, allowed, {}, looked=64)
    touched[rows] = evidence.touched
    newest = snapshot.rows["time"][allowed].max()
    everything = Evidence(
        coverage=found.coverage,
        shared=found.shared,
        bm25=found.bm25 / (found.bm25.max() or 1.0),
        cosine=cosines,
        touched=touched,
        age=newest - snapshot.rows["time"],
        proved=(flags & PROVED) > 0,
        active=np.zeros(total, bool),
        mending=(flags & MENDING) > 0,
    )
    embedder = recall._embedder  # noqa: SLF001
    may = allowed & near(everything, embedder.floor, embedder.alone)
    best = np.sort(score(everything)[may])[::-1][:10]
    got = score(evidence)[near(evidence, embedder.floor, embedder.alone)]
    mine = np.sort(got)[::-1][: len(best)]
    if not len(best):
        return 1.0
    return float((mine >= best[-1] - 1e-6).sum() / len(best))


def chroma_recall(memory: Memory, queries: Sequence[Query]) -> float:
    """Share of the ten nearest vectors under the mask that Chroma answers with."""
    recall = memory._recall  # noqa: SLF001
    ranking = recall._ranking  # noqa: SLF001
    assert isinstance(ranking, ColumnRanking)
    snapshot = ranking._columns.snapshot()  # noqa: SLF001
    index = recall._dense._index()  # noqa: SLF001
    assert isinstance(index, ChromaIndex)
    started = time.perf_counter()
    index.sync()
    print(
        f"chroma: {len(snapshot):,} records taken in within {time.perf_counter() - started:.0f} s"
    )
    shares, walls = [], []
    for query in queries:
        numbers = snapshot.rows["number"][ranking.allowed(snapshot, query, time.time(), {})]
        (vector,) = recall._embedder.embed([query.text])  # noqa: SLF001
        if vector is None or len(numbers) < 10:
            continue
        started = time.perf_counter()
        got = index.nearest(vector, 10, numbers)
        walls.append(1e3 * (time.perf_counter() - started))
        best = np.sort(recall._dense.cosines(vector, numbers))[::-1][:10]  # noqa: SLF001
        shares.append(sum(cosine >= best[-1] - 1e-5 for _, cosine in got[:10]) / 10)
    print(f"chroma: p50 {statistics.median(walls):.1f} ms under a mask")
    return statistics.mean(shares)


def cold(folder: Path, repository: Repository, queries: Sequence[Query]) -> tuple[float, float]:
    """Median seconds of the whole command in a fresh process: on the clock, of processors."""
    spent, used = [], []
    for query in queries[:COLD]:
        text = query.text.strip() or "nothing"
        argv = [sys.executable, "-m", "evo_agent.cli.main", "recall", "--json"]
        argv += ["--repo", str(repository.root), "--base", query.base or "HEAD", "--", text]
        env = {**os.environ, "EVO_MEMORY_PATH": str(folder)}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        spent.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode not in {0, 3}:
            raise SystemExit(done.stderr)
    return statistics.median(spent), statistics.median(used)


def show(row: Row, *, first: bool) -> None:
    if first:
        print(
            "records   index s   p50 ms   p99 ms   cpu ms   cold s  cold cpu   recall@10   chroma@10   MiB"
        )
    print(
        f"{row.records:>7,}{row.index_s:>10.2f}{row.p50_ms:>9.1f}{row.p99_ms:>9.1f}{row.cpu_ms:>9.1f}"
        f"{row.cold_s:>9.2f}{row.cold_cpu_s:>10.2f}{row.recall10:>12.4f}{row.chroma10:>12.3f}{row.mib:>6.0f}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How fast and how exactly recall answers.")
    parser.add_argument("--repos", type=Path, default=Path(), metavar="DIR")
    parser.add_argument("--name", default="sympy/sympy", metavar="OWNER/NAME")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="a work tree, instead of --repos")
    parser.add_argument("--memory", type=Path, metavar="DIR", help="where memories are kept")
    parser.add_argument("--chroma", action="store_true", help="measure Chroma under the mask, too")
    parser.add_argument("--quick", action="store_true", help="up to 5,000 commits, 100 queries")
    return parser.parse_args()


if __name__ == "__main__":
    main()
