"""What plugin config models are made of.

A model is frozen, refuses keys that it does not know, and describes every field: the description
becomes the options table of the plugin's README and the published JSON Schema.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_LONGEST = 365_250 * 86400.0
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_SIZE_UNITS = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def parse_duration(value: Any) -> float:
    """Seconds from a number or from text such as ``250ms``, ``5s``, ``1.5m``, ``2h``, ``1d``.

    Raises:
        ValueError: it is neither, negative, or longer than 1,000 years.
    """
    seconds = value
    if isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        seconds = None if found is None else float(found[1]) * _DURATION_UNITS[found[2]]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST:
        raise ValueError(f"{value!r} is not a duration; write seconds or e.g. 250ms, 5s, 2m, 1h")
    return float(seconds)


def parse_size(value: Any) -> int:
    """Bytes from a number or from text such as ``64KiB``, ``10MB``; a fraction of a byte is cut off.

    Raises:
        ValueError: it is neither, or negative.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} is not a size; write bytes or e.g. 64KiB, 10MB")
        # Decimal, because 0.57 kB is 570 bytes and not 569.
        return int(Decimal(found[1]) * _SIZE_UNITS[found[2]])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a size; write bytes or e.g. 64KiB, 10MB")
    return value


#: Seconds as float; config may write ``250ms``, ``5s``, ``2m``, ``1h``, ``1d`` or a number.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^" + _DURATION.pattern + "$"}]}
    ),
]

#: Bytes as int; config may write ``64KiB``, ``10MB`` or a number.
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^" + _SIZE.pattern + "$"}]}
    ),
]


class PluginConfig(BaseModel):
    """The base of every plugin's config model: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
