"""Commands in Linux namespaces made by bubblewrap: no engine, no image, milliseconds to start.

Inside: the host's /usr read-only (without /usr/local), a few files of /etc, a private /tmp,
the workspace, the spec's mounts, and nothing else. User, process, network, IPC, UTS and cgroup
namespaces are new.

When evo runs as root, bwrap runs twice: the outer one, as root, only makes the sources
reachable (a workspace below /root is not, for others), then root is dropped for good, and the
inner one builds the sandbox as uid 1000. So no process inside is root on the host, even in
disguise: RLIMIT_NPROC holds, and root-owned files and sysctls stay out of reach.
"""

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from evo_agent.core.confinement import SandboxSpec
from evo_agent.core.errors import MissingDependencyError, SandboxError
from evo_agent.core.protocols import Tree
from evo_agent.sandboxes import cgroup
from evo_agent.sandboxes.base import SANDBOX_ID, ShellSandbox, environment, identity
from evo_agent.sandboxes.channel import PipeChannel
from evo_agent.sandboxes.network import CA_INSIDE, build_environment, ca_bundle
from evo_agent.sandboxes.process import spawn
from evo_agent.sandboxes.shell import driver

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
# What programs need of /etc, and none of what is the machine's own business.
_ETC = (
    "alternatives", "debian_version", "fonts", "java-11-openjdk", "java-17-openjdk",
    "java-21-openjdk", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "magic",
    "mime.types", "os-release", "protocols", "python3", "python3.11", "python3.12",
    "python3.13", "services", "timezone",
)  # fmt: skip
_NETWORK_ETC = ("resolv.conf", "host.conf", "gai.conf", "ssl/certs", "ca-certificates")
_NPROC_PER_NAMESPACE = (5, 14)  # Linux, from where RLIMIT_NPROC counts inside a user namespace
_STAGE = "/tmp"  # noqa: S108 (where the outer bwrap shows the sources, in a namespace of its own)


