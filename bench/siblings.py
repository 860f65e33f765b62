"""Fix three QuixBugs programs with the whole of `evo fix`, then a sibling of one elsewhere.

    python bench/siblings.py --repos DIR [--quick] [--backend NAME]

Each program gets a git repository of its own with its own tests, and is fixed without a model:
a proved fix, an episode and a candidate skill are expected of each. Then a *different*
repository, written below, with a bug of the same kind as bitcount's, reported in similar words:
its run should recall the earlier episode, and the skill that came of it becomes active because
it helped. Memory starts empty, in a folder of its own. `--quick` takes bitcount and the sibling
only.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from quixbugs import QuixBugs, commit_all, make_repository

from evo_agent.core.config import Config, load_config
from evo_agent.tasks.fix import FixRequest, FixResult, fix
from evo_agent.tasks.knowledge import list_skills

PROGRAMS = {  # with what a person would report
    "gcd": "gcd of two numbers ends in RecursionError: maximum recursion depth exceeded",
    "bitcount": "bitcount never ends for a number with several bits set",
    "quicksort": "quicksort loses elements that occur more than once",
}
QUICK = ("bitcount",)
SECONDS = 8.0  # a command: the programs take less than one, and bitcount's bug never ends

SIBLING = {
    "flags.py": '''"""Sets of flags, kept in the bits of a number."""


def members(mask):
    """The single flags that a mask holds, lowest first."""
    found = []
    while mask:
        found.append(mask & -mask)
        mask ^= mask - 1
        if len(found) > 64:
            raise OverflowError("more flags than a mask has bits")
    return found
''',
    "test_flags.py": """from flags import members


def test_a_mask_of_several_bits():
    assert members(0b1011) == [1, 2, 8]


def test_no_flags():
    assert members(0) == []
""",
}
SIBLING_TEST = "test_flags.py::test_a_mask_of_several_bits"
SIBLING_ISSUE = "members() of a mask with several bits set never ends: the bit count is wrong"


@dataclass(frozen=True)
class Row:
    """One run, as the table shows it."""

    name: str
    result: FixResult
    seconds: float

    @property
    def grade(self) -> str:
        """The verdict's grade."""
        return str(self.result.verdict.grade) if self.result.verdict else "nothing"


def run(name: str, repo: Path, tests: tuple[str, ...], issue: str, config: Config) -> Row:
    started = time.monotonic()
    result = fix(FixRequest(repo=repo, issue=issue, tests=tests), config)
    return Row(name, result, time.monotonic() - started)


def sibling_repository(folder: Path) -> Path:
    folder.mkdir()
    for name, text in SIBLING.items():
        (folder / name).write_text(text, "utf-8")
    return commit_all(folder, "Flags in the bits of a number")


def show(rows: list[Row], states: dict[str, str]) -> None:
    print(f"{'repository':<12} {'grade':<10} {'seconds':>7}  {'episode':<12}  skill")
    for row in rows:
        written = row.result.written
        state = states.get(written.skill_name, "-")
        print(
            f"{row.name:<12} {row.grade:<10} {row.seconds:7.1f}  {written.episode[:12]:<12}  "
            f"{written.skill_name or '-'} ({state})"
        )
    last = rows[-1].result
    print("\nthe sibling recalled:")
    for record in last.recalled:
        print(f"  {record.kind:<8} {record.id[:12]}  {record.title}  [{record.why}]")
    print(f"made active by it: {', '.join(last.written.promoted) or 'nothing'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repos", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--backend", default="auto")
    args = parser.parse_args()
    source = QuixBugs(args.repos)
    with tempfile.TemporaryDirectory(prefix="siblings-") as scratch:
        os.environ["EVO_MEMORY_PATH"] = str(Path(scratch) / "memory")
        flags = {"sandbox.backend": args.backend, "sandbox.timeout": SECONDS}
        config = load_config(None, flags=flags)
        rows = []
        for program in QUICK if args.quick else PROGRAMS:
            repo = make_repository(source, program, Path(scratch) / program)
            tests = (f"python_testcases/test_{program}.py",)
            rows.append(run(program, repo, tests, PROGRAMS[program], config))
        repo = sibling_repository(Path(scratch) / "flags")
        rows.append(run("flags", repo, (SIBLING_TEST,), SIBLING_ISSUE, config))
        states = {skill.name: skill.state for skill in list_skills(repo, config)}
        show(rows, states)
    recalled = {record.id for record in rows[-1].result.recalled}
    figures = {
        "programs": len(rows) - 1,
        "proved": sum(row.grade == "proved" for row in rows[:-1]),
        "episodes": sum(bool(row.result.written.episode) for row in rows[:-1]),
        "skills": sum(bool(row.result.written.skill_name) for row in rows[:-1]),
        "sibling": rows[-1].grade,
        "recalled_episodes": sum(row.result.written.episode in recalled for row in rows[:-1]),
        "recalled_skills": sum(row.result.written.skill in recalled for row in rows[:-1]),
        "activated": len(rows[-1].result.written.promoted),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
