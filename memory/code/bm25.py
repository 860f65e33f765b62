"""BM25 and BM25F over a corpus's arrays.

Robertson, Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond (2009).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evo_agent.memory.code.corpus import Corpus, summed
from evo_agent.memory.code.lexemes import Field

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Bools, Floats, Ints

K1 = 1.2  # the saturation that Robertson and Zaragoza give as usual
B = 0.75  # likewise


@dataclass(frozen=True)
class Matches:
    """The corpus's entries whose terms a query asks for.

    Attributes:
        asked: the query's terms, ascending.
        row: of each entry, its term's place in `asked`.
        entry: its number in the corpus.
    """

    corpus: Corpus
    asked: "Ints"
    row: "Ints"
    entry: "Ints"

    def weights(self, query: Mapping[int, float]) -> "Floats":
        """The query's weight of each term of `asked`."""
        import numpy as np

        return np.array([query.get(int(term), 0.0) for term in self.asked], np.float64)

    @cached_property
    def file(self) -> "Ints":
        """File of each entry."""
        return self.corpus.entry_file[self.entry]

    @cached_property
    def chunk(self) -> "Ints":
        """Chunk of each entry."""
        return self.corpus.chunk[self.entry]

    @cached_property
    def field(self) -> "Ints":
        """Field of each entry."""
        return self.corpus.field[self.entry].astype(int)

    @cached_property
    def count(self) -> "Floats":
        """Count of each entry."""
        return self.corpus.count[self.entry].astype(float)

    @cached_property
    def is_text(self) -> "Bools":
        """Whether each entry is of the text, and not of a name."""
        return self.field <= Field.STRING


@dataclass(frozen=True)
class Table:
    """Counts of asked terms in documents, where they are not 0."""

    row: "Ints"  # place of the term in Matches.asked
    document: "Ints"
    count: "Floats"

    def present(self, terms: int) -> "Floats":
        """In how many documents each term stands."""
        import numpy as np

        return np.bincount(self.row, minlength=terms).astype(float)


def table(row: "Ints", document: "Ints", value: "Floats", documents: int) -> Table:
    """Add up what belongs to the same term and document."""
    import numpy as np

    keys, inverse = np.unique(row * documents + document, return_inverse=True)
    return Table(keys // documents, keys % documents, summed(inverse, value, len(keys)))


def scored(counts: Table, weight: "Floats", length: "Floats") -> "Floats":
    """BM25 of each document.

    Args:
        counts: (weighted) counts.
        weight: the query's, of each asked term, inverse document frequency included.
        length: of each document, in words.
    """
    mean = length.mean() if len(length) else 1.0
    norm = 1 - B + B * length / (mean or 1.0)
    tamed = counts.count / norm[counts.document]
    score = weight[counts.row] * tamed / (tamed + K1) * (K1 + 1)
    return summed(counts.document, score, len(length))


def information(present: "Floats", documents: int) -> "Floats":
    """Inverse document frequency of terms, from the number of documents that hold each."""
    import numpy as np

    found: Floats = np.log(1 + (documents - present + 0.5) / (present + 0.5))
    return found


def matches(corpus: Corpus, asked: "frozenset[int]") -> Matches:
    """Find the entries of terms."""
    import numpy as np

    ordered = np.array(sorted(asked), np.uint32)
    likely = np.zeros(1 << 16, bool)
    likely[ordered & 0xFFFF] = True
    entry = np.flatnonzero(likely[corpus.term & 0xFFFF])  # few are left for the exact search
    row = np.searchsorted(ordered, corpus.term[entry])
    row[row == len(ordered)] = 0
    exact = ordered[row] == corpus.term[entry] if len(ordered) else np.zeros(0, bool)
    return Matches(corpus, ordered.astype(np.int64), row[exact], entry[exact])
