"""What a CI log says: which tests failed, and the part that shows why."""

import re
from dataclasses import dataclass

TAIL_BYTES = 20_000
# A runner's time stamp (GitHub Actions), a job's name (`gh run view --log`: job TAB step TAB).
_PREFIX = re.compile(
    r"^(?:[^\t\n]{1,80}\t[^\t\n]{1,80}\t)?\ufeff?(?:\d{4}-\d\d-\d\dT[\d:.]+Z ?)?", re.MULTILINE
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\n]*\x07|\r(?=\n)")
_PYTEST = re.compile(
    r"^(?:\[gw\d+\] \[ *\d+%\] )?(?:FAILED|ERROR) "
    r"(?P<id>[^\s:]+\.py(?:::[\w-]+)*(?:\[.*?\](?= - |[ \t]*$))?)",
    re.MULTILINE,
)
# unittest: "FAIL: test_x (pkg.mod.Case)"; from 3.11 on the name is in the brackets as well.
_UNITTEST = re.compile(r"^(?:FAIL|ERROR): (?P<test>\w+) \((?P<owner>[\w.]+)\)", re.MULTILINE)
_STARTS = (r"^=+ (?:FAILURES|ERRORS) =+$", r"^=+\n(?:FAIL|ERROR): ", r"^Traceback \(most recent")


@dataclass(frozen=True, slots=True)
class LogFindings:
    """What a log says.

    Attributes:
        tests: ids of failing tests as their runner spells them, in order, without repeats.
        excerpt: where the failures are reported, at most TAIL_BYTES characters.
    """

    tests: tuple[str, ...]
    excerpt: str


def read_log(text: str) -> LogFindings:
    """Find failing tests (pytest's summary, unittest's headings) and the error's text."""
    clean = _PREFIX.sub("", _ESCAPES.sub("", text))
    tests = [match["id"] for match in _PYTEST.finditer(clean)]
    tests += [_unittest_id(match) for match in _UNITTEST.finditer(clean)]
    real = [test for test in tests if "unittest.loader._FailedTest" not in test]
    return LogFindings(tuple(dict.fromkeys(real)), _excerpt(clean))


def _unittest_id(match: re.Match[str]) -> str:
    test, owner = match["test"], match["owner"]
    return owner if owner.endswith(f".{test}") else f"{owner}.{test}"


def _excerpt(clean: str) -> str:
    """From where failures begin to be reported; the end of the log where that is unknown."""
    for pattern in _STARTS:
        found = re.search(pattern, clean, re.MULTILINE)
        if found:
            report = clean[found.start() :]
            half = TAIL_BYTES // 2
            return report if len(report) <= TAIL_BYTES else f"{report[:half]}\n…\n{report[-half:]}"
    return clean[-TAIL_BYTES:]
