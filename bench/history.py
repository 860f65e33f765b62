"""Where does history help? What earlier commits add to a good lexical search, task by task.

    python bench/history.py --repos DIR [--quick] [--commits N] [--cache DIR] [--half HALF]

Fix commits of twelve repositories, at most N of each, are questions; what git knew before each is
its memory (history_cases.py says what a query keeps and what a memory leaves out). Seven rankings:

    files          all sources that a fix of several files changes, from the query
    set            the same without the one that search ranks first, given that one (headline)
    functions      the functions that it changes, from the query
    tests          the test files that it changes, from the query and its sources
    same function  the newest earlier fix that touched a function it touches, from the query (headline)
    strictly       the same, when search too may go from a function that it found to its newest fix
    same kind      earlier fixes with the same shape of edit, from the query

Three arms share candidates and the way weights are fitted: off (search on the parent's sources and
on messages), on (and history's links), shuffled (and the same links permuted among neighbouring
commits: as popular as before, but wrong). Metrics and headlines were fixed before the second
half of the repositories was looked at: DEVELOPED was used to write the features, the rest only to
measure. `held out` has weights fitted on DEVELOPED; `all` leaves one repository out at a time.
Intervals are 95 %, paired, resampled by commit, and again by repository.
"""

import argparse
import hashlib
import json
import pickle
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from history_cases import LOADED, Project
from history_features import Question, questions
from history_fit import ARMS, Ranked, columns, fit, interval, left_out, rank
from repos import find_repository, work_tree

from evo_agent.core.git import open_repository

DEVELOPED = (
    *("astropy/astropy", "matplotlib/matplotlib", "pallets/flask"),
    *("pydata/xarray", "pytest-dev/pytest", "sphinx-doc/sphinx"),
)
HELD_OUT = (
    *("django/django", "mwaskom/seaborn", "psf/requests"),
    *("pylint-dev/pylint", "scikit-learn/scikit-learn", "sympy/sympy"),
)
METRICS = {
    "files": "ap",
    "set": "ap",
    "functions": "ap",
    "tests": "ap",
    "same function": "rr",
    "strictly": "rr",
    "same kind": "p10",
}
COMMITS, QUICK = 110, 20
QUICK_NAMES = ("pallets/flask", "psf/requests", "pytest-dev/pytest")
QUICK_LOADED = 1_200
MAKING = (  # modules that questions come from
    *("history_cases", "history_features", "history_source"),
    *("cochange", "kinship", "messages", "precedents", "resemblance", "shapes", "words"),
)


def main() -> None:
    options = _options()
    halves = {"developed": DEVELOPED, "held": HELD_OUT, "all": DEVELOPED + HELD_OUT}
    names = QUICK_NAMES if options.quick else halves[options.half]
    loaded = QUICK_LOADED if options.quick else LOADED
    asked: list[Question] = []
    for name in names:
        found = cached(options, name, loaded)
        print(f"{name}: {len({q.sha for q in found})} fixes, {len(found)} questions", flush=True)
        asked += found
    fixes = len({q.sha for q in asked})
    figures: dict[str, object] = {"fixes": fixes, "repositories": len({q.repo for q in asked})}
    if options.half == "all" and not options.quick:
        figures["held_out"] = report(asked, f"held out: {len(HELD_OUT)} repositories", held=True)
    figures["all"] = report(asked, "all: one repository left out at a time", held=False)
    if options.weights:
        show_weights(asked)
    print(json.dumps(figures))


def cached(options: argparse.Namespace, name: str, loaded: int) -> list[Question]:
    """Questions of a repository; made anew whenever the code that makes them changed."""
    count = QUICK if options.quick else options.commits
    code = b"".join(
        Path(sys.modules[module].__file__ or "").read_bytes()
        for module in sorted(sys.modules)
        if module in MAKING or module.removeprefix("evo_agent.memory.") in MAKING
    )
    key = hashlib.sha256(code).hexdigest()[:16]
    file = options.cache / f"{name.replace('/', '+')}-{count}-{loaded}-{key}.pickle"
    if not file.exists():
        found = mined(options, name, count, loaded)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(found))
    return list(pickle.loads(file.read_bytes()))


def mined(options: argparse.Namespace, name: str, count: int, loaded: int) -> list[Question]:
    started = time.monotonic()
    clones = options.cache / "clones"
    clones.mkdir(parents=True, exist_ok=True)
    tree = work_tree(find_repository(options.repos, name), clones)
    project = Project(name, open_repository(tree), loaded)
    found: list[Question] = []
    for sha in project.asked(count):
        case = project.case(sha)
        if case is not None:
            found += questions(case, project.sources, project.tests, project.memory(sha))
    print(f"  mined in {time.monotonic() - started:.0f} s", flush=True)
    return found


