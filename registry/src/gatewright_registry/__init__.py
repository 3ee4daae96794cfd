"""Finds and resolves plugins. Today: installed distributions, by the entry point group ``gatewright``."""

from gatewright_registry.installed import Candidate, ResolveError, installed, resolve

__version__ = "0.1.0"

__all__ = ["Candidate", "ResolveError", "installed", "resolve"]
