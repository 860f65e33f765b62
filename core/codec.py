"""From JSON back to the frozen dataclasses that `core.types.to_json` wrote."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_json(kind: type[T], raw: Any) -> T:
    """Rebuild a value of a dataclass from plain JSON.

    Keys that the class no longer has are dropped and missing ones take their defaults, so that
    older logs stay readable.

    Raises:
        TypeError, ValueError: the JSON does not have the class's shape.
    """
    value: T = _decode(kind, raw)
    return value


def _decode(kind: Any, raw: Any) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        return kind(**{k: _decode(hints[k], v) for k, v in dict(raw).items() if k in known})
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = next(a for a in args if a is not NoneType)
        return None if raw is None else _decode(inner, raw)
    if origin is tuple:
        return tuple(_decode(args[0], item) for item in raw)
    if origin in (Mapping, dict):
        return {key: _decode(args[1], item) for key, item in dict(raw).items()}
    if isinstance(kind, type) and issubclass(kind, Enum | Path):
        return kind(raw)
    return raw
