"""What speaks for each function of a commit: one array per feature, by name."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evo_agent.memory.code.evidence import Evidence
from evo_agent.memory.code.lexemes import Field
from evo_agent.memory.code.mentions import Mentions

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats


@dataclass(frozen=True)
class FunctionFeatures:
    """The features of chunks; each method is one, an array of length chunks.

    Args:
        evidence: the question in the corpus.
        mentions: what it names.
        files: score of each file, 0…1.
    """

    evidence: Evidence
    mentions: Mentions
    files: "Floats"

    def file(self) -> "Floats":
        """The file that it stands in."""
        scores: Floats = self.files[self.evidence.corpus.chunk_file]
        return scores

    def text(self) -> "Floats":
        """Its text against the whole question."""
        return self.evidence.chunk_scores

    def title(self) -> "Floats":
        """Its text against the title."""
        return self.evidence.chunk_title

    def name(self) -> "Floats":
        """Its name against the title's terms."""
        return self._named(self.evidence.question.title)

    def named(self) -> "Floats":
        """Its name against all the question's terms."""
        return self._named(self.evidence.question.whole)

    def _named(self, query: Counter[int]) -> "Floats":
        corpus = self.evidence.corpus
        return self.evidence.named(query, Field.NAME, corpus.chunk, len(corpus.chunk_file))

    def defined(self) -> "Floats":
        """Its exact name among the identifiers of the question's code."""
        return self.mentions.chunk_defined

    def called(self) -> "Floats":
        """The likeliest functions call it."""
        return self.mentions.chunk_called

    def framed(self) -> "Floats":
        """A traceback goes through it."""
        return self.mentions.chunk_framed

    def length(self) -> "Floats":
        """Its length: more code, more faults."""
        import numpy as np

        length: Floats = np.log1p(self.evidence.chunk_length)
        return length
