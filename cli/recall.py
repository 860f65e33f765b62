"""`evo recall`: what memory would tell a run, with the reasons: files first, then records."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure

if TYPE_CHECKING:
    from evo_agent.core.types import Recalled

Text = Annotated[str, typer.Argument(metavar="TEXT", help="An issue, an error, a question.")]
Limit = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, help="Most files, and most records, shown.")
]
Base = Annotated[
    str, typer.Option("--base", metavar="REF", help="Only what was known at this commit.")
]


def command(
    text: Text, repo: Repo = Path(), limit: Limit = 5, base: Base = "HEAD", as_json: Json = False
) -> int:
    """Ask memory, as a run would at a commit. Exit code 3 when nothing is near enough."""
    root, config = configure(repo, memory__limit=limit)
    from evo_agent.tasks.knowledge import recall

    found = recall(root, text, config, base=base, notice=output.note)
    if as_json:
        output.document(found)
    elif not found:
        output.note("nothing in memory is near enough (`evo learn` reads the history)")
    for record in found if not as_json else ():
        _show(record)
    return 0 if found else 3


def _show(record: "Recalled") -> None:
    title = output.one_line(record.title)
    if record.kind == "place":
        output.line(f"{record.score:.2f}  place  {title}", "bold")
        output.facts([("why", record.why)])
        return
    output.line(f"{record.score:.2f}  {record.kind}  {record.id[:12]}  {title}", "bold")
    output.facts(
        [
            ("why", record.why),
            ("files", ", ".join(record.paths)),
            ("trust", f"{record.trust}, {record.state}"),
        ]
    )
