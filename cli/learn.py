"""`evo learn`: what the repository's commits teach goes into memory."""

from pathlib import Path
from typing import Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure

EVERYTHING = 10**9  # commits
Head = Annotated[
    str, typer.Option("--head", metavar="REF", help="Learn this commit and its ancestors.")
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit", metavar="N", min=1, help="Learn the newest N commits only.", show_default="all"
    ),
]


def command(
    repo: Repo = Path(), head: Head = "HEAD", limit: Limit = EVERYTHING, as_json: Json = False
) -> int:
    """Learn from a repository's history. Running it again adds what is new."""
    root, config = configure(repo)
    from evo_agent.core.types import to_json
    from evo_agent.tasks.knowledge import learn

    say = (lambda _: None) if as_json else output.note
    report = learn(root, config, head=head, limit=limit, progress=say)
    if as_json:
        output.document(report)
    else:
        output.facts([(k.replace("_", " "), str(v)) for k, v in to_json(report).items()])
    return 0
