"""Which runs were made here.

`.evo` lies in a repository, and a repository can come with a `.evo` of its own making. A run's
log says which commands, which sandbox and which place to deliver to, so one that is resumed or
replayed must be this person's: its first event bears a keyed hash (HMAC-SHA-256, RFC 2104), and
the key lies outside every repository. Any log can be read.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evo_agent.core.config import STATE_FOLDER, Config, data_folder
from evo_agent.core.errors import StoreError
from evo_agent.core.events import EVENTS_FILE, digest

SEAL = "seal"
_KEY_BYTES = 32
_READ = (EVENTS_FILE, "patch.diff", "verdict.json")  # what a run's folder is read for


def seal(data: Mapping[str, Any]) -> str:
    """The seal of a run's first event.

    Raises:
        StoreError: the key cannot be kept.
    """
    unsealed = {name: value for name, value in data.items() if name != SEAL}
    return hmac.new(_key(), digest(unsealed).encode(), "sha256").hexdigest()


def check_seal(folder: Path, data: Mapping[str, Any]) -> None:
    """Refuse a run that this person's evo did not make.

    Raises:
        StoreError: the first event of the run, `data`, is not sealed with the person's key.
    """
    if not hmac.compare_digest(str(data.get(SEAL, "")), seal(data)):
        raise StoreError(
            f"run {folder.name} was not made here, and a run from elsewhere is not acted on",
            "look at it with `evo runs show`, or start a run of your own",
        )


def refuse_links(root: Path) -> None:
    """Refuse a state folder that a repository has led elsewhere.

    Raises:
        StoreError: a symbolic link stands where evo is to write.
    """
    state = root / STATE_FOLDER
    for path in (state, state / ".gitignore", state / "runs"):
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link, and not written through", f"rm {path}")


def is_plain(folder: Path) -> bool:
    """Whether a run's folder, and what is read of it, are no links, pipes or devices."""
    return _mode(folder, stat.S_ISDIR) and all(
        _mode(folder / name, stat.S_ISREG) or not os.path.lexists(folder / name) for name in _READ
    )


def _mode(path: Path, kind: Any) -> bool:
    try:
        return bool(kind(path.lstat().st_mode))
    except OSError:
        return False


def _key() -> bytes:
    """The person's key, made at its first use; of two made at once, one is kept by both."""
    path = data_folder(Config(), None).parent / "runs.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
            try:
                path.hardlink_to(fresh)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path} cannot be kept: {error.strerror}",
            "free some space there, or set EVO_HOME to a folder that can be written",
        ) from error
    if len(key) != _KEY_BYTES:
        raise StoreError(f"{path} is damaged", f"rm {path} (older runs are then not resumed)")
    return key
