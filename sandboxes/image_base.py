"""evo's own image: Debian with git, Python and a compiler, with a registry or without one."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes.engine import Engine, reason
from evo_agent.sandboxes.image_build import Context, build
from evo_agent.sandboxes.lock import exclusive
from evo_agent.sandboxes.registry import Progress, exists, pull

BASE = "debian:bookworm-slim"
SUITE = "bookworm"
PACKAGES = (
    "bash", "build-essential", "ca-certificates", "file", "git", "less", "patch", "procps",
    "python-is-python3", "python3", "python3-dev", "python3-pip", "python3-venv",
)  # fmt: skip
_RECIPE = "\n".join(("2", BASE, SUITE, *PACKAGES))
_SETTINGS = (
    "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "ENV LANG=C.UTF-8",
    'LABEL evo.image="base"',
)
_ACCOUNT = "evo:x:1000:1000:evo:/tmp:/bin/bash\n"


def default_tag() -> str:
    """The name of evo's own image."""
    return f"evo-base:{hashlib.sha256(_RECIPE.encode()).hexdigest()[:12]}"


def ensure_default(engine: Engine, progress: Progress) -> str:
    """Make sure that evo's own image is there; give its name.

    Raises:
        SandboxError: it cannot be made.
    """
    tag = default_tag()
    if exists(engine, tag):
        return tag
    with exclusive("image-" + tag.replace(":", "-")):
        if not exists(engine, tag):
            _make(engine, tag, progress)
    return tag


def _make(engine: Engine, tag: str, progress: Progress) -> None:
    progress(f"pulling {BASE}")
    cause = "" if exists(engine, BASE) else pull(engine, BASE)
    if not cause:
        from_registry(engine, tag, progress)
        return
    progress("no registry answers; making a Debian with debootstrap (about a minute)")
    from_debootstrap(engine, tag, cause, progress)


def from_registry(engine: Engine, tag: str, progress: Progress) -> None:
    """Build it on Debian's image.

    Raises:
        SandboxError: the build failed.
    """
    packages = " ".join(PACKAGES)
    install = (
        "RUN apt-get update && apt-get install -y --no-install-recommends "
        f"{packages} && rm -rf /var/lib/apt/lists/* && "
        f"printf '{_ACCOUNT[:-1]}\\n' >> /etc/passwd && printf 'evo:x:1000:\\n' >> /etc/group"
    )
    with tempfile.TemporaryDirectory(prefix="evo-image-") as name:
        dockerfile = Path(name, "Dockerfile")
        dockerfile.write_text("\n".join((f"FROM {BASE}", install, *_SETTINGS)), "utf-8")
        build(engine, Context(Path(name), dockerfile), tag, progress)


def from_debootstrap(engine: Engine, tag: str, cause: str, progress: Progress) -> None:
    """Make it from Debian's packages and import it; needs root and debootstrap on this machine.

    Args:
        engine: gets the image.
        tag: its name.
        cause: why there is no registry, for the error.
        progress: called with one line now and then.

    Raises:
        SandboxError: this machine cannot do that, or it failed.
    """
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise SandboxError(
            f"no image: the registry does not answer ({cause}), and debootstrap needs root",
            f"{engine.name} pull {BASE}, or sudo apt-get install debootstrap and run evo once as "
            "root, or use --sandbox bubblewrap",
        )
    folder = Path(tempfile.mkdtemp(prefix="evo-debootstrap-", dir=_roomy()))
    try:
        _debootstrap(folder / "root", progress)
        _trim(folder / "root")
        progress("importing the image")
        _import(engine, folder / "root", tag)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _roomy() -> str:
    """Not /tmp, which is often a small tmpfs mounted nodev."""
    return "/var/tmp"  # noqa: S108 (mkdtemp makes a private folder in it)


def _debootstrap(root: Path, progress: Progress) -> None:
    argv = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if keyring.exists():
        argv.append(f"--keyring={keyring}")
    else:  # Ubuntu without debian-archive-keyring
        raise SandboxError(
            "debootstrap has no keys to check Debian's packages with",
            "apt-get install debian-archive-keyring",
        )
    process = subprocess.Popen(
        [*argv, SUITE, str(root)],  # from the mirror that debootstrap has by itself
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **_proxies()},
    )
    line = ""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            progress(line.strip())
    if process.returncode:
        raise SandboxError(f"debootstrap failed: {line.strip()}", "is the Debian mirror reachable?")


def _proxies() -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}


def _trim(root: Path) -> None:
    """Leave out what no sandbox needs, and add the account that commands run as."""
    for name in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / name, ignore_errors=True)
    shutil.rmtree(root / "usr/share/locale", ignore_errors=True)
    with (root / "etc/passwd").open("a", encoding="utf-8") as passwd:
        passwd.write(_ACCOUNT)
    with (root / "etc/group").open("a", encoding="utf-8") as group:
        group.write("evo:x:1000:\n")


def _import(engine: Engine, root: Path, tag: str) -> None:
    name, _, version = tag.partition(":")
    archive = ["tar", "-C", str(root), "--exclude=./dev/*", "--exclude=./proc/*", "-c", "."]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        try:
            answer = engine.client.api.import_image_from_stream(
                tar.stdout, repository=name, tag=version, changes=list(_SETTINGS)
            )
        except Exception as error:
            tar.kill()
            raise SandboxError(f"the image could not be imported: {reason(error)}") from error
    if tar.returncode or "error" in str(answer):
        raise SandboxError(f"the image could not be imported: {str(answer)[:300]}")
