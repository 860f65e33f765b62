"""What memory holds, for the commands that ask it outside a run: learn, recall, skills."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo_agent.core.config import Config, data_folder
from evo_agent.core.errors import EvoError
from evo_agent.core.git import open_repository
from evo_agent.core.types import Query, Recalled

if TYPE_CHECKING:
    from evo_agent.core.protocols import Model
    from evo_agent.memory.history.explanations import ExplainReport
    from evo_agent.memory.store import LearnProgress, LearnReport, Memory, Stored


@dataclass(frozen=True, slots=True)
class SkillView:
    """A skill as people see it.

    Attributes:
        uses: judged runs that cited it; wins: of these, proved or reproduced.
        folder: where its SKILL.md lies; empty when it was written in another repository's
            checkout that is gone.
        text: its SKILL.md.
    """

    id: str
    name: str
    state: str
    trust: str
    uses: int
    wins: int
    losses: int
    when_to_use: str
    folder: str
    text: str


def open_memory(
    config: Config, root: Path | None, notice: Callable[[str], None] = lambda _: None
) -> "Memory":
    """Open the configured memory; see memory.store.Memory.open for what it raises."""
    from evo_agent.memory.store import Memory  # noqa: PLC0415  (SQLite and, later, Chroma)

    folder = data_folder(config, root)
    return Memory.open(
        folder, config.memory.embedder, repo=root, notice=notice, rules=config.memory
    )


def learn(
    root: Path,
    config: Config,
    *,
    head: str = "HEAD",
    limit: int = 10**9,
    progress: Callable[[str], None] = lambda _: None,
) -> "LearnReport":
    """Learn a repository's history into memory; a second time adds only what is new.

    Args:
        root: of the repository.
        config: says where memory lies.
        head: this commit and its ancestors.
        limit: most commits, the newest.
        progress: called with one line, several times a minute.
    """

    def say(done: "LearnProgress") -> None:
        progress(f"learnt {done.done:,} of {done.total:,} commits ({done.rate:,.0f}/s)")

    with open_memory(config, root, progress) as memory:
        return memory.learn(root, head=head, limit=limit, progress=say)


def explainer(config: Config, progress: Callable[[str], None] = lambda _: None) -> "Model":
    """The configured model, for `explain`.

    Raises:
        UsageError: none is configured.
    """
    from evo_agent.core.models import make_model  # noqa: PLC0415  (prepares for litellm)

    return make_model(config.model, progress)


def explain(
    root: Path,
    config: Config,
    model: "Model",
    commits: int,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> "ExplainReport":
    """Let a model explain the learnt commits that matter most.

    Args:
        root: of the repository.
        config: its limits on tokens and dollars hold for the whole pass.
        model: see `explainer`.
        commits: most questions.
        progress: called with one line after every answer.
    """
    from evo_agent.memory.history.explanations import Budget  # noqa: PLC0415

    def say(done: "ExplainReport") -> None:
        progress(f"explained {done.added:,} commits ({done.rate:.2f}/s), {done.left:,} are left")

    budget = Budget(commits, config.limits.tokens, config.limits.dollars)
    with open_memory(config, root, progress) as memory:
        return memory.explain(open_repository(root).identity, model, budget, say)


def recall(
    root: Path,
    text: str,
    config: Config,
    *,
    base: str = "HEAD",
    notice: Callable[[str], None] = lambda _: None,
) -> tuple[Recalled, ...]:
    """What a run at `base` would be shown for this text: places, then records."""
    repository = open_repository(root)
    query = Query(
        text=text,
        repo=repository.identity,
        base=repository.resolve(base),
        limit=config.memory.limit,
        places=config.memory.limit,
    )
    with open_memory(config, root, notice) as memory:
        return memory.recall(query)


def list_skills(root: Path, config: Config) -> tuple[SkillView, ...]:
    """Every skill in memory, newest first."""
    with open_memory(config, root) as memory:
        return tuple(_view(memory, stored) for stored in memory.skills())


def find_skill(root: Path, config: Config, name: str) -> SkillView:
    """One skill, by name or by the beginning of its id.

    Raises:
        EvoError: there is none.
    """
    with open_memory(config, root) as memory:
        stored = memory.skill(name)
        if stored is None:
            raise EvoError(f"there is no skill {name!r}", "see `evo skills list`")
        return _view(memory, stored)


def _view(memory: "Memory", stored: "Stored") -> SkillView:
    from evo_agent.memory.skills.skills import emit  # noqa: PLC0415
    from evo_agent.memory.store import skill_file  # noqa: PLC0415

    file = skill_file(stored)
    folder = memory.skill_folder(stored.record.id)
    return SkillView(
        id=stored.record.id,
        name=file.name,
        state=stored.state,
        trust=stored.record.trust,
        uses=stored.uses,
        wins=stored.wins,
        losses=stored.losses,
        when_to_use=stored.record.when_to_use,
        folder=str(folder) if folder is not None and folder.is_dir() else "",
        text=emit(file),
    )
