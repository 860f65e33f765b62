"""`evo runs`: what was recorded; look at it, go on with it, do it again."""

import os
from pathlib import Path
from typing import Annotated

import typer

from evo_agent.cli import output
from evo_agent.cli.options import Json, Repo, configure

app = typer.Typer(help="Recorded runs: list, show, open, resume, replay.", no_args_is_help=False)

Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id or its beginning; default: the latest (last)."),
]
NoBrowser = Annotated[bool, typer.Option("--print", help="Write the page, start no browser.")]


@app.command("list")
def list_(repo: Repo = Path(), as_json: Json = False) -> int:
    """List the repository's runs, newest first."""
    root, _ = configure(repo)
    from evo_agent.tasks.runs import list_runs

    found = list_runs(root)
    if as_json:
        output.document(found)
    elif not found:
        output.note("no runs yet")
    else:
        output.table(
            ("run", "grade", "", "issue"),
            [(r.id, r.grade or "-", "" if r.ended else "resumable", r.title) for r in found],
        )
    return 0


@app.command()
def show(run: Run = "last", repo: Repo = Path(), as_json: Json = False) -> int:
    """Show a run: its issue, verdict, tests, diff and cost."""
    root, _ = configure(repo)
    from evo_agent.cli import summary
    from evo_agent.tasks.runs import find_run
    from evo_agent.tasks.story import read_story

    story = read_story(find_run(root, run))
    if as_json:
        output.document(story)
    else:
        summary.show_story(story)
    return 0


@app.command("open")
def open_(
    run: Run = "last", repo: Repo = Path(), print_only: NoBrowser = False, as_json: Json = False
) -> int:
    """Write a run's page (one self-contained HTML file) and open it in a browser."""
    root, _ = configure(repo)
    from evo_agent.tasks.report import write_report
    from evo_agent.tasks.runs import find_run

    page = write_report(find_run(root, run))
    if as_json:
        output.document({"page": page})
    else:
        output.line(str(page))
    if not (print_only or as_json):
        _launch(page)
    return 0


def _launch(page: Path) -> None:
    """Open a page in the person's browser, where there is a screen to show it."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        typer.launch(page.as_uri())
    else:
        output.note("no display here: open that file in a browser")


@app.command()
def resume(run: Run = "last", repo: Repo = Path(), as_json: Json = False) -> int:
    """Go on with a run that was stopped, from its last step."""
    root, _ = configure(repo)
    from evo_agent.cli import summary
    from evo_agent.cli.progress import watch
    from evo_agent.tasks.runs import resume as resume_run

    with watch(quiet=as_json) as observe:
        result = resume_run(root, run, observe)
    return summary.end(result, as_json=as_json)


@app.command()
def replay(run: Run = "last", repo: Repo = Path(), as_json: Json = False) -> int:
    """Do a run again offline and compare the patches.

    Model and memory answer as recorded, commands really run. Exit code 3 when the new patch is
    not the recorded one, byte for byte.
    """
    root, config = configure(repo)
    from evo_agent.cli import summary
    from evo_agent.cli.progress import watch
    from evo_agent.tasks.runs import replay as replay_run

    with watch(quiet=as_json) as observe:
        again = replay_run(root, run, config, observe)
    return summary.end_replay(again, as_json=as_json)
