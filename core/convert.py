"""A configured value, checked against the type that its key has."""

import math
import types
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from evo_agent.core.errors import ConfigError


def convert(value: Any, wanted: Any, source: str) -> Any:
    """Check a value from TOML or a flag, or parse one from a variable (a string).

    Args:
        value: as given.
        wanted: the type as it is annotated.
        source: where it stands, for the error.

    Raises:
        ConfigError: it is not of that type.
    """
    try:
        if get_origin(wanted) is tuple:
            items = value.split("\n") if isinstance(value, str) else list(value)
            return tuple(convert(item, get_args(wanted)[0], source) for item in items)
        if get_origin(wanted) in (Mapping, dict, types.MappingProxyType) or isinstance(
            value, Mapping
        ):
            return {str(k): str(v) for k, v in dict(value).items()}
        if wanted is bool:
            return _boolean(value)
        if wanted in (int, float) and not isinstance(value, bool):
            number = wanted(value)
            if number < 0 or not math.isfinite(number):  # nan compares as below every limit
                raise ValueError("negative")  # noqa: TRY301
            return number
        if wanted is str and isinstance(value, str):
            return value
    except (TypeError, ValueError, OverflowError):
        pass
    name = getattr(wanted, "__name__", str(wanted))
    raise ConfigError(f"{source}: {value!r:.80} is not a {name}", "see `evo init` for an example")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(value)
