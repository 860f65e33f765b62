"""The repair solver in real sandboxes, on programs of our own that hold one bug each."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.confinement import Mount, SandboxSpec
from evo_agent.core.git import open_repository
from evo_agent.core.protocols import Assignment, Sandbox
from evo_agent.core.protocols import TestRunner as Runner
from evo_agent.core.repair import RepairSolver, SearchLimits
from evo_agent.core.types import Candidate, Diagnosis, DiagnosisKind, Issue, Query, Recalled, Task
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.testing import CommandRunner, PytestRunner

LIMITS = SearchLimits(seconds=60, plausible=2, further=10, further_seconds=1.5, test_seconds=0.5)
Place = Callable[..., Any]


class Journal:
    """Keeps events; recalls nothing."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def emit(self, kind: str, **data: object) -> None:
        self.events.append((kind, data))

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        del query
        return ()


@contextmanager
def workplace(repo: Path, folder: Path, backend: str = "local") -> Iterator[Sandbox]:
    """A sandbox on a clean workspace of a repository, which sees this interpreter."""
    tree = Workspace.create(open_repository(repo), "HEAD", folder)
    homes = {sys.prefix, sys.base_prefix} - {"/usr"}  # which every sandbox shows already
    python = tuple(Mount(Path(home), home) for home in sorted(homes))
    with open_sandbox(SandboxSpec(tree.folder, mounts=python), tree, backend) as sandbox:
        yield sandbox


def assigned(sandbox: Sandbox, *tests: str, **more: Any) -> Assignment:
    """An assignment whose failing tests are known."""
    runner: Runner = more.pop("runner", PytestRunner(sys.executable))
    task = Task("t1", Path("/nowhere"), "0" * 40, Issue("it fails", ""), tests)
    journal = more.pop("journal", Journal())
    return Assignment(task, sandbox, runner, more.pop("recalled", ()), journal, journal, **more)


def solved(sandbox: Sandbox, *tests: str, **more: Any) -> Candidate:
    return RepairSolver(LIMITS).solve(assigned(sandbox, *tests, **more))


def program(**files: str) -> dict[str, str]:
    """Files of a repository; double underscores in names are slashes."""
    texts = {f"{k.replace('__', '/')}.py": textwrap.dedent(v) for k, v in files.items()}
    return {**texts, ".gitignore": "__pycache__/\n.pytest_cache/\n"}


LOOPS = program(
    bits="""
    def ones(number):  # how many bits are set
        total = 0
        while number:
            number |= number - 1
            total += 1
        return total
    """,
    test_bits="""
    import pytest
    from bits import ones

    @pytest.mark.parametrize(("number", "wanted"), [(0, 0), (1, 1), (6, 2), (255, 8)])
    def test_ones(number, wanted):
        assert ones(number) == wanted
    """,
)
RECURSES = program(
    divisor="""
    def common(a, b):
        if a == 0:
            return b
        return common(a, b % a)
    """,
    test_divisor="""
    from divisor import common

    def test_zero():
        assert common(0, 4) == 4

    def test_common():
        assert common(12, 18) == 6
        assert common(7, 3) == 1
    """,
)
BOUNDARY = program(
    src__shop__price="""
    def unrelated(a, b):
        return a < b


    def shipping(total):
        \"\"\"Free from 50 on.\"\"\"
        if total > 50:   # odd   spacing
            return 0
        return 5
    """,
    conftest="import sys; sys.path.insert(0, 'src')",
    tests__test_price="""
    from shop.price import shipping, unrelated

    def test_unrelated():
        assert unrelated(1, 2) and not unrelated(2, 2)

    def test_free():
        assert shipping(51) == 0

    def test_paid():
        assert shipping(49) == 5

    def test_edge():
        assert shipping(50) == 0
    """,
    src__shop____init__="",
)


def body(patch: str) -> list[str]:
    """Added and removed lines of a patch."""
    marks = ("+++", "---")
    return [x for x in patch.splitlines() if x[:1] in "+-" and not x.startswith(marks)]


