"""The host's side of the persistent shell: one protocol over a pipe or an engine's socket.

driver.sh, beside this file, is the other side and describes the protocol. Starting a program
in a running sandbox costs tens of milliseconds through an engine; a shell that is already
there starts a command in about two.
"""

import contextlib
import re
import secrets
import time
from functools import cache
from pathlib import Path
from typing import Protocol

GRACE = 3.0  # seconds the driver has to answer a kill, before it is given up
_LONG = 4096  # bytes of a command that the driver does not read byte by byte
TIMED_OUT = 124  # as timeout(1) has it
KILLED = 137  # 128 + SIGKILL


class Channel(Protocol):
    """Bytes to and from the driver."""

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        ...

    def receive(self, timeout: float) -> bytes:
        """The next bytes; empty when none came within `timeout` seconds.

        Raises:
            ChannelClosedError: the other side is gone.
        """
        ...

    def close(self) -> None:
        """End it. Idempotent; never raises."""
        ...

    @property
    def complaint(self) -> str:
        """What the other side last wrote to stderr."""
        ...


class Sink(Protocol):
    """Where output goes."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        ...


class ChannelClosedError(Exception):
    """The driver, its sandbox or its engine is gone. Never leaves this room."""


@cache
def _script() -> str:
    return Path(__file__).with_name("driver.sh").read_text("utf-8")


def driver(
    processes: int, *, limit_processes: bool = False, data_kb: int | None = None
) -> list[str]:
    """The argument vector that starts the driver inside a sandbox.

    Args:
        processes: most processes that the sandbox may have.
        limit_processes: whether the driver sets that limit (RLIMIT_NPROC), for want of a cgroup.
        data_kb: RLIMIT_DATA of each process, KiB; None where a cgroup limits memory.
    """
    namespace = ""
    with contextlib.suppress(OSError):  # no /proc: not Linux, the engine runs in a VM
        namespace = str(Path("/proc/self/ns/pid").readlink())
    limits = [str(processes), str(processes) if limit_processes else "", str(data_kb or "")]
    return ["bash", "--norc", "--noprofile", "-c", _script(), "evo", namespace, *limits]


class Shell:
    """Runs commands over a channel, one at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._alone = False  # whether the last command left no process behind

    def run(
        self, command: str, timeout: float, sink: Sink, payload: bytes | None = None
    ) -> tuple[int, bool]:
        """Run a command; give its status and whether it was killed for time.

        Args:
            command: for bash. It may not hold NUL, as no program's argument may.
            timeout: seconds.
            sink: gets the output, stdout and stderr interleaved.
            payload: the command's stdin; None for /dev/null.

        Raises:
            ChannelClosedError: the shell died, or would not answer a kill.
            ValueError: the command holds NUL.
        """
        if "\0" in command:
            raise ValueError("a command cannot hold a NUL byte")
        nonce = secrets.token_hex(16)
        deadline = time.monotonic() + timeout
        killing = False
        answer = _Answer(self._channel, nonce, sink, begun=self._request(nonce, command, payload))
        for status in answer:
            if status is not None:
                self._alone = answer.alone
                return status, killing and status == TIMED_OUT
            if time.monotonic() < deadline:
                continue
            if killing:
                raise ChannelClosedError("the shell did not answer")
            self._channel.send(f"kill\0{nonce}\0".encode())
            killing, deadline = True, time.monotonic() + GRACE
        raise AssertionError("unreachable: an answer ends by returning or raising")

    def _request(self, nonce: str, command: str, payload: bytes | None) -> bool:
        """Send it; whether the answer comes without a beginning of its own."""
        text, name = command.encode("utf-8", "surrogateescape"), nonce.encode()
        alone = self._alone and payload is None and len(text) <= _LONG
        if payload is not None:
            request = b"put\0%s\0%d\0%s\0%s" % (name, len(payload), text, payload)
        elif len(text) > _LONG:
            request = b"long\0%s\0%d\0%s" % (name, len(text), text)
        else:
            request = b"%s\0%s\0%s\0" % (b"next" if alone else b"run", name, text)
        self._channel.send(request)
        return alone


class _Answer:
    """Splits a stream into noise before the answer, output, and the status at its end.

    Iterating yields None after each wait of at most 50 ms, and at last the status.
    """

    TICK = 0.05

    def __init__(self, channel: Channel, nonce: str, sink: Sink, *, begun: bool) -> None:
        self.alone = False
        self._channel = channel
        self._sink = sink
        self._begin = f"{nonce}B\n".encode()
        self._end = re.compile(f"{nonce}([EF])(\\d+)\n".encode())
        self._hold = len(nonce) + 6  # an end may be split anywhere: keep this much back
        self._pending = b""
        self._begun = begun

    def __iter__(self) -> "_Answer":
        return self

    def __next__(self) -> int | None:
        self._pending += self._channel.receive(self.TICK)
        if not self._begun:
            _, begin, rest = self._pending.partition(self._begin)
            if not begin:  # a kill is answered even when the command could not begin
                return self._status()
            self._begun, self._pending = True, rest
        status = self._status()
        if status is None and len(self._pending) > self._hold:
            self._sink.feed(self._pending[: -self._hold])
            self._pending = self._pending[-self._hold :]
        return status

    def _status(self) -> int | None:
        end = self._end.search(self._pending)
        if end is None:
            if not self._begun:
                self._pending = self._pending[-self._hold :]
            return None
        if self._begun:
            self._sink.feed(self._pending[: end.start()])
        self.alone = end.group(1) == b"F"
        return int(end.group(2))
