"""Starts pytest inside a sandbox, and tells whether what came back is what pytest saw."""

import re
from collections.abc import Sequence
from dataclasses import replace

from evo_agent.core.types import CommandResult, Outcome
from evo_agent.tasks.junit import Case

# `python -m pytest` puts the root first on sys.path, where a file pytest.py would be run in
# pytest's place. This imports pytest without the root, then goes on as `-m` does. Where the
# root is pytest's own (or a dependency's) repository, it is imported from there after all.
#
# What it is to do comes through stdin, so that sys.argv does not show the tested code where the
# report goes. Its last line is for `closing_line`.
LAUNCHER = """
import json, os, sys
job = json.loads(sys.stdin.readline())
null, out = os.open(os.devnull, os.O_RDONLY), os.dup(1)
os.dup2(null, 0)
root, kept = os.getcwd(), [p for p in sys.path if p]
sys.path[:] = [p for p in kept if p != root and not p.startswith(root + os.sep)]
try:
    import pytest
except ImportError:
    sys.path[:] = kept
    try:
        import pytest
    except ImportError as error:
        print(error)
        sys.exit(97)
sys.path[:] = [root, *kept]
sys.argv[:] = ["pytest", *job["options"]]
def launch(options, report, without, word):
    failing = set()
    class Watch:  # --deselect goes by prefix: it would leave out test_ab with test_a
        def pytest_collection_modifyitems(self, config, items):
            def out(item):
                name = item.nodeid
                return any(name == t or name.startswith((t + "[", t + "::")) for t in without)
            config.hook.pytest_deselected(items=[item for item in items if out(item)])
            items[:] = [item for item in items if not out(item)]
        def pytest_runtest_logreport(self, report):
            if report.failed:
                failing.add(report.nodeid)
        pytest_collectreport = pytest_runtest_logreport
    status = int(pytest.main(options + report, plugins=[Watch()]))
    sys.stdout.flush()
    os.write(out, "\\n{} {} {}\\n".format(word, status, len(failing)).encode())
    return status
sys.exit(launch(job["options"], job.pop("report"), job.pop("without"), job.pop("word")))
"""


def closing_line(done: CommandResult, word: str) -> tuple[CommandResult, tuple[int, int] | None]:
    """The launcher's last line, taken out of the output: exit status, number of failing ids."""
    match = re.search(rf"\n?^{word} (\d+) (\d+)\n?", done.output, re.MULTILINE)
    if match is None:
        return done, None
    output = done.output[: match.start()] + done.output[match.end() :]
    return replace(done, output=output), (int(match[1]), int(match[2]))


def agree(closing: tuple[int, int] | None, status: int, found: Sequence[Case] | None) -> bool:
    """Whether pytest came to its end, and the report and exit status tell what it saw.

    Not proof against code that rewrites pytest in memory (see tasks.judging), but against the
    ways that need no more than a path: leaving early, and another hand in the report.
    """
    if closing is None or closing[0] != status:
        return False
    bad = [case for case in found or () if case.outcome in (Outcome.FAILED, Outcome.ERROR)]
    return closing[1] <= len(bad) and not (closing[1] and status == 0)
