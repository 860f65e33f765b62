"""Guardrails as rules: what they see, what they let pass, and that none of them can hang."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from evo_agent.core.guard import Guard, Rule, RuleError, Step, predicate
from evo_agent.core.patterns import PatternError, compile_pattern, found

EDIT = Step("edit", path="a.py", added="x = 1\n    y  = 2\n", removed="z = 3\n")


def holds(data: dict[str, Any], step: Step, *earlier: Step) -> bool:
    return predicate(data)(step, earlier)


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise TimeoutError("a pattern hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_command_is_matched_whole_or_by_pattern():
    run = Step("command", command="pytest  -x\n")
    assert holds({"type": "command", "equals": "pytest -x"}, run)
    assert not holds({"type": "command", "equals": "pytest"}, run)
    forced = {"type": "command", "pattern": r"\bgit\s+push\b.*--force"}
    assert holds(forced, Step("command", command="cd x && git  push origin --force"))
    assert not holds(forced, Step("command", command="git push"))
    assert not holds(forced, Step("edit", path="git push --force"))


def test_a_path_and_an_edits_shape():
    assert holds({"type": "path", "glob": "build/*"}, Step("edit", path="./build/x/y.c"))
    assert not holds({"type": "path", "glob": "build/*"}, Step("view", path="build/x"))
    assert holds({"type": "edit", "path": "a.py", "added": ["y = 2"]}, EDIT)
    both = {"type": "edit", "path": "a.py", "added": ["y = 2", "w = 4"]}
    assert not holds(both, EDIT)
    assert holds({**both, "least": 1}, EDIT)
    assert not holds({"type": "edit", "path": "b.py", "added": ["y = 2"]}, EDIT)
    moved = Step("edit", path="a.py", added="y = 2\n", removed="  y = 2\n")
    assert not holds({"type": "edit", "path": "a.py", "added": ["y = 2"]}, moved)


def test_a_trace_counts_repeats_until_something_is_edited():
    rule: dict[str, Any] = {"type": "trace", "repeats": 3}
    run, look = Step("command", command="pytest"), Step("view", path="a.py")
    assert holds(rule, run, run, look, run)
    assert not holds(rule, run, run)
    assert not holds(rule, run, run, run, EDIT)


def test_a_trace_asks_for_what_must_come_before():
    tests = {"type": "command", "pattern": r"\bpytest\b"}
    rule = {"type": "trace", "step": {"type": "command", "equals": "git commit"}, "without": tests}
    commit = Step("command", command="git commit")
    assert holds(rule, commit, EDIT)
    assert not holds(rule, commit, EDIT, Step("command", command="python -m pytest -q"))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"type": "python", "code": "True"},
        {"type": "command"},
        {"type": "command", "equals": " "},
        {"type": "command", "equals": 3},
        {"type": "command", "pattern": "(a+)+"},
        {"type": "path", "glob": "*" * 4},
        {"type": "edit", "path": "a.py", "added": []},
        {"type": "edit", "path": "a.py", "added": ["x"], "least": 2},
        {"type": "edit", "path": "a.py", "added": ["x"] * 41},
        {"type": "trace", "repeats": 1},
        {"type": "trace", "step": [], "without": {}},
        {"type": "trace", "step": {"type": "trace"}, "without": {"type": "path", "glob": "a"}},
    ],
)
def test_what_is_no_predicate_is_refused_and_never_acts(data: dict[str, Any]):
    with pytest.raises(RuleError):
        predicate(data)
    guard = Guard([Rule("bad", "block", data)])
    assert guard.unread == ["bad"]
    assert guard.objections(EDIT, ()) == ()


def test_blocks_come_before_warnings():
    glob = {"type": "path", "glob": "*.py"}
    guard = Guard([Rule("w", "warn", glob), Rule("b", "block", glob)])
    assert [rule.id for rule in guard.objections(EDIT, ())] == ["b", "w"]


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a|a)*", "(?=a)", r"(a)\1", "(?i)a", "a*a*a*", "(?P<n>a)", "a{1,500}", "a{5,2}",
        "[a", "(a", r"\x41", "a**", "x" * 501, "(a|a)" * 20, "a?" * 20, "*",
    ],
)  # fmt: skip
def test_a_pattern_that_could_take_long_is_refused(pattern: str):
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["a*a*b", r"\w*\w*!", "(?:a|a)" * 13 + "b", "a?" * 13 + "b", ".*.*x", "[^b]*[^b]*b"]
)
def test_what_is_left_does_not_take_long_on_the_worst_text(pattern: str):
    assert not found(compile_pattern(pattern), "a" * 1_000_000)


def test_a_pattern_means_what_it_meant():
    assert found(compile_pattern(r"^git (push|pull)\s+--force$"), "git push  --force")
    assert found(compile_pattern(r"[a-z_]+\.py{1,2}"), "see core_x.pyy")
    assert not found(compile_pattern("^a.c$"), "abbc")
    assert not found(compile_pattern("^a+$"), "a" * 100)
