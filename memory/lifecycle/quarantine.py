"""Who may no longer answer: rules over a record's credit, chosen by memory.quarantine.

Every rule says in words why it applies; a record is quarantined when any chosen one does.
"""

from collections.abc import Callable, Iterable, Mapping

from evo_agent.core.errors import UsageError
from evo_agent.memory.lifecycle.credit import LEAST, LEVEL, Credit

REME_USES = 5  # ReMe: removed when retrieved at least 5 times …
REME_UTILITY = 0.5  # … with a utility below 0.5
EVOLVER_SCORE = 0.3  # EvolveR: removed when (s + 1) / (u + 2) is below 0.3


def measured(credit: Credit) -> str:
    """Against the control arm: clearly below its win rate, or losing over the same tasks."""
    if credit.uses >= LEAST and credit.base is not None and credit.bound < credit.base:
        return (
            f"its win rate is at most {credit.bound:.2f} ({LEVEL:.0%} Wilson, {credit.wins} of "
            f"{credit.uses}), below {credit.base:.2f} without memory ({credit.controls} runs)"
        )
    if credit.pairs >= LEAST and credit.lift is not None and credit.lift < 0:
        return f"its lift is {credit.lift:+.2f} over {credit.pairs} pairs with the control arm"
    return ""


def reme(credit: Credit) -> str:
    """ReMe's fixed rule, with Laplace's utility: 2 wins of 5 leave, 3 stay."""
    if credit.uses >= REME_USES and credit.utility < REME_UTILITY:
        return f"ReMe: U {credit.utility:.2f} is below {REME_UTILITY} after {credit.uses} uses"
    return ""


def evolver(credit: Credit) -> str:
    """EvolveR's removal: a score below 0.3, however few the uses (two losses do)."""
    if credit.utility < EVOLVER_SCORE:
        return f"EvolveR: score {credit.utility:.2f} is below {EVOLVER_SCORE}"
    return ""


RULES: Mapping[str, Callable[[Credit], str]] = {
    "measured": measured,
    "reme": reme,
    "evolver": evolver,
}


def reason(credit: Credit, names: Iterable[str]) -> str:
    """Why a record leaves, by the chosen rules; empty when it stays.

    Raises:
        UsageError: there is no such rule.
    """
    for name in names:
        if name not in RULES:
            raise UsageError(
                f"unknown rule {name!r} in memory.quarantine", f"choose of {', '.join(RULES)}"
            )
        why = RULES[name](credit)
        if why:
            return why
    return ""
