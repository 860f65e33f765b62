"""The errors a person sees: one line of cause, one line of remedy, one exit code."""

from typing import ClassVar


class EvoError(Exception):
    """An expected failure, shown without a traceback.

    Args:
        cause: what went wrong, and with what, as one line.
        remedy: what to do about it, as one line; empty where nothing can be done.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


class UsageError(EvoError):
    """The command line or the configuration asks for something that cannot be."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file or an EVO_* variable holds something that cannot be used."""


class RepositoryError(EvoError):
    """The user's repository is missing, dirty, unborn or otherwise unfit for the request."""


class MissingDependencyError(EvoError):
    """A package of an extra, or a program of the system, is not installed."""


class InfrastructureError(EvoError):
    """The machinery failed (engine, disk, network), so nothing is known about the patch.

    Kept apart from every verdict about a patch: it is never counted for or against a
    solver, a memory or a skill.
    """


class SandboxError(InfrastructureError):
    """A sandbox could not be started, or died under a command."""


class EnvironmentBuildError(InfrastructureError):
    """The project's environment (interpreter and dependencies) could not be built."""


class StoreError(InfrastructureError):
    """The run log, the journal or the index could not be read or written."""


class ModelError(EvoError):
    """The model endpoint is unreachable, refuses, or keeps answering nonsense."""


class SolverStopError(EvoError):
    """The solver stopped before it submitted (limits, or nothing left to try).

    Not a failure of the run: the best attempt so far is kept and shown as such.
    """


class PatchRefusedError(EvoError):
    """A change does what no fix may: it touches `.git`, a submodule, a link out, or too much."""


class PatchDoesNotApplyError(EvoError):
    """A patch is malformed, or does not fit the files that it is for."""
