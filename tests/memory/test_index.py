"""The dense index is derived: stale, damaged or missing, the answers stay the same."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evo_agent.memory.bodies import Episode, Insight
from evo_agent.memory.dense import ExactIndex
from evo_agent.memory.embed import Lexical
from evo_agent.memory.index import _HNSW, ChromaIndex
from evo_agent.memory.journal import Journal
from evo_agent.memory.records import Record, Scope, make
from evo_agent.memory.rows import Change, added
from evo_agent.memory.store import Memory

WORDS = "parse merge header cache token socket retry login page table index query frame".split()  # noqa: SIM905 - reads better
COUNT = 400
TEXT = "retry the socket when login fails with a stale token"


def record(number: int, text: str = "") -> Record:
    rng = random.Random(number)
    said = text or " ".join(rng.choices(WORDS, k=12)) + f" number {number}"
    body = (
        Insight("rule", said) if number % 3 == 0 else Episode("commit", said, sha=f"{number:040d}")
    )
    return make(body, repo="r", scope=Scope.GLOBAL)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "memory") as opened:
        opened.write("test", [added(record(number)) for number in range(COUNT)])
        yield opened


@pytest.fixture
def index(tmp_path: Path, journal: Journal) -> Iterator[ChromaIndex]:
    opened = ChromaIndex(tmp_path / "index", journal, Lexical())
    opened.sync()
    yield opened
    opened.close()


def everything(journal: Journal) -> dict[str, int]:
    return {place.id: place.number for place in journal.places("r")}


def exact(journal: Journal, allowed: dict[str, int], count: int = 10) -> list[int]:
    (vector,) = Lexical().embed([TEXT])
    assert vector is not None
    return [n for n, _ in ExactIndex(journal, Lexical()).nearest(vector, count, allowed)]


def nearest(index: ChromaIndex, allowed: dict[str, int], count: int = 10) -> list[int]:
    (vector,) = Lexical().embed([TEXT])
    assert vector is not None
    return [number for number, _ in index.nearest(vector, count, allowed)]


def test_it_ranks_as_exact_ranking_does_with_and_without_a_mask(
    index: ChromaIndex, journal: Journal
):
    whole = everything(journal)
    assert nearest(index, whole) == exact(journal, whole)
    rng = random.Random(1)
    few = dict(rng.sample(sorted(whole.items()), 15))  # over-fetching alone does not find these
    assert nearest(index, few) == exact(journal, few)
    assert nearest(index, {}) == []


def test_it_takes_in_only_what_is_new(index: ChromaIndex, journal: Journal):
    journal.write("more", [added(record(5001, TEXT))])
    steps: list[tuple[int, int]] = []
    index.sync(lambda done, total: steps.append((done, total)))
    assert steps == [(1, 1)]
    index.sync(lambda done, total: steps.append((done, total)))
    assert len(steps) == 1
    assert nearest(index, everything(journal), 1) == [COUNT + 1]


OTHER = """
import sys
from pathlib import Path
from evo_agent.memory.bodies import Insight
from evo_agent.memory.records import Scope, make
from evo_agent.memory.rows import added
from evo_agent.memory.store import Memory
with Memory.open(Path(sys.argv[1])) as memory:
    record = make(Insight("rule", sys.argv[2]), repo="r", scope=Scope.GLOBAL)
    memory._journal.write("other", [added(record)])
    if sys.argv[3] == "index":
        memory.index()
