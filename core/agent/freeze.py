"""Freezing a reproduction test before the code is touched.

The verifier grades a fix `reproduced` only on a test that failed while everything else in the
tree was as at base; so that is what must hold at the moment of freezing.
"""

from evo_agent.core.agent.actions import Freeze
from evo_agent.core.agent.patches import by_file
from evo_agent.core.agent.stops import ToolError
from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.protocols import Assignment, Sandbox
from evo_agent.core.types import FrozenTest, Outcome

_TAIL = 3000  # characters of the test's output that the model is shown


def freeze(assignment: Assignment, action: Freeze) -> tuple[FrozenTest, str]:
    """Write, run and freeze a test.

    Returns:
        The frozen test, and what the model is told.

    Raises:
        ToolError: code was edited before, the test exists, passes, or cannot be run.
    """
    sandbox = assignment.sandbox
    others = [path for path in _changed(sandbox) if path != action.path]
    if others:
        raise ToolError(
            f"too late to freeze a test: {', '.join(others[:5])} changed already; "
            "undo that first (git checkout, rm), or go on without a frozen test"
        )
    try:
        sandbox.write(action.path, action.content.encode("utf-8", "replace"))
    except OSError as error:
        raise ToolError(f"{error}; choose another path") from error
    report = assignment.tests.run(sandbox, [action.test_id])
    tail = report.output[-_TAIL:]
    failed = [test for test, outcome in report.outcomes.items() if outcome is Outcome.FAILED]
    if not failed:
        why = "passes" if report.exit_code == 0 else "could not be run"
        raise ToolError(
            f"not frozen: {action.test_id} {why} on the unchanged code; it must fail by an "
            f"assertion because of the issue. Its output:\n{tail}"
        )
    frozen = FrozenTest(action.path, action.content, action.test_id, sandbox.snapshot())
    return frozen, f"frozen: {action.test_id} fails as it should. Now fix the code.\n{tail}"


def _changed(sandbox: Sandbox) -> dict[str, str]:
    try:
        return by_file(sandbox.diff())
    except PatchRefusedError as error:
        raise ToolError(f"{error.cause}; {error.remedy}") from error
