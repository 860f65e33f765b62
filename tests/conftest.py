"""Fixtures shared by all rooms: real git repositories, and the machinery's presence."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GIT_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}

RepoFactory = Callable[..., Path]


def git(repo: Path, *args: str, date: str = "2024-01-01T12:00:00+00:00") -> str:
    """Run git in a test's repository and return what it printed."""
    env = {**GIT_ENV, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(
        ["git", "-C", str(repo), *args], env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit_files(repo: Path, files: Mapping[str, str | bytes | None], message: str) -> str:
    """Write (or, for None, delete) files, commit everything, return the sha."""
    for name, content in files.items():
        path = repo / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    count = int(git(repo, "rev-list", "--count", "--all") or 0)
    git(repo, "add", "-A", "-f")
    git(
        repo,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        message,
        date=f"2024-01-01T12:{count:02d}:00+00:00",
    )
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture
def repo_factory(tmp_path: Path) -> RepoFactory:
    """Make a git repository from a list of (files, message) commits."""

    def make(*commits: tuple[Mapping[str, str | bytes | None], str], name: str = "repo") -> Path:
        repo = tmp_path / name
        repo.mkdir()
        git(repo, "init", "-q", "-b", "main")
        git(repo, "config", "user.name", "Ada")
        git(repo, "config", "user.email", "ada@example.org")
        for files, message in commits:
            commit_files(repo, files, message)
        return repo

    return make


def _neighbour(name: str) -> ModuleType:
    """Import tests/<name>.py, which importlib mode keeps off sys.path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model_server() -> Iterator[Any]:
    """Start a scripted chat model over real HTTP: a ScriptedServer of tests/replay_server.py."""
    with _neighbour("replay_server").ScriptedServer() as server:
        yield server


@pytest.fixture
def engine_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Reach the real engine through a Forwarder of tests/engine_cut.py; `.stop()` cuts it."""
    from evo_agent.sandboxes import engine

    (address, *_) = engine.sockets("docker")
    path = tmp_path / "d"  # a socket's name is short
    made = _neighbour("engine_cut").Forwarder(path, address.removeprefix("unix://"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def own_evo_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test its own memory; the cache of built environments stays shared."""
    home = tmp_path_factory.mktemp("evo-home")
    cache = Path(os.environ.get("EVO_TEST_CACHE", Path.home() / ".cache" / "evo-tests"))
    cache.mkdir(parents=True, exist_ok=True)
    (home / "cache").symlink_to(cache)
    monkeypatch.setenv("EVO_HOME", str(home))
    for name in [name for name in os.environ if name.startswith("EVO_MODEL_")]:
        monkeypatch.delenv(name)
    return home


def _docker_missing() -> str:
    for engine in ("docker", "podman"):
        if (
            shutil.which(engine)
            and not subprocess.run(
                [engine, "info"], capture_output=True, timeout=30, check=False
            ).returncode
        ):
            return ""
    return "no docker or podman engine answers"


def _bubblewrap_missing() -> str:
    if not shutil.which("bwrap"):
        return "bwrap is not installed"
    probe = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"bwrap does not work here: {done.stderr.strip()}" if done.returncode else ""


def _browser_missing() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("EVO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return "" if found else "no Chromium is installed"


_CHECKS = {
    "docker": _docker_missing,
    "bubblewrap": _bubblewrap_missing,
    "browser": _browser_missing,
}
_found: dict[str, str] = {}


def pytest_configure() -> None:
    """Take SIGINT back: a suite started in the background ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, what this machine cannot run; fail instead under EVO_REQUIRE=all."""
    for marker, check in _CHECKS.items():
        if item.get_closest_marker(marker) is None:
            continue
        if marker not in _found:
            _found[marker] = check()
        if _found[marker] and os.environ.get("EVO_REQUIRE") == "all":
            pytest.fail(f"EVO_REQUIRE=all, but {_found[marker]}", pytrace=False)
        if _found[marker]:
            pytest.skip(_found[marker])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under EVO_REQUIRE=all whatever a test skips for is a failure that says the same."""
    report = yield
    if report.skipped and os.environ.get("EVO_REQUIRE") == "all":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"EVO_REQUIRE=all, but it was skipped: {why}"
    return report
