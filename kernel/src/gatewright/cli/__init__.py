"""The ``gatewright`` command."""

from gatewright.cli.main import main

__all__ = ["main"]