def test_an_endless_loop_is_repaired(repo_factory: Place, tmp_path: Path):
    with workplace(repo_factory((LOOPS, "bits")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "test_bits.py::test_ones")
        assert found.facts["operators"] == ["bitwise-operator"]
        assert body(found.patch) == [
            "-        number |= number - 1",
            "+        number &= number - 1",
        ]
        assert found.facts["location"] == {"path": "bits.py", "function": "ones", "line": 5}
        assert found.facts["before"] == "number |= number - 1"
        assert found.facts["after"] == "number &= number - 1"
        assert found.facts["localised_by"] == "coverage"
        assert sandbox.diff() == found.patch


def test_endless_recursion_is_repaired(repo_factory: Place, tmp_path: Path):
    with workplace(repo_factory((RECURSES, "gcd")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "test_divisor.py::test_common")
        assert found.facts["operators"] == ["swap-arguments"]
        assert "+    return common(b % a, a)" in found.patch


@pytest.mark.bubblewrap
def test_a_boundary_in_a_package_inside_bubblewrap(repo_factory: Place, tmp_path: Path):
    with workplace(repo_factory((BOUNDARY, "shop")), tmp_path / "w", "bubblewrap") as sandbox:
        journal = Journal()
        found = solved(sandbox, "tests/test_price.py::test_edge", journal=journal)
        assert body(found.patch) == [
            "-    if total > 50:   # odd   spacing",
            "+    if total >= 50:   # odd   spacing",
        ]
        assert found.facts["suspiciousness_rank"] <= 2
        assert found.facts["location"]["function"] == "shipping"
        kinds = {kind for kind, _ in journal.events}
        assert kinds == {"progress"}
        told = [data["text"] for _, data in journal.events]
        assert len(told) == len(set(told)), "each line once"
        assert journal.events[-1][1]["step"] == found.facts["candidates_tried"]


def test_nothing_is_left_behind(repo_factory: Place, tmp_path: Path):
    litter = dict(BOUNDARY)
    litter["conftest.py"] += "\nopen('litter.txt', 'a').write('x')\n"
    with workplace(repo_factory((litter, "shop")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "tests/test_price.py::test_edge")
        assert "litter" not in found.patch
        assert "litter" not in sandbox.diff()
        probe = f"/tmp/evo-probe-{sha256(sandbox.root.encode()).hexdigest()[:10]}"
        assert sandbox.exec(f"ls -d {probe} /tmp/evo-repair*").exit_code == 2


def test_without_a_failing_test_it_does_not_pretend(repo_factory: Place, tmp_path: Path):
    with workplace(repo_factory((BOUNDARY, "shop")), tmp_path / "w") as sandbox:
        found = solved(sandbox)
        assert (found.patch, found.stopped, found.final) == ("", "no failing test", True)


def test_a_test_that_passes_is_not_repaired(repo_factory: Place, tmp_path: Path):
    with workplace(repo_factory((BOUNDARY, "shop")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "tests/test_price.py::test_free")
        assert (found.patch, found.stopped, found.final) == ("", "nothing fails", True)


def test_what_no_edit_can_mend_leaves_the_tree_alone(repo_factory: Place, tmp_path: Path):
    files = program(
        m="def f(a):\n    return a\n",
        test_m="from m import f\n\ndef test_f():\n    assert f(2) == 'no operator makes this'\n",
    )
    with workplace(repo_factory((files, "m")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "test_m.py")
        assert (found.patch, found.stopped, found.final) == ("", "search exhausted", True)
        assert found.facts["candidates_tried"] > 0
        assert sandbox.diff() == ""


def test_a_rejected_patch_is_not_proposed_again(repo_factory: Place, tmp_path: Path):
    """Two edits satisfy the weak test; the second round must hand over the other one."""
    files = program(
        m="def f(a, b):\n    return a * b\n",
        test_m="from m import f\n\ndef test_f():\n    assert f(4, 2) == 2\n",
    )
    with workplace(repo_factory((files, "m")), tmp_path / "w") as sandbox:
        solver = RepairSolver(LIMITS)
        first = solver.solve(assigned(sandbox, "test_m.py"))
        rejected = Diagnosis(DiagnosisKind.REGRESSION, "another test broke")
        again = assigned(sandbox, "test_m.py", round=2, feedback=(rejected,))
        second = solver.solve(again)
        assert first.patch
        assert second.patch
        assert first.patch != second.patch
        assert len(body(second.patch)) == 2


def test_what_memory_recalls_is_tried_first_and_cited(repo_factory: Place, tmp_path: Path):
    facts: Mapping[str, Any] = {"facts": {"operators": ["swap-arguments"]}}
    record = Recalled("skill-1", "skill", 1.0, "arguments in the wrong order", "", data=facts)
    other = Recalled("skill-2", "skill", 0.9, "something else", "", data={"operators": ["clamp"]})
    with workplace(repo_factory((RECURSES, "gcd")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "test_divisor.py::test_common", recalled=(record, other))
        assert found.cited == ("skill-1",)


def test_another_runner_is_localised_by_tracebacks(repo_factory: Place, tmp_path: Path):
    files = program(
        m="def last(items):\n    return items[len(items)]\n",
        check="from m import last\n\nassert last([1, 2]) == 2\n",
    )
    runner = CommandRunner(f"PYTHONDONTWRITEBYTECODE=1 {sys.executable} check.py")
    with workplace(repo_factory((files, "m")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "check", runner=runner)
        assert "+    return items[len(items) - 1]" in found.patch
        assert found.facts["localised_by"] == "traceback"


def test_the_tests_are_never_edited(repo_factory: Place, tmp_path: Path):
    files = program(
        test_m="def helper(a):\n    return a < 3\n\ndef test_f():\n    assert helper(3)\n",
    )
    with workplace(repo_factory((files, "m")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "test_m.py")
        assert (found.patch, found.stopped, found.final) == ("", "nothing to edit", True)


def test_options_of_the_project_are_kept(repo_factory: Place, tmp_path: Path):
    """addopts stand before the probe's own options and must not keep it from tracing."""
    files = {**BOUNDARY, "pytest.ini": "[pytest]\naddopts = -ra --strict-markers -p no:doctest\n"}
    with workplace(repo_factory((files, "shop")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "tests/test_price.py::test_edge")
        assert found.facts["localised_by"] == "coverage"


def test_damage_done_by_a_candidate_does_not_outlive_it(repo_factory: Place, tmp_path: Path):
    """A test that removes a source file when it fails would poison every later candidate."""
    files = {
        **BOUNDARY,
        "tests/test_price.py": BOUNDARY["tests/test_price.py"]
        + textwrap.dedent("""
            import os

            def test_damage():
                if shipping(50) not in (0, 5) or shipping(51) != 0:
                    os.remove("src/shop/__init__.py")
                    os.remove("src/shop/price.py")
            """),
    }
    with workplace(repo_factory((files, "shop")), tmp_path / "w") as sandbox:
        found = solved(sandbox, "tests/test_price.py::test_edge")
        assert "+    if total >= 50:" in found.patch
        assert len(body(found.patch)) == 2
