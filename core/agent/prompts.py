"""The prompts, rendered from the templates in prompts/.

Issue text, test output and memory's texts come from outside. They are fenced with a tag made
of their own hash, which they cannot contain, and declared to be data.
"""

import hashlib
from importlib.resources import files
from string import Template

from evo_agent.core.agent.context import shortened
from evo_agent.core.chat import Message
from evo_agent.core.protocols import Assignment
from evo_agent.core.types import Diagnosis, FrozenTest, Recalled, TestReport

_ISSUE = 20_000  # characters
_EXCERPT = 4_000
_RECORD = 3_000
_RECORDS_SHOWN = 8  # of each memory
_MEMORIES = (
    ("Places to look at:", ("place",)),
    ("Earlier changes and runs, what failed and what was done about it:", ("episode",)),
    ("Lessons and rules:", ("insight", "guardrail")),
    ("Skills:", ("skill",)),
)
_GRADES = {"proved": "Fixed by (proved):", "reproduced": "Fixed by (reproduced):"}
_ID = 12  # characters of a record's id
_FULL = 60_000  # tokens of context from which the above are shown in full


def template(name: str) -> Template:
    """Load prompts/<name>.md."""
    return Template(
        files("evo_agent.core.agent").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    )


def opening(
    assignment: Assignment,
    *,
    calls_tools: bool,
    context_tokens: int = _FULL,
    frozen: FrozenTest | None = None,
) -> list[Message]:
    """Build the system prompt and the task.

    Args:
        assignment: what is to be done.
        calls_tools: whether the model acts by tool calls; otherwise by text.
        context_tokens: a small context is shown less of each text from outside.
        frozen: the reproduction test of an earlier round.
    """
    system = template("system").substitute(
        root=assignment.sandbox.root,
        actions=template("tools" if calls_tools else "text_actions").substitute(),
    )
    share = min(1.0, context_tokens / _FULL)
    return [Message("system", system), Message("user", _task(assignment, share, frozen))]


def fenced(text: str, source: str) -> str:
    """Wrap text from outside so that it cannot pretend to be anything else."""
    tag = f"untrusted-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}"
    return f'<{tag} from="{source}">\n{text}\n</{tag}>'


def shown_records(records: tuple[Recalled, ...], share: float = 1.0) -> str:
    """Show recalled records with id, trust and why they were found, each memory by itself.

    Demonstrations (what failed, and the change that fixed it) stand apart from lessons, as in
    ExpeRepair's episodic and semantic memory.
    """
    if not records:
        return "Memory holds nothing near enough."
    shown = []
    for heading, kinds in _MEMORIES:
        found = [record for record in records if record.kind in kinds][:_RECORDS_SHOWN]
        shown += [heading] if found else []
        shown += [_record(record, int(_RECORD * share)) for record in found]
    return "\n\n".join(shown)


def short(record_id: str) -> str:
    """A record's id as a model is shown it: long enough to be its own, short enough to copy."""
    return record_id[:_ID]


def _task(assignment: Assignment, share: float, frozen: FrozenTest | None) -> str:
    sections = [
        template("task").substitute(
            issue=fenced(
                shortened(_issue(assignment), int(_ISSUE * share)), assignment.task.issue.source
            ),
            root=assignment.sandbox.root,
        ),
        _tests(assignment, share, frozen),
    ]
    if assignment.recalled:
        sections.append(
            template("memory").substitute(records=shown_records(assignment.recalled, share))
        )
    if assignment.feedback:
        rounds = "\n\n".join(
            _diagnosis(number, diagnosis, int(_EXCERPT * share))
            for number, diagnosis in enumerate(assignment.feedback, 1)
        )
        sections.append(template("feedback").substitute(diagnoses=rounds))
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _issue(assignment: Assignment) -> str:
    issue = assignment.task.issue
    return issue.text if issue.text.startswith(issue.title) else f"{issue.title}\n\n{issue.text}"


def _tests(assignment: Assignment, share: float, frozen: FrozenTest | None) -> str:
    tests = assignment.task.failing_tests
    if not tests and frozen:
        command = assignment.tests.command([frozen.test_id])
        return template("frozen").substitute(path=frozen.path, command=command)
    if not tests:
        return template("no_test").substitute(command=assignment.tests.command(None))
    return template("failing_tests").substitute(
        tests="\n".join(f"- {test}" for test in tests),
        command=assignment.tests.command(tests),
        before=_before(assignment.before, int(_EXCERPT * share)),
    )


def _before(report: TestReport | None, limit: int) -> str:
    if report is None:
        return ""
    text = "\n".join(report.messages.get(test, "") for test in report.failing).strip()
    return fenced(shortened(text or report.output, limit), "tests at base")


def _record(record: Recalled, limit: int) -> str:
    head = f"[{short(record.id)}] {record.kind}, {record.state}, trust: {record.trust}"
    why = f"why: {record.why}\n" if record.why else ""  # names files: as foreign as the text
    body = f"{why}{record.title}\n{shortened(record.text, limit)}"
    if record.diff and record.diff not in record.text:
        body += f"\n{_told(record)}\n{shortened(record.diff, limit)}"
    return f"{head}\n{fenced(body, f'memory {short(record.id)}')}"


def _told(record: Recalled) -> str:
    """What became of the change that a record holds: a pair of failure and fix says so."""
    grade = str(record.data.get("grade", ""))
    return _GRADES.get(grade, f"Tried, and {grade}:" if grade else "The change:")


def _diagnosis(number: int, diagnosis: Diagnosis, limit: int) -> str:
    lines = [f"Round {number}: {diagnosis.kind}. {diagnosis.detail}"]
    lines += [f"- {test}" for test in diagnosis.tests[:20]]
    if diagnosis.excerpt:
        lines.append(fenced(shortened(diagnosis.excerpt, limit), "verifier"))
    return "\n".join(lines)
