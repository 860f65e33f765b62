"""`kill -9` at any point: the run goes on from its last checkpoint and repeats one call at most."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.events import read_events

pytestmark = pytest.mark.bubblewrap

EVO = Path(sys.executable).parent / "evo"
TEST = "test_shop.py::test_fifty"
FILES = {
    "shop.py": "def ships_free(total):\n    return total > 50\n",
    "test_shop.py": "from shop import ships_free\n\n\ndef test_fifty():\n    assert ships_free(50)\n",
}
COMMANDS = (
    "echo x >> count.txt",
    "echo x >> count.txt",
    "cat count.txt",
    "rm count.txt",
    "sed -i 's/> 50/>= 50/' shop.py",
)


def scripted(request: dict[str, Any]) -> Any:
    """The reply is a function of the conversation, as a model's would be at temperature 0."""
    from replay_server import completion  # type: ignore[import-not-found]

    done = sum(message["role"] == "assistant" for message in request["messages"])
    if done < len(COMMANDS):
        arguments = json.dumps({"command": COMMANDS[done]})
        return completion("", ({"name": "bash", "arguments": arguments, "id": f"c{done}"},))
    return completion("", ({"name": "submit", "arguments": '{"note": "done"}', "id": "s"},))


def log_of(repo: Path) -> Path | None:
    return next(iter(repo.glob(".evo/runs/*/events.jsonl")), None)


def lines(repo: Path) -> int:
    log = log_of(repo)
    return log.read_bytes().count(b"\n") if log else 0


def run_until(command: list[str], env: dict[str, str], repo: Path, more: int) -> int | None:
    """Run evo and kill it as soon as its log has grown by `more` lines; its code if it ended."""
    before = lines(repo)
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        while process.poll() is None:
            if lines(repo) - before >= more:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, out
    return process.returncode


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(
    repo_factory: Callable[..., Path], model_server: Any, own_evo_home: Path
) -> None:
    repo = repo_factory((FILES, "Ship large orders free"), name="shop")
    for _ in range(60):
        model_server.then(scripted)
    env = {
        **os.environ,
        "EVO_HOME": str(own_evo_home),
        "EVO_SANDBOX_BACKEND": "bubblewrap",
        "EVO_MODEL_API_BASE": model_server.url,
        "EVO_MODEL_NAME": "openai/scripted",
        "OPENAI_API_KEY": "sk-scripted-0000000000000000",
    }
    command = [str(EVO), "fix", "--repo", str(repo), "--test", TEST, "fifty pays"]
    kills = 0
    for more in (1, 6, 4, 5, 3, 7, 6, 5, 9, 7, 1000):
        if run_until(command, env, repo, more) is not None:
            break
        kills += 1
        command = [str(EVO), "runs", "resume", "--repo", str(repo)]
    assert kills >= 6
    log = log_of(repo)
    assert log is not None
    assert len(list(repo.glob(".evo/runs/*/events.jsonl"))) == 1
    events = list(read_events(log.parent))
    assert ">= 50" in (repo / "shop.py").read_text()
    results = [e for e in events if e.kind.endswith("-result")]
    numbers = [e.data["call"] for e in results]
    assert len(numbers) == len(set(numbers)), "no call has two results"
    outputs = [e.data["value"]["output"] for e in results if e.kind == "command-result"]
    assert outputs == ["", "", "x\nx\n", "", ""], "each command took effect once"
    repeated = [e for e in results if e.data.get("repeated")]
    assert len(repeated) <= kills
    assert len(model_server.requests) <= len(COMMANDS) + 1 + kills
    last = {e.kind: e for e in events}["run-end"]
    assert last.data["grade"] == "proved"


