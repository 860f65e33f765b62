"""`evo memory`: what evo has learnt; look into it, carry it, forget, mend, check."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure

if TYPE_CHECKING:
    from evo_agent.memory.custody.transfer import ImportReport

app = typer.Typer(
    help="What evo has learnt: stats, why, search, prune, forget, export, import, merge, "
    "rebuild, verify.",
    no_args_is_help=False,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="A record's id, or its first 6 digits.")]
MaybeId = Annotated[
    str, typer.Argument(metavar="[ID]", help="A record's id, or its first 6 digits.")
]
Text = Annotated[str, typer.Argument(metavar="TEXT", help="Words to look for.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most records shown.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
File = Annotated[str, typer.Argument(metavar="FILE", help="A file; - is the standard stream.")]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Take trust, states, credits and purges as the file claims them: for your own "
        "exports. Without it records come in as untrusted candidates.",
    ),
]
Folders = Annotated[
    list[Path], typer.Argument(metavar="FOLDER...", help="Folders of other memories of yours.")
]
Everywhere = Annotated[
    bool, typer.Option("--all", help="Every repository's records, not this one's alone.")
]
Secret = Annotated[
    str,
    typer.Option(
        "--secret",
        metavar="TEXT",
        help="Everything that holds this text; - reads it from standard input.",
    ),
]
Everything = Annotated[
    bool, typer.Option("--everything", help="All that was learnt in this repository.")
]
Purge = Annotated[
    bool,
    typer.Option(
        "--purge",
        help="Delete it for good, with what was made from it, instead of archiving it.",
    ),
]


@app.command()
def stats(repo: Repo = Path(), as_json: Json = False) -> int:
    """Show how much memory holds, of what kind and in what state, and where it lies."""
    root, config = configure(repo)
    from evo_agent.tasks.keeping import stats as look

    found = look(root, config)
    if as_json:
        output.document(found)
        return 0
    kept = found.stats
    output.facts(
        [
            ("folder", kept.folder),
            ("records", f"{kept.records:,}"),
            *((f"  {name}", f"{count:,}") for name, count in kept.by.items()),
            ("purged", f"{kept.purged:,}" if kept.purged else ""),
            ("events", f"{kept.events:,}"),
            ("journal", f"{kept.journal_bytes:,} bytes, generation {kept.generation}"),
            ("index", f"{kept.index_bytes:,} bytes" if found.index else "none yet"),
            *((f"  {name}", f"{size:,} bytes") for name, size in found.index.items()),
            ("embedder", found.embedder),
            *(("repository", f"{i[:12]} at {where}") for i, where in kept.repositories.items()),
        ]
    )
    return 0


@app.command()
def why(record_id: Id, repo: Repo = Path(), as_json: Json = False) -> int:
    """Show where a record comes from: commits, runs, evidence, states and credits."""
    root, config = configure(repo)
    from evo_agent.memory.custody.inspect import told
    from evo_agent.tasks.keeping import why as look

    link = look(root, config, record_id)
    if as_json:
        output.document(link)
    for line in told(link) if not as_json else ():
        output.line(line)
    return 0


@app.command()
def search(text: Text, repo: Repo = Path(), limit: Limit = 20, as_json: Json = False) -> int:
    """Search the full text of everything in memory, archived and quarantined records too.

    This is for looking around; `evo recall` shows what a run would be told. Exit code 3 when
    nothing holds any of the words.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import search as look

    found = look(root, config, text, limit)
    if as_json:
        output.document(found)
    elif not found:
        output.note("nothing in memory holds any of these words")
    else:
        output.table(
            ("id", "kind", "state", "trust", "title"),
            [(m.id[:12], m.kind, m.state, m.trust, m.title) for m in found],
        )
    return 0 if found else 3


