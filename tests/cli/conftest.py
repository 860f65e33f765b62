"""Run the installed `evo` as a person does: a process, its streams, its exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

EVO = Path(sys.executable).parent / "evo"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


RunEvo = Callable[..., Ran]


@pytest.fixture
def evo(own_evo_home: Path, tmp_path: Path) -> RunEvo:
    """Call with arguments; cwd, env and stdin by keyword. No terminal is attached."""

    def call(
        *arguments: str,
        cwd: Path = tmp_path,
        env: dict[str, str] | None = None,
        stdin: str = "",
    ) -> Ran:
        done = subprocess.run(
            [EVO, *arguments],
            cwd=cwd,
            env={**os.environ, "EVO_HOME": str(own_evo_home), **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout
        return Ran(done.returncode, done.stdout, done.stderr)

    return call
