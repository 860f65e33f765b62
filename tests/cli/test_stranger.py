"""What a stranger does first, in order, with the installed command and a real sandbox."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

EVO = Path(sys.executable).parent / "evo"
TEST = "test_slots.py::test_a_slot_contains_its_first_minute"

pytestmark = pytest.mark.bubblewrap


@dataclass(frozen=True)
class Stranger:
    """A person's home and the repository that the demo made there."""

    home: Path
    repo: Path
    demo: str

    def types(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run evo in the repository."""
        return _evo(self.home, self.repo, *arguments, stdin=stdin)


def _evo(
    home: Path, cwd: Path, *arguments: str, stdin: str = ""
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [EVO, *arguments],
        cwd=cwd,
        env={**os.environ, "EVO_HOME": str(home), "EVO_SANDBOX_BACKEND": "bubblewrap"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    """Somebody who has run `evo demo`."""
    home = tmp_path_factory.mktemp("home")
    cache = Path(os.environ.get("EVO_TEST_CACHE", Path.home() / ".cache" / "evo-tests"))
    cache.mkdir(parents=True, exist_ok=True)
    (home / "cache").symlink_to(cache)
    repo = home / "demo"
    done = _evo(home, home, "demo", "--folder", str(repo))
    assert done.returncode == 0, done.stderr
    return Stranger(home, repo, done.stdout)


def test_the_demo_shows_verdict_diff_memory_skill_and_report(stranger: Stranger):
    assert "\nproved: a test that was there before failed at the base commit" in stranger.demo
    assert "\n+    return slot.start <= moment < slot.end\n" in stranger.demo
    assert f"{TEST}  failed → passed" in stranger.demo
    assert "Fix: a room is taken from the first minute of a booking" in stranger.demo
    assert "  skill " in stranger.demo
    assert "evo runs open " in stranger.demo
    page = Path(stranger.demo.strip().split()[-1])
    assert "proved" in page.read_text()
    assert "return slot.start &lt;= moment" in page.read_text()


def test_the_fix_is_in_the_tree_and_the_rest_is_untouched(stranger: Stranger):
    said = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=stranger.repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == " M slots.py\n"


def test_a_dirty_tree_is_refused_and_left_alone(stranger: Stranger):
    before = (stranger.repo / "slots.py").read_text()
    ran = stranger.types("fix", "--test", TEST)
    assert ran.returncode == 1
    cause, remedy = ran.stderr.splitlines()
    assert cause.startswith("error: ")
    assert "slots.py" in cause
    assert "--stash" in remedy
    assert (stranger.repo / "slots.py").read_text() == before
    assert len(json.loads(stranger.types("runs", "list", "--json").stdout)) == 1


def test_runs_are_listed_and_shown_and_told_as_json(stranger: Stranger):
    listed = stranger.types("runs", "list")
    run, grade, _state, title = listed.stdout.splitlines()[1].split("\t")
    assert grade == "proved"
    assert title == "A booking is not found at its first minute"
    shown = stranger.types("runs", "show", run[:12])
    assert shown.returncode == 0
    assert "+    return slot.start <= moment < slot.end" in shown.stdout
    document = json.loads(stranger.types("runs", "show", "--json").stdout)
    assert document["id"] == run
    assert document["verdict"]["grade"] == "proved"


def test_the_page_is_written_again_on_request(stranger: Stranger):
    page = Path(stranger.types("runs", "open", "--print").stdout.strip())
    page.unlink()
    document = json.loads(stranger.types("runs", "open", "--json").stdout)
    assert document == {"page": str(page)}
    assert page.is_file()


def test_the_skill_is_a_candidate_that_can_be_read(stranger: Stranger):
    listed = stranger.types("skills", "list").stdout.splitlines()
    name, state, *_ = listed[1].split("\t")
    assert state == "candidate"
    shown = stranger.types("skills", "show", name)
    assert f"name: {name}" in shown.stdout
    assert json.loads(stranger.types("skills", "list", "--json").stdout)[0]["name"] == name
    assert stranger.types("skills", "show", "no-such").returncode == 1


def test_memory_answers_and_abstains(stranger: Stranger):
    found = stranger.types("recall", "a booking from nine is not found at the first minute")
    assert found.returncode == 0
    assert "  why " in found.stdout
    nothing = stranger.types("recall", "zzqx kubernetes websocket", "--json")
    assert nothing.returncode == 3
    assert json.loads(nothing.stdout) == []


def test_learning_twice_adds_nothing(stranger: Stranger):
    document = json.loads(stranger.types("learn", "--json").stdout)
    assert document["added"] == 0
    assert document["seen"] == document["known"] == 6


def test_a_run_that_ended_is_not_resumed(stranger: Stranger):
    ran = stranger.types("runs", "resume")
    assert ran.returncode == 1
    assert "has ended" in ran.stderr.splitlines()[0]
    unknown = stranger.types("runs", "open", "1999")
    assert unknown.returncode == 1
    assert unknown.stderr.splitlines()[1] == "remedy: see `evo runs list`"


def test_fix_with_json_and_a_patch_file_leaves_the_tree_alone(stranger: Stranger, tmp_path: Path):
    patch = tmp_path / "fix.diff"
    ran = stranger.types("fix", "--test", TEST, "--patch", str(patch), "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    document = json.loads(ran.stdout)
    assert document["grade"] == "proved"
    assert document["exit_code"] == 0
    assert document["patch"] == patch.read_text()


def test_text_alone_without_a_model_points_the_way_and_exits_3(stranger: Stranger):
    ran = stranger.types(
        "fix", "-", "--patch", "unused.diff", stdin="Booking at nine not found in slots"
    )
    assert ran.returncode == 3
    assert "no fix: " in ran.stdout
    assert "--test" in ran.stdout
    assert not (stranger.repo / "unused.diff").exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (["fix", "-", "--patch", "x"], "", 1, "empty"),
        (["fix", "--test", "test_slots.py::test_no_such", "--patch", "x"], "", 1, "test_no_such"),
        (["fix", "--log", "no-such.log", "--patch", "x"], "", 1, "no-such.log"),
        (["fix", "x", "--sandbox", "magic", "--patch", "x"], "", 2, "magic"),
    ],
)
def test_bad_input_is_one_cause_and_one_remedy(
    stranger: Stranger, arguments: list[str], stdin: str, code: int, says: str
):
    ran = stranger.types(*arguments, stdin=stdin)
    errors = [line for line in ran.stderr.splitlines() if line.startswith(("error", "remedy"))]
    assert "Traceback" not in ran.stderr
    assert len(errors) == 2, ran.stderr
    assert says in errors[0]
    assert ran.returncode == code, ran.stderr
    assert not (stranger.repo / "x").exists()
