"""Opens what a run works with, and closes it again: the one place where the rooms meet."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import time

from evo_agent import __version__
from evo_agent.core.config import Config
from evo_agent.core.errors import EvoError, SandboxError
from evo_agent.core.events import Event, RunLog
from evo_agent.core.git import Repository, ignore_state_folder, open_repository
from evo_agent.core.guard import Guard
from evo_agent.core.protocols import Model, Recaller, Solver, TestRunner
from evo_agent.core.recorded import RecordedMemory, RecordedModel, RecordedSandbox, RecordedTests
from evo_agent.core.types import Recalled, to_json
from evo_agent.memory.lifecycle.credit import MEMORY
from evo_agent.memory.store import Memory, RunFacts
from evo_agent.sandboxes.select import available_backends, open_sandbox
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.deliver import check_delivery, deliver
from evo_agent.tasks.detect import Project, detect
from evo_agent.tasks.environment import Environment, prepare
from evo_agent.tasks.fix import Bench
from evo_agent.tasks.issue import make_task
from evo_agent.tasks.knowledge import open_memory
from evo_agent.tasks.remembered import NoMemory, drawn_arm, run_rules
from evo_agent.tasks.results import Attempt, FixRequest, Written
from evo_agent.tasks.runs import Start, exclusive, new_run
from evo_agent.tasks.seal import SEAL, refuse_links, seal
from evo_agent.tasks.testing import make_runner
from evo_agent.tasks.verify import FreshVerifier

RUN_LABEL = "evo.run"  # on every container of a run
WORK, SCRATCH, OUTPUTS = "work", "verify", "outputs"  # folders of a run's folder


def begin(
    request: FixRequest, config: Config, observe: Callable[[Event], None], stack: ExitStack
) -> tuple[Start, RunLog]:
    """Turn a request into a task, and start the log of its run.

    Raises:
        EvoError: the repository, the issue, the delivery or the state folder is not fit.
    """
    repository = open_repository(request.repo)
    check_delivery(repository, request.delivery, stash=request.stash)
    task = make_task(repository, request.issue, tests=request.tests, log=request.log)
    refuse_links(repository.root)
    ignore_state_folder(repository.root)
    start = Start(task, replace(request, repo=repository.root), with_backend(config))
    return start, begin_run(start, observe, stack)


def begin_run(start: Start, observe: Callable[[Event], None], stack: ExitStack) -> RunLog:
    """Make the folder and the log of a run, held by this process until the stack closes."""
    folder = new_run(start.request.repo)
    log = stack.enter_context(RunLog.create(folder, observe=observe))
    stack.enter_context(exclusive(folder))
    data = {"run": folder.name, "version": __version__, **to_json(start)}
    log.emit("run-start", **data, **{SEAL: seal(data)})
    return log


def with_backend(config: Config) -> Config:
    """The configuration with `auto` decided, so that everything of a run agrees.

    Raises:
        SandboxError: no isolated backend can be used here.
    """
    if config.sandbox.backend != "auto":
        return config
    statuses = [status for status in available_backends() if status.name != "local"]
    for status in statuses:
        if status.usable:
            return replace(config, sandbox=replace(config.sandbox, backend=status.name))
    reasons = "; ".join(f"{status.name}: {status.detail}" for status in statuses)
    raise SandboxError(f"no sandbox can be used here ({reasons})", "run `evo doctor`")


@dataclass(frozen=True)
class _Opened:
    """What the run's own sandbox and the verifier's share."""

    project: Project
    environment: Environment
    workspace: Workspace
    tests: TestRunner


def open_bench(
    start: Start,
    log: RunLog,
    stack: ExitStack,
    *,
    model: Model | None = None,
    memory: Recaller | None = None,
) -> Bench:
    """Open everything for a run.

    Args:
        start: what the run began with.
        log: its log.
        stack: closes what is opened here.
        model: instead of the configured one (when replaying).
        memory: likewise; nothing is then written back, and nothing delivered.

    Raises:
        EvoError: something cannot be opened; the cause says what.
    """
    repository = open_repository(start.task.repo)
    kept = None if memory is not None else _memory(start.config, repository, log, stack)
    arm = drawn_arm(log, kept, repository.identity, start.config.memory.control)
    asked = memory or (kept if arm == MEMORY else None)
    solver = _solver(start, log, model, asked)
    opened = _open_workspace(start, repository, log)
    base_tree = opened.workspace.host.text("rev-parse", f"{start.task.base}^{{tree}}")
    sandbox = _sandbox(start.config, opened, log, stack, base_tree)
    verifier = stack.enter_context(
        FreshVerifier(
            opened.project,
            opened.environment,
            start.config,
            log.folder / SCRATCH,
            recorder=log,
            progress=_teller(log),
        )
    )
    stack.push(_remove_when_done(opened.workspace))
    return Bench(
        sandbox=sandbox,
        base_tree=base_tree,
        tests=RecordedTests(opened.tests),
        solver=solver,
        verifier=verifier,
        memory=RecordedMemory(asked or NoMemory(), log, repository.identity),
        write_back=_writer(start, repository, log, (solver.name, arm), kept),
        deliver=_deliverer(start, repository, log) if memory is None else lambda _: "",
    )


def _remove_when_done(workspace: Workspace) -> Callable[..., None]:
    """An exit callback: a run that did not come to its end resumes from its workspace."""

    def leave(kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            workspace.remove()

    return leave


def _teller(log: RunLog) -> Callable[[str], None]:
    def tell(line: str) -> None:
        log.emit("progress", text=line)

    return tell


def _solver(start: Start, log: RunLog, model: Model | None, memory: Recaller | None) -> Solver:
    """The agent when there is a model, else the search; heavy imports begin in the background."""
    config = start.config
    kind = start.request.solver or ("agent" if model or config.model.name else "repair")
    if kind == "repair":
        from evo_agent.core.repair import RepairSolver, SearchLimits  # noqa: PLC0415

        return RepairSolver(SearchLimits.within(config.limits))
    from evo_agent.core.agent import AgentSolver  # noqa: PLC0415
    from evo_agent.core.models import make_model, warm  # noqa: PLC0415

    if model is None and not config.model.name.startswith("replay:"):
        warm()
    chosen = model or make_model(config.model, _teller(log))
    guard = Guard(run_rules(start, log, memory))
    return AgentSolver(RecordedModel(chosen, log), config, guard)


def _memory(config: Config, repository: Repository, log: RunLog, stack: ExitStack) -> Memory | None:
    if not config.memory.enabled:
        return None
    return stack.enter_context(open_memory(config, repository.root, _teller(log)))


def _open_workspace(start: Start, repository: Repository, log: RunLog) -> _Opened:
    """The workspace (as it was left, when resuming), and what it takes to run the project."""
    home, config, tell = log.folder / WORK, start.config, _teller(log)
    if home.is_dir() and log.replaying:
        workspace = Workspace.open(repository, home)
    else:
        tell("checking out the base commit")
        workspace = Workspace.create(repository, start.task.base, home)
    if workspace.submodules:
        tell(f"submodules are empty in the workspace: {', '.join(workspace.submodules)}")
    project = detect(workspace.folder, config)
    image = _image(config, workspace, tell)
    environment = prepare(
        project, config, workspace, image=image, checkout=repository.root, progress=tell
    )
    environment.carry_into(workspace.folder)
    for note in environment.notes:
        tell(note)
    return _Opened(project, environment, workspace, make_runner(project, environment))


def _image(config: Config, workspace: Workspace, tell: Callable[[str], None]) -> str | None:
    """The image for an engine: configured, described by the repository, or evo's own."""
    if config.sandbox.backend not in ("docker", "podman"):
        return None
    from evo_agent.sandboxes.engine import find  # noqa: PLC0415
    from evo_agent.sandboxes.image import ensure_image  # noqa: PLC0415

    engine = find(config.sandbox.backend)
    named = config.sandbox.image or None
    try:
        return ensure_image(engine, named, repository=workspace.folder, progress=tell)
    except EvoError as error:
        if named:
            raise
        tell(f"what the repository describes cannot be used: {error.cause}")
        return ensure_image(engine, progress=tell)


