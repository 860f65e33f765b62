"""What recall ranks a record by, hashed once when the record is written.

A record's terms with their weights, the files it touches, the issues and tasks it belongs to: each
is a number (CRC-32 of its spelling), so that an index is made of fifty thousand records without
reading one of them again. Hashes decide about a rank, and towards silence about time: whoever
answers is checked once more by its own fields.
"""

import sys
import zlib
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.document import Document
from evo_agent.memory.journal.records import Record, Trust

# Weights of the columns title, paths, text, diff in BM25: a title says most, doubled to be
# whole numbers.
HALVES = (8, 6, 2, 1)
PROVED, COMMIT, MENDING = 1, 2, 4  # flags
_HEAD = 2  # words of 32 bits: flags, length
_MOST_FILES = 40
_LARGEST = 0xFFFF


def packed(record: Record, doc: Document, columns: Sequence[Sequence[str]]) -> bytes:
    """The features of a record, little-endian: flags, length in terms, hashes, weights.

    Args:
        record: its flags and marks.
        doc: its files.
        columns: terms of title, paths, text and diff.

    Returns:
        uint32 flags, uint32 length, n hashes as uint32 (ascending; marks have weight 0), their
        n weights as uint16, in halves: 8 + 6 n bytes.
    """
    hashed = dict.fromkeys((crc(mark) for mark in marks(record, doc)), 0)
    for halves, terms in zip(HALVES, columns, strict=True):
        for term, count in Counter(terms).items():
            number = crc(term)
            hashed[number] = hashed.get(number, 0) + halves * count
    numbers = sorted(hashed)
    length = sum(map(len, columns))
    head = array("I", (flags(record), length, *numbers))
    tail = array("H", [min(hashed[number], _LARGEST) for number in numbers])
    if sys.byteorder == "big":
        head.byteswap()
        tail.byteswap()
    return head.tobytes() + tail.tobytes()


def flags(record: Record) -> int:
    """What a record is worth beside its text, as bits."""
    body = record.body
    found = PROVED if record.trust in (Trust.VERIFIED, Trust.HUMAN) else 0
    if isinstance(body, Episode) and body.origin == "commit":
        found |= COMMIT | (MENDING if body.intent == "fix" else 0)
    return found


def marks(record: Record, doc: Document) -> Iterator[str]:
    """Spellings of a record's files, tasks and issues; no term is spelt so."""
    for path in doc.paths[:_MOST_FILES]:
        yield whole_path(path)
        yield from (path_end(end) for end in ends(path))
    for task in filter(None, record.body.issue_id.split("\n")):
        yield task_mark(task)
    if isinstance(record.body, Episode):
        yield from (issue_mark(reference) for reference in record.body.references)


def ends(path: str) -> list[str]:
    """A path and its ends: a/b/c gives a/b/c, b/c and c."""
    parts = PurePosixPath(path).parts[-12:]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def whole_path(path: str) -> str:
    """Mark of a record that touches this file."""
    return f"\0f{path}"


def path_end(path: str) -> str:
    """Mark of a record that touches a file whose path ends so."""
    return f"\0e{path}"


def task_mark(task: str) -> str:
    """Mark of a record that belongs to this task."""
    return f"\0t{task}"


def issue_mark(reference: str) -> str:
    """Mark of a record that names an issue by number, whatever repository it says."""
    return f"\0#{issue_number(reference)}"


def issue_number(reference: str) -> str:
    """The number of an issue as it is written: `#12`, `owner/name#12` or `GH-12`."""
    return reference.replace("-", "#").rpartition("#")[2].lstrip("0")


@lru_cache(maxsize=200_000)
def crc(spelling: str) -> int:
    """The number of a term or mark: CRC-32 of its UTF-8."""
    return zlib.crc32(spelling.encode("utf-8", "surrogatepass"))
