"""`evo fix` from end to end: real repositories, sandboxes, memory; no model or a scripted one."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evo_agent.core.config import Config, SandboxConfig, load_config
from evo_agent.core.errors import EvoError, InfrastructureError, ModelError, StoreError
from evo_agent.core.events import Event, read_events
from evo_agent.core.types import Grade
from evo_agent.tasks.deliver import Delivery
from evo_agent.tasks.fix import FixRequest, FixResult, fix
from evo_agent.tasks.knowledge import find_skill, list_skills, open_memory
from evo_agent.tasks.runs import list_runs, replay, resume

pytestmark = pytest.mark.bubblewrap

Files = Mapping[str, str]
RepoFactory = Callable[..., Path]

SHOP: Files = {
    "shop.py": '''"""Orders."""


def ships_free(total):
    """Orders from fifty on are shipped free of charge."""
    return total > 50


def price(total):
    return total if ships_free(total) else total + 5
''',
    "test_shop.py": """from shop import price, ships_free


def test_the_boundary_itself_ships_free():
    assert ships_free(50)


def test_small_orders_pay():
    assert not ships_free(49)
    assert price(10) == 15


def test_large_orders_do_not():
    assert price(80) == 80
""",
}
SHOP_TEST = "test_shop.py::test_the_boundary_itself_ships_free"
SHOP_ISSUE = "An order of exactly fifty pays for shipping: the boundary value itself is excluded"

CLUB: Files = {
    "club.py": '''"""Who may enter."""


def admits(years):
    """Everybody of eighteen years and more."""
    if years < 0:
        raise ValueError(years)
    return years > 18
''',
    "test_club.py": """import pytest

from club import admits


def test_the_boundary_itself_is_admitted():
    assert admits(18)


def test_others():
    assert admits(40) and not admits(17) and not admits(0)
    with pytest.raises(ValueError):
        admits(-1)
