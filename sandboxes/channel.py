"""Channels (see shell.Channel): bytes to and from a driver, over pipes or an engine's socket."""

import contextlib
import os
import selectors
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod

from evo_agent.sandboxes.process import end
from evo_agent.sandboxes.shell import ChannelClosedError

_CHUNK = 1 << 16
_COMPLAINT = 4096  # bytes of stderr kept for an error's cause
_PATIENCE = 1.0  # seconds a driver has to end after its stdin
_STALL = 15.0  # seconds the other side may take nothing before it counts as dead


class _Duplex(ABC):
    """Sends and receives without ever waiting for one while the other is due.

    A driver may be blocked on its output while a long request is sent to it, so what arrives
    meanwhile is read and kept.
    """

    def __init__(self, reader: int, writer: int) -> None:
        self._readable = selectors.DefaultSelector()
        self._readable.register(reader, selectors.EVENT_READ)
        self._either = selectors.DefaultSelector()
        if reader == writer:
            self._either.register(reader, selectors.EVENT_READ | selectors.EVENT_WRITE)
        else:
            self._either.register(reader, selectors.EVENT_READ)
            self._either.register(writer, selectors.EVENT_WRITE)
        self._early = bytearray()

    @abstractmethod
    def _read(self) -> bytes:
        """Some bytes of output; empty when there were only others (stderr, half a frame)."""

    @abstractmethod
    def _write(self, data: memoryview) -> int:
        """Hand over some bytes; how many."""

    def send(self, data: bytes) -> None:
        """See shell.Channel."""
        rest, deadline = memoryview(data), time.monotonic() + _STALL
        try:
            while rest:
                events = 0
                for _, mask in self._either.select(1.0):
                    events |= mask
                if events & selectors.EVENT_READ:
                    self._early += self._read()
                if events & selectors.EVENT_WRITE:
                    rest = rest[self._write(rest[:_CHUNK]) :]
                    deadline = time.monotonic() + _STALL
                if time.monotonic() > deadline:
                    raise ChannelClosedError("nothing is taken any more")
        except (OSError, ValueError) as error:
            raise ChannelClosedError(str(error)) from error

    def receive(self, timeout: float) -> bytes:
        """See shell.Channel."""
        if self._early:
            data = bytes(self._early)
            self._early.clear()
            return data
        try:
            return self._read() if self._readable.select(timeout) else b""
        except (OSError, ValueError) as error:
            raise ChannelClosedError(str(error)) from error

    def _end(self) -> None:
        self._readable.close()
        self._either.close()


class PipeChannel(_Duplex):
    """Over the pipes of a process made by process.spawn."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._pipes = (process.stdin, process.stdout, process.stderr)
        self._in, self._out, self._err = (pipe.fileno() for pipe in self._pipes)
        os.set_blocking(self._in, False)
        super().__init__(self._out, self._in)
        self._closed = False
        self._complaint = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def close(self) -> None:
        """Close stdin, which ends a driver and so its sandbox; kill what does not end."""
        if self._closed:
            return
        self._closed = True
        self._end()
        self._pipes[0].close()
        end(self._process, _PATIENCE)
        self._listener.join()
        for pipe in self._pipes[1:]:
            pipe.close()

    @property
    def complaint(self) -> str:
        """See shell.Channel; waits a moment for a process that has just ended."""
        self._listener.join(0.5)
        return self._complaint.decode("utf-8", "replace").strip()

    def _listen(self) -> None:
        while data := os.read(self._err, _CHUNK):
            self._complaint = (self._complaint + data)[-_COMPLAINT:]

    def _read(self) -> bytes:
        data = os.read(self._out, _CHUNK)
        if not data:
            raise ChannelClosedError("end of file")
        return data

    def _write(self, data: memoryview) -> int:
        return os.write(self._in, data[:4096])  # at most PIPE_BUF, which never blocks when ready


class FrameChannel(_Duplex):
    """Over an engine's attach socket, whose output comes in frames.

    A frame is one byte of stream (1 stdout, 2 stderr), three of nothing, four of length
    (big-endian), then the bytes; it arrives split anywhere.
    Source: Docker Engine API, "Attach to a container", stream format.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        super().__init__(connection.fileno(), connection.fileno())
        self._header = b""
        self._left = 0
        self._stream = 1
        self._complaint = b""

    def close(self) -> None:
        """Close the socket; the container's stdin ends with it."""
        self._end()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    @property
    def complaint(self) -> str:
        """See shell.Channel."""
        return self._complaint.decode("utf-8", "replace").strip()

    def _read(self) -> bytes:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ChannelClosedError("end of file")
        return self._unframe(data)

    def _write(self, data: memoryview) -> int:
        return self._socket.send(data)

    def _unframe(self, data: bytes) -> bytes:
        output = bytearray()
        while data:
            if not self._left:
                need = 8 - len(self._header)
                self._header, data = self._header + data[:need], data[need:]
                if len(self._header) == 8:  # noqa: PLR2004 (the header's length)
                    self._stream = self._header[0]
                    self._left = int.from_bytes(self._header[4:], "big")
                    self._header = b""
                continue
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            if self._stream == 1:
                output += piece
            else:
                self._complaint = (self._complaint + piece)[-_COMPLAINT:]
        return bytes(output)
