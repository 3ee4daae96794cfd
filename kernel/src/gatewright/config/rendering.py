"""The effective config as text: everything said, every default filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gatewright.config.loading import Loaded, Place

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def render(loaded: Loaded, *, resolve: bool = False) -> str:
    """YAML that loads to an equal manifest.

    Args:
        resolve: put in what ``${…}`` stands for; without it, what was written stays.
    """
    document = _escaped(loaded.manifest.model_dump(mode="json", by_alias=True))
    if not resolve:
        for place, written in loaded.written.items():
            _put(document, _in_full(place, loaded.document), written)
    text: str = yaml.dump(document, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    return text


def _escaped(value: Any) -> Any:
    """Text that holds ``${`` would be taken for an expression when it is read again."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value


def _in_full(place: Place, document: Mapping[str, Any]) -> Place:
    """A place in what was written, as a place in the full form."""
    full: list[str | int] = []
    value: Any = document
    for index, part in enumerate(place):
        above = place[index - 1] if index else None
        in_plugins = isinstance(above, int) and index >= 2 and place[index - 2] == "plugins"
        if in_plugins and isinstance(value, dict) and "name" not in value and len(value) == 1:
            full.append("version" if place[0] == "plugins" else "config")
        elif part != "<<":
            full.append(part)
        value = value[part] if part != "<<" else value
    if not isinstance(value, dict) and len(place) >= 2:
        if place[-2] == "targets":
            full.append("url")
        elif place[-2] == "plugins":
            full.append("name")
        elif len(place) >= 3 and place[0] == "routes" and place[-3:-1] in (("match", "headers"), ("match", "query")):
            full.append("exact")
    return tuple(full)


def _put(document: Any, place: Place, value: str) -> None:
    for part in place[:-1]:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(document, dict | list):
        document[place[-1]] = value  # type: ignore[index]
