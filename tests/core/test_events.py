"""The run log: what it acknowledged is there, and a killed run goes on where it stopped."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evo_agent.core.errors import SandboxError, StoreError
from evo_agent.core.events import Event, RunLog, read_events

Step = Callable[[], int]


def program(log: RunLog, performed: list[str], crash_at: str = "") -> int:
    """A small run: an emit, a call, a call with a call inside, another call."""

    def do(name: str, value: int) -> int:
        performed.append(name)
        if name == crash_at:
            raise KeyboardInterrupt
        return value

    def nested() -> int:
        inner = log.call("inner", {"n": 1}, lambda: do("inner", 10), int, int)
        return inner + do("outer", 5)

    log.emit("start", text="ü")
    a = log.call("step", {"n": 1}, lambda: do("a", 1), int, int)
    log.emit("between")
    b = log.call("outer", {"n": 2}, nested, int, int)
    c = log.call("step", {"n": 3}, lambda: do("c", 100), int, int)
    log.emit("end")
    return a + b + c


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in read_events(folder)]


def test_every_event_is_on_disk_when_emit_returns(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        log.emit("first", text="a\nb")
        assert [e.data for e in read_events(log.folder)] == [{"text": "a\nb"}]


@pytest.mark.parametrize("crash_at", ["a", "inner", "outer", "c"])
def test_a_run_interrupted_anywhere_resumes_and_repeats_only_what_was_in_flight(
    tmp_path: Path, crash_at: str
) -> None:
    performed: list[str] = []
    with RunLog.create(tmp_path / "run") as log, pytest.raises(KeyboardInterrupt):
        program(log, performed, crash_at)
    again: list[str] = []
    with RunLog.reopen(tmp_path / "run") as log:
        assert program(log, again) == 116
    order = ["a", "inner", "outer", "c"]
    assert again == order[order.index(crash_at) :]
    repeated = [e for e in read_events(tmp_path / "run") if e.data.get("repeated")]
    expected = {"a": ["step-result"], "inner": ["inner-result"], "outer": [], "c": ["step-result"]}
    assert [e.kind for e in repeated] == expected[crash_at]


def test_resuming_twice_answers_what_the_first_resumption_did(tmp_path: Path) -> None:
    for crash_at in ("a", "inner", "c"):
        opened = RunLog.reopen if (tmp_path / "run").exists() else RunLog.create
        with opened(tmp_path / "run") as log, pytest.raises(KeyboardInterrupt):
            program(log, [], crash_at)
    last: list[str] = []
    with RunLog.reopen(tmp_path / "run") as log:
        assert program(log, last) == 116
    assert last == ["c"]
    numbers = [e.seq for e in read_events(tmp_path / "run")]
    assert numbers == list(range(len(numbers)))


def test_a_call_that_failed_is_tried_again_when_resumed(tmp_path: Path) -> None:
    def fails() -> int:
        raise SandboxError("engine gone")

    with RunLog.create(tmp_path / "run") as log, pytest.raises(SandboxError):
        log.call("step", {}, fails, int, int)
    with RunLog.reopen(tmp_path / "run") as log:
        assert log.call("step", {}, lambda: 7, int, int) == 7
    assert kinds(tmp_path / "run")[:2] == ["step-call", "step-error"]


def test_what_is_done_on_the_way_out_of_an_interrupted_call_is_not_the_runs(tmp_path: Path) -> None:
    def interrupted(log: RunLog) -> None:
        def perform() -> int:
            raise KeyboardInterrupt

        try:
            log.call("step", {}, perform, int, int)
        finally:
            log.emit("tidying")
            assert log.call("clean", {}, lambda: 3, int, int) == 3

    with RunLog.create(tmp_path / "run") as log, pytest.raises(KeyboardInterrupt):
        interrupted(log)
    assert kinds(tmp_path / "run") == ["step-call"]
    with RunLog.reopen(tmp_path / "run") as log:
        assert log.call("step", {}, lambda: 7, int, int) == 7


def test_failures_of_several_sessions_are_each_left_behind(tmp_path: Path) -> None:
    performed: list[str] = []

    def steps(log: RunLog, failing: str) -> None:
        for name in ("a", "b", "c"):

            def perform(name: str = name) -> int:
                performed.append(name)
                if name == failing:
                    raise SandboxError("engine gone")
                return 1

            log.call(name, {}, perform, int, int)

    for failing in ("b", "c", ""):
        opened = RunLog.reopen if (tmp_path / "run").exists() else RunLog.create
        with opened(tmp_path / "run") as log:
            try:
                steps(log, failing)
            except SandboxError as error:
                log.emit("run-stopped", reason=error.cause)
    assert performed == ["a", "b", "b", "c", "c"]


def test_a_resumed_run_that_takes_another_path_is_an_error_not_a_guess(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        log.call("step", {"command": "ls"}, lambda: 1, int, int)
    with (
        RunLog.reopen(tmp_path / "run") as log,
        pytest.raises(StoreError, match="cannot be resumed"),
    ):
        log.call("step", {"command": "rm"}, lambda: 2, int, int)


def test_a_torn_last_line_is_skipped_and_the_log_goes_on_after_it(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        log.emit("kept")
    with (tmp_path / "run" / "events.jsonl").open("a") as file:
        file.write('{"seq": 1, "ti')
    with RunLog.reopen(tmp_path / "run") as log:
        log.emit("kept")
        log.emit("new")
    assert kinds(tmp_path / "run") == ["kept", "run-resumed", "new"]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """RL Deep-Research survey: trajectory-level logs, complete for replay."""
    code = (
        "import sys; from pathlib import Path; from evo_agent.core.events import RunLog\n"
        "log = RunLog.create(Path(sys.argv[1]))\n"
        "n = 0\n"
        "while True:\n    log.emit('tick', n=n, text='x' * 500); print(n, flush=True); n += 1\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged >= 200:
            process.send_signal(signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    acknowledged = int(rest[-1]) if rest else acknowledged
    assert len(list(read_events(tmp_path / "run"))) >= acknowledged + 1


def test_a_full_disk_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "events.jsonl").symlink_to("/dev/full")
    with RunLog(folder) as log, pytest.raises(StoreError, match="No space left") as caught:
        log.emit("x")
    assert "free some space" in caught.value.remedy


def test_observers_see_answered_events_too(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log, pytest.raises(KeyboardInterrupt):
        program(log, [], "c")
    seen: list[Event] = []
    with RunLog.reopen(tmp_path / "run", observe=seen.append) as log:
        program(log, [])
    assert [e.kind for e in seen if e.kind == "step-result"] == ["step-result", "step-result"]


def test_blobs_are_addressed_by_hash_and_written_once(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        name = log.blob(b"whole output")
        assert log.blob(b"whole output") == name
    assert [p.name for p in (tmp_path / "run" / "blobs").iterdir()] == [name]


def test_text_that_is_not_unicode_can_be_logged(tmp_path: Path) -> None:
    with RunLog.create(tmp_path / "run") as log:
        log.emit("x", text="\udcff")
    line = (tmp_path / "run" / "events.jsonl").read_bytes()
    assert json.loads(line)["kind"] == "x"
