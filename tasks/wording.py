"""The words for verdicts, tests and cost, the same in the terminal, in JSON and in the report."""

from evo_agent.core.types import Cost, Grade, TestReport, Verdict

MEANINGS = {
    Grade.PROVED: "a test that was there before failed at the base commit and passes now",
    Grade.REPRODUCED: "a test frozen before the code was touched failed at the base and passes now",
    Grade.UNPROVED: "nothing failed before, so nothing proves the patch; kept as the best attempt",
    Grade.REJECTED: "the patch does not hold; kept as the best attempt",
    Grade.FLAKY: "two runs of the verifier disagree; nothing was learnt from it",
    Grade.INFRASTRUCTURE: "the machinery failed, so nothing is known about the patch",
}
NOTHING = "no fix: there is neither a failing test to go by nor a model to write one"


def counts(report: TestReport | None) -> str:
    """How many tests had which outcome, as words; empty for no report."""
    if report is None:
        return ""
    found: dict[str, int] = {}
    for outcome in report.outcomes.values():
        found[str(outcome)] = found.get(str(outcome), 0) + 1
    words = ", ".join(f"{number} {name}" for name, number in sorted(found.items()))
    return (words or "no test ran") + (", time ran out" if report.timed_out else "")


def changes(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Judged tests whose outcome the patch changed: (id, before, after), by id."""
    if verdict.before is None or verdict.after is None:
        return []
    before, after = verdict.before.outcomes, verdict.after.outcomes
    return [
        (test, str(before[test]), str(after.get(test, "not run")))
        for test in sorted(before)
        if before[test] != after.get(test)
    ]


def money(dollars: float | None) -> str:
    """Dollars for people; a model without a known price says so."""
    return "cost unknown" if dollars is None else f"${dollars:.4f}"


def clock(seconds: float) -> str:
    """A duration as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def cost_line(cost: Cost) -> str:
    """What a run used, on one line."""
    parts = [f"{cost.seconds:.0f} s of solving"]
    if cost.model_calls:
        tokens = cost.input_tokens + cost.output_tokens
        parts += [
            number(cost.model_calls, "model call"),
            number(tokens, "token"),
            money(cost.dollars),
        ]
    else:
        parts.append("no model")
    if cost.commands:
        parts.append(number(cost.commands, "command"))
    return ", ".join(parts)


def number(count: int, thing: str) -> str:
    """A count and its noun."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")
