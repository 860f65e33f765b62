"""Images built from a Dockerfile: evo's own, or the one that a repository brings.

A repository's Dockerfile is hostile input: its commands run in build containers only, with a
network and the host's certificates, and with none of the host's variables but proxies and
package indexes.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from evo_agent.core.errors import SandboxError
from evo_agent.sandboxes.engine import Engine, reason
from evo_agent.sandboxes.lock import exclusive
from evo_agent.sandboxes.network import build_environment, ca_bundle
from evo_agent.sandboxes.registry import Progress, ensure_named, exists

_DOCKERFILE = ".evo.Dockerfile"
_CERTIFICATES = ".evo-ca.crt"
_INSIDE = "/etc/ssl/certs/evo-ca.crt"
_DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_DOCKERFILES = ("Dockerfile", ".devcontainer/Dockerfile")
_LARGEST_CONTEXT = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """What a build is made from.

    Attributes:
        folder: the files that COPY may name; links in it are sent as links, never followed.
        dockerfile: the Dockerfile, anywhere.
        args: values for its ARGs.
    """

    folder: Path
    dockerfile: Path
    args: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> list[str]:
        """Paths relative to `folder`, sorted, without what .dockerignore names."""
        from docker.utils import exclude_paths  # type: ignore[import-untyped]

        ignore = self.folder / ".dockerignore"
        patterns: list[str] = []
        if ignore.is_file() and not ignore.is_symlink():
            lines = ignore.read_text("utf-8", "replace").splitlines()
            patterns = [line.strip() for line in lines if line.strip() and line[0] != "#"]
        return sorted(exclude_paths(str(self.folder), patterns))

    def digest(self) -> str:
        """Hash of all that the image depends on; .git, whose index holds times, left out."""
        whole = hashlib.sha256(json.dumps(dict(self.args), sort_keys=True).encode())
        whole.update(self.dockerfile.read_bytes())
        for name in self.files():
            path = self.folder / name
            if name.split("/")[0] == ".git":
                continue
            mode = path.lstat().st_mode
            whole.update(f"\0{name}\0{mode:o}\0".encode("utf-8", "surrogateescape"))
            if stat.S_ISREG(mode):
                whole.update(hashlib.sha256(path.read_bytes()).digest())
            elif stat.S_ISLNK(mode):
                whole.update(os.fsencode(path.readlink()))
        return whole.hexdigest()[:12]

    def archive(self) -> AbstractContextManager[IO[bytes]]:
        """A tar of it, with the certificates and the Dockerfile that uses them.

        Raises:
            SandboxError: it is too large.
        """
        from docker.utils import create_archive

        files = self.files()
        size = sum((self.folder / name).lstat().st_size for name in files)
        if size > _LARGEST_CONTEXT:
            raise SandboxError(
                f"the build context {self.folder.name}/ holds {size >> 20} MiB",
                "leave files out with .dockerignore, or name an image: sandbox.image",
            )
        extra = [(_DOCKERFILE, with_certificates(self.dockerfile.read_text("utf-8", "replace")))]
        bundle = ca_bundle()
        if bundle:
            extra.append((_CERTIFICATES, Path(bundle).read_text("utf-8")))
        archive: Any = create_archive(str(self.folder), files=files, extra_files=extra)
        return cast("AbstractContextManager[IO[bytes]]", archive)


def build_described(engine: Engine, repository: Path, progress: Progress) -> str:
    """Make the image that a repository describes; nothing when it describes none.

    devcontainer.json (`image`, or `build.dockerfile` with its `context` and `args`) comes
    before a Dockerfile at the top. Source: containers.dev, the dev container specification.

    Raises:
        SandboxError: what it describes cannot be built.
    """
    for name in _DEVCONTAINERS:
        path = _inside(repository, repository / name)
        if path is not None:
            return _from_devcontainer(engine, repository, path, progress)
    for name in _DOCKERFILES:
        path = _inside(repository, repository / name)
        if path is not None:
            return _cached(engine, Context((repository / name).parent, path), progress)
    return ""


def build(engine: Engine, context: Context, tag: str, progress: Progress) -> None:
    """Build a Dockerfile, with the host's certificates where its commands look for them.

    Raises:
        SandboxError: the build failed.
    """
    try:
        with context.archive() as archive:
            for line in engine.client.api.build(
                fileobj=archive,
                custom_context=True,
                dockerfile=_DOCKERFILE,
                tag=tag,
                buildargs={**build_environment(None), **context.args},
                rm=True,
                forcerm=True,
                decode=True,
                labels={"evo.image": "built"},
            ):
                _follow(line, progress)
    except SandboxError:
        raise
    except Exception as error:
        raise SandboxError(f"the image could not be built: {reason(error)}") from error


def _follow(line: Mapping[str, Any], progress: Progress) -> None:
    if "error" in line:
        raise SandboxError(
            f"the image could not be built: {str(line['error']).strip()[:300]}",
            "mend the Dockerfile, name an image (sandbox.image), or use --sandbox bubblewrap",
        )
    text = str(line.get("stream", "")).strip()
    if text:
        progress(text)


def with_certificates(dockerfile: str) -> str:
    """Put the host's certificates into every stage, and name them to the usual programs.

    The variables are build arguments, so the finished image does not carry them.
    """
    bundle = ca_bundle()
    if bundle is None:
        return dockerfile
    names = build_environment(_INSIDE)
    extra = [f"COPY {_CERTIFICATES} {_INSIDE}"]
    extra += [f"ARG {name}={value}" for name, value in names.items() if value == _INSIDE]
    lines = []
    for line in dockerfile.splitlines():
        lines.append(line)
        if re.match(r"\s*FROM\s", line, re.IGNORECASE) and not re.search(
            r"\sscratch\b", line, re.IGNORECASE
        ):
            lines += extra
    return "\n".join(lines) + "\n"


def _from_devcontainer(engine: Engine, repository: Path, path: Path, progress: Progress) -> str:
    try:
        settings = json.loads(without_comments(path.read_text("utf-8")))
        described = settings.get("build") or {}
        dockerfile = described.get("dockerfile") or settings.get("dockerFile")
        context = str(described.get("context", "."))
        args = {str(k): str(v) for k, v in (described.get("args") or {}).items()}
    except (ValueError, AttributeError) as error:
        raise SandboxError(
            f"{path.name} cannot be read: {error}", "mend it, or name an image: sandbox.image"
        ) from error
    if not dockerfile:
        image = settings.get("image")
        return ensure_named(engine, image, progress) if isinstance(image, str) else ""
    file = _inside(repository, path.parent / str(dockerfile))
    folder = _inside(repository, path.parent / context)
    if file is None or folder is None or not folder.is_dir():
        raise SandboxError(f"{path.name} names a file that is not in the repository: {dockerfile}")
    return _cached(engine, Context(folder, file, args), progress)


def _cached(engine: Engine, context: Context, progress: Progress) -> str:
    tag = f"evo-built:{context.digest()}"
    if exists(engine, tag):
        return tag
    with exclusive(tag.replace(":", "-")):
        if not exists(engine, tag):
            build(engine, context, tag, progress)
    return tag


def _inside(repository: Path, path: Path) -> Path | None:
    """The path with all links resolved, if it exists and lies in the repository."""
    resolved = path.resolve()
    top = repository.resolve()
    return resolved if resolved.is_relative_to(top) and resolved.exists() else None


def without_comments(text: str) -> str:
    """JSON with comments and trailing commas, as devcontainer.json may have, made JSON."""
    string = r'"(?:[^"\\]|\\.)*"'
    plain = re.sub(
        rf"({string})|//[^\n]*|/\*.*?\*/", lambda m: m.group(1) or "", text, flags=re.DOTALL
    )
    return re.sub(rf"({string})|,(?=\s*[}}\]])", lambda m: m.group(1) or "", plain)
