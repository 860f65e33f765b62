"""JUnit XML as test runners write it, read as hostile input.

The file was written inside a sandbox by code that may want to hurt the reader: its size, its
depth and the number of tests are bounded, and a document type (entities) is refused.
"""

from dataclasses import dataclass
from xml.parsers import expat

from evo_agent.core.errors import EvoError
from evo_agent.core.types import Outcome

MAX_BYTES = 64 * 1024 * 1024
MAX_CASES = 200_000
MAX_DEPTH = 32
MESSAGE_CHARS = 4000

_OUTCOMES = {
    "failure": Outcome.FAILED,
    "error": Outcome.ERROR,
    "skipped": Outcome.SKIPPED,
}
_WORST_FIRST = (Outcome.ERROR, Outcome.FAILED, Outcome.PASSED, Outcome.SKIPPED)


class ReportError(EvoError):
    """A test report is not JUnit XML, or exceeds the bounds on what is read."""


@dataclass(frozen=True, slots=True)
class Case:
    """One `<testcase>`, as it stands in the file.

    Attributes:
        suites: names of the enclosing suites, outermost first, empty ones left out.
        classname: the attribute; pytest writes "package.module.Class".
        name: the attribute; pytest writes "test_name[parameter]".
        file: the attribute, where the runner writes one.
        outcome: what became of it; a case with several results has the worst of them.
        message: text of the failure, cut to MESSAGE_CHARS (its end is kept).
    """

    suites: tuple[str, ...]
    classname: str
    name: str
    file: str
    outcome: Outcome
    message: str


def worst(first: Outcome, second: Outcome) -> Outcome:
    """Of two outcomes of one test, the one that counts: error, failed, passed, skipped."""
    return min(first, second, key=_WORST_FIRST.index)


def read_junit(data: bytes) -> tuple[Case, ...]:
    """Read a report.

    Args:
        data: the whole file.

    Raises:
        ReportError: it is not well-formed, has a document type, or is too large.
    """
    if len(data) > MAX_BYTES:
        raise ReportError(f"the test report has {len(data)} bytes, more than {MAX_BYTES}")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ReportError(f"the test report is not XML: {error}") from error
    return tuple(reader.cases)


def _refuse(*_: object) -> None:
    raise ReportError("the test report declares a document type or entities; it is not read")


class _Reader:
    """Handlers for one document; keeps the finished cases."""

    def __init__(self) -> None:
        self.cases: list[Case] = []
        self._suites: list[str] = []
        self._depth = 0
        self._case: dict[str, str] | None = None
        self._outcome = Outcome.PASSED
        self._message = ""
        self._in_result = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ReportError(f"the test report is nested deeper than {MAX_DEPTH}")
        if tag == "testsuite":
            self._suites.append(attributes.get("name", ""))
        elif tag == "testcase":
            self._case, self._outcome, self._message = dict(attributes), Outcome.PASSED, ""
        elif self._case is not None and tag in _OUTCOMES:
            self._result(_OUTCOMES[tag], attributes.get("message", ""))

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "testsuite" and self._suites:
            self._suites.pop()
        elif tag == "testcase" and self._case is not None:
            self._finish(self._case)
            self._case = None
        elif tag in _OUTCOMES:
            self._in_result = False

    def text(self, data: str) -> None:
        if self._in_result:
            self._message = (self._message + data)[-MESSAGE_CHARS:]

    def _result(self, outcome: Outcome, message: str) -> None:
        first = self._outcome is Outcome.PASSED
        self._outcome = outcome if first else worst(self._outcome, outcome)
        self._message = f"{self._message}{message}\n"[-MESSAGE_CHARS:]
        self._in_result = True

    def _finish(self, attributes: dict[str, str]) -> None:
        if len(self.cases) >= MAX_CASES:
            raise ReportError(f"the test report names more than {MAX_CASES} tests")
        self.cases.append(
            Case(
                suites=tuple(name for name in self._suites if name),
                classname=attributes.get("classname", ""),
                name=attributes.get("name", ""),
                file=attributes.get("file", ""),
                outcome=self._outcome,
                message=self._message.strip(),
            )
        )
