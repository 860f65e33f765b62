"""A repository, its environment and a verifier, for the verifier's tests."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from evo_agent.core.config import Config, SandboxConfig, VerifyConfig
from evo_agent.core.git import open_repository
from evo_agent.core.types import FrozenTest, Issue, Task, Verdict
from evo_agent.sandboxes.workspace import Workspace
from evo_agent.tasks.detect import detect
from evo_agent.tasks.environment import prepare
from evo_agent.tasks.verify import FreshVerifier

GCD = {
    "gcd.py": "def gcd(a, b):\n    return a if b == 0 else gcd(a % b, b)\n",
    "lcm.py": "from gcd import gcd\n\n\ndef lcm(a, b):\n    return 0 if 0 in (a, b) else a * b\n",
    "tests/test_gcd.py": "from gcd import gcd\n\n\ndef test_gcd():\n    assert gcd(12, 8) == 4\n",
    "tests/test_lcm.py": "from lcm import lcm\n\n\ndef test_zero():\n    assert lcm(0, 3) == 0\n",
}
FAILING = "tests/test_gcd.py::test_gcd"
FIXED = "def gcd(a, b):\n    return a if b == 0 else gcd(b, a % b)\n"

Files = Mapping[str, str | None]


@dataclass
class Judge:
    """Judges changes to one repository; keeps the events that the verifier emits."""

    repo: Path
    folder: Path
    config: Config
    events: list[dict[str, object]] = field(default_factory=list)
    _verifier: FreshVerifier | None = None
    _count: int = 0

    def emit(self, kind: str, **data: object) -> None:
        self.events.append({"kind": kind, **data})

    @property
    def base(self) -> str:
        return open_repository(self.repo).head

    def workspace(self, changes: Files) -> Workspace:
        """A solver's workspace with some files written, or (None) deleted."""
        self._count += 1
        folder = self.folder / f"solver{self._count}"
        made = Workspace.create(open_repository(self.repo), "HEAD", folder)
        for name, content in changes.items():
            path = made.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
        return made

    def patch(self, changes: Files) -> str:
        return self.workspace(changes).diff()

    def freeze(self, path: str, content: str, test: str) -> FrozenTest:
        tree = self.workspace({path: content}).snapshot()
        return FrozenTest(path, content, f"{path}::{test}", tree)

    def verify(
        self,
        patch: str | Files,
        tests: tuple[str, ...] = (FAILING,),
        frozen: FrozenTest | None = None,
        base: str = "",
    ) -> Verdict:
        text = patch if isinstance(patch, str) else self.patch(patch)
        task = Task("t", self.repo, base or self.base, Issue("gcd", "wrong"), tests)
        return self.verifier().verify(task, text, frozen)

    def verifier(self) -> FreshVerifier:
        if self._verifier is None:
            workspace = self.workspace({})
            project = detect(workspace.folder, self.config)
            environment = prepare(project, self.config, workspace)
            self._verifier = FreshVerifier(
                project, environment, self.config, self.folder / "scratch", recorder=self
            )
        return self._verifier

    def close(self) -> None:
        if self._verifier is not None:
            self._verifier.close()
        left = list((self.folder / "scratch").glob("*"))
        assert not left, f"the verifier leaves things behind: {left}"
        shutil.rmtree(self.folder, ignore_errors=True)


def configured(backend: str = "bubblewrap", repeats: int = 1, **sandbox: object) -> Config:
    """A configuration that does not repeat: most tests ask about one run."""
    box = replace(SandboxConfig(backend=backend), **sandbox)  # type: ignore[arg-type]
    return Config(sandbox=box, verify=VerifyConfig(repeats=repeats, seconds=120.0))
