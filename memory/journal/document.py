"""What of a record is searched, embedded and shown."""

from dataclasses import dataclass

from evo_agent.memory.journal.bodies import Episode, Guardrail, Insight, Skill
from evo_agent.memory.journal.records import Record

_EMBEDDED = 4_000  # characters of text that go into a vector


@dataclass(frozen=True, slots=True)
class Document:
    """A record's text by field; the fields are the columns of the full-text search."""

    title: str
    paths: tuple[str, ...]
    text: str
    diff: str

    @property
    def embedded(self) -> str:
        """The text a vector is made of: what it is about before how it was done."""
        whole = "\n".join((self.title, " ".join(self.paths), self.text, self.diff))
        return whole[:_EMBEDDED]


def document(record: Record) -> Document:
    """Lay a record out for searching."""
    body = record.body
    match body:
        case Episode():
            return _episode(body, record.when_to_use)
        case Skill():
            text = _joined(body.description, record.when_to_use, body.body)
            return Document(body.name.replace("-", " "), (), text, "")
        case Insight():
            text = _joined(body.text, body.precondition, body.effect)
            return Document(record.when_to_use or body.type, (), text, "")
        case Guardrail():
            return Document(record.when_to_use or body.type, (), body.root_cause, "")


def _episode(body: Episode, when_to_use: str) -> Document:
    told = (when_to_use, body.problem, body.signature, body.root_cause, body.solution)
    sections = (hunk.section for hunk in body.hunks)
    paths = tuple(file.path for file in body.files)
    return Document(body.title, paths, _joined(*told, *sections), body.diff)


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
