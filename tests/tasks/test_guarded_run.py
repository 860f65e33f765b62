"""Guardrails in a whole run: what history regretted is objected to, logged, replayed, resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import git

from evo_agent.core.config import load_config
from evo_agent.core.events import read_events
from evo_agent.tasks.deliver import Delivery
from evo_agent.tasks.fix import FixRequest, fix
from evo_agent.tasks.knowledge import learn, open_memory
from evo_agent.tasks.runs import replay

pytestmark = pytest.mark.bubblewrap

SHOP = "def ships_free(total):\n    return total > 50\n"
WRONG = "def ships_free(total):\n    return round(total, -1) >= 50\n"
TEST = "from shop import ships_free\n\n\ndef test_edge():\n    assert ships_free(50)\n"


@pytest.fixture
def shop(repo_factory: Callable[..., Path]) -> Path:
    made = repo_factory(
        ({"shop.py": SHOP, "test_shop.py": TEST}, "Ship large orders free"),
        ({"shop.py": WRONG}, "Round totals before the comparison"),
        name="shop",
    )
    sha = git(made, "rev-parse", "HEAD")
    git(made, "revert", "--no-edit", sha)
    git(made, "commit", "-q", "--allow-empty", "-m", "Go on")
    return made


def edit(old: str, new: str) -> dict[str, str]:
    return {"command": "str_replace", "path": "shop.py", "old": old, "new": new}


def test_an_edit_that_history_took_back_is_objected_to(shop: Path, model_server: Any) -> None:
    config = load_config(
        None,
        flags={
            "sandbox.backend": "bubblewrap",
            "model.name": "openai/fake",
            "model.api_base": model_server.url,
        },
    )
    learn(shop, config)
    model_server.call("edit", **edit("return total > 50", "return round(total, -1) >= 50"))
    model_server.call("edit", **edit("return round(total, -1) >= 50", "return total >= 50"))
    model_server.call("submit", note="the boundary")
    request = FixRequest(
        repo=shop,
        issue="The boundary itself does not ship free",
        tests=("test_shop.py::test_edge",),
        delivery=Delivery("patch", ""),
    )
    result = fix(request, config)
    assert result.exit_code == 0
    told = [r["messages"][-1]["content"] for r in model_server.requests]
    assert "<warning>a guardrail objects" in told[1]
    assert "was reverted by" in told[1]
    assert "<warning>" not in told[2]
    assert result.candidate is not None
    (rule,) = result.candidate.facts["triggered"]
    with open_memory(config, shop) as memory:
        stored = memory.get(rule)
        assert stored is not None
        assert (stored.uses, stored.wins) == (1, 1), "credit goes to what fired by itself"
    kinds = [event.kind for event in read_events(result.run)]
    assert kinds.count("guardrails-result") == kinds.count("guard") == 1
    again = replay(shop, result.run.name)
    assert again.identical
    assert [e.kind for e in read_events(again.result.run)].count("guard") == 1
