"""Progress as people see it: from the events of a run that was really logged."""

import importlib.util
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evo_agent.cli.progress import InterruptedRunError, Tally, watch
from evo_agent.core.events import Event, read_events

RUNS = Path(__file__).parents[1] / "tasks" / "recorded_run.py"


def _recorded_run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recorded_run", RUNS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["recorded_run"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def events(tmp_path: Path) -> list[Event]:
    made: Any = _recorded_run()
    return list(read_events(made.record_run(tmp_path / "run-7", "\x1b[31mred")))


def test_the_tally_adds_up_the_events(events: list[Event]):
    tally = Tally()
    for event in events:
        tally.take(event)
    assert (tally.phase, tally.round) == ("record", 2)
    assert (tally.step, tally.commands) == (2, 3)
    assert tally.tokens == 2 * (1500 + 300)
    assert tally.dollars is None
    assert tally.status().startswith("record · round 2 · step 2 · 3,600 tokens · cost unknown · 3")


def test_off_a_terminal_milestones_are_plain_lines(
    events: list[Event], capsys: pytest.CaptureFixture[str]
):
    with watch() as observe:
        for event in events:
            observe(event)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\x1b" not in shown.err
    lines = shown.err.splitlines()
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "recall",
        "plan",
        "act",
        "verify",
        "act (round 2)",
        "verify (round 2)",
        "record (round 2)",
    ]
    assert "  before: 1 failed" in lines
    assert lines.count("  candidate: 1 file, +1 -1") == 2
    assert "  verdict: rejected: the failing test still fails" in lines
    assert any(line.startswith("  recalls: lcm recurses") for line in lines)


def test_what_is_not_limited_is_said_aloud(capsys: pytest.CaptureFixture[str]):
    with watch() as observe:
        observe(Event(0, "", "phase", {"phase": "act"}))
        observe(Event(1, "", "progress", {"text": "not limited here: memory"}))
        observe(Event(2, "", "progress", {"text": "looks around"}))
    assert capsys.readouterr().err.splitlines()[1:] == ["  not limited here: memory"]


def test_setting_up_is_told_step_by_step(capsys: pytest.CaptureFixture[str]):
    with watch() as observe:
        observe(Event(0, "", "progress", {"text": "building the environment (uv.lock)"}))
    assert capsys.readouterr().err == "  building the environment (uv.lock)\n"


def test_quiet_says_nothing(events: list[Event], capsys: pytest.CaptureFixture[str]):
    with watch(quiet=True) as observe:
        for event in events:
            observe(event)
    assert capsys.readouterr() == ("", "")


def test_malformed_events_do_not_end_a_run():
    with watch(quiet=True) as observe:
        for kind in ("run-start", "phase", "model-result", "command-call", "recall-result"):
            observe(Event(0, "", kind, {}))


def test_ctrl_c_says_how_to_go_on():
    with pytest.raises(InterruptedRunError) as caught:
        _interrupted_after(Event(0, "", "run-start", {"run": "20260101-000000-abcd"}))
    assert caught.value.exit_code == 130
    assert caught.value.remedy == "go on with `evo runs resume 20260101-000000-abcd`"


def test_ctrl_c_before_a_run_offers_nothing_to_resume():
    with pytest.raises(InterruptedRunError) as caught:
        _interrupted_after()
    assert caught.value.remedy == ""


def _interrupted_after(*events: Event) -> None:
    with watch(quiet=True) as observe:
        for event in events:
            observe(event)
        raise KeyboardInterrupt


def test_on_a_terminal_a_status_line_moves_and_is_gone_at_the_end(events: list[Event]):
    shown = _on_a_terminal(*events)
    assert "act · round 2 · step 2 · 3,600 tokens · cost unknown" in shown
    assert "verdict: proved: 1 failing test passes now" in shown
    assert "\x1b[31mred" not in shown  # what the run's words asked of the terminal
    assert "\x1b[2K" in shown  # the status line is wiped


def _on_a_terminal(*events: Event) -> str:
    program = (
        "import sys, time, json\n"
        "from evo_agent.cli.progress import watch\n"
        "from evo_agent.core.events import Event\n"
        "with watch() as observe:\n"
        "    for line in sys.stdin:\n"
        "        observe(Event(**json.loads(line)))\n"
        "        time.sleep(0.15)\n"
    )

    from evo_agent.core.types import to_json

    lines = "".join(json.dumps(to_json(event)) + "\n" for event in events)
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=theirs, env=environ
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        process.stdin.write(lines.encode())
        process.stdin.close()
        shown = b""
        with suppress(OSError):  # EIO when the other side is closed
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
    assert process.returncode == 0
    return shown.decode()
