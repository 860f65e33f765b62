"""Memory, as the rest of evo sees it: open, learn, recall, write back, look inside.

with Memory.open(folder) as memory:
    memory.learn(repo_root)
    for record in memory.recall(query): ...
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

from evo_agent.core.config import MemoryConfig
from evo_agent.core.errors import EvoError
from evo_agent.core.git import open_repository
from evo_agent.core.guard import Rule
from evo_agent.core.protocols import Model
from evo_agent.core.types import Query, Recalled
from evo_agent.memory.custody.custody import Custody
from evo_agent.memory.custody.inspect import MemoryStats, explain, stats
from evo_agent.memory.guardrails import guardrails
from evo_agent.memory.guardrails.failures import learn_failures
from evo_agent.memory.guardrails.regrets import learn_regrets
from evo_agent.memory.history import explanations, history, links
from evo_agent.memory.history.explanations import Budget, ExplainReport
from evo_agent.memory.history.history import LearnProgress, LearnReport
from evo_agent.memory.history.links import Linker, LinkReport, Links
from evo_agent.memory.journal.bodies import Kind, Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.rows import Stored
from evo_agent.memory.lifecycle import lifecycle
from evo_agent.memory.lifecycle.facts import RunFacts
from evo_agent.memory.lifecycle.lifecycle import WriteBack
from evo_agent.memory.lifecycle.upkeep import Upkeep
from evo_agent.memory.recall.embed import Embedder, open_embedder
from evo_agent.memory.recall.places import places
from evo_agent.memory.recall.present import recalled
from evo_agent.memory.recall.recall import Recall
from evo_agent.memory.skills.folders import SkillFolders, skill_file
from evo_agent.memory.skills.foreign_recall import ForeignRecall
from evo_agent.memory.skills.skill_library import SkillLibrary, current

__all__ = [
    "LearnProgress",
    "LearnReport",
    "Memory",
    "RunFacts",
    "Stored",
    "WriteBack",
    "skill_file",
]


class Memory:
    """The journal, its index and everything done with them; implements Recaller.

    Args:
        journal: open; closed with this.
        embedder: see memory.recall.embed.
        folder: of journal and index.
        notice: called with one line for people, once per line.
        rules: of the lifecycle: memory.quarantine, merge_cosine, cap, idle_days.

    Attributes:
        custody: looks into it, carries it, forgets, purges, mends and checks.
        upkeep: validates, quarantines, merges, caps and archives; says what it did.
    """

    def __init__(
        self,
        journal: Journal,
        embedder: Embedder,
        folder: Path,
        notice: Callable[[str], None],
        rules: MemoryConfig | None = None,
    ) -> None:
        self._rules = rules or MemoryConfig()
        self.upkeep = Upkeep(journal, embedder, self._rules)
        self._journal = journal
        self._embedder = embedder
        self._folder = folder
        self._notice = notice
        self._noticed: set[str] = set()
        self._recall = Recall(journal, embedder, folder / "index", self._say)
        self._folders = SkillFolders(journal, self._say)
        self.custody = Custody(journal, folder, self._folders, self._recall.close, self.index)
        self.library = SkillLibrary(journal, self._folders)
        self._foreign = ForeignRecall()

    @classmethod
    def open(
        cls,
        folder: Path,
        embedder: str = "lexical",
        *,
        repo: Path | None = None,
        notice: Callable[[str], None] = lambda _: None,
        rules: MemoryConfig | None = None,
    ) -> Self:
        """Open the memory in a folder, making it when there is none.

        Args:
            folder: holds journal.sqlite and index/.
            embedder: lexical | minilm | litellm:<model>.
            repo: a work tree to ask about ancestry; otherwise the one that was learnt from.
            notice: called with what people should know (a fallback, a repository that is gone).
            rules: the numbers of the lifecycle, as configured.

        Raises:
            StoreError: the folder cannot be used.
            UsageError: there is no such embedder.
        """
        chosen = open_embedder(embedder)
        memory = cls(Journal(folder), chosen, folder, notice, rules)
        if repo is not None:
            repository = open_repository(repo)
            memory._recall.past.attach(repository)
            memory._foreign.attach(repository)
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of journal and index; idempotent."""
        self._recall.close()
        self._journal.close()

    # Learning

    def learn(
        self,
        repo_root: Path,
        *,
        head: str = "HEAD",
        limit: int = history.EVERYTHING,
        progress: Callable[[LearnProgress], None] | None = None,
    ) -> LearnReport:
        """Make episodes of the newest commits that are not known yet, and index them.

        Args:
            repo_root: a work tree.
            head: what is learnt is this commit and its ancestors.
            limit: most commits in range.
            progress: called every few hundred commits with done, total and rate.

        Raises:
            RepositoryError: there is no repository, or no such commit.
            StoreError: the journal cannot be written; what was reported as done is kept.
        """
        repository = self._recall.past.at(repo_root) or open_repository(repo_root)
        self._recall.past.attach(repository)
        self._foreign.attach(repository)
        report = history.learn(
            self._journal,
            repository,
            head=head,
            limit=limit,
            progress=progress or (lambda _: None),
        )
        learn_regrets(self._journal, report.repo)
        self._recall.past.warm(report.repo, report.head)
        self.index()
        return report

    def explain(
        self,
        repo: str,
        model: Model,
        budget: Budget,
        progress: Callable[[ExplainReport], None] = lambda _: None,
    ) -> ExplainReport:
        """Let a model explain the commits that matter; see explanations.explain."""
        report = explanations.explain(self._journal, repo, model, budget, progress)
        self.index()
        return report

    def link(self, repo_root: Path, ids: Iterable[str], budget: float = 1.0) -> LinkReport:
        """Work out what commits touch and mend, by their records' ids; see links.Linker.link."""
        linker = Linker(self._journal, open_repository(repo_root))
        return linker.link(filter(None, map(self._journal.get, ids)), budget)

    def links(self, record_id: str) -> Links | None:
        """What was worked out of a commit, if it was; never works."""
        return links.kept(self._journal, record_id)

    def index(self) -> None:
        """Bring what recall derives from the journal up to date; recall does so, too."""
        self._recall.sync()

    # Recalling

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Places first, then records that may help, best first; empty when nothing is near enough.

        One call answers which files and functions (when `query.places` asks for them), which past
        episodes, and which insights, skills and guardrails. Commits answer only if they are proper
        ancestors of `query.base` in `query.repo`; records of `query.issue_id` never do.

        Raises:
            StoreError: the journal cannot be read.
            ModelError: the embedder fails.
        """
        found = tuple(recalled(found) for found in self._recall.find(query))
        at = self._recall.past.repository(query.repo) if query.places else None
        return (*places(at, query, self._folder, self._say), *self._foreign.added(found, query))

    def guardrails(self, query: Query) -> tuple[Rule, ...]:
        """The rules that act at `query.base`, for a run to hold its actions against.

        Those mined from commits come from proper ancestors of the base, those of runs from other
        issues; candidates and quarantined ones never act.

        Raises:
            StoreError: the journal cannot be read.
        """
        asked = replace(query, kinds=(Kind.GUARDRAIL,))
        return guardrails.rules(self._journal.numbered(self._recall.answering(asked)).values())

    # Writing back

    def record_run(self, facts: RunFacts) -> WriteBack:
        """Keep a judged run: its episode, its skill when it holds, credit for what it cited.

        Idempotent for a run. Flaky and infrastructure verdicts leave nothing.

        Raises:
            NoVerdictError: the run has no verifier event.
            StoreError: the journal cannot be written. (A skill's folder that cannot be is said in
                a notice: the journal has the skill.)
        """
        kept = lifecycle.write_back(self._journal, facts, self._rules.quarantine)
        if kept.silent:
            return kept
        learn_failures(self._journal, facts)
        try:
            self.upkeep.run(facts.repo, run=facts.run, new=kept.insights)
        except EvoError as error:  # what the run left is kept; an embedder may be out of reach
            self._say(f"not kept in order: {error.cause}")
        if kept.skill_id:
            self._folders.write(kept.skill_id, facts.task.repo)
        for event in self._journal.events(kind="state"):
            if event.data.get("run") == facts.run:
                self._folders.refresh(event.record)
        return kept

    # Looking inside

    def get(self, record_id: str) -> Stored | None:
        """A record by id, or by the first 6 or more digits of it."""
        return self._journal.get(record_id)

    def records(
        self, *, kind: str = "", repo: str = "", origin: str = "", limit: int = -1
    ) -> list[Stored]:
        """Records, newest first, of a kind, a repository or an origin (commit, run)."""
        return self._journal.listed(kind=kind, repo=repo, origin=origin, limit=limit)

    def skills(self, repo: str = "") -> list[Stored]:
        """Skills, newest first, each in the version that counts, with uses, wins and state."""
        found: dict[tuple[str, str], list[Stored]] = {}
        for stored in self._journal.listed(kind=Kind.SKILL, repo=repo):
            body = stored.record.body
            if isinstance(body, Skill):
                found.setdefault((stored.record.repo, body.name), []).append(stored)
        return [counts for named in found.values() if (counts := current(named)) is not None]

    def skill(self, name: str) -> Stored | None:
        """A skill by its name, or by the beginning of its id."""
        named = (s for s in self.skills() if getattr(s.record.body, "name", "") == name)
        found = next(named, None) or self._journal.get(name)
        return found if found is not None and found.record.kind is Kind.SKILL else None

    def skill_folder(self, record_id: str) -> Path | None:
        """Where a skill's SKILL.md was written."""
        return self._folders.folder(record_id)

    def why(self, record_id: str) -> str:
        """The chain from a record to commits, runs and events, as lines of text.

        Raises:
            StoreError: there is no such record.
        """
        return explain(self._journal, record_id)

    def stats(self) -> MemoryStats:
        """How much there is, by kind, origin and state, and its size on the disk."""
        return stats(self._journal, self._folder)

    # Inside

    def _say(self, line: str) -> None:
        if line not in self._noticed:
            self._noticed.add(line)
            self._notice(f"memory: {line}")
