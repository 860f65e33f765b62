"""A sandbox, tests, a memory and a model that write down what they do, and answer from the log when resuming.

Solvers see only these, so that nothing a solver learns escapes the log.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from evo_agent.core.chat import Message, Reply, ToolSpec
from evo_agent.core.codec import from_json
from evo_agent.core.errors import EvoError, PatchRefusedError
from evo_agent.core.events import RunLog, digest
from evo_agent.core.protocols import Model, Recaller, Sandbox, TestRunner
from evo_agent.core.types import CommandResult, Query, Recalled, TestReport, to_json

_INLINE_BYTES = 4096  # files read or written beyond this are kept as blobs, not in the log


class RecordedSandbox:
    """Wraps a sandbox; every call is logged, every command with the tree it left behind.

    When a run is resumed, answered calls touch nothing; before the first call that is really
    performed, the tree of the last checkpoint is restored, and the files that were written
    outside it (a solver's instruments in /tmp) are written again. What commands left outside
    the tree is gone with the sandbox that died.

    Args:
        sandbox: the real one.
        log: the run's log.
        base: tree to start from when no checkpoint was reached.
    """

    def __init__(self, sandbox: Sandbox, log: RunLog, *, base: str = "") -> None:
        self._sandbox = sandbox
        self._log = log
        self._tree = base
        self._live = not log.replaying
        self._outside: dict[str, bytes] = {}

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._sandbox.name

    @property
    def root(self) -> str:
        """Where the workspace is, inside."""
        return self._sandbox.root

    @property
    def not_limited(self) -> tuple[str, ...]:
        """See core.protocols.Sandbox."""
        return self._sandbox.not_limited

    def exec(self, command: str, *, timeout: float = 60.0) -> CommandResult:
        """Run a command; the event holds its result and the tree after it.

        The time allowed is no part of what identifies it: what is left of a budget differs
        when a run is resumed.
        """

        def perform() -> dict[str, Any]:
            result = self._real().exec(command, timeout=timeout)
            return {**to_json(result), "tree": self._checkpoint()}

        value = self._log.call("command", {"command": command}, perform, _same, dict)
        self._tree = str(value.pop("tree")) or self._tree
        value["full_output"] = Path(value["full_output"]) if value["full_output"] else None
        return CommandResult(**value)

    def read(self, path: str) -> bytes:
        """Read a file; that it cannot be read is an answer too, and logged as such."""
        value = self._answer("read", {"path": path}, lambda: self._pack(self._real().read(path)))
        return self._unpack(value)

    def write(self, path: str, data: bytes) -> None:
        """Write a file; the event names its content by hash and holds the tree after it."""

        def perform() -> str:
            self._real().write(path, data)
            return self._checkpoint()

        outside = path.startswith("/") and not path.startswith(f"{self.root}/")
        if outside and not self._live:
            self._outside[path] = data
        request: dict[str, object] = {"path": path, "content": self._pack(data)}
        self._tree = self._answer("write", request, perform) or self._tree

    def diff(self) -> str:
        """The workspace against its base."""
        return self._answer("diff", {}, lambda: self._real().diff())

    def snapshot(self) -> str:
        """Id of the present tree."""
        return self._log.call("snapshot", {}, lambda: self._real().snapshot(), str, str)

    def restore(self, tree: str) -> None:
        """Go back to a snapshot."""

        def perform() -> str:
            self._real().restore(tree)
            return tree

        self._tree = self._log.call("restore", {"tree": tree}, perform, _same, str)

    def close(self) -> None:
        """End the real sandbox."""
        self._sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run_tests(
        self, runner: TestRunner, tests: Sequence[str] | None, timeout: float
    ) -> TestReport:
        """Run tests as one call of the log, whatever commands the runner makes of it."""

        def perform() -> dict[str, Any]:
            report = runner.run(self._real(), tests, timeout=timeout)
            return {"report": to_json(report), "tree": self._checkpoint()}

        request = {"tests": list(tests) if tests else None}
        value = self._log.call("tests", request, perform, _same, dict)
        self._tree = value["tree"] or self._tree
        return from_json(TestReport, value["report"])

    def _answer(self, kind: str, request: Mapping[str, object], perform: Callable[[], str]) -> str:
        """A call whose expected failures are answers: they must not differ when resumed."""

        def outcome() -> dict[str, str]:
            try:
                return {"value": perform()}
            except FileNotFoundError as error:
                return {"missing": str(error)}
            except OSError as error:
                return {"failed": str(error)}
            except PatchRefusedError as error:
                return {"refused": error.cause, "remedy": error.remedy}

        found = self._log.call(kind, request, outcome, _same, dict)
        if "missing" in found:
            raise FileNotFoundError(found["missing"])
        if "failed" in found:
            raise OSError(found["failed"])
        if "refused" in found:
            raise PatchRefusedError(found["refused"], found["remedy"])
        return str(found["value"])

    def _real(self) -> Sandbox:
        if not self._live:
            self._live = True
            if self._tree:
                self._sandbox.restore(self._tree)
            for path, data in self._outside.items():
                self._sandbox.write(path, data)
        return self._sandbox

    def _checkpoint(self) -> str:
        """Tree after a command; a tree that cannot be taken costs the checkpoint, not the run."""
        try:
            return self._sandbox.snapshot()
        except EvoError as error:
            self._log.emit("progress", text=f"no checkpoint: {error.cause}")
            return ""

    def _pack(self, data: bytes) -> str:
        if len(data) > _INLINE_BYTES:
            return f"blob:{self._log.blob(data)}"
        return "base64:" + base64.b64encode(data).decode("ascii")

    def _unpack(self, packed: str) -> bytes:
        form, _, rest = packed.partition(":")
        if form == "blob":
            return (self._log.folder / "blobs" / rest).read_bytes()
        return base64.b64decode(rest)


class RecordedTests:
    """A test runner whose runs in a recorded sandbox are one call each in the log.

    A runner's own commands hold random paths, which a resumed run would not repeat.
    """

    def __init__(self, runner: TestRunner) -> None:
        self._runner = runner

    def run(
        self, sandbox: Sandbox, tests: Sequence[str] | None = None, *, timeout: float = 600.0
    ) -> TestReport:
        """Run tests; see core.protocols.TestRunner."""
        if isinstance(sandbox, RecordedSandbox):
            return sandbox.run_tests(self._runner, tests, timeout)
        return self._runner.run(sandbox, tests, timeout=timeout)

    def command(self, tests: Sequence[str] | None = None) -> str:
        """The command a person would type."""
        return self._runner.command(tests)


class RecordedMemory:
    """The reading side of memory, its questions and answers (ids, scores, texts) in the log.

    Args:
        memory: the real one.
        log: the run's log.
        identity: of the repository; put into questions that name none.
    """

    def __init__(self, memory: Recaller, log: RunLog, identity: str) -> None:
        self._memory = memory
        self._log = log
        self._identity = identity

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Ask, or answer from the log."""
        asked = replace(query, repo=query.repo or self._identity)
        return self._log.call(
            "recall",
            {"query": to_json(asked)},
            lambda: self._memory.recall(asked),
            lambda records: [to_json(record) for record in records],
            lambda raw: tuple(from_json(Recalled, record) for record in raw),
        )


class RecordedModel:
    """Wraps a model; every query is logged with the messages that are new since the last."""

    def __init__(self, model: Model, log: RunLog) -> None:
        self._model = model
        self._log = log
        self._seen = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model.name

    @property
    def calls_tools(self) -> bool:
        """Whether tool calls are used."""
        return self._model.calls_tools

    def query(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """Ask, or answer from the log."""
        if len(messages) < self._seen:  # a new conversation: the next round's
            self._seen = 0
        request = {
            "model": self._model.name,
            "prompt": digest([list(messages), list(tools)]),
            "messages": [to_json(m) for m in messages[self._seen :]],
        }
        self._seen = len(messages)
        return self._log.call(
            "model", request, lambda: self._model.query(messages, tools), _packed, _reply
        )


def _same(value: Any) -> Any:
    return value


def _packed(reply: Reply) -> Any:
    return to_json(reply)


def _reply(raw: dict[str, Any]) -> Reply:
    return from_json(Reply, raw)
