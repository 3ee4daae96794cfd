"""The plugin host: what is loaded, and what plugins are given."""

from gatewright.host.context import HostContext, Shared
from gatewright.host.plugins import LoadedPlugin, PluginHost, discover

__all__ = ["HostContext", "LoadedPlugin", "PluginHost", "Shared", "discover"]
