"""Package indexes of the host, for builds only: pip's configuration and folders that it names.

Certificates and proxies are handed over by the sandbox itself (sandboxes.network). The settings
may hold an index's credentials, and a build runs the project's set-up code with a network:
whoever configures a private index lets the projects that are built see it.
"""

import configparser
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from evo_agent.core.confinement import Mount

_PASSED = ("PIP_", "UV_", "NPM_CONFIG_")
_PLACES = ("_CERT", "CONFIG_FILE", "CACHE_DIR", "REQUIRE_VIRTUALENV", "TARGET", "PREFIX", "LOG")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Variables and read-only mounts for the commands of a build."""

    env: Mapping[str, str]
    mounts: tuple[Mount, ...]


def build_settings(environ: Mapping[str, str] | None = None) -> BuildSettings:
    """Collect the host's settings.

    Args:
        environ: variables of the host (default: the process's).
    """
    environ = os.environ if environ is None else environ
    env = _pip_configuration(environ)
    env |= {name: value for name, value in environ.items() if name.upper().startswith(_PASSED)}
    env = {name: value for name, value in env.items() if not name.upper().endswith(_PLACES)}
    env |= {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1", "PIP_NO_INPUT": "1"}
    folders = sorted(set(_local_indexes(env)))
    return BuildSettings(env, tuple(Mount(folder, str(folder)) for folder in folders))


def _pip_configuration(environ: Mapping[str, str]) -> dict[str, str]:
    """The host's pip.conf files as variables, the later file winning, as pip does."""
    env: dict[str, str] = {}
    files = [Path(name).expanduser() for name in _PIP_FILES]
    if environ.get("PIP_CONFIG_FILE"):
        files.append(Path(environ["PIP_CONFIG_FILE"]))
    for file in files:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            for key, value in parser.items(section) if parser.has_section(section) else ():
                env[f"PIP_{key.upper().replace('-', '_')}"] = " ".join(value.split())
    return env


def _local_indexes(env: Mapping[str, str]) -> Iterator[Path]:
    """Folders of this machine that the settings name as indexes or wheel houses."""
    for name, value in env.items():
        if "INDEX" in name.upper() or "FIND_LINKS" in name.upper():
            for word in value.replace(",", " ").split():
                parts = urlsplit(word)
                path = Path(unquote(parts.path) if parts.scheme == "file" else word)
                if path.name == "simple":  # PEP 503: its pages link to files beside it
                    path = path.parent
                if path.is_absolute() and path.is_dir() and path.parent != path:
                    yield path