def missing() -> str:
    """Why bubblewrap cannot be used here, as one line; empty when it can."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "setpriv is not installed"
    argv = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    trial = subprocess.run([*_as_user(), *argv], capture_output=True, text=True, check=False)
    return trial.stderr.strip().partition("\n")[0] or (
        f"bwrap ended with {trial.returncode}" if trial.returncode else ""
    )


def remedy(cause: str) -> str:
    """The command that mends what `missing` found."""
    if "not installed" in cause:
        return "apt-get install bubblewrap util-linux"
    return (  # Ubuntu 24.04 and later
        "allow user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 "
        "kernel.unprivileged_userns_clone=1"
    )


class BubblewrapSandbox(ShellSandbox):
    """See core.protocols.Sandbox."""

    def __init__(self, spec: SandboxSpec, tree: Tree | None) -> None:
        if shutil.which("bwrap") is None:
            raise MissingDependencyError("bwrap is not installed", "apt-get install bubblewrap")
        super().__init__(spec, tree)
        self._cgroup = cgroup.Cgroup()
        self._etc = tempfile.TemporaryDirectory(prefix="evo-etc-")
        Path(self._etc.name).chmod(0o755)
        try:
            self._shell()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The backend."""
        return "bubblewrap"

    @property
    def not_limited(self) -> tuple[str, ...]:
        """Limits that are not enforced here, by name."""
        limited = {"tmp_mb", "output_bytes", *self._cgroup.limited}
        if _counts_processes():
            limited.add("processes")
        return tuple(n for n in ("memory", "cpus", "processes") if n not in limited)

    def close(self) -> None:
        """End it, with everything that runs inside."""
        super().close()
        self._etc.cleanup()

    def _connect(self) -> PipeChannel:
        self._cgroup = cgroup.create(self._spec.limits)
        argv = [*self._cgroup.joining(), *self._argv()]
        try:
            return PipeChannel(spawn(argv, {"PATH": _PATH}))
        except OSError as error:
            raise SandboxError(f"bwrap cannot be started: {error}", "run `evo doctor`") from error

    def _drop(self) -> None:
        super()._drop()
        self._cgroup.remove()

    def _argv(self) -> list[str]:
        spec = self._spec
        shown = [(str(spec.workspace.resolve()), spec.root, True)]
        shown += [(str(m.source.resolve()), m.target, m.writable) for m in spec.mounts]
        shown += [(f"{self._etc.name}/{name}", f"/etc/{name}", False) for name in self._accounts()]
        bundle = ca_bundle() if spec.network else None
        if bundle:
            shown.append((str(Path(bundle).resolve()), CA_INSIDE, False))
        outer: list[str] = []
        if os.geteuid() == 0:
            outer, shown = _staged(shown)
        limits = spec.limits
        command = driver(
            limits.processes,
            limit_processes=_counts_processes(),
            data_kb=None if "memory" in self._cgroup.limited else limits.memory_mb * 1024,
        )
        binds = [
            word
            for source, target, writable in sorted(shown, key=lambda bind: bind[1])
            for word in ("--bind" if writable else "--ro-bind", source, target)
        ]
        return [*outer, _program("bwrap"), *self._system(), *binds, *self._seal(), "--", *command]

    def _system(self) -> list[str]:
        """The read-only system and the private file systems."""
        argv = [
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
        ]
        argv += ["--hostname", "evo", "--uid", str(identity()[0]), "--gid", str(identity()[1])]
        argv += ["--share-net"] if self._spec.network else []
        argv += ["--ro-bind", "/usr", "/usr", "--tmpfs", "/usr/local"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            path = Path("/", name)
            if path.is_symlink():
                argv += ["--symlink", str(path.readlink()), str(path)]
            else:
                argv += ["--ro-bind-try", str(path), str(path)]
        argv += ["--proc", "/proc", "--dev", "/dev"]
        size = str(self._spec.limits.tmp_mb * 1024 * 1024)
        for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run"):  # noqa: S108 (inside)
            argv += ["--size", size, "--tmpfs", folder]
        for name in (*_ETC, *(_NETWORK_ETC if self._spec.network else ())):
            argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        return argv

    def _accounts(self) -> tuple[str, ...]:
        """Write the sandbox's own users, groups and hosts; their names in /etc."""
        uid, gid = identity()
        files = {
            "passwd": f"root:x:0:0:root:/root:/bin/sh\nevo:x:{uid}:{gid}:evo:/tmp:/bin/bash\n",
            "group": f"root:x:0:\nevo:x:{gid}:\n",
            "hosts": "127.0.0.1 localhost evo\n::1 localhost\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        }
        for name, text in files.items():
            Path(self._etc.name, name).write_text(text, "utf-8")
        return tuple(files)

    def _seal(self) -> list[str]:
        """What comes last: nothing but the mounts above is writable, and no variable leaks."""
        argv = ["--remount-ro", "/usr/local", "--remount-ro", "/dev", "--remount-ro", "/"]
        argv += ["--chdir", self._spec.root, "--clearenv"]
        variables = {"PATH": _PATH, **environment(self._spec)}
        if self._spec.network:
            inside = CA_INSIDE if ca_bundle() else None
            variables = {**build_environment(inside), **variables}
        for name, value in variables.items():
            argv += ["--setenv", name, value]
        return argv


def _program(name: str) -> str:
    """The program's whole path, so that the host's PATH need not be handed in."""
    return shutil.which(name) or name


def _as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    user = str(SANDBOX_ID)
    return [_program("setpriv"), f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def _staged(shown: list[tuple[str, str, bool]]) -> tuple[list[str], list[tuple[str, str, bool]]]:
    """The outer bwrap, which shows each source at a place that uid 1000 can reach."""
    outer = [_program("bwrap"), "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--tmpfs", _STAGE]
    staged = []
    for number, (source, target, writable) in enumerate(shown):
        place = f"{_STAGE}/{number}"
        outer += ["--bind" if writable else "--ro-bind", source, place]
        staged.append((place, target, writable))
    outer += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--die-with-parent", "--"]
    return [*outer, *_as_user()], staged


@cache
def _counts_processes() -> bool:
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and tuple(map(int, version.groups())) >= _NPROC_PER_NAMESPACE
