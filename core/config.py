"""Configuration: evo.toml or [tool.evo] in pyproject.toml, then EVO_* variables, then flags.

Every key stands here, with its default and its unit. An unknown key is an error that names
the nearest known one: a misspelt limit must not silently be no limit.
"""

import difflib
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from evo_agent.core.convert import convert
from evo_agent.core.errors import ConfigError

STATE_FOLDER = ".evo"  # in the repository: runs and skills

# A repository's own files are written by whoever wrote the repository. They may not switch the
# isolation off, nor choose who gets prompts, records and the person's API key (some of litellm's
# providers take a URL in the model's name, and "replay:" opens a file).
_NOT_FROM_REPOSITORIES = (
    *("model.name", "model.api_base", "memory.path"),
    *("memory.quarantine", "memory.merge_cosine", "memory.cap", "memory.idle_days"),
)
_NOT_LOCAL_FROM_REPOSITORIES = "sandbox.backend"
_NOT_REMOTE_FROM_REPOSITORIES = "memory.embedder"
# Nor lift what bounds the person's money and machine: from 0 (no limit) excluded up to these.
_MOST_FROM_REPOSITORIES: Mapping[str, float] = {
    "limits.tokens": 2_000_000,
    "limits.dollars": 5.0,
    "sandbox.memory_mb": 32_768,
    "sandbox.cpus": 64,
    "sandbox.processes": 4096,
}
_MAX_BYTES = 1024 * 1024  # of a configuration file


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model drives the agent. No name: the repair solver works, without a model."""

    name: str = ""  # litellm's "provider/model", or "replay:FILE"
    api_base: str = ""
    text_actions: bool = False  # for models without tool calls
    temperature: float = 0.0
    max_output_tokens: int = 8192
    context_tokens: int = 100_000  # the prompt is kept below this
    timeout: float = 300.0  # seconds a call
    retries: int = 5


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What one run may use; 0 means no limit."""

    rounds: int = 3
    steps: int = 100  # model calls a round
    tokens: int = 2_000_000
    seconds: float = 3600.0
    dollars: float = 5.0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Where commands run, and how the project is set up and tested there."""

    backend: str = "auto"  # auto | docker | podman | bubblewrap | local
    image: str = ""  # docker image; empty for the default or what the repository describes
    setup: tuple[str, ...] = ()  # commands that build the environment (network allowed)
    test: str = ""  # command that runs the whole suite; empty: detected (Python)
    test_one: str = ""  # command that runs {tests}; empty: detected, or `test` is used
    report: str = ""  # JUnit XML file that the command writes, relative to the root
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0  # seconds a command
    memory_mb: int = 4096
    cpus: float = 2.0
    processes: int = 512


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """How a patch is judged."""

    repeats: int = 2  # runs that must agree
    seconds: float = 900.0  # for the regression tests together


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """Where memory lives and how it is embedded."""

    enabled: bool = True
    path: str = ""  # folder of journal and index; empty: the user's data folder, shared
    embedder: str = "lexical"  # lexical | minilm | litellm:<model>
    limit: int = 5  # records shown to the solver
    control: float = 0.0  # share of runs that work without it, which measures what it is worth
    quarantine: tuple[str, ...] = ("measured",)  # of measured, reme, evolver: any of them does
    merge_cosine: float = 0.0  # near-duplicates merge from here on; 0: as measured for the embedder
    cap: int = 500  # lessons and candidate skills kept per repository and kind; 0: all
    idle_days: float = 365.0  # lessons that nobody used for so long are archived; 0: never


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be configured, in tables as they stand in evo.toml."""

    model: ModelConfig = field(default_factory=ModelConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)


T = TypeVar("T")


