"""Where the fault may be: spectrum-based localisation, with tracebacks as the fallback.

Ochiai's coefficient, as used for fault localisation by Abreu, Zoeteweij and van Gemund,
"On the Accuracy of Spectrum-based Fault Localization", TAIC PART 2007: of a line executed by
ef failing and ep passing tests, with F failing tests in all, ef / sqrt(F * (ef + ep)).
"""

import math
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evo_agent.core.repair.driver import TestRun
from evo_agent.core.types import Outcome

FRAME = re.compile(r'(?:File "([^"\n]+\.py)", line (\d+))|(?:^([\w./-]+\.py):(\d+):)', re.MULTILINE)
TEST_FOLDERS = ("test", "tests", "testing")
MAX_PLACES = 4000


@dataclass(frozen=True, slots=True)
class Place:
    """A suspicious line.

    Attributes:
        path: relative to the workspace's root.
        line: from 1.
        suspiciousness: 0 to 1.
        rank: from 1; lines that tie share the best rank.
    """

    path: str
    line: int
    suspiciousness: float
    rank: int


def ochiai(failed: int, passed: int, all_failed: int) -> float:
    """Ochiai's coefficient of a line.

    Args:
        failed: failing tests that execute it.
        passed: passing tests that execute it.
        all_failed: failing tests in all.
    """
    if not failed or not all_failed:
        return 0.0
    return failed / math.sqrt(all_failed * (failed + passed))


def is_test_file(path: str) -> bool:
    """Whether a file judges (tests, conftest): it is never edited and never suspected."""
    folder, name = posixpath.split(path)
    if name == "conftest.py" or name.startswith("test_") or name.endswith("_test.py"):
        return True
    return any(part in TEST_FOLDERS for part in folder.split("/"))


def from_spectrum(tests: Sequence[TestRun], judging: Iterable[str] = ()) -> tuple[Place, ...]:
    """Rank the lines that failing tests execute.

    Args:
        tests: traced tests, failing and passing.
        judging: further files that are never suspected.
    """
    failed: Counter[tuple[str, int]] = Counter()
    passed: Counter[tuple[str, int]] = Counter()
    bad = [t for t in tests if t.outcome in (Outcome.FAILED, Outcome.ERROR)]
    for test in tests:
        if test.outcome is not Outcome.SKIPPED:
            into = failed if test in bad else passed
            into.update((path, n) for path, lines in test.lines.items() for n in lines)
    left_out = set(judging)
    scores = {
        place: ochiai(count, passed[place], len(bad))
        for place, count in failed.items()
        if not is_test_file(place[0]) and place[0] not in left_out
    }
    return _ranked(scores)


def from_traceback(
    messages: Iterable[str], root: str, judging: Iterable[str] = ()
) -> tuple[Place, ...]:
    """Rank the lines named by tracebacks, the innermost frame of each first.

    Args:
        messages: texts of failures.
        root: absolute path of the workspace inside the sandbox.
        judging: further files that are never suspected.
    """
    left_out = set(judging)
    scores: dict[tuple[str, int], float] = {}
    for message in messages:
        frames = [(a or b, int(n or m)) for a, n, b, m in FRAME.findall(message)]
        for depth, (path, line) in enumerate(dict.fromkeys(reversed(frames))):
            relative = posixpath.relpath(path, root) if path.startswith("/") else path
            if relative.startswith("..") or is_test_file(relative) or relative in left_out:
                continue
            key = (posixpath.normpath(relative), line)
            scores[key] = max(scores.get(key, 0.0), 1.0 / (1 + depth))
    return _ranked(scores)


def _ranked(scores: dict[tuple[str, int], float]) -> tuple[Place, ...]:
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:MAX_PLACES]
    places: list[Place] = []
    for number, ((path, line), score) in enumerate(ordered, 1):
        tied = places and places[-1].suspiciousness == score
        places.append(Place(path, line, score, places[-1].rank if tied else number))
    return tuple(places)
