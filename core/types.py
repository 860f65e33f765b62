"""The words everybody shares: tasks, commands, test reports, patches, verdicts.

Plain frozen dataclasses, free of behaviour that needs anything outside the standard
library. Times are seconds, sizes are bytes, money is US dollars.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

WORKSPACE_ROOT = "/testbed"  # where a sandbox shows the workspace; SWE-bench's name for it
ENVIRONMENT_ROOT = "/opt/evo/env"  # where a sandbox shows the built environment, read-only


class Grade(StrEnum):
    """How far a fix was proved. Every message and figure uses these words."""

    PROVED = "proved"  # a person's or pre-existing test failed at base and passes now
    REPRODUCED = "reproduced"  # so did a test the solver wrote and froze before it edited
    UNPROVED = "unproved"  # regressions hold, but nothing failed before
    REJECTED = "rejected"  # the failing test still fails, or something else broke
    FLAKY = "flaky"  # two runs of the verifier disagree: nothing is written back
    INFRASTRUCTURE = "infrastructure"  # nothing is known about the patch


class Phase(StrEnum):
    """The phases of a run, in order (see core.machine for the transitions)."""

    RECALL = "recall"
    PLAN = "plan"
    ACT = "act"
    VERIFY = "verify"
    REFINE = "refine"
    RECORD = "record"


class Outcome(StrEnum):
    """What became of one test."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # it could not be run (import error, fixture error, time-out)
    SKIPPED = "skipped"


class DiagnosisKind(StrEnum):
    """Why an attempt did not hold; the solver's next round is told this, typed."""

    EMPTY_PATCH = "empty-patch"
    PATCH_DOES_NOT_APPLY = "patch-does-not-apply"
    FORBIDDEN_EDIT = "forbidden-edit"
    SYNTAX_ERROR = "syntax-error"
    IMPORT_ERROR = "import-error"
    STILL_FAILING = "still-failing"
    REGRESSION = "regression"
    TIMEOUT = "timeout"
    NOTHING_FAILED_BEFORE = "nothing-failed-before"
    FLAKY = "flaky"
    INFRASTRUCTURE = "infrastructure"
    SOLVER_STOPPED = "solver-stopped"


@dataclass(frozen=True, slots=True)
class Issue:
    """What is asked for, in whatever form it arrived. The text is untrusted."""

    title: str
    text: str
    source: str = "text"  # text | file | stdin | github | test | log
    url: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to fix: a repository at a commit, an issue, and what is known to fail.

    Attributes:
        id: stable name of the task; the same issue in the same repository has the same id.
        repo: the user's repository on the host; only core.git may read it.
        base: full SHA of the commit the work starts from.
        issue: the issue.
        failing_tests: ids of tests a person named, as the project's runner spells them.
    """

    id: str
    repo: Path
    base: str
    issue: Issue
    failing_tests: tuple[str, ...] = ()

    @property
    def issue_ids(self) -> str:
        """By what names memory knows the issue, one a line: what came of it never answers it."""
        return "\n".join(filter(None, (self.id, self.issue.url)))


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command did in a sandbox.

    Attributes:
        exit_code: the shell's status; 124 when it was killed for time.
        output: stdout and stderr interleaved, decoded with replacement, cut to a bound
            (head and tail kept).
        truncated: whether `output` was cut; the whole is then in the blob store.
        duration: seconds of wall time.
        timed_out: whether it was killed for time, its process group with it.
        full_output: the file that holds the whole output when truncated.
    """

    exit_code: int
    output: str
    truncated: bool = False
    duration: float = 0.0
    timed_out: bool = False
    full_output: Path | None = None


