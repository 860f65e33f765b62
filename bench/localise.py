"""Which file, and which function, is an issue about? Measured without a model.

    python bench/localise.py --data FILE --repos DIR [--quick] [--cache DIR] [--fit]

Rows are SWE-bench Lite's in FILE; candidates are the .py files at the base commit that are no
tests; gold is what the patch touches. Weights are fitted anew for each repository on the rows of
the others (leave-one-repository-out); which features there are was chosen on all rows. History
is read from proper ancestors of each base commit only. The last line is JSON: the files' figures
as shipped, and the 95 % interval of what history adds to their MRR (paired bootstrap over rows).
--quick takes every third row of the repositories with few rows, which are the small ones. --fit prints the weights
fitted on all rows. Below --cache parses and features are kept, so that a killed run goes on.
"""

import argparse
import json
import pickle
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253 - a benchmark that is all arrays
from repos import find_repository, work_tree

from evo_agent.core.git import Repository, open_repository
from evo_agent.memory.code import lexemes
from evo_agent.memory.code.corpus import corpus, is_test, parsed, source_files
from evo_agent.memory.code.fit import Listed, fitted, rank
from evo_agent.memory.code.localise import Ranking
from evo_agent.memory.code.parses import Parses
from evo_agent.memory.code.past import changes, history, likeness, popularity, recency
from evo_agent.memory.code.question import question
from evo_agent.memory.code.weights import FILES, FILES_L2, FUNCTIONS, FUNCTIONS_L2

FORMAT = f"{lexemes.VERSION}.5"  # of the kept features; raised when a feature changes
PAST = ("history", "recency", "popularity", "shuffled")
QUICK_STEP = 3
QUICK_ROWS = 12  # of a repository, at most
DRAWS = 10_000
SEED = 20_261_124
FILE_NAMES = list(FILES)
FUNCTION_NAMES = list(FUNCTIONS)
Row = dict[str, Any]


@dataclass(frozen=True)
class Instance:
    """One row: files and functions by features, and which are gold."""

    repo: str
    name: str
    files: Listed  # the columns of FILE_NAMES, then of PAST
    functions: Listed  # FUNCTION_NAMES; no gold when the patch touches none


def read_rows(path: Path) -> list[Row]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row.get("dataset", "lite") == "lite"]


def touched_lines(patch: str) -> dict[str, set[int]]:
    """Lines of the base that a patch removes, or after which it inserts, by path."""
    found: dict[str, set[int]] = {}
    path, line = "", 0
    for text in patch.splitlines():
        if text.startswith("--- "):
            path = text[6:] if text.startswith("--- a/") else ""
        elif header := re.match(r"@@ -(\d+)", text):
            line = int(header[1])
        elif path and text.startswith("-"):
            found.setdefault(path, set()).add(line)
            line += 1
        elif path and text.startswith("+") and not text.startswith("+++ "):
            found.setdefault(path, set()).update({line - 1, line})
        elif text.startswith(" "):
            line += 1
    return found


def instance(row: Row, repository: Repository, parses: Parses) -> Instance:
    """Compute the features of one row."""
    found = source_files(repository, row["base_commit"])
    files = [f for f in found if f.path.endswith(".py") and not is_test(f.path)]
    known = parsed(repository, files, parses)
    held = corpus([f.path for f in files], [known[f.key] for f in files])
    ranking = Ranking(held, question(row["problem_statement"]))
    lines = touched_lines(row["patch"])
    gold = [number for number, path in enumerate(held.paths) if path in lines]
    past = past_features(row, repository, ranking)
    features = np.hstack([ranking.file_features(FILE_NAMES), past])
    functions = ranking.function_features(FUNCTION_NAMES, ranking.plain)
    kept, right = candidates(ranking, lines)
    return Instance(
        row["repo"],
        row["instance_id"],
        Listed(features, gold),
        Listed(functions[kept], right),
    )


def candidates(ranking: Ranking, lines: dict[str, set[int]]) -> tuple[list[int], list[int]]:
    """Chunks that are functions, and which of those the patch touches."""
    kept: list[int] = []
    gold: list[int] = []
    held = ranking.corpus
    for file, path in enumerate(held.paths):
        places, _ = held.names(file)
        hit = lines.get(path, set())
        for number, (_, kind, first, last) in enumerate(places, 1):
            if kind == "class":
                continue
            if any(first <= line <= last for line in hit):
                gold.append(len(kept))
            kept.append(int(held.first_chunk[file]) + number)
    return kept, gold


def past_features(row: Row, repository: Repository, ranking: Ranking) -> Any:
    """History, recency, popularity, and history with the messages permuted among commits."""
    past = changes(repository, row["base_commit"])
    like = likeness(ranking.question, past)
    mixed = like.copy()
    np.random.default_rng(SEED).shuffle(mixed)
    paths = ranking.corpus.paths
    columns = [
        history(paths, past, like),
        recency(paths, past),
        popularity(paths, past),
        history(paths, past, mixed),
    ]
    return np.stack([c / (c.max(initial=0.0) or 1.0) for c in columns], 1)