SLOW = {
    "price.py": (
        "def shipping(total, weight):\n    base = 5 + weight * 2\n    if weight > 20:\n"
        "        base = base + 10\n    if total > 50:\n        return 0\n    return base\n"
    ),
    "test_price.py": (
        "import time\n\nfrom price import shipping\n\n\ndef test_large_orders():\n"
        "    time.sleep(0.3)  # so that a batch of candidates has a middle\n"
        "    assert shipping(50, 1) == 0\n    assert shipping(80, 30) == 0\n"
        "    assert shipping(49, 1) == 7\n    assert shipping(49, 21) == 57\n"
    ),
}
NAMED = "test_price.py::test_large_orders"
FIXED = "total >= 50"


@pytest.fixture
def slow(repo_factory: Callable[..., Path], own_evo_home: Path) -> tuple[Path, dict[str, str]]:
    """A repository with a slow test, and what evo is started with: no model."""
    repo = repo_factory((SLOW, "Shipping"), name="shop")
    env = {**os.environ, "EVO_HOME": str(own_evo_home), "EVO_SANDBOX_BACKEND": "bubblewrap"}
    return repo, env


def in_a_batch(repo: Path) -> bool:
    """Whether the last thing that the log says is that the probe was started."""
    log = log_of(repo)
    last = log.read_bytes().splitlines()[-1:] if log else []
    return bool(last) and b'"command-call"' in last[0] and b"EVO_PROBE" in last[0]


def stop(
    command: list[str],
    env: dict[str, str],
    when: Callable[[], bool],
    number: signal.Signals,
    after: float = 0.0,
) -> tuple[int, str]:
    """Run evo, send a signal to its process group once `when` holds; its code and output."""
    process = subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # a terminal sends Ctrl-C to the group, not to one process
    )
    try:
        while process.poll() is None:
            if when():
                time.sleep(after)
                os.killpg(process.pid, number)
                break
            time.sleep(0.001)
        out, _ = process.communicate(timeout=180)
    finally:
        process.kill()
    return process.returncode, out


def checked(repo: Path, stops: int) -> None:
    """It ended proved, with each call's result once, and nothing repeated but what was cut."""
    log = log_of(repo)
    assert log is not None
    events = list(read_events(log.parent))
    last = {event.kind: event for event in events}["run-end"]
    assert last.data["grade"] == "proved"
    assert FIXED in (repo / "price.py").read_text()
    for ending in ("-call", "-result"):
        numbers = [e.data["call"] for e in events if e.kind.endswith(ending)]
        assert len(numbers) == len(set(numbers)), f"two events of one call: {ending}"
    repeated = [e for e in events if e.kind.endswith("-result") and e.data.get("repeated")]
    assert len(repeated) <= stops
    assert sum(e.kind == "candidate" for e in events) == 1


def test_a_search_killed_again_and_again_ends_as_if_it_had_not_been(
    slow: tuple[Path, dict[str, str]],
) -> None:
    """Without a model: among the points are the middles of batches of candidates."""
    repo, env = slow
    command = [str(EVO), "fix", "--repo", str(repo), "--test", NAMED, "large orders pay"]
    again = [str(EVO), "runs", "resume", "--repo", str(repo)]
    stops = 0
    for more in (9, 0, 0, 2, 2, 3, 2, 4, 3, 5, 6, 3, 10_000):  # 0: in the middle of a batch
        before = lines(repo)

        def now(more: int = more, before: int = before) -> bool:
            if more:
                return lines(repo) - before >= more
            return lines(repo) > before and in_a_batch(repo)

        code, out = stop(command, env, now, signal.SIGKILL, after=0.0 if more else 0.7)
        command = again
        if code == 0:
            break
        assert code == -signal.SIGKILL, out
        stops += 1
    assert stops >= 6
    checked(repo, stops)


def test_an_interrupted_search_says_so_and_goes_on(slow: tuple[Path, dict[str, str]]) -> None:
    repo, env = slow
    command = [str(EVO), "fix", "--repo", str(repo), "--test", NAMED, "large orders pay"]
    code, out = stop(command, env, lambda: in_a_batch(repo), signal.SIGINT, after=0.7)
    assert code == 130, out
    assert "Traceback" not in out
    assert "resume" in out
    command = [str(EVO), "runs", "resume", "--repo", str(repo)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    checked(repo, 1)
