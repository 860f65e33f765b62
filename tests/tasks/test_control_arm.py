"""A run of the control arm, end to end: it works without memory, and memory counts it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tasks.test_fix import CLUB, CLUB_ISSUE, CLUB_TEST, SHOP, SHOP_ISSUE, SHOP_TEST

from evo_agent.core.config import Config, MemoryConfig, load_config
from evo_agent.core.events import read_events
from evo_agent.core.types import Grade
from evo_agent.memory.lifecycle.credit import CONTROL
from evo_agent.tasks.fix import FixRequest, fix
from evo_agent.tasks.knowledge import open_memory

pytestmark = pytest.mark.bubblewrap


@pytest.fixture
def config() -> Config:
    return load_config(None, flags={"sandbox.backend": "bubblewrap"})


def test_a_control_run_is_told_nothing_and_is_counted(
    config: Config, repo_factory: Callable[..., Path]
) -> None:
    """Complementary RL: the control arm is a real run with memory off, marked as such."""
    shop = repo_factory((SHOP, "Ship large orders free"), name="shop")
    club = repo_factory((CLUB, "Admit adults"), name="club")
    first = fix(FixRequest(repo=shop, issue=SHOP_ISSUE, tests=(SHOP_TEST,)), config)
    off = replace(config, memory=MemoryConfig(control=1.0))
    second = fix(FixRequest(repo=club, issue=CLUB_ISSUE, tests=(CLUB_TEST,)), off)
    assert second.verdict is not None
    assert second.verdict.grade is Grade.PROVED
    assert second.recalled == ()  # it would have been told of the shop's fix
    assert second.written.promoted == ()
    events = list(read_events(second.run))
    assert [e.data["value"] for e in events if e.kind == "arm-result"] == [CONTROL]
    assert not [e for e in read_events(first.run) if e.kind == "arm-call"]
    with open_memory(config, club) as memory:
        kept = memory.get(second.written.episode)
        assert kept is not None
        assert getattr(kept.record.body, "facts", {})["arm"] == CONTROL
