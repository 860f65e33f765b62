"""`evo skills`: what is brought is listed and trusted; what was learnt is edited, tested, exported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import commit_files
from tests.memory.conftest import MakeRun, make_run  # noqa: F401 - a fixture

from evo_agent.cli.main import run
from evo_agent.core.config import load_config
from evo_agent.core.git import open_repository
from evo_agent.memory.journal.records import State
from evo_agent.memory.journal.states import transition
from evo_agent.memory.store import Memory
from evo_agent.tasks.deliver import Delivery
from evo_agent.tasks.fix import FixRequest, fix
from evo_agent.tasks.knowledge import open_memory

RepoFactory = Callable[..., Path]
BROUGHT = "---\nname: brought\ndescription: says \x1b[31mred\u202e\n---\nbody\n"
SHOP = "def ships_free(total):\n    return total > 50\n"
TEST = "from shop import ships_free\n\n\ndef test_edge():\n    assert ships_free(50)\n"


@pytest.fixture
def shop(repo_factory: RepoFactory) -> Path:
    return repo_factory(({"shop.py": SHOP, "test_shop.py": TEST}, "Ship free"), name="shop")


def evo(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(argument) for argument in ("skills", *arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_repositorys_skills_are_listed_and_trusted(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = BROUGHT.replace("\x1b", "")
    commit_files(
        shop, {".agents/skills/brought/SKILL.md": text, ".agents/skills/bad/SKILL.md": "x"}, "S"
    )
    code, out, _ = evo(capsys, "list", "--repo", shop)
    assert code == 0
    assert "brought\tuntrusted\t.agents/skills/brought\tsays [31mred�" in out
    assert "bad\trefused\t.agents/skills/bad\ta SKILL.md is refused:" in out
    assert evo(capsys, "trust", "--repo", shop)[0] == 2
    assert evo(capsys, "trust", "nothing", "--repo", shop)[0] == 1
    code, _, err = evo(capsys, "trust", "bad", "--repo", shop)
    assert code == 1
    assert "is refused" in err
    assert evo(capsys, "trust", "--all", "--repo", shop)[1] == "trusted: .agents/skills/brought\n"
    assert "brought\ttrusted" in evo(capsys, "list", "--repo", shop)[1]
    evo(capsys, "trust", "brought", "--withdraw", "--repo", shop)
    listed = json.loads(evo(capsys, "list", "--repo", shop, "--json")[1])
    assert {skill["name"]: skill["state"] for skill in listed} == {
        "brought": "untrusted",
        "bad": "refused",
    }


@pytest.mark.bubblewrap
def test_a_learnt_skill_is_edited_proved_and_taken_back(
    shop: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = load_config(None, flags={"sandbox.backend": "bubblewrap"})
    request = FixRequest(
        repo=shop,
        issue="The boundary itself pays for shipping",
        tests=("test_shop.py::test_edge",),
        delivery=Delivery("patch", ""),
    )
    written = fix(request, config).written
    name = written.skill_name
    file = shop / ".evo" / "skills" / name / "SKILL.md"
    original = file.read_text()
    file.write_text(original + "\nLook at the comparison first.\n")
    code, out, _ = evo(capsys, "edit", name, "--repo", shop)
    assert (code, "judges it" in out) == (0, True)
    code, out, _ = evo(capsys, "test", name, "--repo", shop, "--json")
    report = json.loads(out)
    assert (code, list(report["results"].values()), report["rolled_back"]) == (0, [True], False)
    code, out, _ = evo(capsys, "versions", name, "--repo", shop)
    assert [line.split("\t")[2:] for line in out.splitlines()[1:]] == [
        ["validated", "human", "*"],
        ["archived", "verified", ""],
    ]
    assert evo(capsys, "rollback", name, "--repo", shop)[0] == 0
    assert file.read_text() == original
    assert evo(capsys, "edit", name, "--repo", shop)[0] == 1, "nothing is changed"
    other = tmp_path / "edited.md"
    assert evo(capsys, "edit", name, "--file", other, "--repo", shop)[0] == 1
    assert evo(capsys, "edit", "nobody", "--repo", shop)[0] == 1


def test_only_active_skills_are_exported_and_never_over_others(
    shop: Path,
    capsys: pytest.CaptureFixture[str],
    make_run: MakeRun,  # noqa: F811 - the fixture
) -> None:
    identity = open_repository(shop).identity
    with open_memory(load_config(None), shop) as memory:
        kept = memory.record_run(make_run(repo=identity))
    name = kept.skill_name
    assert "no skill is active yet" in evo(capsys, "export", "--repo", shop)[2]
    assert not (shop / ".agents").exists()
    code, _, err = evo(capsys, "export", name, "--repo", shop)
    assert (code, "a candidate skill is not exported" in err) == (1, True)
    with open_memory(load_config(None), shop) as memory:
        _activate(memory, kept.skill_id)
    code, out, _ = evo(capsys, "export", "--to", "claude", "--repo", shop)
    folder = shop / ".claude" / "skills" / name
    assert (code, out.strip()) == (0, str(folder))
    assert "evo-state" in (folder / "SKILL.md").read_text()
    assert evo(capsys, "export", "--to", "claude", "--repo", shop)[0] == 0, "evo's own is renewed"
    (folder / "SKILL.md").write_text("mine")
    assert evo(capsys, "export", "--to", "claude", "--repo", shop)[0] == 1
    assert (folder / "SKILL.md").read_text() == "mine"
    assert evo(capsys, "export", "--to", "nobody", "--repo", shop)[0] == 2


def _activate(memory: Memory, record_id: str) -> None:
    for state in (State.VALIDATED, State.ACTIVE):
        stored: Any = memory.get(record_id)
        memory._journal.write("test", [transition(stored, state, "test", "helped")])