def report(asked: Sequence[Question], title: str, *, held: bool) -> dict[str, object]:
    """Print a table; its figures by task."""
    print(f"\n{title}")
    print(
        f"{'task':14} {'metric':6} {'n':>5} {'off':>6} {'on':>6} {'gain':>7} {'by commit':>17}"
        f" {'by repository':>17} {'shuffled':>9} {'its gain':>8} {'by commit':>17}  history"
    )
    figures: dict[str, object] = {}
    for task, metric in METRICS.items():
        chosen = [q for q in asked if q.task == task]
        if len({q.repo for q in chosen}) > 1:
            figures[task] = _row(task, metric, chosen, held=held)
    return figures


def _row(task: str, metric: str, chosen: list[Question], *, held: bool) -> dict[str, object]:
    arms = {arm: _ranked(chosen, arm, held=held) for arm in ARMS}
    value = {arm: [one.measured(metric) for one in ranked] for arm, ranked in arms.items()}
    mean = {arm: sum(v) / len(v) for arm, v in value.items()}
    gains = [on - off for on, off in zip(value["on"], value["off"], strict=True)]
    control = [on - off for on, off in zip(value["shuffled"], value["off"], strict=True)]
    repos = [one.repo for one in arms["on"]]
    low, high = interval(gains)
    wide = interval(gains, repos)
    idle = interval(control)
    helps = low > 0
    print(
        f"{task:14} {metric:6} {len(gains):5} {mean['off']:6.3f} {mean['on']:6.3f}"
        f" {mean['on'] - mean['off']:+7.3f} {_spelt((low, high))} {_spelt(wide)}"
        f" {mean['shuffled']:9.3f} {mean['shuffled'] - mean['off']:+8.3f} {_spelt(idle)}"
        f"  {'helps' if helps else 'off by default'}",
        flush=True,
    )
    recall = {
        arm: [sum(getattr(o, r) for o in ranked) / len(ranked) for r in ("r5", "r10")]
        for arm, ranked in arms.items()
    }
    print(
        "               r@5, r@10  "
        + "  ".join(f"{a} {r[0]:.3f} {r[1]:.3f}" for a, r in recall.items())
    )
    by_repo: dict[str, list[float]] = defaultdict(list)
    for repo, gain in zip(repos, gains, strict=True):
        by_repo[repo].append(gain)
    each = (
        f"{r.split('/')[1]} {sum(g) / len(g):+.3f} ({len(g)})" for r, g in sorted(by_repo.items())
    )
    print("               gain  " + ", ".join(each), flush=True)
    return {
        "metric": metric,
        "n": len(gains),
        "off": round(mean["off"], 4),
        "on": round(mean["on"], 4),
        "gain": round(mean["on"] - mean["off"], 4),
        "gain_low": round(low, 4),
        "gain_high": round(high, 4),
        "by_repository": [round(bound, 4) for bound in wide],
        "shuffled": round(mean["shuffled"], 4),
        "helps": helps,
    }


def _ranked(chosen: list[Question], arm: str, *, held: bool) -> list[Ranked]:
    if not held:
        return left_out(chosen, arm)
    weights = fit([q for q in chosen if q.repo in DEVELOPED], arm)
    return [rank(q, arm, weights) for q in chosen if q.repo not in DEVELOPED]


def show_weights(asked: Sequence[Question]) -> None:
    """Weights of the arm with history, fitted on everything."""
    for task in METRICS:
        chosen = [q for q in asked if q.task == task]
        if chosen:
            at = columns(chosen[0], "on")
            names = [chosen[0].names[i] for i in at]
            weights = fit(chosen, "on")
            told = (f"{n} {w:.2f}" for n, w in zip(names, weights, strict=True))
            print(f"weights, {task}: {', '.join(told)}")


def _spelt(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:+.3f}, {bounds[1]:+.3f}]".rjust(17)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repos", type=Path, required=True, help="folder of repositories")
    parser.add_argument("--quick", action="store_true", help="three small repositories, one minute")
    parser.add_argument("--commits", type=int, default=COMMITS, help="fixes of each repository")
    parser.add_argument("--half", choices=("all", "developed", "held"), default="all")
    parser.add_argument("--weights", action="store_true", help="print the fitted weights too")
    scratch = Path(tempfile.gettempdir()) / "evo-bench-history"
    parser.add_argument("--cache", type=Path, default=scratch, help="clones and parsed questions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
