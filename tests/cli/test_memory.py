"""`evo memory`, as a person types it: its streams and its exit codes.

Most of it goes through the command line's own entry point inside this process, which is many
times faster; what pipes do is tested with real ones.
"""

import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran

from evo_agent.cli.main import run
from evo_agent.memory.journal.bodies import Insight
from evo_agent.memory.journal.journal import FILE, Journal
from evo_agent.memory.journal.records import Scope, make
from evo_agent.memory.journal.rows import added
from evo_agent.memory.store import Memory

Typed = Callable[..., Ran]
SECRET = "hunter2-of-the-pager"  # nothing that redaction would know


@pytest.fixture
def typed(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Typed:
    """Call with arguments; cwd, env and stdin by keyword, as conftest's `evo`."""

    def call(
        *arguments: str, cwd: Path = tmp_path, env: dict[str, str] | None = None, stdin: str = ""
    ) -> Ran:
        capfdbinary.readouterr()
        with monkeypatch.context() as here:
            here.chdir(cwd)
            for name, value in (env or {}).items():
                here.setenv(name, value)
            here.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            code = run(list(arguments))
            sys.stdout.flush()
        said = capfdbinary.readouterr()
        return Ran(code, said.out.decode(), said.err.decode())

    return call


@pytest.fixture
def folder(own_evo_home: Path) -> Path:
    return own_evo_home / "memory"


@pytest.fixture
def repo(repo_factory: Any, typed: Any) -> Path:
    made: Path = repo_factory(
        ({"pager.py": "def pages(n):\n    return n // 10\n"}, "Add a pager"),
        ({"pager.py": "def pages(n):\n    return -(-n // 10)\n"}, "Fix pages: the last is lost"),
        ({"login.py": f"KEY = open('{SECRET}')\n"}, "Add a login"),
        ({"login.py": "KEY = ''\n"}, "Take the key out again"),
    )
    assert typed("learn", cwd=made).code == 0
    return made


def told(typed: Any, repo: Path, *arguments: str, code: int = 0, **options: Any) -> Any:
    ran = typed("memory", *arguments, "--json", cwd=repo, **options)
    assert ran.code == code, ran
    return json.loads(ran.out)


def test_stats_search_and_why(typed: Any, repo: Path, folder: Path):
    kept = told(typed, repo, "stats")["stats"]
    assert (kept["records"], kept["folder"]) == (4, str(folder))
    assert kept["by"] == {"episode/commit/candidate": 4}
    assert list(kept["repositories"].values()) == [str(repo)]
    shown = typed("memory", "stats", cwd=repo).out
    assert "records" in shown
    assert f"at {repo}" in shown
    found = told(typed, repo, "search", "last page lost")
    assert found[0]["title"] == "Fix pages: the last is lost"
    assert typed("memory", "search", "xylophone", cwd=repo).code == 3
    link = told(typed, repo, "why", found[0]["id"][:8])
    assert len(link["commit"]) == 40
    assert link["origins"] == [link["commit"]]
    assert "stored" in link["happened"][0]
    assert f"from {link['commit']}" in typed("memory", "why", found[0]["id"], cwd=repo).out
    assert typed("memory", "why", "ffffff", cwd=repo).code == 1


def test_a_forgotten_record_answers_no_more_but_is_found(typed: Any, repo: Path):
    asked = ("recall", "the last page is lost", "--base", "HEAD", "--json")
    (first, *_) = json.loads(typed(*asked, cwd=repo).out)
    dry = told(typed, repo, "forget", first["id"][:10], "--dry-run")
    assert dry["ids"] == [first["id"]]
    told(typed, repo, "forget", first["id"][:10])
    assert first["id"] not in [r["id"] for r in json.loads(typed(*asked, cwd=repo).out or "[]")]
    (match,) = [m for m in told(typed, repo, "search", "last") if m["id"] == first["id"]]
    assert match["state"] == "archived"
    assert json.loads(typed("learn", "--json", cwd=repo).out)["added"] == 0
    assert len(told(typed, repo, "forget", "--everything")["ids"]) == 3
    assert told(typed, repo, "verify") == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("abc123", "--everything"), ("abc123", "--secret", "long enough"), ("--secret", "x")],
)
def test_forget_wants_to_know_exactly_what(typed: Any, repo: Path, arguments: tuple[str, ...]):
    ran = typed("memory", "forget", *arguments, cwd=repo)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 2


def _bytes(folder: Path) -> bytes:
    return b"".join(f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file())


