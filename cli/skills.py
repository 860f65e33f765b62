"""`evo skills`: procedures learnt from fixes, as Agent Skills folders."""

from pathlib import Path
from typing import Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure

app = typer.Typer(help="Skills learnt from fixes: list, show.", no_args_is_help=False)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A skill's name or the start of its id.")]


@app.command("list")
def list_(repo: Repo = Path(), as_json: Json = False) -> int:
    """List the skills that memory holds for this repository."""
    root, config = configure(repo)
    from evo_agent.tasks.knowledge import list_skills

    found = list_skills(root, config)
    if as_json:
        output.document(found)
    elif not found:
        output.note("no skills yet: a proved fix writes the first one")
    else:
        output.table(
            ("skill", "state", "uses", "wins", "when to use"),
            [(s.name, s.state, str(s.uses), str(s.wins), s.when_to_use) for s in found],
        )
    return 0


@app.command()
def show(name: Name, repo: Repo = Path(), as_json: Json = False) -> int:
    """Show a skill: its SKILL.md, its state and what it came from."""
    root, config = configure(repo)
    from evo_agent.tasks.knowledge import find_skill

    skill = find_skill(root, config, name)
    if as_json:
        output.document(skill)
        return 0
    output.facts(
        [
            ("skill", skill.name),
            ("id", skill.id),
            ("state", skill.state),
            ("used", f"{skill.uses} times, {skill.wins} proved, {skill.losses} not"),
            ("folder", skill.folder),
        ]
    )
    output.line()
    output.line(skill.text)
    return 0