""",
}
CLUB_TEST = "test_club.py::test_the_boundary_itself_is_admitted"
CLUB_ISSUE = "A visitor of exactly eighteen is turned away: the boundary value itself is excluded"


@pytest.fixture
def config() -> Config:
    return load_config(None, flags={"sandbox.backend": "bubblewrap"})


@pytest.fixture
def shop(repo_factory: RepoFactory) -> Path:
    return repo_factory((SHOP, "Ship large orders free"), name="shop")


def shop_request(shop: Path, **changes: Any) -> FixRequest:
    return replace(FixRequest(repo=shop, issue=SHOP_ISSUE, tests=(SHOP_TEST,)), **changes)


def status(repo: Path) -> str:
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=repo, check=True, capture_output=True, text=True
    )
    return done.stdout


def kinds(folder: Path) -> list[str]:
    return [event.kind for event in read_events(folder)]


def phases(folder: Path) -> list[str]:
    return [str(e.data["phase"]) for e in read_events(folder) if e.kind == "phase"]


def test_a_bug_is_fixed_proved_delivered_and_remembered(shop: Path, config: Config) -> None:
    result = fix(shop_request(shop), config)
    assert result.verdict is not None
    assert result.verdict.grade is Grade.PROVED
    assert result.exit_code == 0
    assert "return total >= 50" in (shop / "shop.py").read_text()
    assert status(shop) == " M shop.py\n"
    assert phases(result.run) == ["recall", "plan", "act", "verify", "record"]
    skill = find_skill(shop, config, result.written.skill_name)
    assert (skill.state, skill.uses) == ("candidate", 0)
    with open_memory(config, shop) as memory:
        kept = memory.get(result.written.episode)
        assert kept is not None
        assert result.run.name in memory.why(result.written.episode)
    assert not (result.run / "work").exists()


def test_a_skill_becomes_active_when_it_has_helped_on_a_different_bug(
    shop: Path, repo_factory: RepoFactory, config: Config
) -> None:
    first = fix(shop_request(shop), config)
    club = repo_factory((CLUB, "Admit adults"), name="club")
    second = fix(FixRequest(repo=club, issue=CLUB_ISSUE, tests=(CLUB_TEST,)), config)
    assert second.verdict is not None
    assert second.verdict.grade is Grade.PROVED
    assert first.written.episode in {record.id for record in second.recalled}
    assert second.written.promoted == (first.written.skill_name,)
    states = {skill.name: skill.state for skill in list_skills(club, config)}
    assert states == {first.written.skill_name: "active", second.written.skill_name: "candidate"}


def test_the_same_bug_again_promotes_nothing(shop: Path, config: Config) -> None:
    first = fix(shop_request(shop, delivery=Delivery("patch", "")), config)
    again = fix(shop_request(shop, delivery=Delivery("patch", "")), config)
    assert again.written.promoted == ()
    assert first.written.episode not in {record.id for record in again.recalled}
    assert {skill.state for skill in list_skills(shop, config)} == {"candidate"}


def test_without_test_and_model_it_points_the_way_and_pretends_nothing(
    shop: Path, config: Config
) -> None:
    result = fix(shop_request(shop, tests=()), config)
    assert (result.exit_code, result.verdict, result.patch) == (3, None, "")
    assert "--test" in result.advice
    assert status(shop) == ""


def test_a_test_that_passes_already_is_nothing_to_fix(shop: Path, config: Config) -> None:
    with pytest.raises(EvoError, match="nothing to fix") as caught:
        fix(shop_request(shop, tests=("test_shop.py::test_small_orders_pay",)), config)
    assert caught.value.remedy


def test_an_unknown_test_id_is_one_line_that_names_the_nearest(shop: Path, config: Config) -> None:
    with pytest.raises(EvoError, match="test_the_boundary") as caught:
        fix(shop_request(shop, tests=("test_shop.py::test_the_boundary_it",)), config)
    assert "\n" not in caught.value.cause
    assert caught.value.exit_code == 1


def word_that_disagrees() -> str:
    """A word whose hash is even under seed 0 and odd under seed 1, the verifier's two seeds."""
    code = "for n in range(50): print(hash(f'word{n}') % 2)"
    seen = [
        subprocess.run(
            ["python3", "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in "01"
    ]
    return f"word{list(zip(*seen, strict=True)).index(('0', '1'))}"


def test_a_flaky_fix_is_named_and_nothing_is_written_back(
    repo_factory: RepoFactory, config: Config
) -> None:
    """MoDem-V2: edits near known-good; verifier quorum: disagreement → no write-back."""
    flaky = f"    assert ships_free(50) and hash('{word_that_disagrees()}') % 2 == 0"
    tests = SHOP["test_shop.py"].replace("    assert ships_free(50)", flaky)
    repo = repo_factory(({**SHOP, "test_shop.py": tests}, "Ship"), name="shop")
    result = fix(shop_request(repo), config)
    assert result.verdict is not None
    assert result.verdict.grade is Grade.FLAKY
    assert SHOP_TEST in result.verdict.reason
    assert result.exit_code == 3
    assert "write-back-call" not in kinds(result.run)
    assert (result.written.episode, list_skills(repo, config)) == ("", ())
    assert status(repo) == ""


def test_replayed_offline_the_patch_is_byte_identical(shop: Path, config: Config) -> None:
    """UniSim: recorded runs replay with changed conditions; byte-identical replay offline."""
    done = fix(shop_request(shop, delivery=Delivery("patch", "")), config)
    again = replay(shop, done.run.name)
    assert again.identical
    assert again.recorded == done.patch != ""
    assert "write-back-call" in kinds(again.result.run)
    with open_memory(config, shop) as memory:
        assert len(memory.records(kind="episode", origin="run")) == 1


FIXED = SHOP["shop.py"].replace("> 50", ">= 50")
BROKEN = SHOP["shop.py"].replace("> 50", ">= 50").replace("total + 5", "total + 6")


def scripted(config: Config, url: str) -> Config:
    model = replace(config.model, name="openai/scripted", api_base=url, retries=0)
    return replace(config, model=model)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-scripted-0000000000000000")


def rewrite(content: str) -> dict[str, str]:
    return {"command": f"cat > shop.py <<'EVO'\n{content}EVO"}


def test_a_regression_is_diagnosed_rolled_back_and_mended_in_the_next_round(
    shop: Path, config: Config, model_server: Any
) -> None:
    """Cable routing: a stage that fails goes back; here verify → refine → act."""
    model_server.call("bash", **rewrite(BROKEN)).call("submit", note="done")
    model_server.call("bash", command="cat shop.py")
    model_server.call("bash", **rewrite(FIXED)).call("submit", note="now it holds")
    result = fix(shop_request(shop), scripted(config, model_server.url))
    assert result.verdict is not None
    assert result.verdict.grade is Grade.PROVED
    assert phases(result.run) == [
        *("recall", "plan", "act", "verify", "refine"),
        *("act", "verify", "record"),
    ]
    retry = str(model_server.requests[2]["messages"])
    assert "regression" in retry
    assert "test_small_orders_pay" in retry
    shown = str(model_server.requests[3]["messages"][-1])
    assert "total > 50" in shown, "the second round starts from base again"
    assert result.cost.model_calls == 5


def test_a_critics_word_counts_for_nothing_tests_decide(
    shop: Path, config: Config, model_server: Any
) -> None:
    """IRL-VLA: a cheap critic prefilters, tests decide: critic pass + tests fail → fail."""
    limits = replace(config.limits, rounds=1)
    model_server.call("bash", command="echo '# reviewed, all tests pass' >> shop.py")
    model_server.call("submit", note="All tests pass, verified twice, certainly correct.")
    result = fix(shop_request(shop), scripted(replace(config, limits=limits), model_server.url))
    assert result.verdict is not None
    assert result.verdict.grade is Grade.REJECTED
    assert (result.exit_code, result.delivered, result.written.skill) == (3, "", "")
    assert "reviewed" in (result.run / "patch.diff").read_text()
    assert status(shop) == ""


def test_changing_nothing_goes_back_to_planning(
    shop: Path, config: Config, model_server: Any
) -> None:
    """Cable routing: per-stage backtracking; stage 3 (act) fails → back to stage 2 (plan)."""
    model_server.call("submit", note="looks fine to me")
    model_server.call("bash", **rewrite(FIXED)).call("submit", note="done")
    result = fix(shop_request(shop), scripted(config, model_server.url))
    assert result.verdict is not None
    assert result.verdict.holds
    assert phases(result.run)[:6] == ["recall", "plan", "act", "plan", "act", "verify"]
    assert "changed nothing" in str(model_server.requests[1]["messages"])


def test_an_endpoint_that_goes_down_leaves_a_run_that_resumes(
    shop: Path, config: Config, model_server: Any
) -> None:
    model_server.call("bash", **rewrite(FIXED)).fail(500)
    with pytest.raises(ModelError) as caught:
        fix(shop_request(shop), scripted(config, model_server.url))
    assert "\n" not in caught.value.cause
    assert list_runs(shop)[0].ended is False
    model_server.call("submit", note="done")
    result = resume(shop, "last")
    assert result.verdict is not None
    assert result.verdict.grade is Grade.PROVED
    assert len(model_server.requests) == 3, "the first call was answered from the log"


def test_a_full_disk_is_one_line_and_the_run_resumes(shop: Path, config: Config) -> None:
    with pytest.raises(StoreError, match="No space left") as caught:
        fix(shop_request(shop), config, observe=full_disk_after("recall-result"))
    assert "free some space" in caught.value.remedy
    assert status(shop) == ""
    assert outcome(resume(shop, "last")) == Grade.PROVED


def full_disk_after(kind: str) -> Callable[[Event], None]:
    """From an event on, the run's log is /dev/full."""

    def observe(event: Event) -> None:
        if event.kind == kind:
            for entry in Path("/proc/self/fd").iterdir():
                if entry.is_symlink() and entry.readlink().name == "events.jsonl":
                    full = os.open("/dev/full", os.O_WRONLY)
                    os.dup2(full, int(entry.name))
                    os.close(full)

    return observe


NODE: Files = {
    "sum.js": "module.exports = (a, b) => a - b;\n",
    "sum.test.js": """const test = require("node:test");
const assert = require("node:assert");
const sum = require("./sum.js");
test("adds", () => assert.strictEqual(sum(2, 3), 5));
test("nothing", () => assert.strictEqual(sum(0, 0), 0));
""",
}


def test_another_language_is_verified_by_its_own_test_command(
    repo_factory: RepoFactory, config: Config, model_server: Any
) -> None:
    repo = repo_factory((NODE, "Sum"), name="node")
    commands = SandboxConfig(
        backend="bubblewrap",
        test="node --test --test-reporter=junit > report.xml; test $? = 0",
        test_one="node --test --test-reporter=junit > report.xml --test-name-pattern {tests}",
    )
    model_server.call("bash", command="sed -i 's/a - b/a + b/' sum.js").call("submit", note="x")
    result = fix(
        FixRequest(repo=repo, issue="sum subtracts", tests=("adds",)),
        scripted(replace(config, sandbox=commands), model_server.url),
    )
    assert result.verdict is not None
    assert result.verdict.grade is Grade.PROVED, result.verdict.reason
    assert "a + b" in (repo / "sum.js").read_text()


def outcome(result: FixResult) -> str:
    return result.verdict.grade if result.verdict else ""


def test_infrastructure_is_never_a_verdict(shop: Path, config: Config) -> None:
    broken = replace(config, sandbox=replace(config.sandbox, setup=("exit 3",)))
    with pytest.raises(InfrastructureError) as caught:
        fix(shop_request(shop), broken)
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.cause
    assert list_skills(shop, config) == ()
