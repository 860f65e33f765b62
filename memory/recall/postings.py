"""Postings: from a term's hash to the records that hold it, inverted from their features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Array = Any  # numpy's; numpy itself is imported where it is used
_HEAD = 8  # bytes of flags and length
_PER_TERM = 6  # bytes of a hash and its weight


class Heads(NamedTuple):
    """What the features of n records say beside their terms: (n,) uint32 each."""

    flags: Array
    length: Array


@dataclass(frozen=True, slots=True)
class Postings:
    """The inverse of the features of n records.

    Attributes:
        term: (t,) uint32, ascending.
        start: (t + 1,) int64: a term's postings lie from its start to the next one's.
        row: (p,) int32: which record, ascending for a term.
        weight: (p,) uint16, in halves; 0 for a mark.
    """

    term: Array
    start: Array
    row: Array
    weight: Array

    def spans(self, hashes: Array) -> tuple[Array, Array]:
        """Start and end of the postings of some hashes; equal where there are none."""
        import numpy as np

        if not len(self.term):
            nothing = np.zeros(len(hashes), np.int64)
            return nothing, nothing
        at = np.minimum(np.searchsorted(self.term, hashes), len(self.term) - 1)
        start = self.start[at]
        return start, np.where(self.term[at] == hashes, self.start[at + 1], start)

    def named(self) -> dict[str, Array]:
        """The arrays by name, as a file keeps them."""
        return {name: getattr(self, name) for name in ("term", "start", "row", "weight")}


def unpacked(features: Sequence[bytes]) -> tuple[Heads, Array, Array, Array]:
    """Features of n records (features.packed) as arrays: heads, row, hash and weight of each term."""
    import numpy as np

    sizes = np.fromiter(((len(data) - _HEAD) // _PER_TERM for data in features), np.int64)
    ends = [_HEAD + 4 * int(size) for size in sizes]
    heads = np.frombuffer(b"".join(data[:_HEAD] for data in features), "<u4").reshape(-1, 2)
    pairs = list(zip(features, ends, strict=True))
    hashes = np.frombuffer(b"".join(data[_HEAD:end] for data, end in pairs), "<u4")
    weights = np.frombuffer(b"".join(data[end:] for data, end in pairs), "<u2")
    rows = np.repeat(np.arange(len(features), dtype=np.int32), sizes)
    return Heads(heads[:, 0], heads[:, 1]), rows, hashes, weights


def inverted(rows: Array, hashes: Array, weights: Array) -> Postings:
    """Sort the terms of records by hash, and by record inside a hash."""
    import numpy as np

    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    start = np.r_[first, len(ordered)].astype(np.int64)
    return Postings(ordered[first], start, rows[order], weights[order])
