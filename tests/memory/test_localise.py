"""Localisation on small repositories: each feature, the base's tree only, abstention, the cache."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np  # noqa: TID253 - arrays are what is tested
import pytest
from tests.conftest import RepoFactory, commit_files, git

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git import open_repository
from evo_agent.memory.code.corpus import corpus, is_test, parsed, source_files
from evo_agent.memory.code.fit import Listed, fitted, rank
from evo_agent.memory.code.localise import CACHE_FILE, Place, Ranking, localise
from evo_agent.memory.code.parses import Parses
from evo_agent.memory.code.past import changes, history, likeness, popularity, recency
from evo_agent.memory.code.question import question

FILES: dict[str, str | bytes | None] = {
    "shop/__init__.py": "",
    "shop/basket.py": '''"""The basket."""
from shop.prices import total_price


class Basket:
    """What somebody wants to buy."""

    def add_item(self, item, amount):
        self.items.append((item, amount))

    def checkout(self):
        return total_price(self.items)
''',
    "shop/prices.py": '''"""Prices and discounts."""


def total_price(items):
    return sum(apply_discount(price) * amount for price, amount in items)


def apply_discount(price):
    """Round half to even, as accountants want it."""
    return round(price * 0.9, 2)
''',
    "shop/mail/sender.py": '''"""Letters to customers."""


def send_invoice(customer):
    raise ConnectionError("the mail server refused the invoice")
''',
    "shop/mail/templates.py": "def render(name):\n    return f'Dear {name}'\n",
    "tests/test_prices.py": "def test_apply_discount_rounding():\n    assert apply_discount(1) == 0.9\n",
    "notes.txt": "apply_discount rounding",
}


@pytest.fixture
def shop(repo_factory: RepoFactory) -> Path:
    return repo_factory((FILES, "begin"))


def places(repo: Path, text: str, base: str = "", **options: int) -> tuple[Place, ...]:
    repository = open_repository(repo)
    return localise(repository, base or repository.head, text, cache=repo.parent / "c", **options)


def ranking(repo: Path, text: str) -> Ranking:
    repository = open_repository(repo)
    files = [f for f in source_files(repository, repository.head) if not is_test(f.path)]
    with Parses(repo.parent / "p" / CACHE_FILE) as parses:
        known = parsed(repository, files, parses)
    return Ranking(corpus([f.path for f in files], [known[f.key] for f in files]), question(text))


def best(repo: Path, feature: str, text: str) -> str:
    """The file for which one feature speaks most; empty when it speaks for none."""
    made = ranking(repo, text)
    (column,) = made.file_features([feature]).T
    return made.corpus.paths[int(np.argmax(column))] if column.any() else ""


def test_a_place_is_a_file_its_function_and_why(shop: Path):
    first, *_ = places(shop, "Discount is rounded wrongly\n\napply_discount(1.005) rounds down")
    assert (first.path, first.function, first.line) == ("shop/prices.py", "apply_discount", 8)
    assert first.score > 0
    assert "; " in first.why
    assert "\n" not in first.why


@pytest.mark.parametrize(
    ("feature", "text", "path"),
    [
        ("bm25", "x\n\nsomething about accountants", "shop/prices.py"),
        ("bm25f", "Letters to customers", "shop/mail/sender.py"),
        ("title", "Letters to customers\n\ndiscount discount", "shop/mail/sender.py"),
        ("best_chunk", "x\n\nhalf to even", "shop/prices.py"),
        ("title_chunk", "half to even\n\nmail server", "shop/prices.py"),
        ("names", "Rendering is slow", "shop/mail/templates.py"),
        ("rare", "x\n\nserver", "shop/mail/sender.py"),
        ("path", "x\n\nthe basket", "shop/basket.py"),
        ("exact_path", "x\n\nsee mail/templates.py, please", "shop/mail/templates.py"),
        ("module", "x\n\nshop.prices.total_price fails", "shop/prices.py"),
        ("defined", "x\n\n```\nb = Basket()\n```", "shop/basket.py"),
    ],
)
def test_each_feature_speaks_for_its_file(shop: Path, feature: str, text: str, path: str):
    assert best(shop, feature, text) == path
    assert best(shop, feature, "zzz qqq\n\nnothing of the kind") == ""


def test_a_folder_speaks_for_its_files(shop: Path):
    assert best(shop, "folder", "Letters to customers").startswith("shop/mail/")


TRACE = """It fails

