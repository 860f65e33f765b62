"""Named arrays in one file, with a checksum, mapped into memory when it is opened.

What is derived from the journal and too large to be made for every process lies in such files.
They are written whole and renamed into their place; nothing is ever changed in one.
"""

import json
import mmap
import os
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"evo arrays 1\n"
_ALIGNED = 64
_BLOCK = 1 << 22
_CHECKSUM = 4


@dataclass(frozen=True, slots=True)
class Arrays:
    """What a file holds: facts about it, as JSON has them, and arrays by name, read-only."""

    about: Mapping[str, Any]
    named: Mapping[str, Any]


def save(path: Path, about: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all; a crash leaves the one that was there.

    Raises:
        OSError: it cannot be written.
    """
    import numpy as np

    contiguous = {name: np.ascontiguousarray(array) for name, array in named.items()}
    layout = {name: [array.dtype.str, list(array.shape)] for name, array in contiguous.items()}
    head = json.dumps({"about": about, "arrays": layout}).encode()
    fresh = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        with fresh.open("xb") as file:
            total = 0
            start = _MAGIC + len(head).to_bytes(8, "little") + head
            for data in (_padded(start), *(_padded(array) for array in contiguous.values())):
                for part in data:
                    total = zlib.crc32(part, total)
                    file.write(part)
            file.write(total.to_bytes(_CHECKSUM, "little"))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def load(path: Path) -> Arrays | None:
    """Open a file and verify every byte of it; None when it is missing, cut or damaged."""
    import numpy as np

    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # mmap refuses an empty file
        return None
    if not _sound(data):
        return None
    begin = len(_MAGIC) + 8
    length = int.from_bytes(data[len(_MAGIC) : begin], "little")
    head = json.loads(bytes(data[begin : begin + length]))
    at = _aligned(begin + length)
    named = {}
    for name, (dtype, shape) in head["arrays"].items():
        count = int(np.prod(shape))
        named[name] = np.frombuffer(data, np.dtype(dtype), count, at).reshape(shape)
        at = _aligned(at + named[name].nbytes)
    return Arrays(head["about"], named)


def _sound(data: memoryview) -> bool:
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _ALIGNED + _CHECKSUM:
        return False
    total = 0
    for start in range(0, len(data) - _CHECKSUM, _BLOCK):
        total = zlib.crc32(data[start : min(start + _BLOCK, len(data) - _CHECKSUM)], total)
    return total == int.from_bytes(data[-_CHECKSUM:], "little")


def _padded(part: Any) -> tuple[Any, bytes]:
    view = memoryview(part).cast("B") if len(part) else memoryview(b"")
    return view, bytes(_aligned(view.nbytes) - view.nbytes)


def _aligned(at: int) -> int:
    return -(-at // _ALIGNED) * _ALIGNED
