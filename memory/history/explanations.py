"""The optional pass in which a model explains the commits that matter, within a budget.

Episodes do not change: an explanation is a record of its own, of trust `model`, that names the
episode as its source and is knowable from the same commit on, so that recall's filter on time
holds for it as well.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from evo_agent.core.errors import ModelError
from evo_agent.core.protocols import Model
from evo_agent.core.types import Cost
from evo_agent.memory.history.messages import is_test
from evo_agent.memory.history.patches import languages
from evo_agent.memory.history.sextuple import MalformedError, Sextuple, answer, question
from evo_agent.memory.journal.bodies import Episode
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, Trust, make
from evo_agent.memory.journal.rows import Stored, added

ORIGIN = "model"  # of an explanation's episode
MOST_CODE_FILES = 10  # a commit that touches more is not one change
_MALFORMED_IN_A_ROW = 5  # then the model is not up to it


@dataclass(frozen=True, slots=True)
class Budget:
    """What a pass may use: commits, tokens in and out together, US dollars; 0 for no limit."""

    commits: int
    tokens: int = 0
    dollars: float = 0.0


@dataclass(frozen=True, slots=True)
class ExplainReport:
    """What a pass did.

    Attributes:
        asked: questions; added: new records; malformed: answers that could not be used.
        known: commits that matter and had been explained before.
        left: commits that matter and are still to be explained.
        stopped: why it ended before the commits did; empty when it did not.
        cost: of all questions; its dollars are None when the model's price is unknown.
    """

    asked: int = 0
    added: int = 0
    malformed: int = 0
    known: int = 0
    left: int = 0
    stopped: str = ""
    cost: Cost = field(default_factory=Cost)

    @property
    def rate(self) -> float:
        """Explanations a second."""
        return self.added / self.cost.seconds if self.cost.seconds else 0.0


def explain(
    journal: Journal,
    repo: str,
    model: Model,
    budget: Budget,
    progress: Callable[[ExplainReport], None] = lambda _: None,
) -> ExplainReport:
    """Explain the commits of a repository that matter most and are not explained yet.

    Args:
        journal: holds the commits, and takes the explanations, each in a transaction.
        repo: the repository's identity.
        model: asked once for each commit, without tools.
        budget: see Budget; looked at before each question.
        progress: called after every answer.

    Raises:
        StoreError: the journal cannot be written; what was reported is kept.
    """
    waiting = mattering(journal.listed(kind="episode", repo=repo, origin="commit"))
    explained = {s.record.source_ids[0] for s in journal.listed(repo=repo, origin=ORIGIN)}
    todo = [stored for stored in waiting if stored.record.id not in explained]
    report = ExplainReport(known=len(waiting) - len(todo), left=len(todo))
    row = 0
    for stored in todo:
        stopped = _used_up(report, budget)
        if row == _MALFORMED_IN_A_ROW:
            stopped = f"{row} malformed answers in a row"
        if stopped:
            return replace(report, stopped=stopped)
        try:
            reply = model.query(question(_commit(stored)), ())
        except ModelError as error:
            return replace(report, stopped=error.cause)
        report = replace(report, asked=report.asked + 1, cost=report.cost + reply.cost)
        try:
            record = explanation(stored, answer(reply.content), model.name)
        except MalformedError:
            row += 1
            report = replace(report, malformed=report.malformed + 1)
        else:
            row = 0
            new = journal.write(f"explain-{stored.record.id}", [added(record)])
            report = replace(report, added=report.added + new, left=report.left - 1)
        progress(report)
    return report


def mattering(commits: Iterable[Stored]) -> list[Stored]:
    """The commits that are worth a question, the most telling first, newest first among equals.

    Fixes and reverts of a few source files; more telling are those that name an issue, that
    change a test as well, and whose diff is whole.
    """
    worth = [(_worth(_commit(stored)), stored.number, stored) for stored in commits]
    ranked = sorted((entry for entry in worth if entry[0]), key=lambda e: (-e[0], -e[1]))
    return [stored for _, _, stored in ranked]


def explanation(stored: Stored, told: Sextuple, model: str) -> Record:
    """What a model told about a commit, as a record of its own."""
    commit = _commit(stored)
    body = Episode(
        origin=ORIGIN,
        title=commit.title,
        base=commit.base,
        sha=commit.sha,
        authored=commit.authored,
        problem=told.problem,
        root_cause=told.root_cause,
        solution=told.solution,
        intent=commit.intent,
        keywords=told.keywords,
        references=commit.references,
        files=commit.files,
        tests_changed=commit.tests_changed,
        facts={"model": model},
    )
    source = stored.record
    return make(
        body,
        repo=source.repo,
        scope=source.scope,
        as_of=source.as_of,
        created=time.time(),
        source_ids=(source.id,),
        evidence_ids=(f"commit:{commit.sha}",),
        trust=Trust.MODEL,
        tags=("explanation",),
    )


def _worth(commit: Episode) -> int:
    code = [f.path for f in commit.files if languages([f.path]) and not is_test(f.path)]
    if commit.intent not in ("fix", "revert") or not 0 < len(code) <= MOST_CODE_FILES:
        return 0
    whole = not commit.diff.endswith("more characters]")
    return 1 + 2 * bool(commit.tests_changed) + bool(commit.references) + whole


def _commit(stored: Stored) -> Episode:
    body = stored.record.body
    assert isinstance(body, Episode)
    return body


def _used_up(report: ExplainReport, budget: Budget) -> str:
    """Which limit was reached; empty when none was."""
    cost = report.cost
    used: dict[str, tuple[float, float]] = {
        "commits": (report.asked, budget.commits),
        "tokens": (cost.input_tokens + cost.output_tokens, budget.tokens),
        "dollars": (cost.dollars or 0.0, budget.dollars),
    }
    for name, (amount, limit) in used.items():
        if limit and amount >= limit:
            return f"budget of {limit:g} {name}"
    return ""