def test_a_purged_secret_is_nowhere_and_does_not_come_back(
    typed: Any, repo: Path, folder: Path, tmp_path: Path
):
    with Memory.open(folder, repo=repo) as memory:  # stored packed: look for it unpacked, too
        before = "\n".join(memory.custody.lines())
        memory.index()
    assert SECRET in before
    run = repo / ".evo" / "runs" / "r1"
    run.mkdir(parents=True)
    (run / "events.jsonl").write_text(f"{SECRET}\n")
    shutil.copytree(folder, tmp_path / "other")
    done = told(typed, repo, "forget", "--secret", "-", "--purge", stdin=f"{SECRET}\n")
    assert len(done["ids"]) == 2  # the commit that wrote it, and the one that took it out
    assert done["left"] == [str(run / "events.jsonl")]
    assert SECRET.encode() not in _bytes(folder)
    assert SECRET not in typed("memory", "export", "-", cwd=repo).out
    words = sqlite3.connect(folder / FILE).execute("SELECT term FROM terms").fetchall()
    assert ("pager",) in words
    assert ("login",) not in words
    assert json.loads(typed("learn", "--json", cwd=repo).out)["added"] == 0
    assert told(typed, repo, "merge", str(tmp_path / "other"))["taken"]["records"] == 0
    assert SECRET not in typed("memory", "export", "-", cwd=repo).out
    assert told(typed, repo, "verify") == []
    assert told(typed, repo, "stats")["stats"]["purged"] == 2
    assert typed("recall", "the last page is lost", cwd=repo).code == 0


def test_export_and_import_through_files_and_pipes(evo: Any, repo: Path, tmp_path: Path):
    out = tmp_path / "backup.jsonl"
    assert told(evo, repo, "export", str(out)) == {"file": str(out), "lines": 5}
    assert out.stat().st_mode & 0o077 == 0
    data = out.read_text()
    assert evo("memory", "export", "-", cwd=repo).out == data
    empty = {"EVO_MEMORY_PATH": str(tmp_path / "empty")}
    assert told(evo, repo, "import", "-", env=empty, stdin=data)["taken"]["records"] == 4
    assert told(evo, repo, "import", str(out), env=empty)["taken"]["known"] == 4
    assert evo("memory", "export", "-", cwd=repo, env=empty).out == data
    lines = data.splitlines()
    lines[2] = lines[2][:-9]
    other = {"EVO_MEMORY_PATH": str(tmp_path / "other")}
    ran = evo("memory", "import", "-", cwd=repo, env=other, stdin="\n".join(lines))
    assert ran.code == 1
    assert "line 3: " in ran.err
    assert "new records    3" in ran.out
    assert evo("memory", "import", "nowhere.jsonl", cwd=repo).code == 1
    assert evo("memory", "export", str(tmp_path / "no" / "where"), cwd=repo).code == 1


def test_merge_takes_folders(typed: Any, repo: Path, tmp_path: Path):
    record = make(Insight("rule", "count from one"), repo="r", scope=Scope.GLOBAL)
    with Journal(tmp_path / "other") as other:
        other.write("x", [added(replace(record))])
    assert told(typed, repo, "merge", str(tmp_path / "other"))["taken"]["records"] == 1
    assert told(typed, repo, "merge", str(tmp_path / "other"))["taken"]["known"] == 1
    ran = typed("memory", "merge", str(tmp_path / "nowhere"), cwd=repo)
    assert (ran.code, len(ran.err.splitlines())) == (1, 2)


def _lost_view(folder: Path) -> None:
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("DELETE FROM records WHERE number = 2")


def _lost_word(folder: Path) -> None:
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("INSERT INTO search (rowid, title) VALUES (9, 'ghost')")


def _other_state(folder: Path) -> None:
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("UPDATE records SET state = 'active' WHERE number = 1")


def _noise(folder: Path) -> None:
    for path in (folder / "index").rglob("*.bin"):
        path.write_bytes(b"noise" * 100)


@pytest.mark.parametrize("damage", [_lost_view, _lost_word, _other_state, _noise])
def test_verify_says_what_is_wrong_and_rebuild_mends_it(
    typed: Any, repo: Path, folder: Path, damage: Callable[[Path], None]
):
    assert typed("recall", "pager", cwd=repo).code in (0, 3)
    assert told(typed, repo, "verify") == []
    damage(folder)
    ran = typed("memory", "verify", cwd=repo)
    assert ran.code == 1
    assert all("rebuild" in line for line in ran.out.splitlines())
    assert told(typed, repo, "rebuild") == {"records": 4}
    assert typed("memory", "verify", cwd=repo).out == "all is well\n"


def test_verify_names_a_record_that_does_not_fit_its_id(typed: Any, repo: Path, folder: Path):
    with sqlite3.connect(folder / FILE) as connection:
        rows = connection.execute("SELECT position, data FROM events WHERE kind = 'record'")
        (first, a), (second, b), *_ = rows.fetchall()
        connection.execute("UPDATE events SET data = ? WHERE position = ?", (b, first))
        connection.execute("UPDATE events SET data = ? WHERE position = ?", (a, second))
    found = told(typed, repo, "verify", code=1)
    assert [f["where"].split()[0] for f in found] == ["record", "record"]


def test_prune_says_what_it_would_do(typed: Any, repo: Path):
    assert told(typed, repo, "prune", "--dry-run", "--all")["dry"] is True
    assert typed("memory", "prune", cwd=repo).code == 0
