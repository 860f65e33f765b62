"""What speaks for each file of a commit: one array per feature, by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evo_agent.memory.code.bm25 import Table, information, scored, table
from evo_agent.memory.code.corpus import summed
from evo_agent.memory.code.evidence import Evidence
from evo_agent.memory.code.lexemes import Field
from evo_agent.memory.code.mentions import Mentions

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats

# BM25F's weights of fields, and the query's of its parts: a probe's, not fitted.
_FIELD_WEIGHTS = {Field.CODE: 1.0, Field.DOC: 0.5, Field.STRING: 0.5, Field.NAME: 3.0}
_PATH_WEIGHT = 4.0
_TITLE_WEIGHT = 2.0
_LEAD_WEIGHT = 0.7
_TOP_CHUNKS = 3  # definitions of a file that count
_RARE = 5  # files that hold a rare term, at most


@dataclass(frozen=True)
class FileFeatures:
    """The features of files; each method is one, an array of length files."""

    evidence: Evidence
    mentions: Mentions

    def bm25(self) -> "Floats":
        """Whole text against whole file."""
        return scored(
            self.evidence.by_file,
            self.evidence.weights(self.evidence.question.whole) * self.evidence.idf,
            self.evidence.file_length,
        )

    def bm25f(self) -> "Floats":
        """Title and lead against the fields."""
        q = self.evidence.question
        query: dict[int, float] = {}
        for term, count in q.title.items():
            query[term] = _TITLE_WEIGHT * count
        for term, count in q.lead.items():
            query[term] = query.get(term, 0.0) + _LEAD_WEIGHT * count
        return scored(
            self._fielded,
            self.evidence.weights(query) * self.evidence.idf,
            self.evidence.file_length,
        )

    def title(self) -> "Floats":
        """The title alone against the fields."""
        weight = self.evidence.weights(dict.fromkeys(self.evidence.question.title, 1.0))
        return scored(self._fielded, weight * self.evidence.idf, self.evidence.file_length)

    @cached_property
    def _fielded(self) -> Table:
        import numpy as np

        m = self.evidence.found
        by_field = np.zeros(len(Field))
        for field, weight in _FIELD_WEIGHTS.items():
            by_field[field] = weight
        value = m.count * by_field[m.field]
        kept = value > 0
        row = np.concatenate([m.row[kept], self.evidence.paths.row])
        file = np.concatenate([m.file[kept], self.evidence.paths.document])
        value = np.concatenate([value[kept], self.evidence.paths.count * _PATH_WEIGHT])
        return table(row, file, value, self.evidence.corpus.size)

    def best_chunk(self) -> "Floats":
        """The best chunk of each file."""
        return self.evidence.best(self.evidence.chunk_scores, 1)

    def title_chunk(self) -> "Floats":
        """The chunk nearest to the title."""
        return self.evidence.best(self.evidence.chunk_title, 1)

    def names(self) -> "Floats":
        """The title's terms among names of definitions, by information."""
        return self._named(self.evidence.question.title, Field.NAME)

    def rare(self) -> "Floats":
        """Terms of the text that few files hold."""
        held = self.evidence.by_file
        few = held.present(len(self.evidence.found.asked)) <= _RARE
        weight = few * (self.evidence.weights(self.evidence.question.whole) > 0) * self.evidence.idf
        return summed(held.document, weight[held.row], self.evidence.corpus.size)

    def folder(self) -> "Floats":
        """BM25F of all files of the folder, over the root of how many they are."""
        import numpy as np

        known: dict[str, int] = {}
        own = [
            known.setdefault(str(PurePosixPath(p).parent), len(known))
            for p in self.evidence.corpus.paths
        ]
        folders = np.array(own, int)
        score = self.bm25f()
        total = summed(folders, score, len(known))
        members = np.bincount(folders, minlength=len(known))
        mean: Floats = total / np.sqrt(members)
        spread: Floats = mean[folders]
        return spread

    def path(self) -> "Floats":
        """Parts of the path that the text says, rare ones more; modules that it names, most."""
        weight = (self.evidence.weights(self.evidence.question.whole) > 0).astype(float)
        worth = information(
            self.evidence.paths.present(len(self.evidence.found.asked)), self.evidence.corpus.size
        )
        said = summed(
            self.evidence.paths.document,
            (weight * worth)[self.evidence.paths.row],
            self.evidence.corpus.size,
        )
        return said + 0.0

    def defined(self) -> "Floats":
        """Identifiers of the issue's code that a file defines, by how few define them."""
        return self.evidence.best(self.mentions.chunk_defined, _TOP_CHUNKS)

    def _named(self, query: Mapping[int, float], field: Field) -> "Floats":
        corpus = self.evidence.corpus
        return self.evidence.named(query, field, corpus.entry_file, corpus.size)

    def frames(self) -> "Floats":
        """Files of traceback frames, the last most."""
        return self.mentions.frames()

    def last_frame(self) -> "Floats":
        """The file of the last traceback frame that lies in the repository."""
        return self.mentions.last_frame()

    def exact_path(self) -> "Floats":
        """Files that the text names."""
        return self.mentions.exact_path()

    def module(self) -> "Floats":
        """Modules that the text names."""
        return self.mentions.module()
