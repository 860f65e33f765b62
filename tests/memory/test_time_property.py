"""Whatever the history, the base and the query: nothing answers that lay in the future.

Random histories (branches, merges, several roots, reverts, issues, clocks that lie), records of
runs, skills and insights beside them, and queries that quote the answer or attack the full text.
"""

import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from tests.conftest import GIT_ENV

from evo_agent.core.git import open_repository
from evo_agent.core.types import Query, Recalled
from evo_agent.memory.journal.bodies import Body, Episode, Insight, Skill
from evo_agent.memory.journal.records import AsOf, Scope, Trust, make
from evo_agent.memory.journal.rows import Change, added
from evo_agent.memory.recall.fulltext import FullTextRanking
from evo_agent.memory.store import Memory

SUBJECTS = (
    "Fix KeyError in merge_settings when a header is missing",
    "Fix merge_settings: KeyError for headers",
    "Retry the socket when login fails with a stale token",
    "Evict cache entries by age",
)
ISSUES = (7, 70, 77)
TASKS = ("task-a", "task-b")
FUTURE = 4e9
ATTACKS = (
    '" OR 1 --',
    "NEAR(merge_settings KeyError, 5)",
    "title:* OR paths:settings*",
    "merge_settings' ; DROP TABLE records; --",
    "{title paths} : ^fix AND NOT x",
    "\0\ud800 merge_settings \u202e KeyError",
    "(((((((((( merge_settings",
    "../../x/settings.py /etc/passwd KeyError merge_settings header",
)


@dataclass(frozen=True)
class Made:
    """A commit to be made; parents count backwards from it."""

    parents: tuple[int, ...]
    subject: int
    issue: int | None
    reverts: int | None
    clock: int


@dataclass(frozen=True)
class Beside:
    """A record that is no commit."""

    what: str
    subject: int
    task: str
    time: float
    own: bool
    state: str


