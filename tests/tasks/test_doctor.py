"""What `evo doctor` finds, on this machine and on poorer ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evo_agent.tasks import doctor
from evo_agent.tasks.doctor import MISSING, NOTE, OK, Finding, examine, fit

EVO = Path(sys.executable).parent / "evo"


def _by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def _doctor(cwd: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    variables = {**os.environ, **env}
    return subprocess.run(
        [EVO, "doctor", *arguments],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_is_looked_at_and_every_lack_has_a_remedy(repo_factory: Any):
    repo = repo_factory(({"a.py": ""}, "a"))
    findings = examine(repo)
    found = _by_name(findings)
    for name in ("python", "git", "repository", "configuration", "memory", "cache"):
        assert found[name].level == OK, found[name]
    assert found["model"].level == NOTE
    assert {"litellm", "chromadb", "docker", "playwright", "browser"} <= set(found)
    assert {"sandbox docker", "sandbox podman", "sandbox bubblewrap"} <= set(found)
    assert all(finding.remedy for finding in findings if finding.level != OK)


def test_outside_a_repository_it_still_examines_the_machine(tmp_path: Path):
    found = _by_name(examine(tmp_path))
    assert found["repository"].level == NOTE
    assert found["git"].level == OK


def test_a_broken_configuration_is_a_finding(repo_factory: Any):
    repo = repo_factory(({"evo.toml": "[limits\n"}, "a"))
    finding = _by_name(examine(repo))["configuration"]
    assert finding.level == MISSING
    assert "evo.toml" in finding.detail


def test_memory_that_cannot_be_written_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVO_MEMORY_PATH", str(tmp_path / "file" / "memory"))
    finding = _by_name(examine(tmp_path))["memory"]
    assert finding.level == MISSING
    assert "EVO_MEMORY_PATH" in finding.remedy


def test_a_package_that_is_missing_names_its_extra(tmp_path: Path):
    program = (
        "import sys\n"
        "sys.modules['chromadb'] = None\n"
        "from pathlib import Path\n"
        "from evo_agent.tasks.doctor import examine\n"
        f"print([f.remedy for f in examine(Path({str(tmp_path)!r})) if f.name == 'chromadb'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[\"pip install 'evo-agent[memory]'\"]\n"


def test_without_git_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._git() == Finding(
        "git", MISSING, "it is not installed", "sudo apt-get install git"
    )


def test_ubuntus_restriction_of_user_namespaces_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "apparmor_restrict_unprivileged_userns").write_text("1\n")
    shutil.copy("/bin/true", tmp_path / "bwrap")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "_PROC", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not list(doctor._user_namespaces())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (finding,) = doctor._user_namespaces()
    assert finding.level == NOTE
    assert "bwrap-userns-restrict" in finding.remedy


@pytest.mark.bubblewrap
def test_the_command_passes_here_and_fails_where_fix_cannot_run(tmp_path: Path):
    good = _doctor(tmp_path)
    assert good.returncode == 0, good.stdout
    assert "✓ git: git version" in good.stdout
    assert "limits in bubblewrap: " in good.stdout
    (tmp_path / "file").write_text("")
    bad = _doctor(tmp_path, EVO_MEMORY_PATH=str(tmp_path / "file" / "m"))
    assert bad.returncode == 1
    assert "✗ memory: " in bad.stdout


def test_json_is_one_document(tmp_path: Path):
    done = _doctor(tmp_path, "--json")
    document = json.loads(done.stdout)
    assert document["fit"] == (done.returncode == 0)
    assert {"name", "level", "detail", "remedy"} == set(document["findings"][0])


def test_fit_means_that_nothing_is_missing():
    assert fit((Finding("a", OK, ""), Finding("b", NOTE, "")))
    assert not fit((Finding("a", OK, ""), Finding("b", MISSING, "")))
