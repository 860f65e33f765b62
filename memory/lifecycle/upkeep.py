"""The rules that keep memory in order: validate, quarantine, merge, cap, archive what is idle.

`run` decides and applies; with `dry` it only says what it would do. Every step is an event with
its reason, nothing is deleted, and a second time in a row finds nothing to do.
"""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from evo_agent.core.config import MemoryConfig
from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Episode, Insight, Kind
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record, State
from evo_agent.memory.journal.rows import Change, Stored, added
from evo_agent.memory.journal.states import transition
from evo_agent.memory.lifecycle import admit, replay
from evo_agent.memory.lifecycle.credit import CONTROL, MEMORY, Trial, trials
from evo_agent.memory.lifecycle.evidence import Evidence
from evo_agent.memory.lifecycle.reflect import quarantines
from evo_agent.memory.lifecycle.schedule import control_share, drawn, reuse, worth
from evo_agent.memory.recall.embed import Embedder, Vector

DAY = 86_400.0
_UPKEPT = (Kind.INSIGHT, Kind.SKILL)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or would be: to which records, and why.

    Attributes:
        what: validated | quarantined | merged | capped | idle.
        ids: the records; of a merge, the old ones.
        why: one line.
    """

    what: str
    ids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What upkeep did, in order.

    Attributes:
        steps: see Step.
        unsupported: insights whose evidence is nowhere; they stay candidates.
        dry: nothing was written.
    """

    steps: tuple[Step, ...] = ()
    unsupported: tuple[str, ...] = ()
    dry: bool = False

    def count(self, what: str) -> int:
        """How many steps were of a kind."""
        return sum(step.what == what for step in self.steps)

    def to_json(self) -> dict[str, object]:
        """As JSON-ready data."""
        return asdict(self)


