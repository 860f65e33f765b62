"""Limits on memory and processors for a tree of processes, where evo may set them.

Control groups are root's (or delegated); version 2 and version 1 both occur. Where neither
can be used, the sandbox says so instead of pretending.
"""

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from evo_agent.core.confinement import SandboxLimits

_MOUNT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds, the kernel's default for cpu.max and cpu.cfs_period_us


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One group (version 2), or one for each controller (version 1).

    Attributes:
        folders: the directories, to be joined by writing to cgroup.procs, then removed.
        limited: names of the SandboxLimits that it enforces.
    """

    folders: tuple[Path, ...] = ()
    limited: frozenset[str] = frozenset()

    def joining(self) -> list[str]:
        """Prefix of an argument vector: joins the groups, then becomes the program."""
        if not self.folders:
            return []
        script = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 98; shift; done; shift; exec "$@"'
        joined = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["sh", "-c", script, "evo-cgroup", *joined, "--"]

    def remove(self) -> None:
        """Remove the groups; their processes must have ended."""
        for folder in self.folders:
            for _ in range(50):  # the last process may still be on its way out
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)
                else:
                    break


def create(limits: SandboxLimits) -> Cgroup:
    """Make a group with these limits; an empty one where that is not allowed."""
    name = f"evo-{os.getpid()}-{secrets.token_hex(4)}"
    memory = str(limits.memory_mb * 1024 * 1024)
    quota = str(int(limits.cpus * _PERIOD))
    if (_MOUNT / "cgroup.controllers").exists():
        folder = _MOUNT / name
        wanted = [
            ("memory", folder, {"memory.max": memory, "memory.swap.max": "0"}),
            ("cpus", folder, {"cpu.max": f"{quota} {_PERIOD}"}),
        ]
    else:
        wanted = [
            ("memory", _MOUNT / "memory" / name, {"memory.limit_in_bytes": memory}),
            ("cpus", _MOUNT / "cpu" / name, {"cpu.cfs_quota_us": quota}),
        ]
    for parent in {folder.parent for _, folder, _ in wanted}:
        _sweep(parent)
    made = {limit: folder for limit, folder, values in wanted if _set(folder, values)}
    return Cgroup(tuple(dict.fromkeys(made.values())), frozenset(made))


def _sweep(parent: Path) -> None:
    """Remove groups of an evo that was killed; one with processes in it stays (EBUSY)."""
    for folder in parent.glob("evo-*-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _set(folder: Path, values: dict[str, str]) -> bool:
    """Make a group and set its limits; the first value counts, the others are for what exists."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return False
    for number, (key, value) in enumerate(values.items()):
        try:
            with (folder / key).open("r+") as file:
                file.write(value)
        except OSError:
            if number == 0:
                with contextlib.suppress(OSError):
                    folder.rmdir()
                return False
    return True