def instances(rows: Sequence[Row], repos: Path, cache: Path) -> list[Instance]:
    """Features of all rows, kept below the cache."""
    kept = cache / f"features-{FORMAT}"
    kept.mkdir(parents=True, exist_ok=True)
    (cache / "clones").mkdir(exist_ok=True)
    opened: dict[str, Repository] = {}
    found: list[Instance] = []
    with Parses(cache / "sources.sqlite") as parses:
        for number, row in enumerate(rows, 1):
            place = kept / f"{row['instance_id']}.pickle"
            if not place.exists():
                if row["repo"] not in opened:
                    where = work_tree(find_repository(repos, row["repo"]), cache / "clones")
                    opened[row["repo"]] = open_repository(where)
                made = instance(row, opened[row["repo"]], parses)
                place.with_suffix(".part").write_bytes(pickle.dumps(made))
                place.with_suffix(".part").rename(place)
                print(f"\r{number}/{len(rows)} {row['instance_id']:<40}", end="", flush=True)
            found.append(pickle.loads(place.read_bytes()))
    print()
    return found


def ranks(lists: Sequence[Listed], repos: Sequence[str], l2: float, unproved: int = 0) -> Any:
    """Rank of the first gold of each row, weights fitted on the other repositories' rows."""
    found = np.zeros(len(lists), int)
    for repo in sorted(set(repos)):
        others = [one for one, own in zip(lists, repos, strict=True) if own != repo]
        weights = fitted(others or lists, l2, unproved)
        for number, one in enumerate(lists):
            if repos[number] == repo:
                found[number] = rank(one, weights)
    return found


def columns(found: Sequence[Instance], names: Sequence[str]) -> list[Listed]:
    chosen = [(FILE_NAMES + list(PAST)).index(name) for name in names]
    return [Listed(one.files.features[:, chosen], one.files.gold) for one in found]


def figures(place: Any) -> dict[str, float]:
    known = place[place > 0]
    return {
        "mrr": round(float((1 / known).mean()), 3),
        "r1": round(float((known <= 1).mean()), 3),
        "r5": round(float((known <= 5).mean()), 3),
        "r10": round(float((known <= 10).mean()), 3),
    }


def gain(on: Any, off: Any) -> tuple[float, float, float]:
    """Mean gain of the reciprocal rank, and its 95 % interval by a paired bootstrap."""
    difference = 1 / on - 1 / off
    draws = np.random.default_rng(SEED).integers(len(on), size=(DRAWS, len(on)))
    low, high = np.percentile(difference[draws].mean(1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def show(label: str, place: Any, against: Any = None) -> None:
    told = "  ".join(f"{value:.3f}" for value in figures(place).values())
    if against is not None:
        mean, low, high = gain(place, against)
        told += f"   {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    print(f"{label:<46}{told}")


def report(found: Sequence[Instance]) -> dict[str, float]:
    """Print the table; return the last line's figures."""
    repos = [one.repo for one in found]

    def run(names: Sequence[str]) -> Any:
        unproved = sum(name in PAST for name in names)
        return ranks(columns(found, names), repos, FILES_L2, unproved)

    print(
        f"\n{'files (' + str(len(found)) + ' rows)':<46}MRR    R@1    R@5    R@10   gain of MRR, 95 %"
    )
    bm25 = np.array([rank(one, np.ones(1)) for one in columns(found, ["bm25"])])
    show("BM25 of the whole file alone", bm25)
    shipped = run(FILE_NAMES)
    show("shipped: without history (gain: over BM25)", shipped, bm25)
    with_history = run([*FILE_NAMES, "history", "recency"])
    show("with history (gain: over without)", with_history, shipped)
    show("with shuffled history", run([*FILE_NAMES, "shuffled", "recency"]), shipped)
    show("with popularity in its place", run([*FILE_NAMES, "popularity"]), shipped)
    show("BM25 with history (gain: over BM25)", run(["bm25", "history", "recency"]), bm25)
    known = [one for one in found if one.functions.gold]
    print(f"\nfunctions ({len(known)} rows whose patch touches one)")
    own = [one.repo for one in known]
    text = FUNCTION_NAMES.index("text")
    alone = [Listed(one.functions.features[:, [text]], one.functions.gold) for one in known]
    show("BM25 of the function alone", np.array([rank(one, np.ones(1)) for one in alone]))
    show("shipped", ranks([one.functions for one in known], own, FUNCTIONS_L2))
    _, low, high = gain(with_history, shipped)
    return figures(shipped) | {"gain_low": round(low, 3), "gain_high": round(high, 3)}


def show_fit(found: Sequence[Instance]) -> None:
    """Weights fitted on all rows, as they stand in memory/code/weights.py."""
    for names, lists, l2 in (
        (FILE_NAMES, columns(found, FILE_NAMES), FILES_L2),
        (FUNCTION_NAMES, [one.functions for one in found], FUNCTIONS_L2),
    ):
        for name, weight in zip(names, fitted(lists, l2), strict=True):
            print(f"{name:<16}{weight:.2f}")


def quick(rows: Sequence[Row]) -> list[Row]:
    """Every third row of the repositories with few rows."""
    counts = {row["repo"]: 0 for row in rows}
    for row in rows:
        counts[row["repo"]] += 1
    small = [row for row in rows if counts[row["repo"]] <= QUICK_ROWS]
    return small[::QUICK_STEP]


def main() -> None:
    parser = argparse.ArgumentParser(description="file and function localisation")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repos", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    rows = read_rows(options.data)
    if options.quick:
        chosen = quick(rows)
        print(f"quick: {len(chosen)} of {len(rows)} rows; figures of so few say little")
        rows = chosen
    with tempfile.TemporaryDirectory() as scratch:
        found = instances(rows, options.repos, options.cache or Path(scratch))
    last = report(found)
    if options.fit:
        show_fit(found)
    print(f"\n{time.monotonic() - started:.0f} s")
    print(json.dumps(last))


if __name__ == "__main__":
    main()
