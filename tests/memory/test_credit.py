"""Credit, the control arm, and the rules of quarantine, at their boundaries."""

from math import cos, pi

import pytest

from evo_agent.core.errors import UsageError
from evo_agent.memory.lifecycle.credit import CONTROL, Credit, Trial, credit, upper_bound, utility
from evo_agent.memory.lifecycle.quarantine import reason
from evo_agent.memory.lifecycle.schedule import control_share, drawn, explore, reuse, worth


def trials(arm: str, wins: str, task: str = "t") -> list[Trial]:
    """One trial per letter: w or l; tasks t0, t1, …"""
    return [
        Trial(f"{arm}{n}", "r", f"{task}{n}", letter == "w", arm) for n, letter in enumerate(wins)
    ]


def test_utility_is_laplaces_exactly():
    """EvolveR: (s+1)/(u+2), exact; below 0.3 removed, 0.3 itself kept."""
    assert [utility(0, 0), utility(5, 2), utility(3, 3)] == [1 / 2, 3 / 7, 4 / 5]
    assert utility(8, 2) == 0.3
    assert reason(Credit(8, 2), ["evolver"]) == ""
    assert reason(Credit(9, 2), ["evolver"]) == "EvolveR: score 0.27 is below 0.3"
    assert reason(Credit(1, 0), ["evolver"]) == ""  # 1/3
    assert "0.25" in reason(Credit(2, 0), ["evolver"])


def test_remes_rule_at_its_boundary():
    """ReMe: after 5 uses, 2 wins → quarantined; 3 wins → kept."""
    assert reason(Credit(5, 2), ["reme"]) == "ReMe: U 0.43 is below 0.5 after 5 uses"
    assert reason(Credit(5, 3), ["reme"]) == ""
    assert reason(Credit(4, 0), ["reme"]) == ""  # too few
    assert reason(Credit(6, 3), ["reme"]) == ""  # 4/8 is not below


@pytest.mark.parametrize(
    ("uses", "wins", "bound"),
    [(5, 0, 0.434482), (5, 2, 0.769276), (5, 5, 1.0), (10, 1, 0.404150), (20, 10, 0.700703)],
)
def test_the_bound_is_wilsons(uses: int, wins: int, bound: float):
    """Values of Wilson's interval at 95 %, two-sided, from its closed form."""
    assert upper_bound(uses, wins) == pytest.approx(bound, abs=2e-4)
    assert upper_bound(0, 0) == 1.0


def test_quarantine_against_the_base_rate_at_its_boundary():
    bound = upper_bound(5, 0)
    at = Credit(5, 0, base=bound, controls=5)
    above = Credit(5, 0, base=bound + 1e-9, controls=5)
    assert reason(at, ["measured"]) == ""  # not below
    assert "its win rate is at most 0.43 (95% Wilson, 0 of 5)" in reason(above, ["measured"])
    assert reason(Credit(4, 0, base=1.0, controls=5), ["measured"]) == ""  # too few uses
    assert reason(Credit(5, 0, base=None), ["measured"]) == ""  # nothing to hold it against


def test_quarantine_for_lift_at_its_boundary():
    assert reason(Credit(5, 4, pairs=5, lift=-0.2), ["measured"]).startswith("its lift is -0.20")
    assert reason(Credit(5, 5, pairs=5, lift=0.0), ["measured"]) == ""
    assert reason(Credit(4, 0, pairs=4, lift=-1.0), ["measured"]) == ""


def test_rules_are_chosen_by_name_and_an_unknown_one_is_said():
    assert reason(Credit(50, 0), []) == ""
    assert reason(Credit(5, 2), ["measured", "reme"]).startswith("ReMe")
    with pytest.raises(UsageError, match="unknown rule 'remi'"):
        reason(Credit(), ["remi"])


def test_lift_is_counted_pair_by_pair_on_the_same_tasks():
    """Complementary RL: a record is worth what the runs gain with it."""
    found = credit(trials("memory", "wllww"), trials(CONTROL, "wwlw"))
    assert (found.uses, found.wins, found.pairs, found.lift) == (5, 3, 4, -1 / 4)
    assert (found.controls, found.base) == (4, None)  # fewer than 5 say nothing
    assert credit([], trials(CONTROL, "wwlwl")).base == 3 / 5


def test_a_task_that_ran_twice_pairs_in_order():
    again = [Trial("a", "r", "t", win=True), Trial("b", "r", "t", win=False)]
    without = [Trial("c", "r", "t", win=False, arm=CONTROL)]
    assert credit(again, without).lift == 1.0
    assert credit(again, without).pairs == 1
    elsewhere = [Trial("c", "other", "t", win=False, arm=CONTROL)]
    assert credit(again, elsewhere).lift is None


def test_the_schedule_explores_first_and_reuses_wins_later():
    """SPEAR: both cosines over 200 steps, exact; old wins discounted."""
    assert [explore(0), explore(100), explore(200), explore(201)] == [1.0, 0.5, 0.0, 0.0]
    assert [reuse(0), reuse(100), reuse(200), reuse(500)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert explore(50) == (cos(pi / 4) + 1) / 2
    assert all(explore(n) + reuse(n) == pytest.approx(1.0) for n in range(201))
    win = Trial("r", "r", "t", win=True)
    assert worth(win, []) == 1.0
    assert worth(win, trials("memory", "wll")) == 1.0  # the median task is still lost
    assert worth(win, [*trials("memory", "wl")]) == 0.5
    assert worth(win, trials("memory", "wwl")) == 0.0  # won without it by now
    assert worth(Trial("r", "r", "t", win=False), []) == 0.0


def test_the_control_arm_takes_the_share_that_the_schedule_gives():
    """SPEAR: half of the runs at first, the configured share in the end; off by default."""
    assert control_share(0, 0.0) == 0.0
    assert control_share(0, 0.1) == 0.5
    assert control_share(100, 0.1) == pytest.approx(0.3)
    assert control_share(200, 0.1) == control_share(999, 0.1) == 0.1
    assert control_share(0, 0.8) == 0.8
    drawn_runs = [drawn(f"run-{n}", 0.3) for n in range(2000)]
    assert 0.27 < sum(drawn_runs) / 2000 < 0.33
    assert drawn_runs == [drawn(f"run-{n}", 0.3) for n in range(2000)]
    assert not any(drawn(f"run-{n}", 0.0) for n in range(99))
    assert all(drawn(f"run-{n}", 1.0) for n in range(99))
