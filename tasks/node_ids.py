"""Test ids: from pytest's JUnit names back to node ids, and from a request to what was run.

pytest writes classname="tests.test_x.TestA" name="test_b[1]" for the node id
tests/test_x.py::TestA::test_b[1] (_pytest.junitxml.mangle_test_address). Which dots were
slashes is known from the `file` attribute (junit_family=xunit1), except for inherited tests,
whose `file` is the base class's: there the longest part that names a file asked for, or else
the custom that classes begin with a capital, decides.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from evo_agent.core.types import Outcome, TestReport
from evo_agent.tasks.junit import Case, worst

NO_SUCH_TEST = "no such test"


def node_id(case: Case, files: Iterable[str] = ()) -> str:
    """The pytest node id of a JUnit case.

    Args:
        case: a case of pytest's report.
        files: test files that are known to have been run, relative to the root.
    """
    if not case.classname:  # a module that could not be collected
        return case.file or _named_file(case.name, files) or _dotted_to_path(case.name)
    parts = case.classname.split(".")
    for path in (case.file, *files):
        stem = _stem(path)
        if stem and parts[: len(stem)] == stem:
            return "::".join([path, *parts[len(stem) :], case.name])
    return _by_custom(parts, case.name)


def matches(asked: str, test: str) -> bool:
    """Whether a test that ran is (one parameter of, or inside) the id that was asked for."""
    if test == asked:
        return True
    rest = test.removeprefix(asked)
    return rest != test and (rest.startswith(("::", "[", "/")) or asked.endswith("/"))


def outcome_of(report: TestReport, asked: str) -> Outcome | None:
    """What became of an id that was asked for; the worst of several. None: it did not run."""
    found: Outcome | None = None
    for test, outcome in report.outcomes.items():
        if matches(asked, test):
            found = outcome if found is None else worst(found, outcome)
    return found


def unknown_tests(report: TestReport) -> tuple[str, ...]:
    """Ids that were asked for and do not exist; their messages name near ones."""
    return tuple(t for t in sorted(report.messages) if report.messages[t].startswith(NO_SUCH_TEST))


def no_such_test(known: Sequence[str], asked: str) -> str:
    """One line that says a test does not exist, with the nearest ones that do."""
    by_tail: Mapping[str, str] = {test.rpartition("::")[2]: test for test in known}
    near = difflib.get_close_matches(asked, known, 3)
    tail = asked.rpartition("::")[2]
    near += [by_tail[name] for name in difflib.get_close_matches(tail, list(by_tail), 3)]
    unique = list(dict.fromkeys(near))[:3]
    return f"{NO_SUCH_TEST}: {asked}" + (f"; near: {', '.join(unique)}" if unique else "")


def _stem(path: str) -> list[str]:
    return path.removeprefix("./").removesuffix(".py").split("/") if path else []


def _named_file(dotted: str, files: Iterable[str]) -> str:
    return next((path for path in files if ".".join(_stem(path)) == dotted), "")


def _dotted_to_path(dotted: str) -> str:
    return dotted if dotted.endswith(".py") else dotted.replace(".", "/") + ".py"


def _by_custom(parts: list[str], name: str) -> str:
    cut = len(parts)
    while cut > 1 and parts[cut - 1][:1].isupper():
        cut -= 1
    return "::".join(["/".join(parts[:cut]) + ".py", *parts[cut:], name])
