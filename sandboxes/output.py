"""What a command prints, kept within a bound: head and tail in memory, the whole in a file."""

import contextlib
import hashlib
import tempfile
from pathlib import Path
from typing import IO

SPOOL_BYTES = 256 * 1024 * 1024  # of one command; `yes` must not fill the host's disk


class Output:
    """Collects bytes as they arrive.

    Args:
        limit: most bytes kept in memory (half of it head, half tail).
        spool: directory for the whole of an output that exceeds `limit`; None keeps none.
    """

    def __init__(self, limit: int, spool: Path | None = None) -> None:
        self._half = max(limit // 2, 1)
        self._spool = spool
        self._head = bytearray()
        self._tail = bytearray()
        self._file: IO[bytes] | None = None
        self._hash = hashlib.sha256()
        self._kept = 0
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        overflows = self.size + len(data) > 2 * self._half
        if overflows and not self.truncated:
            self._open()
            self._write(bytes(self._head + self._tail))
        self.size += len(data)
        if overflows:
            self._write(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    @property
    def truncated(self) -> bool:
        """Whether bytes were left out of `text`."""
        return self.size > 2 * self._half

    def text(self) -> str:
        """Head and tail, decoded, with a line between them that says how much is missing."""
        tail = bytes(self._tail[-self._half :])
        if not self.truncated:
            return bytes(self._head + tail).decode("utf-8", "replace")
        gap = self.size - len(self._head) - len(tail)
        return (
            bytes(self._head).decode("utf-8", "replace")
            + f"\n[... {gap} bytes left out ...]\n"
            + tail.decode("utf-8", "replace")
        )

    def finish(self) -> Path | None:
        """Close the spool file and name it by the hash of what it holds; None without one."""
        if self._file is None:
            return None
        file, self._file = self._file, None
        path = Path(file.name)
        try:
            file.close()
            return path.rename(path.with_name(self._hash.hexdigest()))
        except OSError:
            path.unlink(missing_ok=True)
            return None

    def discard(self) -> None:
        """Remove an unfinished spool file; harmless after `finish`."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            Path(self._file.name).unlink(missing_ok=True)
            self._file = None

    def _open(self) -> None:
        if self._spool is None:
            return
        with contextlib.suppress(OSError):
            self._spool.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (lives until finish)
                dir=self._spool, prefix=".output-", delete=False
            )

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        data = data[: SPOOL_BYTES - self._kept]
        try:
            self._file.write(data)
        except OSError:  # a full disk costs the whole output, not the run: head and tail stay
            self.discard()
            return
        self._hash.update(data)
        self._kept += len(data)


class Everything:
    """Collects bytes without loss, up to a bound that is an error (for reading files)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data = bytearray()
        self.exceeded = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.exceeded = self.exceeded or len(self.data) + len(data) > self._limit
        if not self.exceeded:
            self.data += data
