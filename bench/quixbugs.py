"""Repair QuixBugs without a model: how many of its Python programs get a plausible patch.

    python bench/quixbugs.py --repos DIR [--quick] [--programs gcd,bitcount | all] [--backend NAME]

DIR holds jkoppel/QuixBugs (Lin, Koppel, Chen and Solar-Lezama, "QuixBugs: A Multi-Lingual
Program Repair Benchmark Set", SPLASH 2017) as owner__name, owner/name or owner+name/repo, bare
or with a work tree. Each program is put into a git repository of its own with its own tests;
nothing of QuixBugs is kept here. `fixed` counts programs whose tests all pass, run once more by
the project's runner after the solver handed its patch over; `same` counts patches that give the
reference program, layout and docstrings aside.
"""

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repos import find_repository

from evo_agent.core.confinement import Mount, SandboxSpec
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Assignment
from evo_agent.core.repair import RepairSolver, SearchLimits
from evo_agent.core.types import Issue, Query, Recalled, Task
from evo_agent.sandboxes.select import available_backends, open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.testing import PytestRunner

QUICK = ("gcd", "bitcount", "quicksort")
SHARED = ("conftest.py", "python_testcases/load_testdata.py", "python_testcases/node.py")


@dataclass
class Row:
    """What became of one program."""

    program: str
    fixed: bool = False
    same: bool = False
    seconds: float = 0.0
    tried: int = 0
    operator: str = ""
    change: str = ""


class Nothing:
    """A memory that holds nothing and a log that keeps nothing."""

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Find nothing."""
        del query
        return ()

    def emit(self, kind: str, **data: object) -> None:
        """Keep nothing."""


class QuixBugs:
    """The benchmark's files, read from git."""

    def __init__(self, repos: Path) -> None:
        self.folder = find_repository(repos, "jkoppel/QuixBugs")

    def _git(self, *args: str) -> bytes:
        command = ["git", "-c", "safe.directory=*", "-C", str(self.folder), *args]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def files(self) -> list[str]:
        """Every path at HEAD."""
        return self._git("ls-tree", "-r", "--name-only", "HEAD").decode().splitlines()

    def show(self, path: str) -> bytes:
        """A file at HEAD."""
        return self._git("show", f"HEAD:{path}")

    def programs(self) -> list[str]:
        """Names of the Python programs that have tests."""
        tests = [p for p in self.files() if p.startswith("python_testcases/test_")]
        return sorted(p.rpartition("/test_")[2].removesuffix(".py") for p in tests)

    def parts(self, program: str) -> Iterator[tuple[str, bytes]]:
        """What the program's own repository holds."""
        wanted = {
            f"python_programs/{program}.py",
            "python_programs/node.py",
            f"python_testcases/test_{program}.py",
            f"json_testcases/{program}.json",
            *SHARED,
        }
        yield from ((p, self.show(p)) for p in self.files() if p in wanted)
        yield "python_programs/__init__.py", b""
        yield ".gitignore", b"__pycache__/\n.pytest_cache/\n"


def make_repository(source: QuixBugs, program: str, folder: Path) -> Path:
    """A git repository with one program and its tests."""
    for path, data in source.parts(program):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return commit_all(folder, program)


def commit_all(folder: Path, message: str) -> Path:
    """Make a folder a git repository with one commit."""
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    for args in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-q", "-m", message)):
        subprocess.run(["git", "-C", str(folder), *args], check=True)
    return folder


def run(source: QuixBugs, program: str, backend: str, limits: SearchLimits) -> Row:
    """Repair one program in a sandbox, and run its tests once more."""
    with tempfile.TemporaryDirectory(prefix="quixbugs-") as scratch:
        repository = open_repository(make_repository(source, program, Path(scratch) / program))
        tree = Workspace.create(repository, "HEAD", Path(scratch) / "workspace")
        homes = {sys.prefix, sys.base_prefix} - {"/usr"}  # which every sandbox shows already
        python = [Mount(Path(home), home) for home in sorted(homes)]
        spec = SandboxSpec(tree.folder, mounts=tuple(python))
        test = f"python_testcases/test_{program}.py"
        runner = PytestRunner(sys.executable)
        task = Task(program, repository.root, repository.head, Issue(program, ""), (test,))
        with open_sandbox(spec, tree, backend) as sandbox:
            started = time.monotonic()
            nothing = Nothing()
            assignment = Assignment(task, sandbox, runner, (), nothing, nothing)
            candidate = RepairSolver(limits).solve(assignment)
            seconds = time.monotonic() - started
            report = runner.run(sandbox, (test,), timeout=300)
            edited = sandbox.read(f"python_programs/{program}.py")
    facts = candidate.facts
    return Row(
        program=program,
        fixed=bool(candidate.patch) and not report.failing and bool(report.passing),
        same=code(edited) == code(source.show(f"correct_python_programs/{program}.py")),
        seconds=round(seconds, 1),
        tried=int(facts.get("candidates_tried", 0)),
        operator=" ".join(facts.get("operators", [candidate.stopped])),
        change=f"{facts.get('before', '')}  ->  {facts.get('after', '')}"
        if candidate.patch
        else "",
    )


def code(data: bytes) -> str:
    """A program without layout, comments and docstrings."""
    tree = ast.parse(data)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_text(s)]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text and isinstance(node.value.value, str)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repos", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--programs", default="", help="names with commas, or all")
    parser.add_argument("--backend", default="", help="bubblewrap, docker or local")
    parser.add_argument("--seconds", type=float, default=SearchLimits().seconds, help="a program")
    options = parser.parse_args()
    source = QuixBugs(options.repos)
    usable = [b.name for b in available_backends() if b.usable]
    backend = options.backend or ("bubblewrap" if "bubblewrap" in usable else "local")
    chosen = options.programs or ("gcd,bitcount,quicksort" if options.quick else "all")
    names = source.programs() if chosen == "all" else chosen.split(",")
    print(f"{'program':28} {'fixed':6} {'same':5} {'s':>6} {'tried':>5}  operator: change")
    rows = []
    for name in names:
        row = run(source, name, backend, SearchLimits(seconds=options.seconds))
        rows.append(row)
        marks = f"{'yes' if row.fixed else 'no':6} {'yes' if row.same else 'no':5}"
        line = f"{row.program:28} {marks} {row.seconds:6.1f} {row.tried:5}"
        print(f"{line}  {row.operator}: {row.change}", flush=True)
    figures = {
        "programs": len(rows),
        "fixed": sum(r.fixed for r in rows),
        "same": sum(r.same for r in rows),
        "backend": backend,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
