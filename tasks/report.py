"""`evo runs open`: one self-contained HTML page from a run's log.

No script at all and no request: a policy in the page forbids both, so that hostile content
that got past the escaping still could not do anything.
"""

import base64
import hashlib
import os
from importlib import resources
from pathlib import Path
from string import Template

from evo_agent.core.errors import StoreError
from evo_agent.core.types import Grade, Recalled, Verdict
from evo_agent.tasks.markup import Markup, escape, join, tag
from evo_agent.tasks.story import Story, read_story
from evo_agent.tasks.timeline import Entry
from evo_agent.tasks.wording import MEANINGS, NOTHING, changes, clock, cost_line, counts

REPORT_FILE = "report.html"
_SHOWN = 20_000  # characters of one output in the page; the whole is in the log
_TESTS_SHOWN = 200
_TONES = {
    Grade.PROVED: "good",
    Grade.REPRODUCED: "good",
    Grade.UNPROVED: "warn",
    Grade.FLAKY: "warn",
}
_VERDICT_TONES = ("good", "bad")
_DIFF_CLASSES = (("@@", "hunk"), ("+++", "meta"), ("---", "meta"), ("+", "add"), ("-", "del"))


def write_report(folder: Path) -> Path:
    """Write a run's page into its folder.

    Args:
        folder: the run's folder, as `evo fix` left it (also one that was stopped midway).

    Returns:
        The page's path.

    Raises:
        StoreError: the log cannot be read, or the page cannot be written.
    """
    page = render(read_story(folder))
    path = folder.absolute() / REPORT_FILE
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with open(partial, "w", encoding="utf-8", errors="replace", opener=_private) as file:
            file.write(page)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror}", "make the folder writable"
        ) from error
    return path