def _sandbox(
    config: Config, opened: _Opened, log: RunLog, stack: ExitStack, base_tree: str
) -> RecordedSandbox:
    spec = replace(
        opened.environment.spec(opened.workspace.folder, config),
        labels={RUN_LABEL: log.folder.name},
        spool=log.folder / OUTPUTS,
    )
    sandbox = open_sandbox(spec, opened.workspace, config.sandbox.backend)
    stack.enter_context(sandbox)
    for line in getattr(sandbox, "warnings", ()):
        log.emit("progress", text=line)
    if sandbox.not_limited:
        log.emit("progress", text=f"not limited here: {', '.join(sandbox.not_limited)}")
    return RecordedSandbox(sandbox, log, base=base_tree)


def _writer(
    start: Start, repository: Repository, log: RunLog, who: tuple[str, str], memory: Memory | None
) -> Callable[[Attempt, tuple[Recalled, ...], int], Written]:
    solver, arm = who

    def write_back(best: Attempt, recalled: tuple[Recalled, ...], evidence: int) -> Written:
        if memory is None:
            return Written()
        kept = memory.record_run(
            RunFacts(
                run=log.folder.name,
                repo=repository.identity,
                task=start.task,
                verdict=best.verdict,
                verdict_event=evidence,
                candidate=best.candidate,
                recalled=tuple(record.id for record in recalled),
                time=time(),
                log=log.folder,
                solver=solver,
                arm=arm,
            )
        )
        return Written(kept.episode_id, kept.skill_id, kept.skill_name, kept.promoted)

    return write_back


def _deliverer(start: Start, repository: Repository, log: RunLog) -> Callable[[str], str]:
    def hand_over(patch: str) -> str:
        return deliver(
            repository,
            patch,
            start.request.delivery,
            base=start.task.base,
            message=_message(start),
            run=log.folder,
            stash=start.request.stash,
        )

    return hand_over


def _message(start: Start) -> str:
    issue = start.task.issue
    title = issue.title if issue.source not in ("test", "log") else f"Fix {issue.title}"
    return f"{title}\n\n{issue.url}".strip()
