"""Host processes that stand behind a sandbox: started safely, ended whole."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "evo-spawner")


os.register_at_fork(after_in_child=_spawner.cache_clear)


def spawn(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program with three pipes, in a session of its own.

    bwrap's --die-with-parent follows the *thread* that started it (prctl(2),
    PR_SET_PDEATHSIG), so all are started by one thread that lives as long as evo does.

    Raises:
        OSError: the program cannot be started.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    return _spawner().submit(start).result()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a spawned process with its group, and reap it."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def end(process: subprocess.Popen[bytes], patience: float) -> None:
    """Let a process end by itself, its stdin closed, for `patience` seconds; then kill it."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        kill_group(process)
