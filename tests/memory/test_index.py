"""What is derived for recall: stale, damaged or missing, the answers stay the same."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np  # noqa: TID253 - what is tested here is made of arrays
import pytest

from evo_agent.core.types import Query
from evo_agent.memory.journal.bodies import Episode, Insight
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, Scope, make
from evo_agent.memory.journal.rows import Change, added
from evo_agent.memory.recall import dense
from evo_agent.memory.recall.embed import Lexical
from evo_agent.memory.recall.index import _HNSW, ChromaIndex
from evo_agent.memory.recall.vectors import Vectors
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


def vectors(folder: Path, journal: Journal) -> Vectors:
    return Vectors(folder, journal, Lexical(), print)


def chroma(folder: Path, journal: Journal) -> ChromaIndex:
    return ChromaIndex(folder, journal, Lexical(), vectors(folder, journal))


@pytest.fixture
def index(tmp_path: Path, journal: Journal) -> Iterator[ChromaIndex]:
    opened = chroma(tmp_path / "index", journal)
    opened.sync()
    yield opened
    opened.close()


def everything(journal: Journal) -> list[int]:
    return sorted(place.number for place in journal.places("r"))


def asked() -> list[float]:
    (vector,) = Lexical().embed([TEXT])
    assert vector is not None
    return list(vector)


def exact(journal: Journal, numbers: list[int], count: int = 10) -> list[int]:
    """By definition: embed every one, sort by cosine."""
    with journal.transaction(write=False) as connection:
        rows = dict(connection.execute("SELECT number, data FROM features").fetchall())
    own = Lexical().of_features([rows[number] for number in numbers])
    scored = zip(numbers, own @ np.asarray(asked()), strict=True)
    return [number for number, _ in sorted(scored, key=lambda pair: -pair[1])][:count]


def nearest(index: ChromaIndex, numbers: list[int], count: int = 10) -> list[int]:
    return [n for n, _ in index.nearest(asked(), count, np.asarray(numbers, np.int64))]


def test_it_ranks_as_exact_ranking_does_with_and_without_a_mask(
    index: ChromaIndex, journal: Journal
):
    whole = everything(journal)
    assert nearest(index, whole) == exact(journal, whole)
    rng = random.Random(1)
    few = sorted(rng.sample(whole, 15))  # over-fetching alone does not find these
    assert nearest(index, few) == exact(journal, few)
    assert nearest(index, []) == []


def test_it_takes_in_only_what_is_new(index: ChromaIndex, journal: Journal):
    journal.write("more", [added(record(5001, TEXT))])
    assert index.behind() == 1
    steps: list[tuple[int, int]] = []
    index.sync(lambda done, total: steps.append((done, total)))
    assert steps == [(1, 1)]
    index.sync(lambda done, total: steps.append((done, total)))
    assert len(steps) == 1
    assert index.behind() == 0
    assert nearest(index, everything(journal), 1) == [COUNT + 1]


OTHER = """
import sys
from pathlib import Path
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.records import Scope, make
from evo_agent.memory.journal.rows import added
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
        assert memory.recall(Query(TEXT, limit=1))[0].id != record(5001, TEXT).id
        opened = chroma(folder / "index" / "evo-lexical-2", memory._journal)
        nearest(opened, everything(memory._journal))
        subprocess.run([sys.executable, "-c", OTHER, str(folder), TEXT, how], check=True)
        assert nearest(opened, everything(memory._journal), 1) == [51]
        (found,) = memory.recall(Query(TEXT, repo="r", limit=1))
        assert TEXT in found.text
        opened.close()


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
    first = chroma(tmp_path / "index", journal)
    expected = nearest(first, everything(journal))
    first.close()
    (store,) = (tmp_path / "index").glob("chroma-*")
    assert large == bool(list(store.glob("*/index_metadata.pickle")))
    damage(store)
    second = chroma(tmp_path / "index", journal)
    assert nearest(second, everything(journal)) == expected == exact(journal, everything(journal))
    second.close()
    assert len(list((tmp_path / "index").glob("chroma-*"))) == 1


