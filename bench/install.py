"""How big is an installation, how long does it take, and what does each extra add?

    python bench/install.py [--quick] [--cold]

Builds the wheel from the sdist and installs it, in every row of the table, in a virtual
environment of its own; then mini-swe-agent in the same way. Sizes are disk blocks of the
whole environment (as `du` counts) with pip's bytecode; distributions are those that
importlib.metadata finds, pip among them. Times include downloads that pip's cache does not
hold (--cold: all of them). --quick installs the light package only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1024 * 1024
EXTRAS = ("agent", "memory", "docker", "gui", "fix", "all")
RIVAL = "mini-swe-agent"
COUNT = "from importlib.metadata import distributions; print(len(list(distributions())))"


@dataclass(frozen=True)
class Installed:
    """One row: size of the whole environment, its distributions, seconds of pip install."""

    name: str
    megabytes: int
    distributions: int
    seconds: float


def built_wheel(folder: Path) -> Path:
    """Build the sdist, and the wheel from it."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    sdist = next(folder.glob("*.tar.gz"))
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(sdist)]
    subprocess.run(wheel, check=True, stderr=subprocess.DEVNULL)
    return next(folder.glob("*.whl"))


def disk_megabytes(folder: Path) -> int:
    """Blocks that a tree occupies, in MB, each inode once."""
    blocks: dict[int, int] = {}
    for path, _, names in os.walk(folder):
        for entry in (path, *(os.path.join(path, name) for name in names)):  # noqa: PTH118 - 50,000 of them
            status = os.lstat(entry)
            blocks[status.st_ino] = status.st_blocks
    return round(sum(blocks.values()) * 512 / MEGABYTE)


def install(name: str, requirement: str, folder: Path, options: list[str]) -> Installed:
    """Install one requirement in a new environment at `folder`, and measure."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    started = time.monotonic()
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"{name}: pip install failed:\n{done.stderr[-2000:]}")
    counted = subprocess.run([python, "-c", COUNT], check=True, capture_output=True, text=True)
    return Installed(name, disk_megabytes(folder), int(counted.stdout), round(seconds, 1))


def show(row: Installed, light: Installed) -> None:
    """Print one row: what an installation has, and what it adds to the light one."""
    added = "" if row.name in (light.name, RIVAL) else row.megabytes - light.megabytes
    print(f"{row.name:<20}{row.megabytes:>6}{row.distributions:>15}{row.seconds:>9.1f}{added:>9}")


def main() -> None:
    arguments = argparse.ArgumentParser(description="Size and time of an installation.")
    arguments.add_argument("--quick", action="store_true", help="the light install only")
    arguments.add_argument("--cold", action="store_true", help="without pip's cache")
    options = arguments.parse_args()
    rows: list[Installed] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wheel = built_wheel(folder)
        wanted = {"evo-agent": str(wheel)}
        if not options.quick:
            wanted |= {f"evo-agent[{extra}]": f"{wheel}[{extra}]" for extra in EXTRAS}
            wanted[RIVAL] = RIVAL
        print(f"{'installed':<20}{'MB':>6}{'distributions':>15}{'seconds':>9}{'adds MB':>9}")
        for number, (name, requirement) in enumerate(wanted.items()):
            cache = ["--no-cache-dir"] if options.cold else []
            rows.append(install(name, requirement, folder / f"venv{number}", cache))
            show(rows[-1], rows[0])
    print(json.dumps(figures(rows)))


def figures(rows: list[Installed]) -> dict[str, object]:
    """The last line: the whole (what `fix` needs) against the rival, in the same run."""
    by_name = {row.name: row for row in rows}
    found: dict[str, object] = {"light": asdict(rows[0])}
    whole, rival = by_name.get("evo-agent[fix]"), by_name.get(RIVAL)
    if whole and rival:
        ratio = round(whole.megabytes / rival.megabytes, 3)
        found |= {"whole": asdict(whole), "mini": asdict(rival), "ratio": ratio}
    return found


if __name__ == "__main__":
    main()
