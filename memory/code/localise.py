"""Which files and functions of the source at a commit an issue is about, without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.git import STATE_FOLDER, Repository
from evo_agent.memory.code.corpus import (
    Corpus,
    corpus,
    is_test,
    parsed,
    source_files,
    summed,
)
from evo_agent.memory.code.evidence import Evidence
from evo_agent.memory.code.filewise import FileFeatures
from evo_agent.memory.code.fit import scaled
from evo_agent.memory.code.functionwise import FunctionFeatures
from evo_agent.memory.code.mentions import Mentions
from evo_agent.memory.code.parses import Parses
from evo_agent.memory.code.question import Question, question
from evo_agent.memory.code.weights import FILES, FUNCTIONS, LEAST_COVERED, Weight

if TYPE_CHECKING:
    from evo_agent.memory.code.corpus import Floats

CACHE_FILE = "sources.sqlite"
_TELLING = 3  # features that `why` names
_LEAD_WORTH = 0.35  # of a lead's term beside a title's, as in BM25F's query (.7 to 2)


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and the function in it that the issue is most likely about.

    Attributes:
        path: in the commit's tree.
        function: qualified name; empty when nothing speaks for one.
        line: first line of the function, or 1.
        score: of the file, comparable inside one answer only.
        why: which features speak, one line.
    """

    path: str
    function: str
    line: int
    score: float
    why: str


@dataclass(frozen=True)
class Ranking:
    """A question's features and scores over a corpus."""

    corpus: Corpus
    question: Question

    @cached_property
    def evidence(self) -> Evidence:
        """Where the terms stand."""
        return Evidence(self.corpus, self.question)

    @cached_property
    def mentions(self) -> Mentions:
        """What is named outright."""
        return Mentions(self.evidence)

    def file_features(self, names: Sequence[str]) -> "Floats":
        """Files by features, each column divided by its maximum."""
        features = FileFeatures(self.evidence, self.mentions)
        return scaled([getattr(features, name)() for name in names])

    def function_features(self, names: Sequence[str], files: "Floats") -> "Floats":
        """Chunks by features, likewise; `files` are the files' scores."""
        peak = files.max(initial=0.0) or 1.0
        features = FunctionFeatures(self.evidence, self.mentions, files / peak)
        return scaled([getattr(features, name)() for name in names])

    @cached_property
    def file_parts(self) -> "Floats":
        """What each feature adds to each file's score."""
        return self._file_features * _values(FILES)

    @cached_property
    def _file_features(self) -> "Floats":
        return self.file_features(list(FILES))

    @cached_property
    def plain(self) -> "Floats":
        """Each file's score with equal weights: functions are fitted on top of no fit."""
        total: Floats = self._file_features.sum(1)
        return total

    @cached_property
    def functions(self) -> "Floats":
        """Each chunk's score."""
        features = self.function_features(list(FUNCTIONS), self.plain)
        scores: Floats = features @ _values(FUNCTIONS)
        return scores

    @cached_property
    def covered(self) -> float:
        """Share of the title's and lead's information that the best file holds, 0…1."""
        found = self.evidence
        q = self.question
        query = {t: (1.0 if t in q.title else _LEAD_WORTH) for t in (*q.lead, *q.title)}
        weight = found.weights(query) * found.idf
        table = found.by_file
        held = summed(table.document, weight[table.row], self.corpus.size)
        return float(held.max(initial=0.0) / weight.sum()) if weight.any() else 0.0

    @property
    def is_named(self) -> bool:
        """Whether the question names a file or a definition of the source."""
        named = (self.mentions.exact_path(), self.mentions.frames(), self.mentions.chunk_defined)
        return any(score.any() for score in named)


def localise(
    repository: Repository, base: str, text: str, *, count: int = 10, cache: Path | None = None
) -> tuple[Place, ...]:
    """The files that an issue is most likely about, each with its likeliest function.

    Only the tree of the base commit is read, from git's objects: no work tree, no later commit.
    Tests are no candidates. Parses are kept by blob, so that the next question at this or
    another commit parses only what is new.

    Args:
        repository: where the commit is.
        base: full SHA.
        text: the issue, its title in the first line; hostile text costs no more than its length.
        count: most places.
        cache: folder for the parses; the repository's `.evo/memory` when None.

    Returns:
        Best first. Empty when the text says nothing about the source (see Ranking.covered), or
        the commit has no source of a language that is parsed.

    Raises:
        RepositoryError: there is no such commit.
        MissingDependencyError: tree-sitter, a grammar or numpy is not installed.
        StoreError: the cache cannot be made.
    """
    base = repository.resolve(base)
    files = [file for file in source_files(repository, base) if not is_test(file.path)]
    folder = cache if cache is not None else repository.root / STATE_FOLDER / "memory"
    with Parses(folder / CACHE_FILE) as parses:
        known = parsed(repository, files, parses)
    ranking = Ranking(
        corpus([file.path for file in files], [known[file.key] for file in files]), question(text)
    )
    if not files or not ranking.question.whole:
        return ()
    if ranking.covered < LEAST_COVERED and not ranking.is_named:
        return ()
    return _places(ranking, count)


def _places(ranking: Ranking, count: int) -> tuple[Place, ...]:
    import numpy as np

    score = ranking.file_parts.sum(1)
    order = np.argsort(-score, kind="stable")[:count]
    return tuple(
        _place(ranking, int(file), float(score[file])) for file in order if score[file] > 0
    )


def _place(ranking: Ranking, file: int, score: float) -> Place:
    import numpy as np

    held = ranking.corpus
    places, _ = held.names(file)
    first = int(held.first_chunk[file])
    scores = ranking.functions[first + 1 : first + 1 + len(places)]
    speaks = ranking.evidence.chunk_scores[first + 1 : first + 1 + len(places)] > 0
    function, line = "", 1
    for chunk in np.argsort(-scores, kind="stable"):
        if places[chunk][1] != "class" and speaks[chunk]:
            function, line = places[chunk][0], places[chunk][2]
            break
    return Place(held.paths[file], function, line, score, _why(ranking, file))


def _why(ranking: Ranking, file: int) -> str:
    parts = ranking.file_parts[file]
    said = [FILES[name].says for name in FILES]
    import numpy as np

    order = np.argsort(-parts, kind="stable")[:_TELLING]
    return "; ".join(said[number] for number in order if parts[number] > 0)


def _values(table: Mapping[str, Weight]) -> "Floats":
    import numpy as np

    return np.array([weight.value for weight in table.values()], np.float64)
