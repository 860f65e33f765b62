"""Whether what a record cites as evidence is there: in the journal, or in a run's own verdict."""

from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import Record


class Evidence:
    """Looks evidence up; each id once.

    Known forms: run:<id>#<event>, commit:<sha>, a commit's SHA, a record's id.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[tuple[str, str], bool] = {}

    def missing(self, record: Record) -> str:
        """What is missing, in words; empty when everything that is cited is there."""
        if not record.evidence_ids:
            return "it cites no evidence"
        absent = [cited for cited in record.evidence_ids if not self._exists(record.repo, cited)]
        return f"nowhere to be found: {', '.join(absent[:3])}" if absent else ""

    def _exists(self, repo: str, cited: str) -> bool:
        key = (repo, cited)
        if key not in self._known:
            self._known[key] = self._look(cited)
        return self._known[key]

    def _look(self, cited: str) -> bool:
        kind, _, rest = cited.partition(":")
        if kind == "run":
            return any(
                cited in stored.record.evidence_ids
                for stored in self._journal.made_from(f"run:{rest.partition('#')[0]}")
            )
        name = rest if kind == "commit" else cited
        return bool(self._journal.made_from(name)) or self._journal.get(name) is not None
