"""`evo init`, `evo doctor`, `evo demo`: the first three things a stranger types."""

from pathlib import Path
from typing import Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Backend, Json, Model, Repo, configure

Force = Annotated[bool, typer.Option("--force", help="Replace an evo.toml that is there.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Make the demo here (new or empty); kept."),
]


def init(repo: Repo = Path(), force: Force = False, as_json: Json = False) -> int:
    """Write evo.toml for this repository.

    Finds the environment and the test command, and says why.
    """
    root, config = configure(repo)
    from evo_agent.tasks.init import write_config

    written = write_config(root, config, force=force)
    if as_json:
        output.document(written)
        return 0
    output.line(f"wrote {written.path}")
    output.facts([("found", why) for why in written.why])
    return 0


def doctor(repo: Repo = Path(), as_json: Json = False) -> int:
    """Say what is missing and what mends it.

    Exit code 1 when `evo fix` cannot run here.
    """
    from evo_agent.tasks.doctor import examine, fit

    findings = examine(repo)
    if as_json:
        output.document({"fit": fit(findings), "findings": findings})
        return 0 if fit(findings) else 1
    for finding in findings:
        sign, style = _SIGNS[finding.level]
        output.line(f"{sign} {finding.name}: {output.one_line(finding.detail)}", style)
        if finding.remedy:
            output.line(f"    {output.one_line(finding.remedy)}")
    return 0 if fit(findings) else 1


_SIGNS = {"ok": ("✓", "green"), "note": ("-", ""), "missing": ("✗", "bold red")}


def demo(
    folder: Folder = None, model: Model = None, sandbox: Backend = None, as_json: Json = False
) -> int:
    """Watch evo fix a bug in a repository made for it.

    Makes a small repository with its own history and failing test, learns the one, fixes the
    other. Needs no model and no network.
    """
    from evo_agent.cli import summary
    from evo_agent.cli.progress import watch
    from evo_agent.tasks.demo import run_demo

    say = (lambda _: None) if as_json else output.note
    with watch(quiet=as_json) as observe:
        shown = run_demo(folder, backend=sandbox or "", model=model or "", say=say, observe=observe)
    if as_json:
        document = summary.as_document(shown.result)
        output.document({**document, "repository": str(shown.repo), "page": str(shown.page)})
        return shown.result.exit_code
    summary.show(shown.result)
    output.line()
    output.facts(
        [
            ("repository", str(shown.repo)),
            ("skill", str(shown.skill or "")),
            ("page of the run", str(shown.page)),
        ]
    )
    return shown.result.exit_code
