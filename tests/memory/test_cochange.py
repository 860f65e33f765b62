"""What goes along with a change: counted from real commits, and only from those that may answer."""

from dataclasses import replace

from tests.conftest import RepoFactory, commit_files, git

from evo_agent.core.git import open_repository
from evo_agent.core.types import Query
from evo_agent.memory.kinship.cochange import CoChange, companions, needed_tests
from evo_agent.memory.kinship.precedents import (
    LARGEST,
    Precedent,
    Precedents,
    message_words,
    renamed,
)
from evo_agent.memory.recall.asof import allowed
from evo_agent.memory.store import Memory


def change(
    number: int, *files: str, tests: tuple[str, ...] = (), title: str = "Fix it"
) -> Precedent:
    """A precedent."""
    return Precedent(
        sha=f"{number:040x}",
        time=number,
        title=title,
        intent="fix",
        words=message_words(title),
        files=files,
        tests=tests,
    )


def paths(found: tuple[object, ...]) -> list[str]:
    return [one.path for one in found]  # type: ignore[attr-defined]


def test_what_changed_together_more_often_comes_first_with_its_evidence():
    changes = [
        change(1, "a.py", "b.py"),
        change(2, "a.py", "b.py", title="Mend the joint"),
        change(3, "a.py", "c.py"),
        change(4, "d.py", "e.py"),
    ]
    found = companions(changes, ["a.py"])
    assert paths(found) == ["b.py", "c.py"]
    assert found[0].support == 2
    assert found[0].commits == (changes[1].sha, changes[0].sha)
    assert "a.py in 2 earlier changes" in found[0].why
    assert "Mend the joint" in found[0].why
    assert companions(changes, ["unknown.py"]) == ()
    assert paths(companions(changes, ["a.py"], count=1)) == ["b.py"]


def test_two_seeds_agree_on_what_neither_is_sure_of():
    changes = [change(1, "a.py", "x.py"), change(2, "b.py", "x.py"), change(3, "a.py", "y.py")]
    assert paths(companions(changes, ["a.py", "b.py"])) == ["x.py", "y.py"]


def test_a_sweep_links_nothing_and_a_small_change_more_than_a_large_one():
    sweep = change(1, "a.py", *(f"s{n}.py" for n in range(LARGEST)))
    large = change(2, "a.py", *(f"l{n}.py" for n in range(9)))
    small = change(3, "a.py", "small.py")
    scores = CoChange([sweep, small, large]).files(["a.py"])
    assert not [path for path in scores if path.startswith("s") and path != "small.py"]
    assert scores["small.py"] > scores["l0.py"] > 0


def test_an_old_link_counts_less():
    filler = [change(n, "z.py") for n in range(10, 4010)]
    scores = CoChange([change(1, "a.py", "old.py"), *filler, change(9999, "a.py", "new.py")])
    assert scores.files(["a.py"])["new.py"] > 2 * scores.files(["a.py"])["old.py"]


def test_what_is_in_every_commit_is_coupled_with_nothing():
    changes = [change(n, "changes.py", f"f{n}.py") for n in range(20)]
    changes += [change(30, "changes.py", "a.py", "b.py"), change(31, "changes.py", "a.py", "b.py")]
    counts = CoChange(changes)
    assert counts.files(["a.py"])["changes.py"] == counts.files(["a.py"])["b.py"]
    assert counts.coupling(["a.py"])["b.py"] > 2 * counts.coupling(["a.py"])["changes.py"]


def test_the_task_s_words_choose_between_companions():
    changes = [
        change(1, "a.py", "html.py", title="Fix escaping of markup"),
        change(2, "a.py", "date.py", title="Fix time zones of calendars"),
    ]
    assert paths(companions(changes, ["a.py"], text="markup is not escaped"))[0] == "html.py"
    assert (
        paths(companions(changes, ["a.py"], text="calendar in another time zone"))[0] == "date.py"
    )


def test_the_tests_of_a_function_come_before_those_of_the_file_around_it():
    first = replace(change(1, "a.py", tests=("tests/test_f.py",)), functions=(("a.py", "f"),))
    second = replace(change(2, "a.py", tests=("tests/test_g.py",)), functions=(("a.py", "g"),))
    changes = [first, second]
    assert paths(needed_tests(changes, ["a.py"], functions=[("a.py", "f")]))[0] == "tests/test_f.py"
    assert paths(needed_tests(changes, ["a.py"], functions=[("a.py", "g")]))[0] == "tests/test_g.py"
    assert companions(changes, ["a.py"]) == ()  # a test is no companion


def test_a_rename_carries_its_links_along():
    before = change(1, "old.py", "b.py", tests=("tests/test_old.py",))
    moved = replace(change(2, "new.py"), renames=(("old.py", "new.py"),))
    again = change(3, "old.py", "c.py")  # another file under the old name
    changes = renamed([before, moved, again])
    assert paths(companions(changes, ["new.py"])) == ["b.py"]
    assert paths(companions(changes, ["old.py"])) == ["c.py"]
    assert paths(needed_tests(changes, ["new.py"])) == ["tests/test_old.py"]


def test_the_journal_s_precedents_are_those_that_may_answer(
    memory: Memory, repo_factory: RepoFactory
):
    source, test = "def parse(u):\n    a = 1\n    return {}\n", "def test_{0}():\n    assert {0}\n"
    repo = repo_factory(
        ({"url.py": source.format(1), "README": "x"}, "Add parse"),
        (
            {"url.py": source.format(2), "http.py": "x = 1\n", "tests/test_url.py": test.format(1)},
            "Fix parse of padded hosts (#3)",
        ),
        ({"url.py": source.format(3), "later.py": "y = 1\n"}, "Fix what comes later"),
    )
    memory.learn(repo)
    base = git(repo, "rev-parse", "HEAD")
    query = Query("parse", base=base, repo=open_repository(repo).identity)
    journal, past = memory._journal, memory._recall.past
    reader = Precedents(journal)
    answering = allowed(journal.places(query.repo), query, past.of, 2e9)
    changes = reader.among(answering.values())
    assert [one.title for one in changes] == ["Add parse", "Fix parse of padded hosts (#3)"]
    fix = changes[1]
    assert (fix.intent, fix.files, fix.tests) == (
        "fix",
        ("http.py", "url.py"),
        ("tests/test_url.py",),
    )
    assert fix.functions == (("url.py", "parse"),)
    assert fix.shape == ("+assign", "~return")
    assert paths(companions(changes, ["url.py"])) == ["README", "http.py"]  # the smaller first
    assert paths(needed_tests(changes, ["url.py"])) == ["tests/test_url.py"]
    commit_files(repo, {"url.py": source.format(4), "now.py": "z = 1\n"}, "Fix again")
    memory.learn(repo)
    query = replace(query, base=git(repo, "rev-parse", "HEAD"))
    answering = allowed(journal.places(query.repo), query, past.of, 2e9)
    assert "later.py" in paths(companions(reader.among(answering.values()), ["url.py"]))
    assert "now.py" not in paths(companions(reader.among(answering.values()), ["url.py"]))


def test_the_number_of_a_pull_request_makes_no_fix(memory: Memory, repo_factory: RepoFactory):
    repo = repo_factory(
        ({"a.py": "x = 1\n"}, "Update hooks (#12)"), ({"a.py": "x = 2\n"}, "Fixed #7 -- a is wrong")
    )
    memory.learn(repo)
    answering = {stored.record.id: stored.number for stored in memory.records()}
    assert [one.intent for one in Precedents(memory._journal).among(answering.values())] == [
        "other",
        "fix",
    ]
