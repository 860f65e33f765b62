"""What the rooms promise each other. core's loops are written against these alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from evo_agent.core.chat import Message, Reply, ToolSpec
from evo_agent.core.types import (
    Candidate,
    CommandResult,
    Diagnosis,
    FrozenTest,
    Query,
    Recalled,
    Task,
    TestReport,
    Verdict,
)


class Tree(Protocol):
    """A working tree on the host whose git folder the sandbox cannot reach."""

    @property
    def folder(self) -> Path:
        """The directory that a sandbox shows at its root."""
        ...

    def diff(self) -> str:
        """The tree against its base, as a git diff that `git apply` takes."""
        ...

    def snapshot(self) -> str:
        """Id of the present tree (ignored files left out)."""
        ...

    def restore(self, tree: str) -> None:
        """Bring the files back to a snapshot; files it does not have go, ignored ones stay."""
        ...


class Sandbox(Protocol):
    """A place where commands run. Context-managed; nothing survives `close`.

    Raises:
        SandboxError: from any method, when the sandbox could not be started or has died.
    """

    @property
    def name(self) -> str:
        """The backend: docker, podman, bubblewrap, local."""
        ...

    @property
    def root(self) -> str:
        """Absolute path of the workspace inside."""
        ...

    @property
    def not_limited(self) -> tuple[str, ...]:
        """Limits of the SandboxSpec that this backend cannot enforce here, by name."""
        ...

    def exec(self, command: str, *, timeout: float = 60.0) -> CommandResult:
        """Run a bash command in a new shell, at `root`, with a time limit in seconds.

        A command that exceeds it is killed with its whole process group (exit code 124).
        Neither directory nor variables persist from one command to the next.
        """
        ...

    def read(self, path: str) -> bytes:
        """Bytes of a file inside; relative paths start at `root`.

        Raises:
            FileNotFoundError: there is no such regular file.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file inside, with its parent directories."""
        ...

    def diff(self) -> str:
        """The workspace against its base, as a git diff, computed by the host."""
        ...

    def snapshot(self) -> str:
        """The workspace's present tree, as an id for `restore` (ignored files left out)."""
        ...

    def restore(self, tree: str) -> None:
        """Bring the workspace back to a snapshot."""
        ...

    def close(self) -> None:
        """End it, with everything that runs inside. Idempotent; never raises."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class TestRunner(Protocol):
    """Runs the project's tests inside a sandbox."""

    def run(
        self, sandbox: Sandbox, tests: Sequence[str] | None = None, *, timeout: float = 600.0
    ) -> TestReport:
        """Run the given test ids or files, or the whole suite when None."""
        ...

    def command(self, tests: Sequence[str] | None = None) -> str:
        """The command a person or a model would type for the same."""
        ...


class Model(Protocol):
    """A chat model."""

    @property
    def name(self) -> str:
        """The model's name, as configured."""
        ...

    @property
    def calls_tools(self) -> bool:
        """Whether tool calls are used; otherwise actions are written as text."""
        ...

    def query(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Ask.

        Raises:
            ModelError: it cannot be reached, refuses, or retries ran out.
        """
        ...


class Recaller(Protocol):
    """The reading side of memory."""

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Records that may help, best first; empty when nothing is near enough."""
        ...


class Recorder(Protocol):
    """Where a solver's actions are logged; see core.events for the one that writes files."""

    def emit(self, kind: str, **data: object) -> object:
        """Append one event, flushed before this returns."""
        ...


@dataclass(frozen=True)
class Assignment:
    """Everything a solver gets for one round.

    Attributes:
        task: what to fix. Hidden tests of a benchmark are never in it.
        sandbox: where to work; its tree starts at base, or at the best attempt so far.
        tests: how to run the project's tests there.
        recalled: what memory found at the start.
        memory: for asking again, mid-run.
        log: for events of the solver's own.
        round: 1, 2, …
        feedback: what the verifier found in earlier rounds, oldest first.
        before: report of the failing tests at base, if there are any.
        progress: called with one line, for people.
    """

    task: Task
    sandbox: Sandbox
    tests: TestRunner
    recalled: tuple[Recalled, ...]
    memory: Recaller
    log: Recorder
    round: int = 1
    feedback: tuple[Diagnosis, ...] = ()
    before: TestReport | None = None
    progress: Callable[[str], None] = field(default=lambda _: None)


class Solver(Protocol):
    """The agent (a model drives) or repair (search drives)."""

    @property
    def name(self) -> str:
        """Agent or repair, with the model's name where there is one."""
        ...

    def solve(self, assignment: Assignment) -> Candidate:
        """Work in the sandbox until done; hand over what is there.

        Raises:
            ModelError: the model cannot be used at all.
            InfrastructureError: the sandbox died.
        """
        ...


class Verifier(Protocol):
    """Judges a patch in a fresh sandbox made from base and the patch only."""

    def verify(self, task: Task, patch: str, frozen_test: FrozenTest | None = None) -> Verdict:
        """Run it. Infrastructure trouble is a verdict of that grade, not an exception."""
        ...
