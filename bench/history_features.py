"""The evidence of both arms, for every candidate of every task of a case.

Each task gives a pool of candidates, which of them are true, and per feature a value; the pool is
the same for all arms: the best by what search says, by history, and by shuffled history.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from history_cases import Case, Memory
from history_past import (
    Past,
    Table,
    foremost,
    functions_of,
    fused,
    nearest,
    resembling,
    same_path,
    shuffled,
)
from history_source import (
    Scores,
    Tree,
    folder_words,
    imported,
    jaccard,
    module_of,
    path_words,
    stem_words,
)

from evo_agent.memory.journal.words import terms
from evo_agent.memory.kinship.kinship import Evidence, evidence
from evo_agent.memory.kinship.resemblance import Resemblance

TITLE, BODY = 2.0, 0.7  # weights of the query's parts
POOL, PER_FEATURE = 120, 40  # candidates by round weights, and by each feature of history
FILES_OF_FUNCTIONS = 40  # files whose functions are candidates
LEAST_KIND, MOST_KIND = 1, 0.05  # how many earlier fixes of its kind a fix needs, and may have


@dataclass(frozen=True)
class Question:
    """One task of one case, ready to be ranked.

    Attributes:
        names: of the features; those of history begin with "+", of the control with "-"; "=" is
            for a probability, which stays as it is.
        values: one row a candidate, each other feature divided by its maximum.
        true: positions of the truths; gold: how many truths there are, found or not.
    """

    task: str
    repo: str
    sha: str
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    true: tuple[int, ...]
    gold: int


def questions(case: Case, sources: Tree, tests: Tree, memory: Memory) -> list[Question]:
    """All tasks that a case has a truth for."""
    arm = _Arms(case, sources, tests, memory)
    made = [arm.all_files(), arm.completing(), arm.functions(), arm.tests(), *arm.kin()]
    return [one for one in made if one is not None]


class _Arms:
    def __init__(self, case: Case, sources: Tree, tests: Tree, memory: Memory) -> None:
        self._case, self._sources, self._tests, self._memory = case, sources, tests, memory
        self._query: dict[str, float] = defaultdict(float)
        for text, weight in ((case.title, TITLE), (case.body, BODY)):
            for word in dict.fromkeys(w for w in terms(text) if not w.isdigit()):
                self._query[word] += weight
        text = f"{case.title}\n{case.body}"
        self._by_diff = resembling(memory.diffs, text)
        self._past = {
            "+": Past(memory.precedents, text, self._by_diff),
            "-": Past(shuffled(memory.precedents, case.sha), text, self._by_diff),
        }
        self._title = frozenset(terms(case.title))
        self._chunks = sources.chunks(self._query)
        self._files = self._lexical_files()
        self._fused = fused(self._files)

    # What search says

    def _lexical_files(self) -> dict[str, Scores]:
        top: dict[str, list[float]] = defaultdict(list)
        for (path, _), score in self._chunks.items():
            top[path].append(score)
        names = {
            path: len(self._title & (source.names.keys() | path_words(path).keys()))
            for path, source in self._sources.files.items()
        }
        return {
            "bm25f": self._sources.bm25f(self._query),
            "chunks": {path: sum(sorted(s)[-3:]) for path, s in top.items()},
            "title": {path: float(n) for path, n in names.items() if n},
        }

    def _near(self, seed: str) -> dict[str, Scores]:
        """How near every other source is to one of them, by text, imports, folder and name."""
        tree = self._sources
        source, module = tree.files[seed], module_of(seed)
        return {
            "like": tree.bm25f(tree.standing_for(source.words.items())),
            "folder": {p: jaccard(folder_words(p), folder_words(seed)) for p in tree.files},
            "name": {p: jaccard(stem_words(p), stem_words(seed)) for p in tree.files},
            "imports": {
                p: max(imported(tree, p, module), imported(tree, seed, module_of(p)))
                for p in tree.files
            },
        }

    # The tasks

    def all_files(self) -> Question | None:
        if len(self._case.files) < 2:
            return None
        return self._question("files", self._files, self._history_of_files, self._case.files)

    def completing(self) -> Question | None:
        if len(self._case.files) < 2:
            return None
        seed = max(self._case.files, key=lambda path: (self._fused.get(path, 0.0), path))
        rest = [path for path in self._case.files if path != seed]

        def past(side: str) -> dict[str, Scores]:
            counts = self._past[side].counts
            together = counts.files([seed])
            found = {
                "together": together,
                "=together": together,
                "=coupled": counts.coupling([seed]),
            }
            known = self._sources.files
            sound = {n: {p: v for p, v in s.items() if p in known} for n, s in found.items()}
            return {**sound, **self._history_of_files(side)}

        return self._question("set", {**self._files, **self._near(seed)}, past, rest, {seed})

    def _history_of_files(self, side: str) -> dict[str, Scores]:
        past = self._past[side]
        whole, best = past.by_message(lambda one: one.files)
        known = self._sources.files
        found = {"messages": whole, "message": best}
        found["diffs"] = past.by_message(lambda one: one.files, diffs=True)[0]
        found["popular"] = past.popular(lambda one: one.files)
        around: dict[Any, float] = defaultdict(float)
        for seed in foremost(self._fused, 5):
            for path, share in past.counts.files([seed]).items():
                around[path] += share * self._fused[seed]
        found["around"] = around
        return {n: {p: v for p, v in s.items() if p in known} for n, s in found.items()}

    def functions(self) -> Question | None:
        if not self._case.functions:
            return None
        whole = {side: self._past[side].by_message(lambda one: one.files)[0] for side in "+-"}
        near = {*foremost(self._fused, FILES_OF_FUNCTIONS)}
        near.update(path for side in "+-" for path in foremost(whole[side], PER_FEATURE // 2))
        places = [
            (path, chunk.qualified)
            for path in near
            if path in self._sources.files
            for chunk in self._sources.files[path].chunks
            if chunk.function
        ]
        off = {
            "chunk": {p: self._chunks.get(p, 0.0) for p in places},
            "title": {p: float(len(self._title & set(terms(p[1])))) for p in places},
            **{f"file {n}": {p: s.get(p[0], 0.0) for p in places} for n, s in self._files.items()},
        }

        def past(side: str) -> dict[str, dict[Any, float]]:
            sums, best = self._past[side].by_message(functions_of)
            diffs = self._past[side].by_message(functions_of, diffs=True)[0]
            popular = self._past[side].popular(functions_of)
            named = {p: (p[0], p[1].rpartition(".")[2]) for p in places}
            found = {"messages": sums, "message": best, "diffs": diffs, "popular": popular}
            table = {n: {p: s.get(named[p], 0.0) for p in places} for n, s in found.items()}
            table["file messages"] = {p: whole[side].get(p[0], 0.0) for p in places}
            return table

        return self._question("functions", off, past, self._case.functions)

    def tests(self) -> Question | None:
        if not self._case.tests or not self._case.files:
            return None
        tree, files = self._tests, self._case.files
        named = {name for _, name in self._case.touched if not name.startswith("__")}
        words = defaultdict(int)
        for path, qualified in self._case.functions:
            for chunk in self._sources.files[path].chunks:
                if chunk.qualified == qualified:
                    for word, count in chunk.words.items():
                        words[word] += count
        if not words:
            for path in files:
                for word, count in self._sources.files[path].words.items():
                    words[word] += count
        mentions = {word: 1.0 for name in named for word in terms(name)[:1]}
        off = {
            "bm25f": tree.bm25f(self._query),
            "like": tree.bm25f(tree.standing_for(words.items())),
            "mentions": tree.bm25f(mentions),
            "name": nearest(tree, files, lambda t, s: jaccard(stem_words(t), stem_words(s))),
            "folder": nearest(tree, files, lambda t, s: jaccard(folder_words(t), folder_words(s))),
            "path": nearest(tree, files, same_path),
            "imports": nearest(tree, files, lambda t, s: imported(tree, t, module_of(s))),
        }

        def past(side: str) -> dict[str, Scores]:
            one = self._past[side]
            found = {
                "with files": one.counts.tests(files),
                "=with files": one.counts.tests(files),
                "=with functions": one.counts.tests((), self._case.touched),
                "=coupled": one.counts.coupling(files, tests=True),
                "diffs": one.by_message(lambda p: p.tests, diffs=True)[0],
                "messages": one.by_message(lambda p: p.tests)[0],
                "popular": one.popular(lambda p: p.tests),
            }
            return {n: {p: v for p, v in s.items() if p in tree.files} for n, s in found.items()}

        return self._question("tests", off, past, self._case.tests)

    def kin(self) -> list[Question | None]:
        """Same function (the newest earlier fix of one that the fix touches), and same kind.

        `strictly` lets search follow a located function to its newest fix, as `git log -L` does;
        otherwise it follows files.
        """
        fixes = {
            side: [one for one in self._past[side].precedents if one.intent == "fix"]
            for side in "+-"
        }
        alike = Resemblance(fixes["+"]).to(f"{self._case.title}\n{self._case.body}")
        numbers = [at for at, p in enumerate(self._memory.precedents) if p.intent == "fix"]
        by_diff = {at: self._by_diff.get(number, 0.0) for at, number in enumerate(numbers)}
        best = max(self._fused.values(), default=1.0)
        files = {p: v / best for p, v in self._fused.items()}
        places = self._places()
        found = {side: evidence(fixes[side], alike, files, places) for side in "+-"}
        told = {
            side: evidence(fixes[side], {}, {}, self._past[side].by_message(functions_of)[1])
            for side in "+-"
        }
        links = {
            "function": {at: e.function for at, e in found["+"].items()},
            "newest of function": {at: e.newest_function for at, e in found["+"].items()},
        }
        size = max(1, len(fixes["+"]))
        near = found["+"]
        off = {
            "message": alike,
            "diff": by_diff,
            "title": {
                at: float(len(self._title & set(terms(fixes["+"][at].title)))) for at in near
            },
            "file": {at: e.file for at, e in near.items()},
            "newest of file": {at: e.newest_file for at, e in near.items()},
            "recent": {at: (at + 1) / size for at in near},
        }

        def past(side: str) -> dict[str, dict[Any, float]]:
            def part(of: Callable[[Evidence], float]) -> dict[Any, float]:
                return {at: of(e) for at, e in found[side].items()}

            return {
                "function": part(lambda e: e.function),
                "newest of function": part(lambda e: e.newest_function),
                "newest of function, messages": {
                    at: e.newest_function for at, e in told[side].items()
                },
                "kind": part(lambda e: e.kind),
            }

        def strictly(side: str) -> dict[str, dict[Any, float]]:
            table = past(side)
            return {n: table[n] for n in ("newest of function, messages", "kind")}

        mended = set(self._case.touched)
        same = [at for at, one in enumerate(fixes["+"]) if mended & set(one.functions)]
        shape = self._case.shape
        kind = [at for at, one in enumerate(fixes["+"]) if shape and one.shape == shape]
        usual = LEAST_KIND <= len(kind) <= max(LEAST_KIND, MOST_KIND * size)
        return [
            self._question("same function", off, past, same[-1:]),
            self._question("strictly", {**off, **links}, strictly, same[-1:]),
            self._question("same kind", off, past, kind if usual else []),
        ]

    def _places(self) -> dict[tuple[str, str], float]:
        """How likely each function is meant, by search alone; by path and plain name."""
        top = max(self._chunks.values(), default=1.0)
        best = max(self._fused.values(), default=1.0)
        found: dict[tuple[str, str], float] = {}
        for (path, qualified), score in self._chunks.items():
            name = qualified.rpartition(".")[2]
            titled = len(self._title & set(terms(qualified))) / (1 + len(self._title))
            value = (score / top + self._fused.get(path, 0.0) / best + titled) / 3
            found[path, name] = max(found.get((path, name), 0.0), value)
        return found

    def _question(
        self,
        task: str,
        off: Table,
        past: Callable[[str], Table],
        gold: Sequence[Any],
        left_out: Iterable[Hashable] = (),
    ) -> Question | None:
        if not gold:
            return None
        table: dict[str, Mapping[Any, float]] = dict(off)
        for side in "+-":
            table |= {side + name: scores for name, scores in past(side).items()}
        pool = dict.fromkeys(foremost(fused(off), POOL))
        for name in (name for name in table if name[0] in "+-"):
            pool.update(dict.fromkeys(foremost(table[name], PER_FEATURE)))
        candidates = [one for one in pool if one not in set(left_out)]
        highest = {
            name: 1.0 if "=" in name else max(scores.values(), default=0.0) or 1.0
            for name, scores in table.items()
        }
        rows = tuple(
            tuple(scores.get(one, 0.0) / highest[name] for name, scores in table.items())
            for one in candidates
        )
        truths = set(gold)
        true = tuple(at for at, one in enumerate(candidates) if one in truths)
        return Question(
            task, self._case.repo, self._case.sha, tuple(table), rows, true, len(truths)
        )
