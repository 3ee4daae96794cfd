"""The group of commands, and how failures of ours reach the terminal."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

import click

from gatewright.cli import inspect, operate, plugins, run, starter
from gatewright.cli.output import Output
from gatewright.errors import ConfigError
from gatewright_sdk import GatewrightError


class Group(click.Group):
    """Prints our errors as lines, not as tracebacks, and exits with 1."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **options: Any) -> Any:
        # Loading a config makes a million objects that all stay: the collector would look at them again and again.
        gc.set_threshold(100_000, 50, 1000)
        try:
            return super().main(args, *positional, **options)
        except ConfigError as error:
            Output().problems(error.problems)
        except GatewrightError as error:
            Output().error(str(error))
        sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gatewright", prog_name="gatewright")
def main() -> None:
    """An API gateway built like a microkernel: a small kernel, and every feature a plugin.

    \b
    gatewright init            writes a manifest to start from
    gatewright run             serves it
    gatewright explain GET /x  says which route would take a request, and why
    """


for command in (*run.COMMANDS, *operate.COMMANDS, *inspect.COMMANDS, *plugins.COMMANDS, *starter.COMMANDS):
    main.add_command(command)
