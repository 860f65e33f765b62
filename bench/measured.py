"""A command, run and measured: wall and processor seconds, memory of all its processes."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """A command that ran: wall and processor seconds, output, most memory of its processes in MB."""

    seconds: float
    cpu: float
    output: str
    rss: int = 0
    pss: int = 0


def family(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def memory_of(processes: Sequence[int]) -> tuple[int, int]:
    """Sums of RSS and PSS, in kB."""
    rss = pss = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = {line.split()[0]: int(line.split()[1]) for line in lines[1:]}
        rss += sizes.get("Rss:", 0)
        pss += sizes.get("Pss:", 0)
    return rss, pss


def run(argv: Sequence[str | Path], folder: Path, *, sampled: bool = False) -> Measured:
    """Run a command with a memory of its own in `folder`, and measure."""
    env = os.environ | {"EVO_MEMORY_PATH": str(folder / "memory")}
    started, used = time.perf_counter(), children_cpu()
    process = subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    most = [0, 0]

    def sample() -> None:
        while process.poll() is None:
            for place, size in enumerate(memory_of(family(process.pid))):
                most[place] = max(most[place], size)
            time.sleep(0.2)

    sampler = threading.Thread(target=sample)
    if sampled:
        sampler.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    if sampled:
        sampler.join()
    if process.returncode:
        raise SystemExit(f"{argv} ended with {process.returncode}: {output[-500:]}")
    return Measured(seconds, children_cpu() - used, output, most[0] // 1024, most[1] // 1024)


def children_cpu() -> float:
    """Processor seconds of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
