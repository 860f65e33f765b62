"""Work on learnt skills: edit, test, go back, export."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError
from evo_agent.core.events import Event
from evo_agent.core.git import open_repository
from evo_agent.core.types import Issue, Query, Recalled, Task
from evo_agent.tasks.deliver import Delivery
from evo_agent.tasks.knowledge import open_memory
from evo_agent.tasks.results import FixRequest

if TYPE_CHECKING:
    from evo_agent.memory.skills.skill_evals import Eval
    from evo_agent.memory.store import Memory, Stored

AGENTS = {"agents": ".agents/skills", "claude": ".claude/skills"}


@dataclass(frozen=True, slots=True)
class SkillVersion:
    """One version of a skill; `counts` is the one in use."""

    id: str
    parent: str
    state: str
    trust: str
    counts: bool


@dataclass(frozen=True, slots=True)
class SkillReport:
    """What testing a skill gave.

    Attributes:
        results: eval id to whether it was proved.
        skipped: evals that no verifier can decide here.
        rolled_back: whether the version regressed, and its parent counts again.
        current: id of the version that counts now.
    """

    name: str
    results: dict[str, bool]
    skipped: tuple[str, ...]
    rolled_back: bool
    current: str


class OnlyThis:
    """A memory that knows one skill, and tells it every time."""

    def __init__(self, skill: Recalled) -> None:
        self._skill = skill

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """The skill."""
        del query
        return (self._skill,)


def skill_versions(root: Path, config: Config, name: str) -> tuple[SkillVersion, ...]:
    """All versions, newest first.

    Raises:
        EvoError: there is no such skill.
    """
    with open_memory(config, root) as memory:
        skill = _skill(memory, name)
        found = memory.library.versions(skill)
        return tuple(
            SkillVersion(
                id=version.record.id,
                parent=version.record.parent_id,
                state=version.state,
                trust=version.record.trust,
                counts=version.record.id == skill.record.id,
            )
            for version in found
        )


def edit_skill(root: Path, config: Config, name: str, file: Path | None = None) -> str:
    """Take an edited SKILL.md in as a new version.

    Args:
        root: of the repository.
        config: says where memory lies.
        name: of the skill.
        file: the edited file; None: the one in the skill's folder.

    Returns:
        The new version's id.

    Raises:
        EvoError: there is no such skill or file, or the edit is refused.
    """
    from evo_agent.memory.skills.skills import LARGEST_FILE, parse, read  # noqa: PLC0415

    with open_memory(config, root) as memory:
        skill = _skill(memory, name)
        folder = memory.skill_folder(skill.record.id)
        if file is None and (folder is None or not folder.is_dir()):
            raise EvoError(f"the folder of {name} is gone", "name an edited SKILL.md with --file")
        try:
            if file is None:
                assert folder is not None
                text = read(folder)
            elif file.stat().st_size > LARGEST_FILE:
                raise EvoError(f"{file} is larger than {LARGEST_FILE:,} bytes", "shorten it")
            else:
                text = parse(file.read_text("utf-8", errors="replace"))
        except OSError as error:
            raise EvoError(f"{file} cannot be read: {error.strerror}", "check the path") from error
        return memory.library.edit(skill, text).id


def rollback_skill(root: Path, config: Config, name: str) -> str:
    """Go back to the version before; its id.

    Raises:
        EvoError: there is no such skill, or no version before.
    """
    with open_memory(config, root) as memory:
        return memory.library.rollback(_skill(memory, name), "asked for").record.id


def prove_skill(
    root: Path, config: Config, name: str, observe: Callable[[Event], None] = lambda _: None
) -> SkillReport:
    """Prove a skill's evals with nothing but the skill in memory, and act on the result.

    Nothing is written back or delivered; a version that fails what its parent passed is rolled
    back.

    Raises:
        EvoError: there is no such skill, or a run cannot be started.
    """
    repository = open_repository(root)
    with open_memory(config, root) as memory:
        skill = _skill(memory, name)
        cases = memory.library.evals(skill)
        here = [c for c in cases if c.provable and c.repo == repository.identity]
        told = _told(skill)
    runs = {case.id: _prove(root, config, case, told, observe) for case in here}
    results = {case: passed for case, (passed, _) in runs.items()}
    with open_memory(config, root) as memory:
        run = "skill-test-" + "-".join(run for _, run in runs.values())
        found = memory.library.judge(skill, results, run)
    return SkillReport(
        name=name,
        results=results,
        skipped=tuple(case.id for case in cases if case not in here),
        rolled_back=found.rolled_back,
        current=found.current,
    )


def export_skills(root: Path, config: Config, names: Iterable[str], to: str) -> tuple[Path, ...]:
    """Write active skills where other agents look for theirs; candidates never.

    Args:
        root: of the repository.
        config: says where memory lies.
        names: of the skills; none: all active ones of this repository.
        to: a key of AGENTS.

    Returns:
        The folders written.

    Raises:
        EvoError: a named skill is not active, or somebody else's folder is in the way.
    """
    from evo_agent.memory.journal.bodies import Skill  # noqa: PLC0415
    from evo_agent.memory.journal.records import State  # noqa: PLC0415
    from evo_agent.memory.skills.skills import write_folder  # noqa: PLC0415
    from evo_agent.memory.store import skill_file  # noqa: PLC0415

    identity, wanted = open_repository(root).identity, tuple(names)
    written: list[Path] = []
    with open_memory(config, root) as memory:
        found = [_skill(memory, name) for name in wanted] or memory.skills(identity)
        for stored in found:
            if stored.state is not State.ACTIVE:
                if wanted:
                    raise EvoError(
                        f"a {stored.state} skill is not exported",
                        "it becomes active when it has helped to prove a different fix",
                    )
                continue
            body, file = stored.record.body, skill_file(stored)
            assert isinstance(body, Skill)
            place = Path(AGENTS[to]) / file.name
            _refuse_others(root / place)
            written.append(write_folder(root, place, file, body.files))
    return tuple(written)


def _refuse_others(folder: Path) -> None:
    path = folder / "SKILL.md"
    if folder.is_dir() and not (path.is_file() and "evo-id:" in path.read_text("utf-8", "replace")):
        raise EvoError(f"{folder} is not evo's", "move it away, or leave the skill out")


def _skill(memory: "Memory", name: str) -> "Stored":
    found = memory.skill(name)
    if found is None:
        raise EvoError(f"there is no skill {name!r}", "see `evo skills list`")
    return found


def _told(skill: "Stored") -> Recalled:
    from evo_agent.memory.recall.present import recalled  # noqa: PLC0415
    from evo_agent.memory.recall.recall import Found  # noqa: PLC0415

    return recalled(Found(skill, 1.0, "it is being tested"))


def _prove(
    root: Path, config: Config, case: "Eval", told: Recalled, observe: Callable[[Event], None]
) -> tuple[bool, str]:
    from evo_agent.tasks.fix import drive  # noqa: PLC0415
    from evo_agent.tasks.runs import Start  # noqa: PLC0415
    from evo_agent.tasks.wiring import begin_run, open_bench, with_backend  # noqa: PLC0415

    title, _, text = case.prompt.partition("\n")
    base = open_repository(root).resolve(case.base)
    task = Task(f"eval-{case.id}", root, base, Issue(title, text or title), case.tests)
    request = FixRequest(repo=root, issue=title, tests=case.tests, delivery=Delivery("patch", ""))
    start = Start(task, request, with_backend(config))
    with ExitStack() as stack:
        log = begin_run(start, observe, stack)
        only = OnlyThis(told)
        result = drive(task, start.config, log, lambda: open_bench(start, log, stack, memory=only))
    return result.verdict is not None and result.verdict.holds, log.folder.name
