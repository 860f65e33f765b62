"""What an issue names outright: files, traceback frames, modules, definitions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evo_agent.memory.code.corpus import summed
from evo_agent.memory.code.evidence import Evidence
from evo_agent.memory.code.lexemes import Field, exact

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats

_DEEPEST = 8  # folders of a path that are compared
_AMBIGUOUS = 2  # files of one name, at most, when the text gives no folder
_SHORTEST_NAME = 3  # characters
_COMMON_NAME = 20  # definitions of one name; beyond, the name says nothing
_MOST_MENTIONS = 2.0  # of a module that count
_MOST_FRAMES = 30  # of tracebacks, from the end
_FRAME_DECAY = 0.8
_SEEDS = 40  # chunks from which calls are followed


@dataclass(frozen=True)
class Mentions:
    """Files and chunks by what the text names."""

    evidence: Evidence

    def frames(self) -> "Floats":
        """Files of traceback frames, the last one most."""
        return self._frames(0.5)

    def last_frame(self) -> "Floats":
        """The file of the last traceback frame that lies in the repository."""
        return self._frames(0.0)

    def _frames(self, decay: float) -> "Floats":
        import numpy as np

        score = np.zeros(self.evidence.corpus.size)
        weight = 1.0
        for frame in reversed(self.evidence.question.frames):
            files = self._ending(frame.path)
            if files and not score[files].any():
                score[files] = weight / len(files)
                weight *= decay
        return score

    @cached_property
    def chunk_framed(self) -> "Floats":
        """Chunks of the traceback's files whose name a frame tells, the last most."""
        import numpy as np

        held = self.evidence.corpus
        score = np.zeros(len(held.chunk_file))
        weight = 1.0
        for frame in reversed(self.evidence.question.frames[-_MOST_FRAMES:]):
            own = frame.function.rpartition(".")[2]
            for file in self._ending(frame.path)[:_AMBIGUOUS]:
                for number, place in enumerate(held.names(file)[0], 1):
                    if place[0].rpartition(".")[2] == own:
                        where = int(held.first_chunk[file]) + number
                        score[where] = max(score[where], weight)
            weight *= _FRAME_DECAY
        return score

    def exact_path(self) -> "Floats":
        """Paths that the text names."""
        import numpy as np

        score = np.zeros(self.evidence.corpus.size)
        for path in self.evidence.question.paths:
            files = self._ending(path)
            if files:
                score[files] = np.maximum(score[files], 1 / len(files))
        return score

    def module(self) -> "Floats":
        """Modules that dotted names begin with, and those that the issue's code imports."""
        import numpy as np

        score = np.zeros(self.evidence.corpus.size)
        for dotted in (*self.evidence.question.dotted, *self.evidence.question.imported):
            files = self._modules.get(self._known_prefix(dotted), ())
            for file in files:
                score[file] += 1 / len(files)
        return np.minimum(score, _MOST_MENTIONS)

    def _known_prefix(self, dotted: str) -> str:
        parts = dotted.split(".")
        for end in range(len(parts), 1, -1):
            name = ".".join(parts[:end])
            if name in self._modules:
                return name
        return ""

    @cached_property
    def _modules(self) -> dict[str, list[int]]:
        """Dotted ends of two names or more, of paths, to files."""
        found: dict[str, list[int]] = {}
        for file, path in enumerate(self.evidence.corpus.paths):
            parts = [*PurePosixPath(path).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            for start in range(len(parts) - 1):
                found.setdefault(".".join(parts[start:]), []).append(file)
        return found

    def _ending(self, path: str) -> list[int]:
        """Files that a path as written may mean: the longest common end wins, if it is one's."""
        parts = PurePosixPath(path).parts
        for length in range(min(len(parts), _DEEPEST), 0, -1):
            files = self._ends.get("/".join(parts[-length:]), [])
            if files:
                return files if length > 1 or len(files) <= _AMBIGUOUS else []
        return []

    @cached_property
    def _ends(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for file, path in enumerate(self.evidence.corpus.paths):
            parts = PurePosixPath(path).parts
            for length in range(1, min(len(parts), _DEEPEST) + 1):
                found.setdefault("/".join(parts[-length:]), []).append(file)
        return found

    @cached_property
    def chunk_defined(self) -> "Floats":
        """Chunks whose names stand in the issue's code."""
        return self.defining(self.evidence.question.names)

    def defining(self, names: Mapping[str, int]) -> "Floats":
        """Chunks whose exact names are among these, by how few have the same."""
        import numpy as np

        m = self.evidence.found
        chosen = m.field == Field.DEFINED
        weight = self.evidence.weights(
            {exact(n): 1 + np.log(c) for n, c in names.items() if len(n) >= _SHORTEST_NAME}
        )
        rows, chunks = m.row[chosen], m.chunk[chosen]
        many = np.bincount(rows, minlength=len(m.asked))
        share = np.where(many <= _COMMON_NAME, weight / np.maximum(many, 1), 0.0)
        return summed(chunks, share[rows], len(self.evidence.corpus.chunk_file))

    @cached_property
    def chunk_called(self) -> "Floats":
        """Chunks that the likeliest ones call by a name that few define."""
        import numpy as np

        c = self.evidence.corpus
        peak = self.evidence.chunk_scores.max(initial=0.0) or 1.0
        seed = self.evidence.chunk_scores / peak + self.chunk_defined
        order = np.argsort(-seed)[:_SEEDS]
        strength = np.zeros(len(c.chunk_file))
        strength[order] = seed[order]
        calls = np.flatnonzero((c.field == Field.CALLED) & (strength[c.chunk] > 0))
        defines = np.flatnonzero(c.field == Field.DEFINED)
        names, place = np.unique(c.term[defines], return_inverse=True)
        many = np.bincount(place, minlength=len(names))
        at = np.searchsorted(names, c.term[calls])
        at[at == len(names)] = 0
        known = names[at] == c.term[calls] if len(names) else np.zeros(0, bool)
        flow = summed(at[known], strength[c.chunk[calls[known]]], len(names))
        others = np.maximum(flow[place] - strength[c.chunk[defines]], 0.0)  # `def f(` is no call
        worth = np.where(many[place] <= _COMMON_NAME, others / many[place], 0.0)
        return summed(c.chunk[defines], worth, len(c.chunk_file))
