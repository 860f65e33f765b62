"""A skill's tests, in `evals/evals.json` as the Agent Skills guide lays it out.

agentskills.io/skill-creation/evaluating-skills: {"skill_name", "evals": [{"id", "prompt",
"expected_output", ...}]}. What can be proved instead of judged stands in fields of evo's: the test
that must fail at `base` and pass with the skill's help. A case without them is a person's to judge.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo_agent.core.errors import StoreError
from evo_agent.memory.journal.bodies import Episode, Skill
from evo_agent.memory.journal.journal import Journal
from evo_agent.memory.journal.records import bounded
from evo_agent.memory.journal.redact import redact
from evo_agent.memory.journal.rows import Stored

FILE = "evals/evals.json"
MOST_EVALS = 50
LARGEST = 64 * 1024  # bytes of the file
_LONGEST_PROMPT = 4_000


@dataclass(frozen=True, slots=True)
class Eval:
    """One case.

    Attributes:
        id: its own inside the skill, kept across versions.
        prompt: the issue's text.
        expected: success in words.
        tests: ids of tests that fail at `base` and must pass; empty: not provable.
        base: full SHA; repo: identity of the repository that has it.
    """

    id: str
    prompt: str
    expected: str = ""
    tests: tuple[str, ...] = ()
    base: str = ""
    repo: str = ""

    @property
    def provable(self) -> bool:
        """Whether a verifier can decide it."""
        return bool(self.tests and self.base and self.repo)


def read_evals(text: str) -> tuple[Eval, ...]:
    """Read an evals.json.

    Raises:
        StoreError: it does not have the guide's shape, or is too large.
    """
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise _refused(f"it is larger than {LARGEST:,} bytes")
    try:
        cases = json.loads(text)["evals"]
        found = tuple(_case(case) for case in cases)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused("it is not {'evals': [{'id', 'prompt', …}]}") from error
    if len(found) > MOST_EVALS or len({case.id for case in found}) < len(found):
        raise _refused(f"it has more than {MOST_EVALS} evals, or two of one id")
    return found


def write_evals(name: str, evals: Sequence[Eval]) -> str:
    """Evals as the text of an evals.json."""
    cases = [
        {
            "id": case.id,
            "prompt": redact(bounded(case.prompt, _LONGEST_PROMPT)),
            "expected_output": redact(case.expected),
            "evo": {"tests": list(case.tests), "base": case.base, "repo": case.repo},
        }
        for case in evals
    ]
    return json.dumps({"skill_name": name, "evals": cases}, indent=2, ensure_ascii=False) + "\n"


def evals_of(journal: Journal, stored: Stored) -> tuple[Eval, ...]:
    """The cases of a skill: its own file's, or else the bug that it came from.

    Raises:
        StoreError: its file cannot be read.
    """
    body = stored.record.body
    assert isinstance(body, Skill)
    if FILE in body.files:
        return read_evals(body.files[FILE])
    born = (journal.get(source) for source in stored.record.source_ids)
    episodes = [s.record.body for s in born if s is not None]
    return tuple(
        Eval(
            id=episode.issue_id,
            prompt=f"{episode.title}\n\n{episode.problem}".strip(),
            expected="The failing tests pass, and no other test breaks.",
            tests=episode.tests,
            base=episode.base,
            repo=stored.record.repo,
        )
        for episode in episodes
        if isinstance(episode, Episode) and episode.origin == "run" and episode.issue_id
    )


def _case(case: Mapping[str, Any]) -> Eval:
    own = case.get("evo") or {}
    return Eval(
        id=str(case["id"]),
        prompt=str(case["prompt"]),
        expected=str(case.get("expected_output", "")),
        tests=tuple(str(test) for test in own.get("tests", ())),
        base=str(own.get("base", "")),
        repo=str(own.get("repo", "")),
    )


def _refused(reason: str) -> StoreError:
    return StoreError(f"{FILE} is refused: {reason}", "see agentskills.io/skill-creation")
