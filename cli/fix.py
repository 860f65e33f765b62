"""`evo fix`: arguments become a FixRequest and a Config; the result is shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evo_agent.cli.options import ApiBase, Backend, Json, Model, Repo, configure
from evo_agent.core.errors import UsageError

if TYPE_CHECKING:
    from evo_agent.tasks.deliver import Delivery

Issue = Annotated[
    str | None,
    typer.Argument(
        metavar="ISSUE",
        help="Text, a file, - for standard input, a GitHub issue's URL, or #n.",
        show_default=False,
    ),
]
Tests = Annotated[
    list[str] | None,
    typer.Option("--test", metavar="NODEID", help="A test that fails now (repeatable)."),
]
Log = Annotated[Path | None, typer.Option("--log", metavar="FILE", help="A CI log that shows it.")]
Solver = Annotated[
    str | None,
    typer.Option("--solver", metavar="KIND", help="agent or repair; default: agent with a model."),
]
Rounds = Annotated[
    int | None, typer.Option("--rounds", metavar="N", min=1, help="Attempts, each verified.")
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", metavar="N", min=0, help="Model calls a round (0: no limit)."),
]
Tokens = Annotated[
    int | None, typer.Option("--tokens", metavar="N", min=0, help="Tokens in all (0: no limit).")
]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="N", min=0, help="Time in all (0: no limit).")
]
Dollars = Annotated[
    float | None, typer.Option("--dollars", metavar="N", min=0, help="Cost in all (0: no limit).")
]
Branch = Annotated[
    str | None, typer.Option("--branch", metavar="NAME", help="Put the fix on a new branch.")
]
Commit = Annotated[bool, typer.Option("--commit", help="Commit the fix on the current branch.")]
PatchFile = Annotated[
    Path | None, typer.Option("--patch", metavar="FILE", help="Write the fix to a file.")
]
PullRequest = Annotated[bool, typer.Option("--pr", help="Push a branch and open a pull request.")]
Stash = Annotated[bool, typer.Option("--stash", help="Put uncommitted work aside meanwhile.")]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Neither recall nor write back.")]


def command(
    issue: Issue = None,
    tests: Tests = None,
    log: Log = None,
    repo: Repo = Path(),
    model: Model = None,
    api_base: ApiBase = None,
    solver: Solver = None,
    sandbox: Backend = None,
    rounds: Rounds = None,
    steps: Steps = None,
    tokens: Tokens = None,
    seconds: Seconds = None,
    dollars: Dollars = None,
    branch: Branch = None,
    commit: Commit = False,
    patch: PatchFile = None,
    pr: PullRequest = False,
    stash: Stash = False,
    no_memory: NoMemory = False,
    as_json: Json = False,
) -> int:
    """Fix an issue, prove it by tests, learn from it.

    The work happens in a sandbox; a fresh one judges the patch. The fix lands in the working
    tree unless --branch, --commit, --patch or --pr says otherwise.

    Exit code: 0 proved or reproduced, 1 an error, 2 usage, 3 unproved or nothing.
    """
    if issue is None and not tests and log is None:
        raise UsageError("there is nothing to fix", "give an issue, --test NODEID or --log FILE")
    if solver not in (None, "agent", "repair"):
        raise UsageError(f"--solver {solver}: no such solver", "use agent or repair")
    delivery = _delivery(branch, patch, commit=commit, pr=pr)
    root, config = configure(
        repo,
        model__name=model,
        model__api_base=api_base,
        sandbox__backend=sandbox,
        limits__rounds=rounds,
        limits__steps=steps,
        limits__tokens=tokens,
        limits__seconds=seconds,
        limits__dollars=dollars,
        memory__enabled=False if no_memory else None,
    )
    from evo_agent.cli import summary
    from evo_agent.cli.progress import watch
    from evo_agent.tasks.fix import fix
    from evo_agent.tasks.results import FixRequest

    request = FixRequest(
        repo=root,
        issue=issue,
        tests=tuple(tests or ()),
        log=str(log) if log else None,
        delivery=delivery,
        stash=stash,
        solver=solver or "",
    )
    with watch(quiet=as_json) as observe:
        result = fix(request, config, observe)
    return summary.end(result, as_json=as_json)


def _delivery(branch: str | None, patch: Path | None, *, commit: bool, pr: bool) -> "Delivery":
    from evo_agent.tasks.deliver import Delivery

    if sum((commit, patch is not None, pr, branch is not None and not (commit or pr))) > 1:
        raise UsageError(
            "the fix can go to one place", "choose one of --branch, --commit, --patch, --pr"
        )
    if pr:
        return Delivery("pr", branch or "")
    if commit:
        return Delivery("commit", "")
    if branch is not None:
        return Delivery("branch", branch)
    if str(patch) == "-":
        raise UsageError("--patch - names no file", "name one, or take `patch` of --json")
    if patch is not None:
        return Delivery("patch", str(patch.absolute()))
    return Delivery()