def _private(path: str, flags: int) -> int:
    """For the owner's eyes only, as the log is: outputs may hold secrets."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def render(story: Story) -> str:
    """The page as text."""
    files = resources.files("evo_agent.tasks") / "page"
    style = (files / "report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return Template((files / "report.html").read_text("utf-8")).substitute(
        style=style,
        style_hash=digest,
        title=escape(f"{_title(story)} · evo"),
        header=_header(story),
        main=join(
            _issue(story), _tests(story.verdict), _patch(story), _memory(story), _line(story)
        ),
        footer=escape(f"Run {story.id}. Everything shown stands in its events.jsonl."),
    )


def _title(story: Story) -> str:
    return (story.task.issue.title if story.task else "") or f"run {story.id}"


def _header(story: Story) -> Markup:
    return join(
        tag("p", f"evo run {story.id}", class_="eyebrow"),
        tag("h1", _title(story)),
        _verdict(story),
        _facts(story),
    )


def _verdict(story: Story) -> Markup:
    verdict = story.verdict
    if verdict is None:
        reason = story.ended or "the run was stopped; `evo runs resume` goes on with it"
        meaning = NOTHING if story.ended.startswith("no failing test") else "there is no verdict"
        return _judgement("warn", "no verdict", meaning, reason)
    return _judgement(
        _TONES.get(verdict.grade, "bad"), verdict.grade, MEANINGS[verdict.grade], verdict.reason
    )


def _judgement(tone: str, grade: str, meaning: str, reason: str) -> Markup:
    return tag(
        "div",
        tag("strong", grade),
        tag("p", meaning),
        tag("p", reason, class_="why") if reason else "",
        class_=f"verdict {tone}",
    )


def _facts(story: Story) -> Markup:
    task = story.task
    pairs = [
        ("Repository", task.repo.name if task else ""),
        ("Base commit", task.base[:12] if task else ""),
        ("Solver", story.solver),
        ("Sandbox", story.sandbox),
        ("Started", story.started[:19].replace("T", " ") + " UTC" if story.started else ""),
        ("Took", f"{clock(story.seconds)} min"),
        ("Cost", cost_line(story.cost)),
        ("Delivered", story.delivered),
        ("Skill written", story.skill),
        ("Now active", ", ".join(story.promoted)),
    ]
    return tag(
        "dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs if value)
    )


def _issue(story: Story) -> Markup:
    issue = story.task.issue if story.task else None
    if issue is None or not issue.text.strip():
        return Markup()
    label = f"Issue ({issue.source})"
    return join(
        tag("h2", "Issue"),
        tag("details", tag("summary", label), _pre(issue.text, "the issue"), class_="box"),
    )


def _tests(verdict: Verdict | None) -> Markup:
    if verdict is None or (verdict.before is None and verdict.regressions is None):
        return Markup()
    rows = [
        tag("tr", tag("td", tag("code", test)), _outcome(before), _outcome(after))
        for test, before, after in changes(verdict)[:_TESTS_SHOWN]
    ]
    head = tag("tr", tag("th", "Test"), tag("th", "Before"), tag("th", "After"))
    return join(
        tag("h2", "Tests"),
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")
        if rows
        else "",
        *(tag("p", line, class_="soft") for line in _test_lines(verdict)),
        *(tag("p", "Broken: ", tag("code", test), class_="bad") for test in verdict.broken),
    )


def _test_lines(verdict: Verdict) -> list[str]:
    lines = [
        ("Judged before", counts(verdict.before)),
        ("Judged after", counts(verdict.after)),
        ("Other tests, with the patch", counts(verdict.regressions)),
        ("Not run", verdict.tests_not_run),
        ("Put back to base before judging", ", ".join(verdict.restored)),
    ]
    return [f"{name}: {value}." for name, value in lines if value]


def _outcome(outcome: str) -> Markup:
    tone = {"passed": "good", "failed": "bad", "error": "bad"}.get(outcome, "")
    return tag("td", outcome, class_=tone)


def _patch(story: Story) -> Markup:
    if not story.patch.strip():
        return Markup()
    return join(tag("h2", "Patch"), *(_file(part) for part in _files(story.patch)))


def _files(patch: str) -> list[str]:
    """A git diff cut at its `diff --git` lines."""
    parts: list[list[str]] = []
    for line in patch.rstrip("\n").split("\n"):
        if line.startswith("diff --git ") or not parts:
            parts.append([])
        parts[-1].append(line)
    return ["\n".join(part) for part in parts]


def _file(part: str) -> Markup:
    first = part.split("\n", 1)[0]
    name = first.rsplit(" b/", 1)[-1] if " b/" in first else first
    return tag(
        "details", tag("summary", tag("code", name)), _diff(part, name), class_="box", open="open"
    )


def _diff(part: str, label: str) -> Markup:
    lines = [line for line in part.split("\n") if not line.startswith(("diff --git ", "index "))]
    coloured = (tag("span", line, class_=_diff_class(line)) for line in lines)
    return tag(
        "pre",
        tag("code", *coloured),
        class_="diff",
        tabindex="0",
        role="region",
        aria_label=f"changes to {label}",
    )


def _diff_class(line: str) -> str:
    return next((name for prefix, name in _DIFF_CLASSES if line.startswith(prefix)), "")


def _memory(story: Story) -> Markup:
    if not story.recalled:
        return Markup()
    best = max(record.score for record in story.recalled)
    return join(
        tag("h2", "Recalled from memory"), *(_record(record, best) for record in story.recalled)
    )


def _record(record: Recalled, best: float) -> Markup:
    meter = tag("meter", f"{record.score:.2f}", value=f"{record.score:.4f}", max=f"{best:.4f}")
    head = tag(
        "div",
        tag("span", record.title, class_="title"),
        tag("span", meter, f"{record.score:.2f}", class_="soft"),
        tag("span", f"{record.kind}, {record.trust}, {record.state}", class_="soft"),
        class_="head",
    )
    return tag(
        "div",
        head,
        tag("p", record.why, class_="why") if record.why else "",
        tag("details", tag("summary", "What the solver was shown"), _pre(record.text, "record"))
        if record.text
        else "",
        class_="box record",
    )


def _line(story: Story) -> Markup:
    parts: list[Markup] = [tag("h2", "Timeline", id="timeline")]
    waiting: list[Markup] = []
    for entry in story.entries:
        if entry.kind == "phase":
            parts += [_list(waiting), _phase(entry)]
            waiting = []
        else:
            waiting.append(_item(entry))
    return join(*parts, _list(waiting))


def _list(items: list[Markup]) -> Markup:
    return tag("ol", *items, class_="timeline") if items else Markup()


def _phase(entry: Entry) -> Markup:
    return tag("h3", entry.title, tag("span", entry.detail, class_="soft"), class_="phase")


def _item(entry: Entry) -> Markup:
    return tag(
        "li", tag("span", clock(entry.at), class_="at"), tag("div", _told(entry), class_="entry")
    )


def _told(entry: Entry) -> Markup:
    head = _head(entry)
    if entry.kind == "candidate" and entry.body:
        return _folded(head, join(*(_file(part) for part in _files(entry.body))))
    return _folded(head, _pre(entry.body, entry.kind)) if entry.body.strip() else head


def _head(entry: Entry) -> Markup:
    mono = "mono" if entry.kind in ("command", "write") else ""
    title = f"$ {entry.title}" if entry.kind == "command" else entry.title
    tone = "detail bad" if entry.bad else "detail"
    return join(
        tag("span", entry.kind, class_="kind") if entry.kind != "note" else "",
        tag("span", title, class_=_VERDICT_TONES[entry.bad] if entry.kind == "verdict" else mono),
        tag("span", entry.detail, class_=tone) if entry.detail else "",
        tag("span", "repeated after a stop", class_="detail") if entry.repeated else "",
    )


def _folded(head: Markup, body: Markup) -> Markup:
    return tag("details", tag("summary", head), body)


def _pre(content: str, label: str) -> Markup:
    cut = content[:_SHOWN]
    if len(content) > _SHOWN:
        cut += f"\n… {len(content) - _SHOWN:,} characters more in events.jsonl"
    return tag("pre", cut, tabindex="0", role="region", aria_label=label)
