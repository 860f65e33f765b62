"""A private git folder through which a repository is read.

It has evo's configuration, and the user's object store as its alternate: histories, diffs and
the work tree are read with it, so that no key of the user's `.git/config` takes part. Only
settings that change how files are written (line ends, modes) are carried over, by name.
"""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from evo_agent.core.errors import RepositoryError
from evo_agent.core.git.harden import GitDir, execute, git_environment

# Settings that name no program and decide what a file looks like or whether it has changed.
CARRIED = (
    "core.autocrlf",
    "core.checkroundtripencoding",
    "core.checkstat",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.safecrlf",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.trustctime",
)
READ_FILES = ("core.attributesfile", "core.excludesfile")  # paths, for the user's own tree only


class TemporaryFolder:
    """Deletes a folder when nothing refers to it any more, or when the process ends."""

    def __init__(self, path: Path) -> None:
        self._end = weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)


def init_bare(folder: Path, object_format: str, settings: Mapping[str, str]) -> GitDir:
    """Make an empty git folder with these settings and nothing of a template."""
    made = ["git", "init", "-q", "--bare", "--template=", f"--object-format={object_format}"]
    folder.mkdir(parents=True, exist_ok=True)
    execute([*made, str(folder)], git_environment(), cwd=folder)
    append_settings(folder / "config", settings)
    (folder / "info").mkdir(exist_ok=True)
    return GitDir(folder)


def borrow_objects(folder: Path, store: Path) -> None:
    """Let a git folder read the objects of another store (gitrepository-layout(5)).

    Raises:
        RepositoryError: the store's path cannot be written in an alternates file.
    """
    if "\n" in str(store):
        raise RepositoryError(f"{store!s:.80} has a line break in its path", "rename the folder")
    info = folder / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{store}\n", "utf-8")


def make_view(source: GitDir, common: Path, object_format: str, config: Mapping[str, str]) -> Path:
    """Make the view of a repository: its objects, its refs as they are now, its exclusions.

    Args:
        source: the user's git folder.
        common: the git folder that its linked work trees share.
        object_format: sha1 or sha256.
        config: the user's effective configuration, keys in lower case.
    """
    folder = Path(tempfile.mkdtemp(prefix="evo-view-"))
    init_bare(folder, object_format, view_settings(config))
    borrow_objects(folder, common / "objects")
    refs = source.run("for-each-ref", "--format=%(objectname) %(refname)")
    (folder / "packed-refs").write_bytes(refs)
    (folder / "HEAD").write_text(source.text("rev-parse", "HEAD") + "\n")
    for name in ("shallow", "info/exclude", "info/attributes"):
        _copy(common / name, folder / name)
    _copy(source.path / "info" / "sparse-checkout", folder / "info" / "sparse-checkout")
    for shared in source.path.glob("sharedindex.*"):
        _copy(shared, folder / shared.name)
    return folder


def append_settings(config: Path, settings: Mapping[str, str]) -> None:
    """Add settings to a configuration file that evo owns."""
    with config.open("a", encoding="utf-8") as file:
        file.writelines(_setting(key, value) for key, value in settings.items())


def line_settings(config: Mapping[str, str]) -> dict[str, str]:
    """The settings that decide how a fresh check-out's text files are written."""
    keys = ("core.autocrlf", "core.checkroundtripencoding", "core.eol")
    return {key: config[key] for key in keys if key in config}


def carried(config: Mapping[str, str]) -> dict[str, str]:
    """The settings that decide what a checked-out file looks like."""
    return {key: config[key] for key in CARRIED if key in config}


def view_settings(config: Mapping[str, str]) -> dict[str, str]:
    """Settings of a view: the carried ones, and indexes written whole."""
    files = {key: config[key] for key in READ_FILES if key in config}
    plain = {"core.splitindex": "false", "core.untrackedcache": "false"}
    return carried(config) | files | plain


def _setting(key: str, value: str) -> str:
    section, name = key.split(".", 1)
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'[{section}]\n\t{name} = "{quoted}"\n'


def _copy(source: Path, target: Path) -> None:
    if source.is_file() and not source.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
