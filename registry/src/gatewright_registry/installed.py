"""Plugins that are installed as Python packages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from gatewright_sdk import PluginError

GROUP = "gatewright"


class ResolveError(PluginError):
    """What a manifest names cannot be had. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Candidate:
    """An installed plugin that has not been imported yet.

    Attributes:
        name: of the plugin: its entry point's.
        version: of the distribution it comes from.
        distribution: that distribution's name.
        entry_point: what to load.
    """

    name: str
    version: str
    distribution: str
    entry_point: EntryPoint


def installed() -> Mapping[str, Candidate]:
    """Every installed plugin by name. Nothing is imported."""
    found: dict[str, Candidate] = {}
    for point in entry_points(group=GROUP):
        distribution = point.dist
        found[point.name] = Candidate(
            point.name,
            distribution.version if distribution is not None else "0",
            distribution.name if distribution is not None else "",
            point,
        )
    return dict(sorted(found.items()))


def resolve(name: str, versions: str | None, available: Mapping[str, Candidate]) -> Candidate:
    """The installed plugin of that name, if its version is in the range (PEP 440 specifiers).

    Raises:
        ResolveError: it is not installed, its version does not fit, or the range is no range.
    """
    candidate = available.get(name)
    if candidate is None:
        near = difflib.get_close_matches(name, available, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"install it, e.g. pip install gatewright-{name}"
        raise ResolveError(f"plugin {name!r} is not installed", hint)
    if versions is None:
        return candidate
    try:
        wanted = SpecifierSet(versions)
    except InvalidSpecifier as error:
        raise ResolveError(f"{versions!r} is not a version range", "write e.g. >=1.2,<2") from error
    try:
        fits = wanted.contains(Version(candidate.version), prereleases=True)
    except InvalidVersion:
        fits = False
    if not fits:
        raise ResolveError(
            f"plugin {name!r} is installed as version {candidate.version}, which is not in {versions}",
            f"install another, e.g. pip install 'gatewright-{name}{versions}'",
        )
    return candidate