@app.command()
def prune(
    repo: Repo = Path(), everywhere: Everywhere = False, dry: Dry = False, as_json: Json = False
) -> int:
    """Keep memory in order: validate, quarantine what harms, merge doubles, archive what is idle.

    Nothing is deleted. The rules and their numbers are in the configuration's memory table.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import prune as apply

    report = apply(root, config, everywhere=everywhere, dry=dry)
    if as_json:
        output.document(report.to_json())
        return 0
    for step in report.steps:
        ids = ", ".join(i[:12] for i in step.ids)
        output.line(f"{step.what}  {ids}  {output.one_line(step.why)}")
    if not report.steps:
        output.note("nothing to do")
    elif dry:
        output.note("nothing was changed: this was a dry run")
    return 0


@app.command()
def forget(
    record_id: MaybeId = "",
    secret: Secret = "",
    everything: Everything = False,
    purge: Purge = False,
    repo: Repo = Path(),
    dry: Dry = False,
    as_json: Json = False,
) -> int:
    """Archive records, so that they answer no more; or, with --purge, delete them for good.

    A purge takes the text out of the journal, its log, the index and the skill folders. The ids
    stay, so that neither `evo learn` nor a merge brings the records back. Earlier exports and the
    logs of runs are files of yours: purge names the logs that still hold the text.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import Forget
    from evo_agent.tasks.keeping import forget as apply

    done = apply(root, config, Forget(record_id, secret, everything, purge, dry))
    if as_json:
        output.document(done)
        return 0
    verb = "purged" if done.purged else "archived"
    output.line(f"{'would be ' if dry else ''}{verb}: {len(done.ids):,} records")
    for one in done.ids[:20]:
        output.line(f"  {one[:12]}")
    if done.events:
        output.line(f"blackened in {done.events:,} other events")
    for folder in done.folders:
        output.line(f"deleted {folder}")
    for path in done.left:
        output.note(f"still holds the text, and is not memory's to delete: {path}")
    return 0


@app.command()
def export(file: File, repo: Repo = Path(), as_json: Json = False) -> int:
    """Write all of memory as JSON lines: a header, then a record or an event each.

    The same memory always gives the same bytes. The file holds what your repositories' history
    and runs hold: it is made readable by you only.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import STANDARD
    from evo_agent.tasks.keeping import export as write

    count = write(root, config, file)
    if as_json and file != STANDARD:
        output.document({"file": file, "lines": count})
    else:
        output.note(f"wrote {count:,} lines to {'standard output' if file == STANDARD else file}")
    return 0


@app.command("import")
def import_(file: File, trust: Trust = False, repo: Repo = Path(), as_json: Json = False) -> int:
    """Take in what `evo memory export` wrote. Doing it again changes nothing.

    Every record's id is checked against its content. Damaged lines are refused by number and the
    others are kept; the exit code is 1 then.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import import_ as take

    report = take(root, config, file, trust=trust)
    _show(report, as_json=as_json)
    return 1 if report.refused else 0


@app.command()
def merge(folders: Folders, repo: Repo = Path(), as_json: Json = False) -> int:
    """Take in whole memories of your own: a worker's, another machine's.

    A union of records, states and credits: it does not matter which memory comes first, and
    merging again changes nothing. What was purged in one is purged here.
    """
    root, config = configure(repo)
    from evo_agent.tasks.keeping import merge as take

    _show(take(root, config, folders), as_json=as_json)
    return 0


@app.command()
def rebuild(repo: Repo = Path(), as_json: Json = False) -> int:
    """Make the journal's views and the index anew from its events."""
    root, config = configure(repo)
    from evo_agent.tasks.keeping import rebuild as make

    count = make(root, config)
    if as_json:
        output.document({"records": count})
    else:
        output.line(f"made anew from the events: {count:,} records")
    return 0


@app.command()
def verify(repo: Repo = Path(), as_json: Json = False) -> int:
    """Check all of memory and say what is wrong, a line each; exit code 1 when something is."""
    root, config = configure(repo)
    from evo_agent.tasks.keeping import verify as check

    found = check(root, config)
    if as_json:
        output.document(found)
    for finding in found if not as_json else ():
        remedy = f" ({finding.remedy})" if finding.remedy else ""
        output.line(output.one_line(f"{finding.where}: {finding.what}{remedy}"))
    if not found and not as_json:
        output.line("all is well")
    return 1 if found else 0


def _show(report: "ImportReport", *, as_json: bool) -> None:
    if as_json:
        output.document(report)
        return
    taken = report.taken
    output.facts(
        [
            ("new records", f"{taken.records:,}"),
            ("new events", f"{taken.events:,}"),
            ("better copies", f"{taken.copies:,}" if taken.copies else ""),
            ("known already", f"{taken.known:,}"),
            ("left out", f"{taken.left_out:,}" if taken.left_out else ""),
            ("purged", f"{taken.purged:,}" if taken.purged else ""),
            ("refused", f"{len(report.refused):,}" if report.refused else ""),
        ]
    )
    for refused in report.refused[:20]:
        output.note(f"line {refused.number}: {refused.reason}")
    if not report.trusted and taken.left_out:
        output.note("states and credits were left out; --trust takes them from your own exports")