"""


@pytest.mark.parametrize("how", ["index", "journal only"])
def test_an_open_index_sees_what_another_process_wrote(tmp_path: Path, how: str):
    """An embedded Chroma client goes on answering from what it read first; ours must not."""
    folder = tmp_path / "memory"
    with Memory.open(folder) as memory:
        memory._journal.write("test", [added(record(number)) for number in range(50)])
        memory.index()
        dense = memory._index()
        assert isinstance(dense, ChromaIndex)
        nearest(dense, everything(memory._journal))
        subprocess.run([sys.executable, "-c", OTHER, str(folder), TEXT, how], check=True)
        assert nearest(dense, everything(memory._journal), 1) == [51]


def _noise(store: Path) -> None:
    for file in store.rglob("*"):
        if file.is_file():
            file.write_bytes(os.urandom(max(1024, file.stat().st_size)))


def _truncated(store: Path) -> None:
    for file in store.rglob("*"):
        if file.is_file():
            os.truncate(file, file.stat().st_size // 3)


def _without_vectors(store: Path) -> None:
    for file in store.rglob("*.bin"):
        file.unlink()


def _claims_another_past(store: Path) -> None:
    path = store.parent / "current.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"last": "0" * 64}))


@pytest.mark.parametrize(
    "damage", [shutil.rmtree, _noise, _truncated, _without_vectors, _claims_another_past]
)
# From so many vectors on Chroma writes its graph to the disk, and maps it unchecked.
@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_damaged_index_is_built_anew_with_the_same_answers(
    tmp_path: Path,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    *,
    large: bool,
):
    if large:
        monkeypatch.setitem(_HNSW, "sync_threshold", 100)
    first = ChromaIndex(tmp_path / "index", journal, Lexical())
    expected = nearest(first, everything(journal))
    first.close()
    (store,) = (tmp_path / "index").glob("chroma-*")
    assert large == bool(list(store.glob("*/index_metadata.pickle")))
    damage(store)
    second = ChromaIndex(tmp_path / "index", journal, Lexical())
    assert nearest(second, everything(journal)) == expected == exact(journal, everything(journal))
    second.close()
    assert len(list((tmp_path / "index").glob("chroma-*"))) == 1


def test_a_sound_large_index_is_not_built_anew(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(_HNSW, "sync_threshold", 100)
    stores = set()
    for _ in range(3):
        opened = ChromaIndex(tmp_path / "index", journal, Lexical())
        nearest(opened, everything(journal))
        opened.close()
        stores |= set((tmp_path / "index").glob("chroma-*"))
    assert len(stores) == 1


def test_an_index_of_another_journal_is_not_used(tmp_path: Path, index: ChromaIndex):
    index.close()
    with Journal(tmp_path / "other") as other:
        other.write("test", [added(record(7)), added(record(8))])
        moved = ChromaIndex(tmp_path / "index", other, Lexical())
        assert sorted(nearest(moved, everything(other))) == [1, 2]
        moved.close()


def test_vectors_of_different_embedders_do_not_share_a_collection(tmp_path: Path, journal: Journal):
    class Other(Lexical):
        name = "other-1"

    for embedder in (Lexical(), Other()):
        opened = ChromaIndex(tmp_path / "index", journal, embedder)
        opened.sync()
        assert opened._collection("episodic").name == f"evo-{embedder.name}-episodic"
        opened.close()


def test_a_text_without_terms_is_stored_without_a_vector(journal: Journal, index: ChromaIndex):
    before = index._collection("semantic").count()
    journal.write("empty", [added(make(Insight("", "..."), repo="r", scope=Scope.GLOBAL))])
    index.sync()
    assert index._collection("semantic").count() == before


WITHOUT_CHROMA = """
import sys
sys.modules["chromadb"] = None
from pathlib import Path
from evo_agent.core.types import Query
from evo_agent.memory.store import Memory
said = []
with Memory.open(Path(sys.argv[1]), notice=said.append) as memory:
    for _ in range(2):
        found = memory.recall(Query(sys.argv[2], repo="r"))
print(len(said), said[0])
print([record.id for record in found])
"""


def test_without_chromadb_it_ranks_exactly_and_says_so_once(tmp_path: Path, journal: Journal):
    journal.write("more", [added(record(5001, TEXT)), Change("note", "x", {})])
    argv = [sys.executable, "-W", "error", "-c", WITHOUT_CHROMA, str(tmp_path / "memory"), TEXT]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0].startswith("1 memory: chromadb is missing (pip install 'evo-agent[memory]')")
    assert json.loads(out[1].replace("'", '"'))[0] == record(5001, TEXT).id