@dataclass
class World:
    """A history as it was made, with its names."""

    shas: list[str] = field(default_factory=list)
    parents: list[list[int]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    issues: list[int | None] = field(default_factory=list)

    def before(self, commit: int) -> set[int]:
        """Proper ancestors."""
        found: set[int] = set()
        todo = list(self.parents[commit])
        while todo:
            at = todo.pop()
            if at not in found:
                found.add(at)
                todo += self.parents[at]
        return found


commits = st.builds(
    Made,
    parents=st.sampled_from(((1,), (1,), (1,), (2,), (4,), (1, 2), (1, 3), ())),
    subject=st.integers(0, len(SUBJECTS) - 1),
    issue=st.sampled_from((None, None, *ISSUES)),
    reverts=st.none() | st.integers(1, 6),
    clock=st.integers(1_000_000_000, 1_700_000_000),
)
besides = st.builds(
    Beside,
    what=st.sampled_from(("run", "skill", "insight")),
    subject=st.integers(0, len(SUBJECTS) - 1),
    task=st.sampled_from(("", *TASKS, "\n".join(TASKS))),
    time=st.sampled_from((1.0, 1.6e9, FUTURE)),
    own=st.booleans(),
    state=st.sampled_from(("candidate", "candidate", "quarantined", "archived")),
)


def build(repo: Path, history: list[Made]) -> World:
    """Make the commits, and one that merges every end, so that all are learnt at once."""
    world = World()
    stream: list[str] = []
    for at, made in enumerate(history):
        parents = sorted({at - back for back in made.parents if at - back >= 0})
        message = SUBJECTS[made.subject]
        message += f" (#{made.issue})" if made.issue else ""
        if made.reverts is not None and at - made.reverts >= 0:
            message = f'Revert "{message}"\n\nThis reverts commit {at - made.reverts:040x}.'
        world.parents.append(parents)
        world.messages.append(message)
        world.issues.append(made.issue)
        stream += _commit(at, message, parents, made.clock)
    ends = sorted(set(range(len(history))) - {p for parents in world.parents for p in parents})
    stream += _commit(len(history), "everything", ends, 1_000_000_000)
    subprocess.run(["git", "init", "-q", str(repo)], env=GIT_ENV, check=True)
    marks = repo / ".git" / "marks"
    command = ["git", "-C", str(repo), "fast-import", "--quiet", f"--export-marks={marks}"]
    subprocess.run(command, input="".join(stream).encode(), env=GIT_ENV, check=True)
    head = ["git", "-C", str(repo), "symbolic-ref", "HEAD", f"refs/heads/b{len(history)}"]
    subprocess.run(head, env=GIT_ENV, check=True)
    named = dict(line.split() for line in marks.read_text().splitlines())
    world.shas = [named[f":{at + 1}"] for at in range(len(history))]
    return world


def _commit(at: int, message: str, parents: list[int], clock: int) -> list[str]:
    lines = [f"commit refs/heads/b{at}\nmark :{at + 1}\n"]
    lines += [f"committer A <a@example.org> {clock} +0000\n"]
    lines += [f"data {len(message.encode())}\n{message}\n"]
    lines += [f"{'merge' if n else 'from'} :{p + 1}\n" for n, p in enumerate(parents)]
    content = f"merge_settings = {at}\n"
    name = f"M 100644 inline src/settings{at % 3}.py\n"
    return [*lines, name, f"data {len(content)}\n{content}\n"]


def keep(memory: Memory, repo: str, beside: list[Beside]) -> None:
    """Write what is no commit."""
    for number, one in enumerate(beside):
        told = f"{SUBJECTS[one.subject]}, seen {number}"
        bodies: dict[str, Body] = {
            "run": Episode("run", told, issue_id=one.task, problem=told),
            "skill": Skill(f"fix-{number}", told, told, issue_id=one.task),
            "insight": Insight("rule", told, issue_id=one.task),
        }
        record = make(
            bodies[one.what],
            repo=repo if one.own else "another",
            scope=Scope.REPO if one.what == "insight" else Scope.GLOBAL,
            as_of=AsOf("", one.time),
            trust=Trust.VERIFIED,
        )
        changes = [added(record)]
        if one.state != "candidate":
            step = {"from": "candidate", "to": one.state, "why": "w"}
            changes.append(Change("state", record.id, step))
        memory._journal.write("beside", changes)


def check(world: World, base: int, query: Query, found: tuple[Recalled, ...]) -> None:
    """Nothing from the future, nothing of the same issue."""
    past = {world.shas[at] for at in world.before(base)}
    asked = query.issue_id.split("\n")
    for one in found:
        assert one.state not in {"quarantined", "archived"}
        if one.data.get("origin") == "commit":
            assert one.data["commit"] in past, "not a proper ancestor"
            at = world.shas.index(one.data["commit"])
            assert f"#{world.issues[at]}" not in asked, "of the same issue"
        else:
            tasks = str(one.data.get("issue_id") or "").split("\n")
            assert not {t for t in tasks if t} & set(asked), "of the same task"


@pytest.mark.parametrize("ranking", ["columns", "full text"])
@settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a smaller failure would take minutes to find
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    history=st.lists(commits, min_size=6, max_size=12),
    beside=st.lists(besides, max_size=5),
    data=st.data(),
)
def test_nothing_from_the_future_answers_whatever_is_asked(
    ranking: str, history: list[Made], beside: list[Beside], data: st.DataObject
):
    """MemCoder: no record dated at or after an issue's base commit is retrieved; gold excluded."""
    with tempfile.TemporaryDirectory() as scratch:
        world = build(Path(scratch) / "repo", history)
        fixes = [at for at, parents in enumerate(world.parents) if parents][::-1]
        assume(fixes)
        with Memory.open(Path(scratch) / "memory") as memory:
            memory.learn(Path(scratch) / "repo")
            repo = open_repository(Path(scratch) / "repo").identity
            keep(memory, repo, beside)
            if ranking == "full text":
                recall = memory._recall
                plain = FullTextRanking(memory._journal, recall._embedder, recall.past.of)
                recall.__dict__["_ranking"] = plain
            for _ in range(8):
                ask_once(memory, world, repo, data, fixes)


def ask_once(
    memory: Memory, world: World, repo: str, data: st.DataObject, fixes: list[int]
) -> None:
    """Ask, before a commit, in a way that gives it away."""
    gold = data.draw(st.sampled_from(fixes), "gold")
    base = data.draw(st.sampled_from(world.parents[gold]), "base")
    message, sha = world.messages[gold], world.shas[gold]
    text = data.draw(
        st.sampled_from((message, f"{message} {sha}", sha, *ATTACKS, *SUBJECTS))
        | st.text(max_size=40).map(lambda told: f"{told} {message} {told}"),
        "text",
    )
    issue = data.draw(
        st.sampled_from(("", *TASKS, *(f"#{number}" for number in ISSUES), "task-a\n#7")), "issue"
    )
    limit = data.draw(st.sampled_from((1, 5, 50)), "limit")
    query = Query(text, repo=repo, base=world.shas[base], issue_id=issue, limit=limit)
    asked_at = time.time()
    found = memory.recall(query)
    assert len(found) <= limit
    check(world, base, query, found)
    for one in found:
        stored = memory.get(one.id)
        assert stored is not None
        assert stored.record.as_of.time <= asked_at, "from the future"
        assert stored.record.scope is not Scope.REPO or stored.record.repo == repo
    subject = next((told for told in SUBJECTS if text.startswith(told) and sha not in text), None)
    alike = [
        at
        for at in world.before(base)
        if subject is not None
        and subject in world.messages[at]
        and len(world.parents[at]) <= 1
        and f"#{world.issues[at]}" not in issue.split("\n")
    ]
    assert found or not alike, "the past does answer"
