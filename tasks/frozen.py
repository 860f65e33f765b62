"""Frozen tests: a solver's reproduction, accepted only as it was before the code was changed."""

from pathlib import Path, PurePosixPath

from evo_agent.core.errors import PatchRefusedError
from evo_agent.core.types import FrozenTest
from evo_agent.tasks.judging import JUDGING_NAMES


def write_frozen(tree: Path, frozen: FrozenTest) -> None:
    """Write a frozen test anew, as it was frozen.

    Raises:
        PatchRefusedError: a link stands where it, or a folder above it, should be.
    """
    path = tree / frozen.path
    for parent in reversed(PurePosixPath(frozen.path).parents):
        if (tree / parent).is_symlink():
            raise PatchRefusedError(f"{frozen.path}: the frozen test is behind a link")
    if path.is_symlink():
        raise PatchRefusedError(f"{frozen.path}: the frozen test is a link")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(frozen.content, "utf-8", newline="")


def unfit(frozen: FrozenTest) -> str:
    """Why a frozen test cannot be accepted; empty when it can."""
    path = PurePosixPath(frozen.path)
    if path.is_absolute() or ".." in path.parts or ".git" in path.parts:
        return f"{frozen.path} is outside the tree"
    if path.name in JUDGING_NAMES:
        return f"{frozen.path} decides how tests run; it is no test"
    if not frozen.test_id.startswith(frozen.path):
        return f"{frozen.test_id} is not in {frozen.path}"
    return ""