def test_a_sound_large_index_is_not_built_anew(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(_HNSW, "sync_threshold", 100)
    stores = set()
    for _ in range(3):
        opened = chroma(tmp_path / "index", journal)
        nearest(opened, everything(journal))
        opened.close()
        stores |= set((tmp_path / "index").glob("chroma-*"))
    assert len(stores) == 1


def test_an_index_of_another_journal_is_not_used(tmp_path: Path, index: ChromaIndex):
    index.close()
    with Journal(tmp_path / "other") as other:
        other.write("test", [added(record(7)), added(record(8))])
        moved = chroma(tmp_path / "index", other)
        assert sorted(nearest(moved, everything(other))) == [1, 2]
        moved.close()


def test_vectors_of_different_embedders_do_not_share_a_collection(tmp_path: Path, journal: Journal):
    class Other(Lexical):
        name = "other-1"

    for embedder in (Lexical(), Other()):
        own = Vectors(tmp_path / "index", journal, embedder, print)
        opened = ChromaIndex(tmp_path / "index", journal, embedder, own)
        opened.sync()
        assert opened._collection("episodic").name == f"evo-{embedder.name}-episodic"
        opened.close()


def test_a_text_without_terms_is_stored_without_a_vector(journal: Journal, index: ChromaIndex):
    before = index._collection("semantic").count()
    journal.write("empty", [added(make(Insight("", "..."), repo="r", scope=Scope.GLOBAL))])
    index.sync()
    assert index._collection("semantic").count() == before


def test_damaged_columns_and_vectors_are_made_anew_with_the_same_answers(tmp_path: Path):
    """Index folder deleted, truncated or filled with noise: rebuilt, same top-k."""
    folder = tmp_path / "memory"
    query = Query(TEXT, repo="r", limit=10)
    with Memory.open(folder) as memory:
        memory._journal.write("test", [added(record(number)) for number in range(1_200)])
        expected = memory.recall(query)
        memory.index()
        assert list((folder / "index").rglob("columns.bin"))
        assert list((folder / "index").rglob("vectors-*.bin"))
    assert len(expected) == 10
    for damage in (shutil.rmtree, _noise, _truncated, _emptied):
        damage(folder / "index")
        with Memory.open(folder) as memory:
            assert memory.recall(query) == expected, damage
            memory.index()


def _emptied(store: Path) -> None:
    for file in store.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def test_what_is_written_later_is_ranked_with_what_lies_in_files(tmp_path: Path):
    texts = [f"retry the {WORDS[n % 12]} socket {WORDS[n % 7]} number {n}" for n in range(1_500)]
    changes = [added(record(number, text)) for number, text in enumerate(texts)]
    query = Query(TEXT, repo="r", limit=20)
    with Memory.open(tmp_path / "at once") as memory:
        memory._journal.write("test", changes)
        expected = memory.recall(query)
    with Memory.open(tmp_path / "bit by bit") as memory:
        for start, end in ((0, 1_100), (1_100, 1_101), (1_101, 1_500)):
            memory._journal.write("test", changes[start:end])
            memory.recall(query)
        assert memory.recall(query) == expected
    with Memory.open(tmp_path / "bit by bit") as memory:
        assert memory.recall(query) == expected


def test_a_folder_that_cannot_be_written_is_said_and_costs_no_answer(tmp_path: Path):
    folder = tmp_path / "memory"
    query = Query(TEXT, repo="r", limit=10)
    with Memory.open(folder) as memory:
        memory._journal.write("test", [added(record(number)) for number in range(1_200)])
        expected = memory.recall(query)
    shutil.rmtree(folder / "index")
    (folder / "index").write_text("in the way")
    said: list[str] = []
    with Memory.open(folder, notice=said.append) as memory:
        assert memory.recall(query) == expected
    assert [line for line in said if "slower" in line] == said != []


def test_when_chroma_cannot_be_rebuilt_the_ranking_is_exact_and_it_is_said(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dense, "EXACT_MOST", 10)
    said: list[str] = []
    own = vectors(tmp_path / "index", journal)
    whole = np.asarray(everything(journal))
    opened = ChromaIndex(tmp_path / "index", journal, Lexical(), own)
    both = dense.Dense(own, lambda: opened, said.append)
    expected = both.nearest(asked(), 10, whole)
    assert [n for n, _ in expected] == exact(journal, whole.tolist())
    assert list((tmp_path / "index").glob("chroma-*"))
    assert said == []
    opened.close()
    for store in (tmp_path / "index").glob("chroma-*"):
        shutil.rmtree(store)
    (tmp_path / "index" / "current.json").unlink()
    (tmp_path / "index" / "current.json").mkdir()  # so that no store can be announced
    cosines = [cosine for _, cosine in both.nearest(asked(), 10, whole)]
    assert cosines == pytest.approx([cosine for _, cosine in expected], abs=1e-5)
    assert len(said) == 1
    assert "ranking exactly" in said[0]
    both.close()


WITHOUT = """
import sys
sys.modules[sys.argv[3]] = None
from pathlib import Path
from evo_agent.core.types import Query
from evo_agent.memory.store import Memory
said = []
with Memory.open(Path(sys.argv[1]), notice=said.append) as memory:
    for _ in range(2):
        found = memory.recall(Query(sys.argv[2], repo="r", limit=10))
    if sys.argv[3] == "chromadb":
        memory.index()
print(len(said), said[0])
print([record.id for record in found])
"""


@pytest.mark.parametrize("missing", ["chromadb", "numpy"])
def test_without_a_package_it_ranks_alike_and_says_so_once(
    tmp_path: Path, journal: Journal, missing: str
):
    journal.write("more", [added(record(5001, TEXT)), Change("note", "x", {})])
    with Memory.open(tmp_path / "memory") as memory:
        expected = [found.id for found in memory.recall(Query(TEXT, repo="r", limit=10))]
    argv = [sys.executable, "-W", "error", "-c", WITHOUT, str(tmp_path / "memory"), TEXT, missing]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0].startswith(f"1 memory: {missing} is missing (pip install 'evo-agent[memory]')")
    got = json.loads(out[1].replace("'", '"'))
    assert got == expected if missing == "chromadb" else len({*got, *expected}) <= 12
    assert got[0] == expected[0] == record(5001, TEXT).id


def test_recall_does_not_import_chromadb(journal: Journal):
    code = WITHOUT.replace("sys.modules[sys.argv[3]] = None", "").replace(
        "print(len(said), said[0])", 'print("chromadb" in sys.modules, "numpy" in sys.modules)'
    )
    argv = [sys.executable, "-c", code, str(journal.path.parent), TEXT, "none"]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == "False True"
    assert len(json.loads(out[1].replace("'", '"'))) == 10
