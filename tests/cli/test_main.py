"""The app and its error boundary, as a process."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from evo_agent.cli import crash, main
from evo_agent.core.errors import EvoError

EVO = Path(sys.executable).parent / "evo"
HEAVY = ("litellm", "chromadb", "git", "docker", "playwright", "numpy", "openai", "rich", "httpx")


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from evo_agent.cli.main import run\n"
        "code = run(['--help'])\n"
        f"print('loaded:', [m for m in {HEAVY!r} if m in sys.modules], code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Usage: evo" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: [] 0"


def test_every_command_has_help(evo: Any):
    top = evo("--help").out
    for command in ["fix", "learn", "recall", "memory", "runs", "skills", "init", "doctor", "demo"]:
        assert f"\n  {command} " in top
        shown = evo(command, "--help")
        assert shown.code == 0
        assert "Usage: evo " + command in shown.out
        assert len(shown.out) > 200


def test_no_arguments_show_the_help(evo: Any):
    assert evo().out == evo("--help").out


def test_version(evo: Any):
    from evo_agent import __version__

    assert evo("--version").out == f"evo {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fxi"],
        ["fix", "--no-such-option"],
        ["fix", "x", "--rounds", "many"],
        ["fix", "x", "--rounds", "0"],
        ["fix"],
        ["fix", "x", "--solver", "oracle"],
        ["fix", "x", "--commit", "--patch", "a.diff"],
        ["recall"],
        ["runs"],
        ["skills", "show"],
    ],
)
def test_usage_errors_are_two_lines_and_exit_2(evo: Any, arguments: list[str]):
    ran = evo(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    cause, remedy = ran.err.splitlines()
    assert cause.startswith("error: ")
    assert remedy.startswith("remedy: ")


@pytest.mark.parametrize(
    "command",
    [["fix", "x"], ["learn"], ["recall", "x"], ["runs", "list"], ["skills", "list"], ["init"]],
)
def test_outside_a_repository_every_command_says_so(evo: Any, command: list[str]):
    ran = evo(*command)
    assert ran.code == 1
    assert ran.out == ""
    assert "is not in a git repository" in ran.err.splitlines()[0]
    assert ran.err.splitlines()[1].startswith("remedy: ")


def test_an_error_under_json_is_one_document(evo: Any):
    ran = evo("fix", "x", "--json")
    document = json.loads(ran.out)
    assert document["exit_code"] == ran.code == 1
    assert "git repository" in document["error"]
    assert document["remedy"]


def test_a_misspelt_key_of_the_configuration_is_named(evo: Any, repo_factory: Any):
    repo = repo_factory(({"evo.toml": "[limits]\nrouns = 3\n"}, "config"))
    ran = evo("runs", "list", cwd=repo)
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "error: evo.toml: limits: unknown key 'rouns'",
        "remedy: did you mean rounds?",
    ]


def test_a_bug_becomes_a_log_file_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], own_evo_home: Path
):
    def broken() -> int:
        raise RuntimeError("a \x1b[31mred\x1b[0m bug")

    monkeypatch.setattr(main.app.registered_commands[0], "callback", broken)
    code = main.run(["fix"])
    err = capsys.readouterr().err
    assert code == 1
    assert err.count("\n") == 1
    assert "a bug in evo (RuntimeError)" in err
    log = next((own_evo_home / "log").glob("crash-*.log"))
    assert str(log) in err
    text = log.read_text()
    assert "Traceback" in text
    assert "arguments: ['fix']" in text
    assert "typer: " in text
    assert log.stat().st_mode & 0o077 == 0


def test_a_bug_is_reported_even_where_no_log_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVO_HOME", str(tmp_path / "file"))
    assert crash.write_crash_log(ValueError("x"), []) is None


def test_an_error_with_hostile_text_cannot_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def hostile() -> int:
        raise EvoError("bad \x1b]0;owned\x07 name\nsecond line \u202e", "do\nthis")

    monkeypatch.setattr(main.app.registered_commands[0], "callback", hostile)
    assert main.run(["fix"]) == 1
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\u202e" not in err
    assert err.count("\n") == 2


def test_a_reader_that_leaves_is_no_error():
    script = f"{EVO} fix --help | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "Usage: evo fix [OPTIONS] [ISSUE]\n"
    assert done.stderr == ""


@pytest.mark.parametrize(("signal_sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_with_the_shells_codes(
    repo_factory: Any, signal_sent: signal.Signals, code: int
):
    repo = repo_factory(({"a.txt": "a"}, "first"))
    process = subprocess.Popen(  # the issue from standard input, which never ends
        [EVO, "fix", "-", "--repo", str(repo)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until_it_reads(process)
    process.send_signal(signal_sent)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err


def _until_it_reads(process: "subprocess.Popen[str]") -> None:
    """Wait until the process sleeps in a read of its standard input."""
    while process.poll() is None:
        time.sleep(0.05)
        call = Path(f"/proc/{process.pid}/syscall").read_text().split()
        if call[0] in ("0", "63") and call[1] == "0x0":  # read(2) (x86-64, arm64) of descriptor 0
            return
    pytest.fail(f"it ended by itself: {process.communicate()}")


def test_colour_only_on_a_terminal_and_never_with_no_color():
    assert b"\x1b[1;31merror" in _on_a_terminal({})
    assert b"\x1b" not in _on_a_terminal({"NO_COLOR": "1"})


def _on_a_terminal(env: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", **env}
    if "NO_COLOR" not in env:
        variables.pop("NO_COLOR", None)
    with subprocess.Popen([EVO, "nope"], stderr=theirs, env=variables) as process:
        os.close(theirs)
        process.wait(20)
    said = b""
    with suppress(OSError):  # EIO: Linux's end of a terminal whose other side is closed
        while chunk := os.read(ours, 4096):
            said += chunk
    os.close(ours)
    return said


def test_completion_knows_the_commands(evo: Any):
    ran = evo(
        env={
            "_EVO_COMPLETE": "complete_bash",
            "COMP_WORDS": "evo ",
            "COMP_CWORD": "1",
        }
    )
    assert {"fix", "learn", "demo", "runs"} <= set(ran.out.split())