@dataclass(frozen=True, slots=True)
class TestReport:
    """What one run of the project's tests said.

    Attributes:
        command: the command as run in the sandbox.
        exit_code: its status.
        outcomes: test id to outcome. A runner whose report cannot be parsed yields one
            entry, its command, judged by the exit status.
        output: bounded output, for people and for the solver.
        duration: seconds.
        timed_out: whether the time allowed ran out.
        messages: test id to the failure's text (assertion, traceback), bounded.
    """

    __test__ = False  # pytest: this is data, not a test class

    command: str
    exit_code: int
    outcomes: Mapping[str, Outcome]
    output: str = ""
    duration: float = 0.0
    timed_out: bool = False
    messages: Mapping[str, str] = field(default_factory=dict)

    @property
    def failing(self) -> tuple[str, ...]:
        """Ids of tests that failed or could not be run, sorted."""
        bad = (Outcome.FAILED, Outcome.ERROR)
        return tuple(sorted(t for t, o in self.outcomes.items() if o in bad))

    @property
    def passing(self) -> tuple[str, ...]:
        """Ids of tests that passed, sorted."""
        return tuple(sorted(t for t, o in self.outcomes.items() if o is Outcome.PASSED))


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A typed reason, for the solver's next round and for people."""

    kind: DiagnosisKind
    detail: str
    tests: tuple[str, ...] = ()
    excerpt: str = ""  # the part of the output that shows it, bounded


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier found, by running the patch in a fresh sandbox.

    Attributes:
        grade: see Grade.
        reason: one line a person can read.
        before: the judged tests at base (None when there were none to run).
        after: the same tests with the patch.
        regressions: every other test that was run, with the patch.
        broken: ids that passed at base and fail now.
        restored: judging files that the patch touched and that were put back to base.
        diagnosis: why it did not hold; None when it did.
        tests_not_run: why regression tests were left out, if they were.
    """

    grade: Grade
    reason: str
    before: TestReport | None = None
    after: TestReport | None = None
    regressions: TestReport | None = None
    broken: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    tests_not_run: str = ""

    @property
    def holds(self) -> bool:
        """Whether the fix may be called a fix, applied and learnt from."""
        return self.grade in (Grade.PROVED, Grade.REPRODUCED)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attempt used. `dollars` is None when the model's price is unknown."""

    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = 0.0
    seconds: float = 0.0
    commands: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Add up; an unknown price makes the sum unknown."""
        known = self.dollars is not None and other.dollars is not None
        return Cost(
            model_calls=self.model_calls + other.model_calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            dollars=(self.dollars or 0.0) + (other.dollars or 0.0) if known else None,
            seconds=self.seconds + other.seconds,
            commands=self.commands + other.commands,
        )


@dataclass(frozen=True, slots=True)
class FrozenTest:
    """A reproduction test that the solver wrote before it touched the code.

    Attributes:
        path: file inside the workspace, relative to its root.
        content: the file's text as frozen; the verifier writes it anew.
        test_id: the id to run.
        tree_at_freeze: tree of the workspace when it was frozen; equal to the base's tree
            apart from `path`, or the test is not accepted as frozen.
    """

    path: str
    content: str
    test_id: str
    tree_at_freeze: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a solver hands over. Nothing it says counts; only `patch` is judged.

    Attributes:
        patch: unified git diff against base, computed by the host.
        note: the solver's own words, for people.
        stopped: why the solver stopped ("submitted", "step limit", "search exhausted", …).
        cost: what it used.
        cited: ids of records it says it used; credit goes to these only.
        frozen_test: see FrozenTest.
        final: whether another round by the same solver would be pointless (nothing left to try).
        facts: what the solver knows of its own fix (operator, location, …), JSON-ready; stored
            in the episode, never believed by the verifier.
    """

    patch: str
    note: str = ""
    stopped: str = "submitted"
    cost: Cost = field(default_factory=Cost)
    cited: tuple[str, ...] = ()
    frozen_test: FrozenTest | None = None
    final: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """A question to memory.

    Attributes:
        text: issue text, error signature or whatever is known.
        repo: identity of the repository (see memory.journal.records).
        base: full SHA; only its ancestors may answer. Empty for "no repository".
        issue_id: Task.issue_ids; records of the same issue never answer.
        paths: files in question, if known.
        kinds: kinds of record wanted (episode, insight, guardrail, skill); empty for all.
        limit: most results wanted.
        places: most files and functions wanted beside them (kind "place"); they come first.
    """

    text: str
    repo: str = ""
    base: str = ""
    issue_id: str = ""
    paths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    limit: int = 5
    places: int = 0


@dataclass(frozen=True, slots=True)
class Recalled:
    """One record that memory found, and why.

    Attributes:
        id: the record's id; a place's is `path` or `path::function`.
        kind: place | episode | insight | guardrail | skill.
        score: fused score, comparable inside one answer only.
        title: one line.
        text: what the solver is shown, bounded.
        why: the reasons it was found, one line.
        trust: human | verified | model | untrusted.
        state: candidate | validated | active | …
        paths: files the record is about.
        diff: the change it records, if it has one (bounded).
        data: kind-specific facts (commit, tests, operators of a repair, …).
    """

    id: str
    kind: str
    score: float
    title: str
    text: str
    why: str = ""
    trust: str = "untrusted"
    state: str = "candidate"
    paths: tuple[str, ...] = ()
    diff: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def to_json(value: Any) -> Any:
    """Turn the dataclasses above into what json.dumps takes (paths become strings)."""
    if hasattr(value, "__dataclass_fields__"):
        return to_json(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value
