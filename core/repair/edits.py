"""What a candidate fix is: exact byte ranges of files, and the text that replaces them.

Edits keep everything they do not name: comments, formatting, line endings.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace bytes `start` to `end` (exclusive) of a file by `text`.

    Attributes:
        path: relative to the workspace's root, with forward slashes.
        start: byte offset in the file as it was before any edit.
        end: byte offset; equal to `start` for an insertion.
        text: the replacement, written as UTF-8.
    """

    path: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One candidate fix.

    Attributes:
        operator: stable name of the operator that made it, such as "swap-arguments".
        edits: never overlapping.
        path: the file.
        line: 1-based line of the node that was changed, at base.
        function: dotted name of the function it stands in; empty at module level.
        prior: how often such an edit is right, relative to other operators.
        weight: the same, relative to other proposals of the operator.
        deletes: whether it takes behaviour away (a statement, a branch).
        suspiciousness: of the line; set by the search.
        rank: place of the line in the localisation, from 1; set by the search.
        boost: factor from recalled records; set by the search.
        sources: ids of the recalled records that gave the boost.
    """

    operator: str
    edits: tuple[Edit, ...]
    path: str
    line: int
    function: str = ""
    prior: float = 0.5
    weight: float = 1.0
    deletes: bool = False
    suspiciousness: float = 0.0
    rank: int = 0
    boost: float = 1.0
    sources: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """Suspiciousness x operator prior x recall prior."""
        return self.suspiciousness * self.prior * self.weight * self.boost

    @property
    def key(self) -> str:
        """The same for two mutants with the same edits."""
        parts = [f"{e.path}\0{e.start}\0{e.end}\0{e.text}" for e in self.edits]
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        """Bytes taken away plus bytes put in."""
        return sum(e.end - e.start + len(e.text.encode()) for e in self.edits)

    def placed(self, suspiciousness: float, rank: int) -> "Mutant":
        """The same, with what localisation knows about its line."""
        return replace(self, suspiciousness=suspiciousness, rank=rank)


def apply_edits(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Apply edits of one file to its content at base.

    Raises:
        ValueError: two edits overlap, or one lies outside the content.
    """
    limit = len(data)
    for edit in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        if not 0 <= edit.start <= edit.end <= limit:
            raise ValueError(f"overlapping or misplaced edit in {edit.path}")
        data = data[: edit.start] + edit.text.encode() + data[edit.end :]
        limit = edit.start
    return data