Traceback (most recent call last):
  File "/usr/lib/python3/site-packages/shop/basket.py", line 12, in checkout
    return total_price(self.items)
  File "/usr/lib/python3/site-packages/shop/prices.py", line 5, in total_price
    return 1
  File "/usr/lib/python3/decimal.py", line 5, in quantize
"""


def test_tracebacks_speak_for_their_last_frame_in_the_repository(shop: Path):
    made = ranking(shop, TRACE)
    frames, last = made.file_features(["frames", "last_frame"]).T
    by_path = dict(zip(made.corpus.paths, zip(frames, last, strict=True), strict=True))
    assert by_path["shop/prices.py"] == (1.0, 1.0)
    assert by_path["shop/basket.py"] == (0.5, 0.0)
    assert by_path["shop/mail/sender.py"] == (0.0, 0.0)


def test_calls_lead_from_the_symptom_to_the_cause(shop: Path):
    made = ranking(shop, "Basket.checkout is wrong\n\n```\nBasket().checkout()\n```")
    called = made.mentions.chunk_called
    where = int(np.argmax(called))
    file = int(made.corpus.chunk_file[where])
    place = made.corpus.names(file)[0][where - int(made.corpus.first_chunk[file]) - 1]
    assert place[0] == "total_price"


def test_only_the_bases_tree_is_read(shop: Path):
    """The as-of rule: what came later, or stands in the work tree, is never seen."""
    repository = open_repository(shop)
    base = repository.head
    later = {"shop/leak.py": "def frobnicate_widget(): pass\n"}
    commit_files(shop, later, "add frobnicate_widget")
    (shop / "shop" / "work.py").write_text("def frobnicate_widget(): pass\n")
    text = "frobnicate_widget breaks apply_discount"
    assert "shop/leak.py" in {p.path for p in places(shop, text)}
    found = {p.path for p in places(shop, text, base)}
    assert found
    assert found.isdisjoint({"shop/leak.py", "shop/work.py"})


def test_tests_links_and_other_files_are_no_candidates(shop: Path):
    (shop / "link.py").symlink_to("shop/prices.py")
    git(shop, "add", "-A")
    git(shop, "commit", "-q", "-m", "link")
    found = {p.path for p in places(shop, "apply_discount rounding")}
    assert "shop/prices.py" in found
    assert found.isdisjoint({"tests/test_prices.py", "notes.txt", "link.py"})


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("tests/helpers.py", True),
        ("a/test_b.py", True),
        ("a/b_test.go", True),
        ("src/test/java/A.java", True),
        ("a/b.spec.ts", True),
        ("testing/x.py", True),
        ("django/test/client.py", False),
        ("sympy/testing/runtests.py", False),
        ("a/latest.py", False),
    ],
)
def test_what_counts_as_a_test(path: str, test: bool):  # noqa: FBT001 - a column
    assert is_test(path) is test


@pytest.mark.parametrize(
    "text",
    [
        "How to bake bread with rye flour\n\nPreheat the oven first.",
        "",
        "\n\n",
        "!!! ???",
        "\0\x1b[31m",
    ],
)
def test_it_abstains_when_nothing_touches_the_source(shop: Path, text: str):
    """Wholistic continual learning: an out-of-domain query retrieves nothing."""
    assert places(shop, text) == ()


def test_a_repository_without_source_and_a_base_that_is_none(repo_factory: RepoFactory):
    repo = repo_factory(({"README": "basket"}, "begin"))
    assert places(repo, "basket") == ()
    with pytest.raises(RepositoryError, match="names no commit"):
        places(repo, "basket", "--output=x")


def test_count_bounds_the_answer(shop: Path):
    assert len(places(shop, "discount of the basket", count=2)) == 2


def test_hostile_sources_and_issues_are_data(repo_factory: RepoFactory):
    files: dict[str, str | bytes | None] = {
        "deep.py": "(" * 200_000,
        "binary.py": bytes(range(256)) * 100,
        "huge.py": "x = 1\n" * 300_000,
        "quotes.py": '"' * 100_000 + "'''" * 30_000,
        "ok.py": "def parse_header(line):\n    return line\n",
        "name\nwith\tcontrol.py": "def parse_header(): pass\n",
    }
    repo = repo_factory((files, "begin"))
    text = "parse_header " + "`(" * 20_000 + "a/" * 20_000 + "<!--" * 5_000 + "a." * 20_000
    assert "ok.py" in {p.path for p in places(repo, text)}


def test_the_cache_is_by_content(shop: Path):
    """A second question parses nothing; a copy under another name neither."""
    places(shop, "discount")
    cache = shop.parent / "c" / CACHE_FILE
    with sqlite3.connect(cache) as connection:
        (before,) = connection.execute("SELECT count(*) FROM parses").fetchone()
    connection.close()
    commit_files(shop, {"shop/copy.py": FILES["shop/prices.py"]}, "copy")
    assert {"shop/copy.py", "shop/prices.py"} <= {p.path for p in places(shop, "discount")}
    with sqlite3.connect(cache) as connection:
        (after,) = connection.execute("SELECT count(*) FROM parses").fetchone()
    connection.close()
    assert after == before == 5


@pytest.mark.parametrize("damage", [b"noise" * 1000, b""])
def test_a_damaged_cache_is_made_anew(shop: Path, damage: bytes):
    expected = places(shop, "discount")
    cache = shop.parent / "c" / CACHE_FILE
    for extra in cache.parent.iterdir():
        extra.unlink()
    cache.write_bytes(damage)
    assert places(shop, "discount") == expected


def test_the_cache_is_bounded(tmp_path: Path):
    with Parses(tmp_path / "c.sqlite") as parses:
        for number in range(10):
            parses.put({(str(number), "python"): (b"x" * 100, "0|[[],[]]")})
        parses.trim(largest=1000)
        assert len(parses.get([(str(n), "python") for n in range(10)])) == 10
        parses.trim(largest=500)
        assert len(parses.get([(str(n), "python") for n in range(10)])) == 2


ASK = """
import sys, time
from pathlib import Path
from evo_agent.core.git import open_repository
from evo_agent.memory.code.localise import localise
repository = open_repository(Path(sys.argv[1]))
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
print(localise(repository, repository.head, "discount of the basket", cache=Path(sys.argv[2])))
"""


def test_processes_share_the_cache(shop: Path):
    cache = shop.parent / "c"
    start = time.time() + 1.5  # so that they make the file at the same time
    command = [sys.executable, "-c", ASK, str(shop), str(cache), str(start)]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    found = [process.communicate(timeout=60)[0] for process in asking]
    assert [process.returncode for process in asking] == [0, 0, 0]
    assert b"shop/prices.py" in found[0]
    assert found[0] == found[1] == found[2]
    with sqlite3.connect(cache / CACHE_FILE) as connection:
        assert connection.execute("SELECT count(*) FROM parses").fetchone() == (5,)
    connection.close()


def test_history_is_read_from_proper_ancestors_only(shop: Path):
    commit_files(shop, {"shop/prices.py": "def f(): pass\n"}, "Round discounts as accountants do")
    base = commit_files(shop, {"shop/basket.py": "def g(): pass\n"}, "Clean the basket up")
    commit_files(shop, {"shop/mail/sender.py": "def h(): pass\n"}, "Fix discounts: the answer")
    past = changes(open_repository(shop), base)
    assert past[0].paths == ("shop/prices.py",)
    assert len(past) == 2
    paths = ("shop/basket.py", "shop/mail/sender.py", "shop/prices.py")
    like = likeness(question("discounts are rounded"), past)
    assert history(paths, past, like).tolist()[:2] == [pytest.approx(0), pytest.approx(0)]
    assert history(paths, past, like)[2] > 0
    assert popularity(paths, past).tolist() == [1, 1, 2]
    assert int(np.argmax(recency(paths, past))) == 2


def test_a_fit_prefers_the_feature_that_tells_and_no_weight_is_negative():
    chance = np.random.default_rng(0)
    lists = []
    for _ in range(30):
        features = chance.random((50, 2))
        features[7, 0] = 1.0
        lists.append(Listed(features, [7]))
    weights = fitted(lists, 0.01)
    assert weights[0] > 2 * weights[1] >= 0
    assert np.mean([rank(one, weights) <= 3 for one in lists]) > 0.8
