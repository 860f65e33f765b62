"""The app and its one error boundary.

Expected errors (EvoError) become one line of cause and one of remedy; Ctrl-C is 130; a bug
becomes a log file and one line that names it. Never a traceback on the screen.
"""

import errno
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from evo_agent.cli import fix, learn, memory, output, recall, runs, setup, skills
from evo_agent.core.errors import EvoError

INTERRUPTED = 130  # the shell's number for a process ended by Ctrl-C
TERMINATED = 143
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # full, over quota, read-only

app = typer.Typer(
    name="evo",
    help="Fix issues in a repository inside a sandbox, prove the fix by tests, and learn from it.",
    rich_markup_mode=None,  # plain help: Rich is not imported for it (bench/start.py)
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from evo_agent import __version__

        output.line(f"evo {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _shown: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        output.line(context.get_help())


app.command("fix")(fix.command)
app.command("learn")(learn.command)
app.command("recall")(recall.command)
app.add_typer(memory.app, name="memory")
app.add_typer(runs.app, name="runs")
app.add_typer(skills.app, name="skills")
app.command("init")(setup.init)
app.command("doctor")(setup.doctor)
app.command("demo")(setup.demo)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    code = run(given)
    try:
        sys.stdout.flush()
    except OSError as error:  # the reader has left (`evo … | head`), or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code if error.errno == errno.EPIPE else code or 1
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The error boundary.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code.
    """
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="evo", standalone_mode=False)
    except EvoError as error:
        return _expected(error.cause, error.remedy, error.exit_code, arguments)
    except KeyboardInterrupt:
        result = INTERRUPTED
    except typer.Abort:
        result = INTERRUPTED
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.errno in _DISK:
            where = f" ({error.filename})" if error.filename else ""
            return _expected(f"{error.strerror}{where}", "free some space there", 1, arguments)
        return _unexpected(error, arguments)
    except Exception as error:  # noqa: BLE001 - the boundary: nothing may pass it as a traceback
        return _unexpected(error, arguments)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:
        output.note("interrupted")
    return code


def _expected(cause: str, remedy: str, code: int, arguments: list[str]) -> int:
    output.failure(cause, remedy)
    if "--json" in arguments:
        output.document({"error": cause, "remedy": remedy, "exit_code": code})
    return code


def _unexpected(error: Exception, arguments: list[str]) -> int:
    message: Any = getattr(error, "format_message", None)
    if callable(message):  # a usage error of typer's (its class differs between versions)
        return _expected(str(message()), _usage_remedy(error), 2, arguments)
    from evo_agent.cli.crash import write_crash_log

    path = write_crash_log(error, arguments)
    where = f"the details are in {path}" if path else "no log file could be written"
    return _expected(f"a bug in evo ({type(error).__name__}): {where}", "", 1, arguments)


def _usage_remedy(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "evo"
    return f"see `{path} --help`"


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


if __name__ == "__main__":
    main()
