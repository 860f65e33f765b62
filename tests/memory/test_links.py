"""What is worked out of commits when recall touches them: symbols, and who introduced a bug."""

import subprocess
from pathlib import Path

import pytest
from tests.conftest import RepoFactory, commit_files, git

from evo_agent.core.git import git_command, open_repository
from evo_agent.memory.history import history
from evo_agent.memory.history.gitlog import read_commits
from evo_agent.memory.history.links import Linker, LinkReport, Links, kept
from evo_agent.memory.history.szz import replaced_lines, says_something
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Stored

PARSER = """\
# parse things


class Parser:
    def parse(self, text):
        # split it
        parts = text.split()
        return parts

    def count(self, text):
        return len(text)


def helper():
    return 1
"""
LIBRARY = "\n".join(["int zero(void)", "{", *["    x();"] * 12, "    return 0;", "}", ""])


def linked(
    repo: Path, journal: Journal, budget: float = 60.0
) -> tuple[dict[str, Links], LinkReport]:
    """Learn and link everything: links by the commit's title."""
    repository = open_repository(repo)
    history.learn(journal, repository)
    stored = journal.listed()
    report = Linker(journal, repository).link(stored, budget)
    found = {title(one): kept(journal, one.record.id) for one in stored}
    return {name: links for name, links in found.items() if links is not None}, report


def title(stored: Stored) -> str:
    return str(getattr(stored.record.body, "title", ""))


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "memory") as opened:
        yield opened


def test_a_hunk_is_given_to_the_innermost_definition_around_it(
    journal: Journal, repo_factory: RepoFactory
):
    repo = repo_factory(
        ({"p.py": PARSER, "lib.zig": LIBRARY}, "start"),
        ({"p.py": PARSER.replace("len(text)", "len(text) + 1")}, "Change count"),
        ({"p.py": PARSER.replace("\n\ndef helper():\n    return 1\n", "")}, "Drop helper"),
        (
            {"lib.zig": LIBRARY.replace("return 0", "return 1")},
            "Change a language that no parser knows",
        ),
    )
    found, report = linked(repo, journal)

    def names(title: str) -> set[tuple[str, str, bool]]:
        return {(s.path, s.name, s.parsed) for s in found[title].symbols}

    assert names("Change count") == {("p.py", "Parser.count", True)}
    assert ("p.py", "helper", True) in names("Drop helper")
    assert names("Change a language that no parser knows") == {("lib.zig", "int zero(void)", False)}
    assert (report.worked_out, report.known, report.left) == (4, 0, 0)
    assert report.symbol_rate > 0


def test_a_fix_is_linked_to_the_commits_that_wrote_what_it_replaced(
    journal: Journal, repo_factory: RepoFactory
):
    """SZZ through renames, without comments, blank lines and whitespace."""
    wrong = PARSER.replace("text.split()", "text.split('x')").replace("# split it", "# split by x")
    indented = wrong.replace("parts = text", "parts  =  text")
    repo = repo_factory(
        ({"p.py": PARSER}, "start"),
        ({"p.py": wrong}, "Split by x"),
        ({"p.py": None, "q.py": indented}, "Move and reindent"),
        ({"q.py": indented.replace("text.split('x')", "text.split()").replace("by x", "by blanks"),
          "tests/test_p.py": "assert 1\n"}, "Fix the splitting"),
    )  # fmt: skip
    found, report = linked(repo, journal)
    (cause,) = found["Fix the splitting"].introduced
    assert cause.sha == git(repo, "rev-parse", "HEAD~2")
    assert (cause.path, cause.lines) == ("p.py", 1)
    assert found["Split by x"].introduced == ()  # no fix
    assert report.fixes == 1


def test_a_revert_names_whom_it_undoes_and_introduces_nothing_itself(
    journal: Journal, repo_factory: RepoFactory
):
    repo = repo_factory(({"p.py": "a = 1\nb = 2\nc = 3\n"}, "start"))
    bug = commit_files(repo, {"p.py": "a = 1\nb = 20\nc = 3\n"}, "Make b larger")
    removal = commit_files(repo, {"p.py": "a = 1\nc = 3\n"}, "Remove b")
    git(repo, "revert", "--no-edit", "HEAD")
    revert = git(repo, "rev-parse", "HEAD")
    commit_files(repo, {"p.py": "a = 1\nb = 2\nc = 3\n"}, "Fix b")
    found, _ = linked(repo, journal)
    (undone,) = (links for name, links in found.items() if name.startswith("Revert"))
    assert [one.sha for one in undone.introduced] == [removal]
    assert [one.sha for one in found["Fix b"].introduced] == [bug]
    assert revert not in {one.sha for links in found.values() for one in links.introduced}


def test_links_are_worked_out_once_within_a_budget(journal: Journal, repo_factory: RepoFactory):
    repo = repo_factory(*(({"p.py": f"x = {n}\n"}, f"Fix x to {n}") for n in range(4)))
    repository = open_repository(repo)
    history.learn(journal, repository)
    stored, linker = journal.listed(), Linker(journal, repository)
    nothing = linker.link(stored, budget=0.0)
    assert (nothing.worked_out, nothing.left) == (0, 4)
    assert linker.link(stored[:2], budget=60.0).worked_out == 2
    rest = linker.link(stored, budget=60.0)
    assert (rest.worked_out, rest.known, rest.left) == (2, 2, 0)
    assert len(journal.events(kind="links")) == 4
    assert linker.link(stored).known == 4


def test_a_shallow_clone_and_a_commit_that_is_not_there_are_cut(
    journal: Journal, repo_factory: RepoFactory, tmp_path: Path
):
    repo = repo_factory(*(({"p.py": f"x = {n}\ny = 1\n"}, f"Fix x to {n}") for n in range(5)))
    history.learn(journal, open_repository(repo))
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth", "2", repo.as_uri(), str(clone)], check=True)
    shallow = open_repository(clone)
    object.__setattr__(shallow, "identity", open_repository(repo).identity)
    Linker(journal, shallow).link(journal.listed(), 60.0)
    found = {title(one): kept(journal, one.record.id) for one in journal.listed()}
    assert found["Fix x to 1"] == Links(cut=True)  # not there
    newest = found["Fix x to 4"]
    assert newest is not None
    assert (
        newest.introduced == ()
    )  # the clone's first commit is not to blame for all that was before


def test_only_code_that_was_replaced_counts(repo_factory: RepoFactory):
    before = "a = 1\n\n# note\nb = 2\nc = 3\n"
    repo = repo_factory(
        (
            {"p.py": before, "tests/test_p.py": "x\n", "n.js": "/* a\n * b\n */\n// c\nd()\n"},
            "start",
        ),
        ({"p.py": "a = 9\nb = 8\nc = 3\n", "tests/test_p.py": "y\n", "n.js": "e()\n"}, "Fix"),
    )
    repository = open_repository(repo)
    (fix,) = read_commits(git_command(repository), [repository.head], context=0)
    assert replaced_lines(fix) == {"n.js": [5], "p.py": [1, 4]}
    assert not says_something("x.go", "  // only this")
    assert says_something("x.unknown", "// who knows")
