"""How fast is `evo --help`, against mini-swe-agent's `mini --help`? Ratio of medians.

    bench/start.py [--quick] [--venv DIR] [--rounds N]

mini-swe-agent (with `mcp` beside it, which today's litellm needs) is installed by pip into a
virtual environment of its own: in DIR, where it is kept, or in a temporary folder. The two
commands are run in alternation, so that a busy machine slows both alike. The last line is
JSON: {"evo_ms", "mini_ms", "ratio"}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

MINI = ("mini-swe-agent==2.4.6", "mcp")
QUIET = {"MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1", "COLUMNS": "80"}
WARM_UPS = 2
TARGET = 0.8


def main() -> None:
    options = parse()
    evo = Path(sys.executable).parent / "evo"
    with tempfile.TemporaryDirectory() as scratch:
        mini = install(options.venv or Path(scratch) / "mini")
        commands = {"evo": [str(evo), "--help"], "mini": [str(mini), "--help"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(WARM_UPS + (10 if options.quick else options.rounds)):
            for name, command in commands.items():
                seconds = timed(command, scratch)
                if number >= WARM_UPS:
                    times[name].append(seconds * 1000)
    show(times)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the start of evo against mini.")
    parser.add_argument("--quick", action="store_true", help="10 rounds instead of 30")
    parser.add_argument("--rounds", type=int, default=30, metavar="N")
    parser.add_argument("--venv", type=Path, metavar="DIR", help="where mini is installed and kept")
    return parser.parse_args()


def install(folder: Path) -> Path:
    """The `mini` command in a virtual environment, made when it is not there."""
    mini = folder / "bin" / "mini"
    if not mini.exists():
        print(f"installing {' and '.join(MINI)} into {folder} …", flush=True)
        venv.create(folder, with_pip=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--quiet", *MINI]
        subprocess.run(pip, check=True)
    return mini


def timed(command: list[str], home: str) -> float:
    """Seconds from start to end, output thrown away, with an empty home."""
    env = {**os.environ, **QUIET, "HOME": home, "EVO_HOME": home}
    started = time.perf_counter()
    subprocess.run(
        command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def show(times: dict[str, list[float]]) -> None:
    print(f"{'command':<14}{'runs':>6}{'median':>10}{'min':>10}{'max':>10}   ms")
    for name, found in times.items():
        median = statistics.median(found)
        row = f"{len(found):>6}{median:>10.1f}{min(found):>10.1f}{max(found):>10.1f}"
        print(f"{name + ' --help':<14}{row}")
    medians = {name: statistics.median(found) for name, found in times.items()}
    ratio = medians["evo"] / medians["mini"]
    print(f"ratio of medians {ratio:.2f} (target: at most {TARGET})")
    figures = {"evo_ms": medians["evo"], "mini_ms": medians["mini"], "ratio": ratio}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
