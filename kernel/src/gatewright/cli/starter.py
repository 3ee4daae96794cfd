"""``gatewright init``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from gatewright.cli.output import Output
from gatewright.cli.run import DEFAULT_MANIFEST
from gatewright.errors import StartError


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), default=DEFAULT_MANIFEST)
@click.option("--upstream", default="http://127.0.0.1:9000", show_default=True, help="What to put the gateway before.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(manifest: Path, upstream: str, force: bool) -> None:
    """Write a manifest to start from, with comments."""
    text = files("gatewright.cli").joinpath("starter.yaml").read_text().replace("http://127.0.0.1:9000", upstream)
    try:
        with manifest.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError:
        raise StartError(f"{manifest} is there already; give another name, or --force to write over it") from None
    except OSError as error:
        raise StartError(f"cannot write {manifest}: {error.strerror}") from error
    output = Output()
    output.line(f"wrote {manifest}", "green")
    output.line(f"gatewright check {manifest}    says whether it is fine")
    output.line(f"gatewright run {manifest}      serves it")


COMMANDS = (init,)
