"""Commands that look at a manifest and send nothing: check, render, schema, explain, order."""

from __future__ import annotations

import difflib
import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import click

from gatewright.cli.output import Output
from gatewright.cli.run import DEFAULT_MANIFEST
from gatewright.config.loading import Loaded, load
from gatewright.config.rendering import render as render_manifest
from gatewright.config.schema import json_schema
from gatewright.errors import ConfigError, StartError
from gatewright.events import Events
from gatewright.host.plugins import LoadedPlugin, discover
from gatewright.pipeline.chain import Chain
from gatewright.routing.explain import Explanation
from gatewright.routing.explain import explain as explain_routing
from gatewright.snapshot.compiler import Compiler
from gatewright.snapshot.model import Snapshot
from gatewright_sdk import HOOKS, ClientError, Headers, Request

_argument = click.argument(
    "manifest", type=click.Path(path_type=Path), default=DEFAULT_MANIFEST, envvar="GATEWRIGHT_CONFIG"
)
_option = click.option(
    "-c",
    "--config",
    "manifest",
    type=click.Path(path_type=Path),
    default=DEFAULT_MANIFEST,
    envvar="GATEWRIGHT_CONFIG",
    show_default=True,
    help="The manifest: a file or a folder.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def compile_manifest(manifest: Path) -> tuple[Loaded, Snapshot]:
    """What the gateway would serve; the same code as when it runs.

    Raises:
        ConfigError: with all that is wrong.
    """
    loaded = load(manifest)
    with tempfile.TemporaryDirectory() as run_dir:
        compiler = Compiler(run_dir=Path(run_dir), worker=-1, events=Events())
        return loaded, anyio.run(compiler.compile, loaded.manifest, loaded.sources.problem)


@click.command()
@_argument
@_json
def check(manifest: Path, as_json: bool) -> None:
    """Say what is wrong with MANIFEST; exits with 1 if anything is."""
    output = Output()
    try:
        loaded, _ = compile_manifest(manifest)
    except ConfigError as error:
        if not as_json:
            raise
        problems = [
            {name: getattr(problem, name) for name in ("file", "line", "column", "key", "message", "hint")}
            for problem in error.problems
        ]
        output.json({"ok": False, "problems": problems})
        raise SystemExit(1) from None
    found = loaded.manifest
    if as_json:
        output.json({"ok": True, "problems": []})
    else:
        counts = f"{len(found.routes)} routes, {len(found.services)} services, {len(found.plugins)} plugins"
        output.line(f"{manifest} is fine: {counts}", "green")


@click.command()
@_argument
@click.option("--resolve", is_flag=True, help="Put in what ${env:…} and ${file:…} stand for, secrets included.")
def render(manifest: Path, resolve: bool) -> None:
    """Print the effective config: folders merged, every default said."""
    click.echo(render_manifest(load(manifest), resolve=resolve), nl=False)


@click.command()
def schema() -> None:
    """Print the JSON Schema of the manifest, for editors, with every installed plugin's options."""
    kinds = {
        name: (each.plugin.filter.config_model if each.plugin.filter is not None else None, each.plugin.settings)
        for name, each in discover().items()
        if isinstance(each, LoadedPlugin)
    }
    click.echo(json.dumps(json_schema(kinds), indent=2))


@click.command()
@click.argument("route")
@_option
@_json
def order(route: str, manifest: Path, as_json: bool) -> None:
    """Print which hooks run for ROUTE, in which order."""
    _, snapshot = compile_manifest(manifest)
    compiled = snapshot.routes.get(route)
    if compiled is None:
        near = difflib.get_close_matches(route, snapshot.routes, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "'gatewright render' lists them"
        raise StartError(f"{manifest} has no route {route!r}; {hint}")
    output = Output()
    if as_json:
        output.json({"route": route, "hooks": hooks_of(compiled.chain)})
    else:
        _print_hooks(output, compiled.chain)


@click.command()
@click.argument("method")
@click.argument("url")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; repeatable.")
@click.option("--client", default="127.0.0.1", show_default=True, help="The client's address.")
@_option
@_json
def explain(method: str, url: str, headers: tuple[str, ...], client: str, manifest: Path, as_json: bool) -> None:
    """Say which route takes a request, why the others do not, and which hooks would run.

    Nothing is sent. URL may be a path alone; then give the host with -H 'Host: …'.
    """
    loaded, snapshot = compile_manifest(manifest)
    request = make_request(method, url, headers, snapshot)
    explanation = explain_routing(((route, None) for route in loaded.manifest.routes), request, client)
    chain = snapshot.routes[explanation.winner].chain if explanation.winner is not None else snapshot.unmatched.chain
    described = _describe(explanation, request, snapshot, chain)
    if as_json:
        Output().json(described)
    else:
        _print_explanation(described, chain)


def make_request(method: str, url: str, headers: tuple[str, ...], snapshot: Snapshot) -> Request:
    """The request that a client would send.

    Raises:
        StartError: a header is none, the URL is none, or the gateway would refuse the path.
    """
    fields: list[tuple[str, str]] = []
    for header in headers:
        name, separator, value = header.partition(":")
        if not separator:
            raise StartError(f"{header!r} is not a header; write -H 'Name: value'")
        fields.append((name.strip(), value.strip()))
    parts = urlsplit(url)
    if parts.scheme not in ("", "http", "https"):
        raise StartError(f"{url!r} is not a URL of http or https, and not a path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc or next((value for name, value in fields if name.lower() == "host"), "localhost")
    try:
        path, query = snapshot.normalise(target.encode())
    except ClientError as error:
        raise StartError(f"the gateway answers {error.status} to this path: {error.detail}") from error
    return Request(
        method.upper(),
        path,
        query=query,
        scheme=parts.scheme or "http",
        host=host.lower(),
        headers=Headers([field for field in fields if field[0].lower() != "host"]),
    )


def hooks_of(chain: Chain) -> dict[str, list[dict[str, Any]]]:
    """For each hook the filters that have it, in the order in which they run."""
    found: dict[str, list[dict[str, Any]]] = {}
    for hook in HOOKS:
        filters = [each for each in chain.attached if hook in each.hooks]
        if hook in ("on_response", "on_response_chunk", "on_response_event", "on_error"):
            filters.reverse()
        if filters:
            found[hook] = [
                {
                    "plugin": each.plugin,
                    "attachment": each.key,
                    "phase": each.phase.name.lower(),
                    "from": each.origin,
                    "on_failure": "open" if each.is_open else "closed",
                }
                for each in filters
            ]
    return found


def _describe(explanation: Explanation, request: Request, snapshot: Snapshot, chain: Chain) -> dict[str, Any]:
    service = snapshot.routes[explanation.winner].service if explanation.winner is not None else None
    query = f"?{request.query}" if request.query else ""
    return {
        "request": f"{request.method} {request.scheme}://{request.host}{request.path}{query}",
        "route": explanation.winner,
        "params": dict(explanation.params),
        "service": service.name if service is not None else None,
        "targets": [endpoint.url for endpoint in service.endpoints] if service is not None else [],
        "sends": f"{request.method} {explanation.upstream_path}{query}" if explanation.upstream_path else None,
        "refusal": explanation.refusal or None,
        "hooks": hooks_of(chain),
        "others": [{"route": name, "reason": reason} for name, reason in explanation.losers],
    }


def _print_explanation(described: dict[str, Any], chain: Chain) -> None:
    output = Output()
    output.line(described["request"], "bold")
    if described["route"] is None:
        output.line("route     none: 404", "red")
    else:
        output.line(f"route     {described['route']}", "green")
    if described["params"]:
        output.line("params    " + ", ".join(f"{name}={value}" for name, value in described["params"].items()))
    if described["refusal"]:
        output.line(f"refused   {described['refusal']}", "red")
    elif described["service"] is not None:
        output.line(f"sends     {described['sends']}")
        output.line(f"to        {described['service']} ({', '.join(described['targets'])})")
    elif described["route"] is not None:
        output.line("sends     nothing: the route has no service, a plugin answers")
    if chain.attached:
        output.line()
        _print_hooks(output, chain)
    if described["others"]:
        output.line()
        output.line("Routes that do not take it:", "bold")
        output.table(("route", "why"), [(each["route"], each["reason"]) for each in described["others"]])


def _print_hooks(output: Output, chain: Chain) -> None:
    rows = [
        (hook, position, each["attachment"], each["phase"], each["from"], each["on_failure"])
        for hook, filters in hooks_of(chain).items()
        for position, each in enumerate(filters, 1)
    ]
    if rows:
        output.table(("hook", "#", "plugin", "phase", "attached at", "on failure"), rows)
    else:
        output.line("no hooks")


COMMANDS = (check, render, schema, explain, order)
