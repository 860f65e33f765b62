"""Replay recorded agent runs through evo's own loop, client and sandbox; compare the patches.

    python bench/replay.py --data DIR --repos DIR [--quick] [--instance ID] [--backend docker]

DIR/replay/*.json are recorded mini-swe-agent runs (formats 1 and 1.1). Each run's replies are
served by a real HTTP server speaking OpenAI's API, asked through litellm by evo's agent, and
executed in a sandbox that holds the repository at its base commit under /testbed. What the host
computes as the patch is then compared with the patch that was recorded.

Equal means: the candidate's patch is the recorded submission, `index` lines aside. Where a run
submitted named files only (format 1.1), the candidate is limited to the files that the replayed
run itself named; `whole` says whether the tree held nothing beyond them.
"""

import argparse
import difflib
import json
import multiprocessing
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from replay_server import ScriptedServer
from repos import find_repository, work_tree

from evo_agent.core.agent import AgentSolver
from evo_agent.core.agent.patches import by_file
from evo_agent.core.config import Config, LimitsConfig, ModelConfig
from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.git import open_repository
from evo_agent.core.models import LiteLLMModel, Transcript, read_transcript
from evo_agent.core.protocols import Assignment, Sandbox
from evo_agent.core.types import Candidate, Issue, Query, Recalled, Task, TestReport
from evo_agent.sandboxes.select import open_sandbox
from evo_agent.sandboxes.workspace import Workspace

QUICK = (  # both formats, small histories where there is a choice; the longest first
    "mini2.2.7__django__django-12453",
    "mini1.15__psf__requests-2931",
    "mini1.15__pydata__xarray-7233",
)
ENVIRONMENT_EDITS = ("setup.py", "tox.ini")  # what the benchmark's images edit before a run


@dataclass
class Outcome:
    """What became of one replayed run."""

    name: str
    equal: bool = False
    whole: bool = False
    cause: str = ""
    leftovers: list[str] = field(default_factory=list)
    steps: int = 0
    commands: int = 0
    seconds: float = 0.0
    opening: float = 0.0
    stopped: str = ""
    diff: str = ""


class Silent:
    """Memory that holds nothing, a runner that runs nothing, a log that keeps nothing."""

    def recall(self, query: Query) -> tuple[Recalled, ...]:
        """Find nothing."""
        del query
        return ()

    def emit(self, kind: str, **data: object) -> None:
        """Drop the event."""
        del kind, data

    def command(self, tests: object = None) -> str:
        """Name no command: the recorded runs find their own."""
        del tests
        return "none: find out"

    def run(self, sandbox: Sandbox, tests: object = None, *, timeout: float = 0.0) -> TestReport:
        """Never asked for: recorded runs freeze no test."""
        raise NotImplementedError


def repository_name(instance: str) -> str:
    owner, _, rest = instance.partition("__")
    return f"{owner}/{rest.rpartition('-')[0]}"


def serve(server: ScriptedServer, transcript: Transcript) -> None:
    """Script the server with the recorded replies."""
    for reply in transcript.replies:
        calls = tuple((call.name, call.arguments) for call in reply.tool_calls)
        server.calls(*calls, content=reply.content)


def replay(path: Path, repos: Path, backend: str) -> Outcome:
    """Replay one run; what goes wrong with it is its outcome."""
    outcome = Outcome(path.stem)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="evo-replay-") as folder:
            _replay(path, repos, backend, Path(folder), outcome)
    except Exception as error:  # noqa: BLE001 - one run's trouble must not end the others
        outcome.cause = f"error: {type(error).__name__}: {error}"
        outcome.diff = traceback.format_exc()
    outcome.seconds = round(time.monotonic() - started, 2)
    return outcome


def _replay(path: Path, repos: Path, backend: str, folder: Path, outcome: Outcome) -> None:
    raw = json.loads(path.read_text("utf-8"))
    transcript = read_transcript(path)
    found = find_repository(repos, repository_name(raw["instance_id"]))
    repository = open_repository(work_tree(found, folder))
    started = time.monotonic()
    workspace = Workspace.create(repository, raw["base_commit"], folder / "workspace")
    spec = SandboxSpec(workspace=workspace.folder, spool=folder / "spool")
    with open_sandbox(spec, workspace, backend) as sandbox, ScriptedServer() as server:
        outcome.opening = round(time.monotonic() - started, 2)
        serve(server, transcript)
        config = Config(
            model=ModelConfig(
                name="openai/recorded",
                api_base=server.url,
                text_actions=not transcript.calls_tools,
                retries=0,
            ),
            limits=LimitsConfig(steps=0, tokens=0, seconds=0, dollars=0),
        )
        silent = Silent()
        task = Task(raw["instance_id"], repository.root, raw["base_commit"], Issue("", raw["user"]))
        candidate = AgentSolver(LiteLLMModel(config.model), config).solve(
            Assignment(task, sandbox, silent, (), silent, silent)
        )
    judge(outcome, candidate, transcript)


