"""What a command costs in a sandbox, beyond what it does: `true`, over and over, in alternation.

    python bench/shell.py [--quick]

Compares the docker sandbox's persistent shell with `docker exec` into a container of the same
image (and with bubblewrap's). The last line is JSON: {"ms", "exec_ms", "ratio"}, medians in
milliseconds and how many times the shell is faster than `docker exec`.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from evo_agent.core.confinement import SandboxSpec
from evo_agent.sandboxes.select import available_backends, open_sandbox


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="30 rounds instead of 200")
    rounds = 30 if parser.parse_args().quick else 200
    with ExitStack() as stack:
        samples = measure(contestants(stack), rounds)
    print(f"{'command `true`':<28}{'median ms':>10}{'p90 ms':>10}{'runs':>7}")
    for name, seconds in samples.items():
        ms = sorted(1000 * s for s in seconds)
        middle, high = statistics.median(ms), ms[int(len(ms) * 0.9)]
        print(f"{name:<28}{middle:>10.2f}{high:>10.2f}{len(ms):>7}")
    shell = 1000 * statistics.median(samples["docker sandbox"])
    executed = 1000 * statistics.median(samples["docker exec"])
    figures = {"ms": shell, "exec_ms": executed, "ratio": executed / shell}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def contestants(stack: ExitStack) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {}
    for backend in ("docker", "podman", "bubblewrap"):
        if not any(b.name == backend and b.usable for b in available_backends()):
            continue
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        label = {"evo.bench": str(time.time_ns())}
        spec = SandboxSpec(workspace=workspace, labels=label)
        sandbox = stack.enter_context(open_sandbox(spec, None, backend))
        found[f"{backend} sandbox"] = lambda sandbox=sandbox: sandbox.exec("true")
        if backend == "docker":
            found["docker exec"] = docker_exec(label)
    return found


def docker_exec(label: dict[str, str]) -> Callable[[], object]:
    """Another program in the sandbox's own container, as `docker exec` starts it."""
    ((key, value),) = label.items()
    listing = ["docker", "ps", "-q", "--filter", f"label={key}={value}"]
    container = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.strip()
    argv = ["docker", "exec", container, "bash", "-c", "true"]
    return lambda: subprocess.run(argv, capture_output=True, check=True)


def measure(running: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds + 3):
        for name, run in running.items():
            start = time.perf_counter()
            run()
            samples[name].append(time.perf_counter() - start)
    return {name: seconds[3:] for name, seconds in samples.items()}  # the first three warm up


if __name__ == "__main__":
    main()
