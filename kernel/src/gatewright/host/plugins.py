"""Loading what the manifest names. pluggy is used here, and is out of the picture when requests run."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
from pydantic import ValidationError

from gatewright.config.messages import explain_error
from gatewright.config.models import PluginEntry
from gatewright.errors import ConfigError, Problem, StartError
from gatewright.events import Event
from gatewright.host.context import HostContext, Shared
from gatewright_registry import Candidate, ResolveError, installed, resolve
from gatewright_sdk import Component, Plugin, PluginConfig, PluginError, PluginSpec

#: Makes a problem of a place in the manifest, a message and a hint.
Locate = Callable[[tuple[str | int, ...], str, str], Problem]


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that has been imported.

    Attributes:
        settings: the plugin-wide settings, validated.
    """

    plugin: Plugin
    version: str
    distribution: str
    settings: PluginConfig = field(default_factory=PluginConfig)


def discover() -> Mapping[str, LoadedPlugin | str]:
    """Every installed plugin, imported one by one; the text of its failure where one is broken."""
    found: dict[str, LoadedPlugin | str] = {}
    for name, candidate in installed().items():
        try:
            found[name] = LoadedPlugin(_load(candidate), candidate.version, candidate.distribution)
        except PluginError as error:
            found[name] = str(error)
    return found


class PluginHost:
    """The plugins of one manifest."""

    def __init__(self, entries: Sequence[PluginEntry], plugins: Mapping[str, LoadedPlugin]) -> None:
        self.entries = tuple(entries)
        self.plugins = plugins
        self._components: dict[str, tuple[Component, HostContext]] = {}

    @classmethod
    def load(cls, entries: Sequence[PluginEntry], locate: Locate) -> PluginHost:
        """Import every plugin of the manifest.

        Raises:
            ConfigError: with one problem for each that is missing, broken, of another version, or
                whose settings are wrong.
        """
        available = installed()
        plugins: dict[str, LoadedPlugin] = {}
        problems: list[Problem] = []
        for index, entry in enumerate(entries):
            place: tuple[str | int, ...] = ("plugins", index)
            try:
                candidate = resolve(entry.name, entry.version, available)
                plugin = _load(candidate)
                settings = plugin.settings.model_validate(entry.settings)
            except ResolveError as error:
                problems.append(locate(place, str(error), error.hint))
            except PluginError as error:
                problems.append(locate(place, str(error), ""))
            except ValidationError as error:
                problems.extend(config_problems(error, (*place, "settings"), plugin.settings, locate))
            else:
                plugins[entry.name] = LoadedPlugin(plugin, candidate.version, candidate.distribution, settings)
        if problems:
            raise ConfigError(problems)
        return cls(entries, plugins)

    async def start_components(
        self, run_dir: Path, emit: Callable[[Event], None], previous: PluginHost | None = None
    ) -> None:
        """Start the supervisor parts; one whose plugin and settings did not change goes on running.

        Raises:
            StartError: one cannot start; those that this call started are stopped again, those that
                it stopped are started again.
        """
        shared = Shared()
        running = dict(previous._components) if previous is not None else {}
        for name, loaded in self.plugins.items():
            kind = loaded.plugin.supervisor
            if kind is None:
                continue
            old = previous.plugins.get(name) if previous is not None else None
            if name in running and old is not None and (old.plugin, old.settings) == (loaded.plugin, loaded.settings):
                self._components[name] = running.pop(name)
                continue
            replaced = running.get(name)
            if replaced is not None:
                await replaced[0].stop()
            context = HostContext(
                plugin=name,
                attachment=name,
                settings=loaded.settings,
                run_dir=run_dir,
                worker=-1,
                shared=shared,
                emit=emit,
            )
            component = kind(loaded.settings)
            try:
                await component.start(context)
            except PluginError as error:
                await context.close()
                if replaced is not None:
                    await replaced[0].start(replaced[1])
                raise StartError(f"plugin {name!r}: {error}") from error
            self._components[name] = (component, context)
            if replaced is not None:
                await replaced[1].close()
                del running[name]
        for component, context in running.values():
            await component.stop()
            await context.close()

    async def stop_components(self) -> None:
        for component, context in self._components.values():
            await component.stop()
            await context.close()
        self._components.clear()


def config_problems(
    error: ValidationError, place: tuple[str | int, ...], model: type[PluginConfig], locate: Locate
) -> list[Problem]:
    """A plugin's config errors, each at its key."""
    return [locate((*place, *item["loc"]), *explain_error(item, model)) for item in error.errors(include_url=False)]


def _load(candidate: Candidate) -> Plugin:
    """Import an entry point and ask it, through pluggy, for the plugin of its name."""
    name = candidate.name
    try:
        offered: Any = candidate.entry_point.load()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise PluginError(
            f"plugin {name!r} cannot be imported: {type(error).__name__}: {error} ({last.filename}:{last.lineno})"
        ) from error
    manager = pluggy.PluginManager("gatewright")
    manager.add_hookspecs(PluginSpec)
    manager.register(offered)
    for plugins in manager.hook.gatewright_plugins():
        for plugin in plugins:
            if isinstance(plugin, Plugin) and plugin.name == name:
                return plugin
    raise PluginError(f"plugin {name!r}: its entry point {candidate.entry_point.value!r} offers no Plugin({name!r})")