def judge(outcome: Outcome, candidate: Candidate, transcript: Transcript) -> None:
    """Compare the candidate with the recording, and say why they differ if they do."""
    outcome.stopped = candidate.stopped
    outcome.steps, outcome.commands = candidate.cost.model_calls, candidate.cost.commands
    outcome.leftovers = list(candidate.facts["not_submitted"])
    ours, theirs = normalised(candidate.patch), normalised(transcript.submission)
    outcome.equal = ours == theirs
    outcome.whole = outcome.equal and not outcome.leftovers
    if not outcome.equal:
        outcome.cause = cause(ours, theirs, candidate.stopped)
        outcome.diff = "".join(
            difflib.unified_diff(
                theirs.splitlines(keepends=True), ours.splitlines(keepends=True), "recorded", "evo"
            )
        )


def normalised(patch: str) -> str:
    """Leave out what says nothing about the change: blob ids, and newlines around the text."""
    return re.sub(r"^index .*\n", "", patch, flags=re.MULTILINE).strip("\n") + "\n"


def cause(ours: str, theirs: str, stopped: str) -> str:
    """Classify a difference."""
    mine, recorded = by_file(ours), by_file(theirs)
    if stopped != "submitted":
        return f"did not submit: {stopped}"
    missing = set(recorded) - set(mine)
    shared = all(mine[path] == recorded[path] for path in set(mine) & set(recorded))
    if missing and missing <= set(ENVIRONMENT_EDITS) and shared and set(mine) <= set(recorded):
        return f"recorded image had edited {', '.join(sorted(missing))} before the run"
    if missing:
        return f"files missing: {', '.join(sorted(missing))}"
    if set(mine) - set(recorded):
        return f"files left over: {', '.join(sorted(set(mine) - set(recorded)))}"
    return "contents differ"


def recordings(data: Path, instance: str, *, quick: bool) -> list[Path]:
    paths = sorted((data / "replay").glob("*.json"))
    if instance:
        paths = [path for path in paths if instance in path.stem]
    if quick:
        paths = sorted((p for p in paths if p.stem in QUICK), key=lambda p: QUICK.index(p.stem))
    if not paths:
        raise SystemExit("no recorded run matches")
    return paths


def outcomes(paths: list[Path], args: argparse.Namespace) -> Iterator[Outcome]:
    """Replay all, some at once; finished ones are taken from --results."""
    results: Path | None = args.results
    todo = []
    for path in paths:
        kept = results / path.name if results else None
        if kept and kept.exists():
            yield Outcome(**json.loads(kept.read_text("utf-8")))
        else:
            todo.append(path)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
        runs = [pool.submit(replay, path, args.repos, args.backend) for path in todo]
        for run in as_completed(runs):
            outcome = run.result()
            if results and not outcome.cause.startswith("error"):
                results.mkdir(parents=True, exist_ok=True)
                partial = results / f"{outcome.name}.partial"
                partial.write_text(json.dumps(asdict(outcome)), "utf-8")
                partial.replace(results / f"{outcome.name}.json")
            yield outcome


def show(outcome: Outcome) -> None:
    mark = "equal" if outcome.equal else "DIFFERS"
    left = f"  left out: {', '.join(outcome.leftovers)}" if outcome.leftovers else ""
    print(
        f"{outcome.name:42} {mark:8} {outcome.steps:3} steps {outcome.commands:3} commands "
        f"{outcome.seconds:6.1f} s (open {outcome.opening:.1f} s)  {outcome.cause}{left}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repos", type=Path, required=True)
    parser.add_argument("--backend", default="docker")
    parser.add_argument("--instance", default="", help="only runs whose name contains this")
    parser.add_argument("--quick", action="store_true", help="a few short runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, help="keep results here, and go on from there")
    args = parser.parse_args()
    done = []
    started = time.monotonic()
    for outcome in outcomes(recordings(args.data, args.instance, quick=args.quick), args):
        show(outcome)
        done.append(outcome)
    for outcome in done:
        if not outcome.equal:
            print(f"\n--- {outcome.name}: {outcome.cause}\n{outcome.diff}")
    equal = sum(outcome.equal for outcome in done)
    whole = sum(outcome.whole for outcome in done)
    print(f"\n{equal} of {len(done)} equal in {time.monotonic() - started:.0f} s, {args.backend}")
    print(f"{whole} of them left nothing else in the tree; the others submitted named files only")
    for why, count in Counter(o.cause for o in done if not o.equal).items():
        print(f"{count} x {why}")
    print(json.dumps({"runs": len(done), "equal": equal}))


if __name__ == "__main__":
    main()
