"""An issue against a commit's sources: which of its terms stand where, and scores of chunks.

The recipe is that of classic bug localisation by retrieval: fields (Saha et al., Improving Bug
Localization using Structured Information Retrieval, ASE 2013), and chunks instead of files (Wong
et al., Boosting Bug-Report-Oriented Fault Localization with Segmentation and Stack-Trace
Analysis, ICSME 2014).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evo_agent.memory.code.bm25 import Matches, Table, information, matches, scored, table
from evo_agent.memory.code.corpus import Corpus, summed
from evo_agent.memory.code.lexemes import Field, exact, hashes
from evo_agent.memory.code.question import Question

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats, Ints

_CHUNK_TITLE = 3.0  # of a title's term in the query to chunks, beside 1 + log of its count


@dataclass(frozen=True)
class Evidence:
    """Terms of a question in a corpus; arrays are of length files or chunks."""

    corpus: Corpus
    question: Question

    @cached_property
    def found(self) -> Matches:
        """Entries of the question's terms and names."""
        q = self.question
        names = {exact(name) for name in (*q.names, *q.title_names)}
        names |= {exact(part) for dotted in q.dotted for part in dotted.split(".")}
        return matches(self.corpus, frozenset({*q.whole, *names}))

    @cached_property
    def paths(self) -> Table:
        """Asked terms in the files' paths."""
        import numpy as np

        place = {int(term): row for row, term in enumerate(self.found.asked)}
        rows: list[int] = []
        files: list[int] = []
        for file, path in enumerate(self.corpus.paths):
            for term in set(path_terms(path)):
                if term in place:
                    rows.append(place[term])
                    files.append(file)
        return Table(np.array(rows, int), np.array(files, int), np.ones(len(rows)))

    def weights(self, query: Mapping[int, float]) -> "Floats":
        """A query's weights in the order of the asked terms."""
        import numpy as np

        return np.array([query.get(int(t), 0.0) for t in self.found.asked], float)

    @cached_property
    def by_file(self) -> Table:
        """Plain counts of terms by file."""
        m = self.found
        text = m.is_text
        return table(m.row[text], m.file[text], m.count[text], self.corpus.size)

    @cached_property
    def idf(self) -> "Floats":
        """Information of each asked term among files."""
        return information(self.by_file.present(len(self.found.asked)), self.corpus.size)

    @cached_property
    def file_length(self) -> "Floats":
        """Words of each file."""
        c = self.corpus
        text = c.field <= Field.STRING
        return summed(c.entry_file[text], c.count[text], c.size)

    @cached_property
    def chunk_length(self) -> "Floats":
        """Words of each chunk."""
        c = self.corpus
        text = c.field <= Field.STRING
        return summed(c.chunk[text], c.count[text], len(c.chunk_file))

    @cached_property
    def chunk_scores(self) -> "Floats":
        """BM25 of each chunk with its file's path, the title counted more."""
        import numpy as np

        q = self.question
        query = {
            term: 1 + np.log(count) + _CHUNK_TITLE * q.title.get(term, 0)
            for term, count in q.whole.items()
        }
        return self._chunks_for(query)

    @cached_property
    def chunk_title(self) -> "Floats":
        """The same for the title alone."""
        return self._chunks_for(dict.fromkeys(self.question.title, 1.0))

    def _chunks_for(self, query: Mapping[int, float]) -> "Floats":
        counts, idf = self._chunk_counts
        return scored(counts, self.weights(query) * idf, self.chunk_length)

    @cached_property
    def _chunk_counts(self) -> "tuple[Table, Floats]":
        import numpy as np

        m = self.found
        text = (m.field <= Field.NAME) | (m.field == Field.SCOPE)
        p = self.paths
        sizes = np.bincount(self.corpus.chunk_file, minlength=self.corpus.size)
        repeats = sizes[p.document]
        row = np.concatenate([m.row[text], np.repeat(p.row, repeats)])
        starts = np.repeat(self.corpus.first_chunk[p.document], repeats)
        ends = np.cumsum(repeats)
        offset = np.arange(len(starts)) - np.repeat(ends - repeats, repeats)
        chunk = np.concatenate([m.chunk[text], starts + offset])
        value = np.concatenate([m.count[text], np.ones(len(starts))])
        counts = table(row, chunk, value, len(self.corpus.chunk_file))
        return counts, information(counts.present(len(m.asked)), len(self.corpus.chunk_file))

    def named(
        self, query: Mapping[int, float], field: Field, owner: "Ints", owners: int
    ) -> "Floats":
        """Information of the query's terms that stand in a field, by file or by chunk."""
        m = self.found
        chosen = m.field == field
        held = table(m.row[chosen], m.file[chosen], m.count[chosen], self.corpus.size)
        worth = information(held.present(len(m.asked)), self.corpus.size)
        asked = (self.weights(query) > 0) * worth
        own = table(m.row[chosen], owner[m.entry[chosen]], m.count[chosen], owners)
        return summed(own.document, asked[own.row], owners)

    def best(self, score: "Floats", most: int) -> "Floats":
        """Sum of the highest scores of each file's chunks."""
        import numpy as np

        owner = self.corpus.chunk_file
        order = np.lexsort((-score, owner))
        rank = np.arange(len(order)) - self.corpus.first_chunk[owner[order]]
        kept = order[rank < most]
        return summed(owner[kept], score[kept], self.corpus.size)


def path_terms(path: str) -> list[int]:
    """Terms of a path's parts, the suffix left out."""
    parts = PurePosixPath(path).with_suffix("").parts
    return [term for part in parts for word in part.split("-") for term in hashes(word)]