class Upkeep:
    """Upkeep of one journal.

    Args:
        journal: open.
        embedder: tells what says the same, and what is near to the tasks.
        config: the numbers of the rules.
        now: seconds since 1970.
    """

    def __init__(
        self,
        journal: Journal,
        embedder: Embedder,
        config: MemoryConfig,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._embedder = embedder
        self._config = config
        self._now = now
        self._vectors: dict[str, Vector | None] = {}
        self._new: Collection[str] | None = None

    def run(
        self,
        repo: str = "",
        *,
        dry: bool = False,
        run: str = "",
        new: Collection[str] | None = None,
    ) -> UpkeepReport:
        """Validate, quarantine, merge, cap and archive, in this order.

        Args:
            repo: of one repository only; empty: all.
            dry: say what would be done, and do nothing.
            run: the judged run that it follows, for the events; the lessons of that were validated
                and who must go was quarantined with it, so only merging and the cap are left.
            new: ids of insights; only what one of these says is held against the others.

        Raises:
            StoreError: the journal cannot be written.
            ModelError: the embedder fails.
            UsageError: memory.quarantine names no rule.
        """
        self._new = new
        name = run or f"upkeep-{uuid.uuid4().hex[:12]}"
        done: list[Step] = []
        unsupported: list[str] = []
        every = (self._validate, self._quarantine, self._merge, self._cap, self._idle)
        for stage in (self._merge, self._cap) if run else every:
            skipped = {record_id for step in done for record_id in step.ids} if dry else set()
            for step, changes in stage(repo, name):
                if not changes:
                    unsupported += step.ids
                elif skipped.isdisjoint(step.ids) and (dry or self._apply(name, changes)):
                    done.append(step)
        return UpkeepReport(tuple(done), tuple(unsupported), dry)

    def arm(self, repo: str, run: str) -> str:
        """Whether a run that is about to start works with memory, or in the control arm.

        The share is memory.control, higher while a repository is new (memory.schedule).
        """
        share = control_share(len(trials(self._journal, repo)), self._config.control)
        return CONTROL if drawn(run, share) else MEMORY

    def admit(self, record: Record) -> str:
        """Add a record by hand, and merge it with what says the same.

        Returns:
            Id of the record that stands for it now.

        Raises:
            StoreError: the journal cannot be written.
        """
        self._journal.write(f"admit-{record.id[:12]}", [added(record)])
        self.run(record.repo, new=[record.id])
        return self.heir(record.id)

    def heir(self, record_id: str) -> str:
        """The record that a merged one became part of; itself when it was not merged."""
        return admit.heir(self._journal, record_id)

    def readmit(self, record_id: str, why: str) -> None:
        """Let a quarantined or archived record be a candidate again; its account starts anew.

        Raises:
            StoreError: there is no such record, or it is neither.
        """
        stored = self._journal.get(record_id)
        if stored is None:
            raise StoreError(f"no record {record_id}", "see `evo memory search` for ids")
        run = f"readmit-{uuid.uuid4().hex[:12]}"
        self._journal.write(run, [transition(stored, State.CANDIDATE, run, why)])

    def _apply(self, run: str, changes: Sequence[Change]) -> bool:
        """Write a step whole, if its records still are in the states that it was decided for."""
        moved = [c for c in changes if c.kind == "state"]
        first = {c.record: c.data["from"] for c in reversed(moved)}
        new = {c.record for c in changes if c.kind == "record"}

        def decide() -> list[Change]:
            for record_id, state in first.items():
                stored = self._journal.get(record_id)
                if stored is None and record_id in new:
                    continue
                if stored is None or stored.state != state:
                    return []
            return list(changes)

        before = self._journal.position()
        self._journal.write_once(f"{run}-{uuid.uuid4().hex[:8]}", decide)
        return self._journal.position() > before

    def _live(self, repo: str, kinds: Iterable[Kind] = _UPKEPT) -> list[Stored]:
        return [s for kind in kinds for s in self._journal.listed(kind=kind, repo=repo, live=True)]

    def _validate(self, repo: str, run: str) -> Iterator[tuple[Step, list[Change]]]:
        evidence = Evidence(self._journal)
        for stored in self._live(repo, [Kind.INSIGHT]):
            if stored.state is not State.CANDIDATE:
                continue
            missing = evidence.missing(stored.record)
            if missing:
                yield Step("unsupported", (stored.record.id,), missing), []
            else:
                why = f"its evidence exists: {', '.join(stored.record.evidence_ids[:3])}"
                change = transition(stored, State.VALIDATED, run, why)
                yield Step("validated", (stored.record.id,), why), [change]

    def _quarantine(self, repo: str, run: str) -> Iterator[tuple[Step, list[Change]]]:
        repos = [repo] if repo else sorted({s.record.repo for s in self._live("")})
        ids = dict.fromkeys(
            i for one in repos for trial in trials(self._journal, one) for i in trial.credited
        )
        for change in quarantines(self._journal, ids, run, self._config.quarantine):
            yield Step("quarantined", (change.record,), str(change.data["why"])), [change]

    def _merge(self, repo: str, run: str) -> Iterator[tuple[Step, list[Change]]]:
        least = admit.threshold(self._embedder.name, self._config.merge_cosine)
        for group in admit.groups(self._live(repo, [Kind.INSIGHT])):
            if self._new is not None and not any(s.record.id in self._new for s in group):
                continue
            for cluster in admit.clusters(group, self._embedded(group), least):
                ids = tuple(stored.record.id for stored in cluster)
                why = f"they say the same (cosine at least {least:.2f})"
                yield Step("merged", ids, why), admit.merging(self._journal, cluster, run)

    def _cap(self, repo: str, run: str) -> Iterator[tuple[Step, list[Change]]]:
        cap = self._config.cap
        for (home, _), records in replay.competing(self._live(repo)).items():
            if not cap or len(records) <= cap:
                continue
            past = trials(self._journal, home)
            places = self._places(records, past)
            for stored in replay.turned_out(places, cap, reuse(len(past))):
                why = f"farther from this repository's tasks than the {cap} that are kept"
                change = transition(stored, State.ARCHIVED, run, why)
                yield Step("capped", (stored.record.id,), why), [change]

    def _places(self, records: Sequence[Stored], past: Sequence[Trial]) -> list[replay.Place]:
        latest = (self._journal.get(t.episode) for t in past[-replay.LATEST_TASKS :])
        bodies = [s.record.body for s in latest if s is not None]
        told = [b.problem or b.title for b in bodies if isinstance(b, Episode)]
        tasks = [vector for vector in self._embedder.embed(told) if vector is not None]
        vectors = self._embedded(records)
        return [
            replay.Place(
                stored,
                replay.nearness(vectors[stored.record.id], tasks),
                sum(
                    worth(trial, past[number + 1 :])
                    for number, trial in enumerate(past)
                    if stored.record.id in trial.credited
                ),
            )
            for stored in records
        ]

    def _idle(self, repo: str, run: str) -> Iterator[tuple[Step, list[Change]]]:
        if not self._config.idle_days:
            return
        for stored in self._live(repo):
            last = self._last_used(stored)
            days = (self._now() - last) / DAY
            if days > self._config.idle_days:
                why = f"nobody used it for {days:.0f} days"
                change = transition(stored, State.ARCHIVED, run, why)
                yield Step("idle", (stored.record.id,), why), [change]

    def _last_used(self, stored: Stored) -> float:
        """When it was last credited, moved or observed; when it was stored, if never."""
        events = self._journal.events(record=stored.record.id)
        return max((event.time for event in events), default=stored.record.created)

    def _embedded(self, records: Sequence[Stored]) -> dict[str, Vector | None]:
        new = [s for s in records if s.record.id not in self._vectors]
        told = self._embedder.embed([_said(stored.record) for stored in new])
        self._vectors.update((s.record.id, v) for s, v in zip(new, told, strict=True))
        return {s.record.id: self._vectors[s.record.id] for s in records}


def _said(record: Record) -> str:
    """What a record says, without its envelope: two that differ in when_to_use alone are alike."""
    body = record.body
    if isinstance(body, Insight):
        return body.text
    return f"{record.when_to_use}\n{getattr(body, 'description', '')}"
