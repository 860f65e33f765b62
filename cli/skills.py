"""`evo skills`: procedures learnt from fixes, as Agent Skills folders; and the repository's own."""

from pathlib import Path
from typing import Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure
from evo_agent.core.errors import UsageError

app = typer.Typer(
    help="Skills learnt from fixes, and those that the repository brings.", no_args_is_help=False
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A skill's name or the start of its id.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Names of skills.")]


@app.command("list")
def list_(repo: Repo = Path(), as_json: Json = False) -> int:
    """List the skills in memory, and those in .agents/skills and .claude/skills of HEAD."""
    root, config = configure(repo)
    from evo_agent.tasks.knowledge import list_skills
    from evo_agent.tasks.repository_skills import list_repository_skills

    found, brought = list_skills(root, config), list_repository_skills(root)
    if as_json:
        output.document([*found, *brought])
        return 0
    if not found:
        output.note("no skills yet: a proved fix writes the first one")
    else:
        output.table(
            ("skill", "state", "uses", "wins", "when to use"),
            [(s.name, s.state, str(s.uses), str(s.wins), s.when_to_use) for s in found],
        )
    if brought:
        output.heading("Brought by the repository (untrusted ones are not shown to a solver)")
        output.table(
            ("skill", "state", "where", "says"),
            [(s.name, s.state, s.place, s.reason or s.description) for s in brought],
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


@app.command()
def trust(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="All that can be read.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Trust them no more.")] = False,
    repo: Repo = Path(),
    as_json: Json = False,
) -> int:
    """Let skills of the repository, as they are in HEAD now, be shown to a solver."""
    if bool(names) == every:
        raise UsageError("name skills, or give --all", "see `evo skills list`")
    root, _ = configure(repo)
    from evo_agent.tasks.repository_skills import trust_skills

    places = trust_skills(root, names or (), withdraw=withdraw)
    if as_json:
        output.document(places)
    for place in places if not as_json else ():
        output.line(f"{'no longer trusted' if withdraw else 'trusted'}: {place}")
    return 0


@app.command()
def versions(name: Name, repo: Repo = Path(), as_json: Json = False) -> int:
    """List the versions of a skill, newest first."""
    root, config = configure(repo)
    from evo_agent.tasks.skill_work import skill_versions

    found = skill_versions(root, config, name)
    if as_json:
        output.document(found)
    else:
        rows = [(v.id[:12], v.parent[:12], v.state, v.trust, "*" * v.counts) for v in found]
        output.table(("version", "parent", "state", "trust", "in use"), rows)
    return 0


@app.command()
def edit(
    name: Name,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="The edited SKILL.md.")
    ] = None,
    repo: Repo = Path(),
    as_json: Json = False,
) -> int:
    """Take an edited SKILL.md in as a new version, whose parent stays known."""
    root, config = configure(repo)
    from evo_agent.tasks.skill_work import edit_skill

    version = edit_skill(root, config, name, file)
    if as_json:
        output.document({"id": version})
    else:
        output.line(f"version {version[:12]}; `evo skills test {name}` judges it")
    return 0


@app.command("test")
def prove(name: Name, repo: Repo = Path(), as_json: Json = False) -> int:
    """Prove a skill's evals; a version that regresses is rolled back. Exit code 3 when one fails."""
    root, config = configure(repo)
    from evo_agent.tasks.skill_work import prove_skill

    report = prove_skill(root, config, name)
    if as_json:
        output.document(report)
    else:
        rows = [(case, "proved" if ok else "not proved") for case, ok in report.results.items()]
        output.table(
            ("eval", "result"), [*rows, *((c, "not provable here") for c in report.skipped)]
        )
        if report.rolled_back:
            output.line(f"rolled back to {report.current[:12]}")
    return 0 if report.results and all(report.results.values()) else 3


@app.command()
def rollback(name: Name, repo: Repo = Path(), as_json: Json = False) -> int:
    """Go back to the version before."""
    root, config = configure(repo)
    from evo_agent.tasks.skill_work import rollback_skill

    version = rollback_skill(root, config, name)
    if as_json:
        output.document({"id": version})
    else:
        output.line(f"{name} is version {version[:12]} again")
    return 0


@app.command()
def export(
    names: Names = None,
    to: Annotated[str, typer.Option("--to", metavar="AGENT", help="agents or claude.")] = "agents",
    repo: Repo = Path(),
    as_json: Json = False,
) -> int:
    """Write active skills to .agents/skills or .claude/skills; candidates never."""
    root, config = configure(repo)
    from evo_agent.tasks.skill_work import AGENTS, export_skills

    if to not in AGENTS:
        raise UsageError(f"there is no place for {to!r}", f"use one of {', '.join(AGENTS)}")
    written = export_skills(root, config, names or (), to)
    if as_json:
        output.document([str(folder) for folder in written])
    elif not written:
        output.note("no skill is active yet: one becomes so when it has helped on a different bug")
    for folder in written if not as_json else ():
        output.line(str(folder))
    return 0