def load_config(
    repo: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Read the configuration of a repository.

    Args:
        repo: the repository's top folder; None reads no file.
        environ: where EVO_<TABLE>_<KEY> is looked up (default: the process's environment).
        flags: "table.key" to value; None values are left out.

    Raises:
        ConfigError: a file cannot be parsed, a key is unknown, or a value has a wrong type.
    """
    config = Config()
    for table, source in _files(repo):
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source} must be a table", "see `evo init` for an example")
        config = _apply(config, table, source)
        _refuse_what_is_not_theirs(table, source)
    config = _apply_environment(config, os.environ if environ is None else environ)
    for dotted, value in (flags or {}).items():
        if value is not None:
            table_name, key = dotted.split(".", 1)
            config = _apply(config, {table_name: {key: value}}, f"flag for {dotted}")
    return config


def data_folder(config: Config, repo: Path | None) -> Path:
    """The folder of journal and index (not created here)."""
    if config.memory.path:
        path = Path(config.memory.path).expanduser()
        return path if path.is_absolute() or repo is None else repo / path
    home = os.environ.get("EVO_HOME")
    if home:
        return Path(home).expanduser() / "memory"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "evo" / "memory"


def cache_folder() -> Path:
    """The folder of built environments and images (not created here)."""
    home = os.environ.get("EVO_HOME")
    if home:
        return Path(home).expanduser() / "cache"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "evo"


def _files(repo: Path | None) -> list[tuple[Any, str]]:
    if repo is None:
        return []
    found: list[tuple[Any, str]] = []
    project = _toml(repo / "pyproject.toml").get("tool", {})
    if isinstance(project, Mapping) and "evo" in project:
        found.append((project["evo"], "pyproject.toml [tool.evo]"))
    own = _toml(repo / "evo.toml")
    if own:
        found.append((own, "evo.toml"))
    return found


def _refuse_what_is_not_theirs(tables: Mapping[str, Any], source: str) -> None:
    for table, values in tables.items():
        for key, value in values.items():
            name = f"{table}.{key}"
            if not _theirs_to_decide(name, value):
                variable = f"EVO_{table}_{key}".upper()
                raise ConfigError(
                    f"{source} sets {name} = {value!r:.80}, which a repository may not decide",
                    f"remove it there, and set {variable} in your own environment if you want it",
                )


def _theirs_to_decide(name: str, value: Any) -> bool:
    if name in _NOT_FROM_REPOSITORIES:
        return False
    if name == _NOT_LOCAL_FROM_REPOSITORIES:
        return bool(value != "local")
    if name == _NOT_REMOTE_FROM_REPOSITORIES:
        return ":" not in value
    return name not in _MOST_FROM_REPOSITORIES or 0 < float(value) <= _MOST_FROM_REPOSITORIES[name]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except FileNotFoundError:
        return {}
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply", "mend the file, or remove it") from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", "mend the file, or remove it"
        ) from error


def _text(path: Path) -> str:
    """A repository's file, which may be anything: a pipe that never ends, a disk's worth."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("not a regular file")
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES >> 20} MB")
    return raw.decode("utf-8")


def _apply(config: Config, tables: Mapping[str, Any], source: str) -> Config:
    changes: dict[str, Any] = {}
    for name, values in tables.items():
        section = getattr(config, _known(name, Config, source), None)
        if not isinstance(values, Mapping) or not is_dataclass(section):
            raise ConfigError(f"{source}: {name} must be a table", f"write [{name}] above its keys")
        changes[name] = _replaced(section, values, f"{source}: {name}")
    return replace(config, **changes)


def _apply_environment(config: Config, environ: Mapping[str, str]) -> Config:
    for table in fields(Config):
        section = getattr(config, table.name)
        values = {
            key.name: environ[f"EVO_{table.name}_{key.name}".upper()]
            for key in fields(section)
            if f"EVO_{table.name}_{key.name}".upper() in environ
        }
        if values:
            new = _replaced(section, values, f"EVO_{table.name.upper()}_*")
            config = replace(config, **{table.name: new})
    return config


def _replaced(section: T, values: Mapping[str, Any], source: str) -> T:
    hints = get_type_hints(type(section))
    converted = {
        _known(key, type(section), source): convert(value, hints[key], f"{source}.{key}")
        for key, value in values.items()
        if _known(key, type(section), source)
    }
    return replace(section, **converted)  # type: ignore[type-var]


def _known(name: str, owner: type, source: str) -> str:
    names = [f.name for f in fields(owner)]
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    raise ConfigError(f"{source}: unknown key {name!r:.80}", hint)
