"""`evo learn`: what the repository's commits teach goes into memory."""

from pathlib import Path
from typing import Annotated, Any

import typer

from evo_agent.cli import output
from evo_agent.cli.options import ApiBase, Json, Model, Repo, configure

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
Explain = Annotated[
    int,
    typer.Option(
        "--explain",
        metavar="N",
        min=0,
        help="Let the model explain the N commits that matter most.",
        show_default="none",
    ),
]


def command(
    repo: Repo = Path(),
    head: Head = "HEAD",
    limit: Limit = EVERYTHING,
    explain: Explain = 0,
    model: Model = None,
    api_base: ApiBase = None,
    as_json: Json = False,
) -> int:
    """Learn from a repository's history. Running it again adds what is new."""
    root, config = configure(repo, model__name=model, model__api_base=api_base)
    from evo_agent.core.types import to_json
    from evo_agent.tasks import knowledge

    say = (lambda _: None) if as_json else output.note
    asking = knowledge.explainer(config, say) if explain else None  # before the work, not after
    found = to_json(knowledge.learn(root, config, head=head, limit=limit, progress=say))
    if asking is not None:
        found["explained"] = to_json(knowledge.explain(root, config, asking, explain, progress=say))
    if as_json:
        output.document(found)
    else:
        output.facts([(k.replace("_", " "), _told(v)) for k, v in found.items()])
    return 0


def _told(value: Any) -> str:
    return _listed(value) if isinstance(value, dict) else str(value)


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {_told(v)}" for k, v in values.items() if v not in ("", None))
