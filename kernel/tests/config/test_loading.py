"""Manifests from files: what is right loads, what is wrong is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewright.config.loading import load
from gatewright.config.rendering import render
from gatewright.errors import ConfigError

TOP = "gatewright: 1\nlisteners: [{bind: 127.0.0.1:8080}]\n"
UP = TOP + "services: [{name: up, targets: [http://a:1]}]\n"


def write(folder: Path, text: str, name: str = "m.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def problems(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, text), env or {})
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


# The text, and the one line that says what is wrong with it.
BAD: list[tuple[str, str]] = [
    # YAML itself
    ("a: [", "m.yaml:2:1: is not YAML: while parsing a flow node did not find expected node content"),
    ("a: 1\n\tb: 2", "indent with spaces"),
    ("- 1", "m.yaml:1:1: a manifest is a mapping of keys to values"),
    ("x", "m.yaml:1:1: a manifest is a mapping of keys to values"),
    ("", "m.yaml: is empty; 'gatewright init' writes a manifest to start from"),
    ("# nothing\n", "m.yaml: is empty; 'gatewright init' writes a manifest to start from"),
    (TOP + "---\n" + TOP, "write one document a file"),
    (TOP + "workers: 1\nworkers: 2\n", "m.yaml:4:1: the key 'workers' is given twice; first at line 3; remove one"),
    (TOP + "routes: [{name: a, name: b}]\n", "m.yaml:3:20: the key 'name' is given twice; first at line 3; remove one"),
    (TOP + "routes: !!python/object:os.system []\n", "m.yaml:3:9: the tag 'tag:yaml.org,2002:python/object:os.system' is not allowed"),
    (TOP + "drain: !x {}\n", "m.yaml:3:8: the tag '!x' is not allowed; remove it"),
    (TOP + "routes: &a [*a]\n", "is nested too deep; an alias may contain itself"),
    (TOP + "? [a]\n: 1\n", "m.yaml:3:3: a key must be text"),
    (TOP + "drain: {<<: 3}\n", "m.yaml:3:13: '<<' merges mappings only"),
    # the top
    ("listeners: [{bind: ':1'}]\n", "m.yaml:1:1: gatewright: the key 'gatewright' is missing"),
    ("gatewright: 2\nlisteners: [{bind: ':1'}]\n", "m.yaml:1:1: gatewright: must be 1, not 2"),
    ("gatewright: 1\n", "m.yaml:1:1: listeners: the key 'listeners' is missing"),
    ("gatewright: 1\nlisteners: []\n", "m.yaml:2:1: listeners: must have at least 1 item"),
    ("gatewright: 1\nlisteners: {}\n", "m.yaml:2:1: listeners: must be a list, not a mapping"),
    (TOP + "route: []\n", "m.yaml:3:1: route: unknown key 'route'; did you mean 'routes'?"),
    (TOP + "zzz: 1\n", "m.yaml:3:1: zzz: unknown key 'zzz'; the keys here are gatewright, workers, server_name, listeners, paths, plugins, global, services, routes, drain"),
    (TOP + "workers: many\n", "m.yaml:3:1: workers: must be a whole number or auto"),
    (TOP + "workers: 0\n", "m.yaml:3:1: workers: workers must be between 1 and 1024, or auto"),
    (TOP + "server_name: 'a b'\n", "m.yaml:3:1: server_name: 'a b' does not have the form"),
    (TOP + "drain: {timeout: soon}\n", "m.yaml:3:9: drain.timeout: 'soon' is not a duration; write seconds or e.g. 250ms, 5s, 2m, 1h"),
    (TOP + "drain: 5\n", "m.yaml:3:1: drain: must be a mapping, not 5"),
    (TOP + "paths: {merge_slashes: maybe}\n", "m.yaml:3:9: paths.merge_slashes: must be true or false, not 'maybe'"),
    (TOP + "paths: {dot_segments: resolv}\n", "m.yaml:3:9: paths.dot_segments: must be one of resolve, reject, keep, not 'resolv'; did you mean resolve?"),
    # listeners
    ("gatewright: 1\nlisteners: [{bind: 8080}]\n", "m.yaml:2:14: listeners[0].bind: must be text, not 8080"),
    ("gatewright: 1\nlisteners: [{bind: a}]\n", "m.yaml:2:14: listeners[0].bind: 'a' is not an address to listen on; write HOST:PORT, e.g. 127.0.0.1:8080 or [::]:8080"),
    ("gatewright: 1\nlisteners: [{bind: 'a:99999'}]\n", "m.yaml:2:14: listeners[0].bind: 'a:99999' is not an address"),
    ("gatewright: 1\nlisteners: [{bind: '::1:80'}]\n", "m.yaml:2:14: listeners[0].bind: '::1:80' is not an address"),
    ("gatewright: 1\nlisteners: [{bind: ':1'}, {bind: ':1'}]\n", "m.yaml:2:28: listeners[1].bind: the address ':1' is there already, at m.yaml:2; remove one"),
    ("gatewright: 1\nlisteners: [{bind: ':1', limits: {head_bytes: 1}}]\n", "m.yaml:2:35: listeners[0].limits.head_bytes: must be at least 256, not 1"),
    ("gatewright: 1\nlisteners: [{bind: ':1', limits: {head_bytes: 1 pound}}]\n", "'1 pound' is not a size; write bytes or e.g. 64KiB, 10MB"),
    ("gatewright: 1\nlisteners: [{bind: ':1', limits: {headers: 1}}]\n", "listeners[0].limits.headers: unknown key 'headers'"),
    ("gatewright: 1\nlisteners: [{bind: ':1', timeouts: {head: 0}}]\n", "listeners[0].timeouts.head: must be more than 0, not 0"),
    ("gatewright: 1\nlisteners: [{bind: ':1', backlog: 1.5}]\n", "listeners[0].backlog: must be a whole number, not 1.5"),
    ("gatewright: 1\nlisteners: [{bind: ':1', trusted_proxies: [10.0.0.0/40]}]\n", "m.yaml:2:44: listeners[0].trusted_proxies[0]: '10.0.0.0/40' does not appear to be an IPv4 or IPv6 network"),
    ("gatewright: 1\nlisteners: [{bind: ':1', name: 'a b'}]\n", "listeners[0].name: 'a b' does not have the form ^[A-Za-z0-9][A-Za-z0-9._-]*$; use letters, digits, '.', '_' and '-'"),
    # services
    (TOP + "services: [{name: a}]\n", "m.yaml:3:12: services[0].targets: the key 'targets' is missing"),
    (TOP + "services: [{name: a, targets: []}]\n", "services[0].targets: must have at least 1 item"),
    (TOP + "services: [{name: a, targets: ['a:1']}]\n", "m.yaml:3:32: services[0].targets[0]: 'a:1' is not a target; write http://HOST[:PORT]"),
    (TOP + "services: [{name: a, targets: ['http://a/b']}]\n", "(a path belongs in the route's rewrite)"),
    (TOP + "services: [{name: a, targets: ['ftp://a']}]\n", "services[0].targets[0]: 'ftp://a' is not a target"),
    (TOP + "services: [{name: a, targets: [{url: 'http://a', wieght: 1}]}]\n", "services[0].targets[0].wieght: unknown key 'wieght'; did you mean 'weight'?"),
    (TOP + "services: [{name: a, targets: [{url: 'http://a', weight: -1}]}]\n", "services[0].targets[0].weight: must be at least 0, not -1"),
    (TOP + "services: [{name: a, targets: [{url: 'http://a', weight: 0}]}]\n", "services[0].targets: every target has weight 0, so none takes requests; give one a weight"),
    (TOP + "services: [{name: a, targets: ['http://a'], balancer: {type: random}}]\n", "services[0].balancer.type: must be one of round_robin, least_requests, consistent_hash, not 'random'"),
    (TOP + "services: [{name: a, targets: ['http://a'], balancer: {key: path}}]\n", "services[0].balancer.key: the balancer round_robin has no key; set type: consistent_hash"),
    (TOP + "services: [{name: a, targets: ['http://a'], balancer: {type: consistent_hash, key: header}}]\n", "'header' is not a hash key"),
    (TOP + "services: [{name: a, targets: ['http://a'], tls: {verify: false}}]\n", "services[0].tls: no target is https://, so these options would do nothing; remove them"),
    (TOP + "services: [{name: a, targets: ['https://a'], tls: {verify: false, ca_file: x}}]\n", "services[0].tls.ca_file: with verify: false nothing is checked against it"),
    (TOP + "services: [{name: a, targets: ['http://a']}, {name: a, targets: ['http://b']}]\n", "services[1].name: the service 'a' is there already, at m.yaml:3; rename one"),
    (TOP + "services: [{name: a, targets: ['http://a'], pool: {max_connection: 1}}]\n", "services[0].pool.max_connection: unknown key 'max_connection'; did you mean 'max_connections'?"),
    (TOP + "services: [{name: a, targets: ['http://a'], timeouts: {conect: 1}}]\n", "services[0].timeouts.conect: unknown key 'conect'; did you mean 'connect'?"),
    # routes
    (UP + "routes: [{service: up}]\n", "m.yaml:4:10: routes[0].name: the key 'name' is missing"),
    (UP + "routes: [{name: r, service: upp}]\n", "m.yaml:4:20: routes[0].service: there is no service 'upp'; did you mean 'up'?"),
    (UP + "routes: [{name: r, service: zzz}]\n", "routes[0].service: there is no service 'zzz'; name one of the services"),
    (UP + "routes: [{name: r, service: up}, {name: r, service: up}]\n", "routes[1].name: the route 'r' is there already, at m.yaml:4; rename one"),
    (UP + "routes: [{name: r, mach: {}}]\n", "routes[0].mach: unknown key 'mach'; did you mean 'match'?"),
    (UP + "routes: [{name: r, match: {path: [/]}}]\n", "routes[0].match.path: unknown key 'path'; did you mean 'paths'?"),
    (UP + "routes: [{name: r, match: {paths: /a}}]\n", "routes[0].match.paths: must be a list, not '/a'"),
    (UP + "routes: [{name: r, match: {paths: [a]}}]\n", "routes[0].match.paths: 'a' is not a path; write /exact, /prefix/*, /users/{id} or ~REGEX"),
    (UP + "routes: [{name: r, match: {paths: ['~(']}}]\n", "'(' is not a regular expression"),
    (UP + "routes: [{name: r, match: {paths: ['/{a}/{a}']}}]\n", "routes[0].match.paths[0]: '/{a}/{a}' names a parameter twice; rename one"),
    (UP + "routes: [{name: r, match: {hosts: ['a:80']}}]\n", "'a:80' is not a host; write api.example.com or *.example.com, without a port"),
    (UP + "routes: [{name: r, match: {methods: [get]}}]\n", "'get' is not a method; methods are upper case, e.g. GET"),
    (UP + "routes: [{name: r, match: {schemes: [ws]}}]\n", "routes[0].match.schemes[0]: must be one of http, https, not 'ws'"),
    (UP + "routes: [{name: r, match: {clients: [x]}}]\n", "routes[0].match.clients[0]: 'x' does not appear to be an IPv4 or IPv6 network"),
    (UP + "routes: [{name: r, match: {headers: {x: {exat: 1}}}}]\n", "routes[0].match.headers.x.exat: unknown key 'exat'; did you mean 'exact'?"),
    (UP + "routes: [{name: r, match: {headers: {x: {}}}}]\n", "give exactly one of exact, prefix, regex, present"),
    (UP + "routes: [{name: r, match: {headers: {'a b': x}}}]\n", "routes[0].match.headers.a b: 'a b' is not a field name"),
    (UP + "routes: [{name: r, match: {query: {x: {regex: '['}}}}]\n", "'[' is not a regular expression"),
    (UP + "routes: [{name: r, priority: high}]\n", "routes[0].priority: must be a whole number, not 'high'"),
    (UP + "routes: [{name: r, service: up, rewrite: x}]\n", "rewrite 'x' must start with /"),
    (UP + "routes: [{name: r, service: up, rewrite: '/{id}'}]\n", "rewrite uses {id}, which the path '/*' does not have"),
    (UP + "routes: [{name: r, service: up, rewrite: [1]}]\n", "routes[0].rewrite: must be a path template, or a mapping of regex and to"),
    (UP + "routes: [{name: r, service: up, rewrite: {regex: a}}]\n", "routes[0].rewrite.to: the key 'to' is missing"),
    (UP + "routes: [{name: r, service: up, rewrite: {regex: a, to: '\\1'}}]\n", "does not fit 'a'"),
    (UP + "routes: [{name: r, service: up, rewrite: /, strip_prefix: true}]\n", "give strip_prefix or rewrite, not both"),
    (UP + "routes: [{name: r, service: up, strip_prefix: true, match: {paths: ['~/a']}}]\n", "routes[0].strip_prefix: the regular expression '~/a' has no prefix to strip; use rewrite"),
    (UP + "routes: [{name: r, strip_prefix: true}]\n", "routes[0].strip_prefix: without a service nothing is sent, so this would do nothing; name a service"),
    (UP + "routes: [{name: r, service: up, host_header: 'a b'}]\n", "routes[0].host_header: 'a b' is not a host; write target, preserve, or a host such as api.example.com"),
    (UP + "routes: [{name: r, limits: {body_bytes: -1}}]\n", "-1 is not a size"),
    # plugins
    (UP + "plugins: [cors, cors]\n", "plugins[1]: the plugin 'cors' is there already, at m.yaml:4; rename one"),
    (UP + "plugins: [{name: cors, settngs: {}}]\n", "plugins[0].settngs: unknown key 'settngs'; did you mean 'settings'?"),
    (UP + "plugins: [5]\n", "plugins[0]: must be a mapping, not 5"),
    (UP + "plugins: [cors]\nroutes: [{name: r, plugins: [corz]}]\n", "m.yaml:5:30: routes[0].plugins[0]: the plugin 'corz' is not in the list of plugins; did you mean 'cors'?"),
    (UP + "routes: [{name: r, plugins: [{cors: {}}]}]\n", "the plugin 'cors' is not in the list of plugins; add it: plugins: [cors]"),
    (UP + "plugins: [cors]\nroutes: [{name: r, plugins: [cors, {cors: {}}]}]\n", "routes[0].plugins[1]: the attachment 'cors' is there already, at m.yaml:5; give one of them an id"),
    (UP + "plugins: [cors]\nroutes: [{name: r, plugins: [{name: cors, on_failure: opn}]}]\n", "must be one of open, closed, not 'opn'; did you mean open?"),
    (UP + "plugins: [cors]\nroutes: [{name: r, plugins: [{name: cors, phase: edges}]}]\n", "routes[0].plugins[0].phase: must be one of edge, identify"),
    (UP + "plugins: [cors]\nroutes: [{name: r, plugins: [{name: cors, after: [cors]}]}]\n", "routes[0].plugins[0].after: 'cors' cannot run after itself"),
    (UP + "plugins: [cors]\nglobal: {plugins: [{name: cors, enabled: false}]}\n", "global.plugins[0].enabled: there is no wider place to take this away from"),
    (UP + "global: {plugin: []}\n", "m.yaml:4:10: global.plugin: unknown key 'plugin'; did you mean 'plugins'?"),
    # interpolation
    (TOP + "server_name: ${env:NOPE}\n", "m.yaml:3:14: server_name: the environment has no variable NOPE; set it, or write ${env:NOPE:-default}"),
    (TOP + "server_name: ${env:HOMEE}\n", "m.yaml:3:14: server_name: the environment has no variable HOMEE; did you mean HOME?"),
    (TOP + "server_name: ${ev:HOME}\n", "'${ev:HOME}' names no source of values; did you mean '${env:…}'?"),
    (TOP + "server_name: ${vault:x#y}\n", "'${vault:x#y}' names no source of values; write ${env:NAME} or ${file:PATH}"),
    (TOP + "server_name: ${HOME}\n", "'${HOME}' names no source of values"),
    (TOP + "server_name: 'a${'\n", "'${' without a closing '}'; write $${ for a literal ${"),
    (TOP + "server_name: ${env:A B}\n", "'${env:A B}' names no variable"),
    (TOP + "server_name: ${file:none.txt}\n", "'${file:none.txt}': cannot read"),
    (TOP + "${env:HOME}: 1\n", "'${env:HOME}': keys are not interpolated"),
]  # fmt: skip


def test_the_table_is_large() -> None:
    assert len({text for text, _ in BAD}) >= 100


@pytest.mark.parametrize(("text", "expected"), BAD, ids=range(len(BAD)))
def test_bad(tmp_path: Path, text: str, expected: str) -> None:
    found = [line.replace(f"{tmp_path}/", "") for line in problems(tmp_path, text, {"HOME": "/root"})]
    assert any(expected in line for line in found), found
    assert len(found) == 1, found
    for jargon in ("Input should", "Value error", "pydantic", "type=", "https://errors"):
        assert jargon not in found[0]


def test_everything_wrong_is_said_at_once_and_in_order(tmp_path: Path) -> None:
    text = TOP + "routes:\n- {name: a, servce: x}\n- {name: b, match: {methods: [get]}}\nservices: [{nme: up}]\n"
    assert [line.split(":")[1] for line in problems(tmp_path, text)] == ["4", "5", "6", "6", "6"]


def test_what_plain_scalars_are(tmp_path: Path) -> None:
    text = UP + "routes: [{name: on, match: {headers: {a: no, b: 0o17, c: 1_000, d: '5', e: 2024-01-01, f: 60:30}}}]\n"
    match = load(write(tmp_path, text), {}).manifest.routes[0].match
    assert {name: each.exact for name, each in match.headers.items()} == {
        "a": "no", "b": "15", "c": "1_000", "d": "5", "e": "2024-01-01", "f": "60:30",
    }  # fmt: skip


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = UP + (
        "routes:\n- &a {name: a, service: up, priority: 5}\n- {<<: *a, name: b}\n- {<<: [{priority: 7}, *a], name: c}\n"
    )
    routes = load(write(tmp_path, text), {}).manifest.routes
    assert [(route.name, route.service, route.priority) for route in routes] == [
        ("a", "up", 5), ("b", "up", 5), ("c", "up", 7),
    ]  # fmt: skip


def test_aliases_do_not_blow_up(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    found = problems(tmp_path, "\n".join(lines))
    assert any("grows too large through its aliases" in line for line in found)


def test_interpolation(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("s3cret\n")
    text = (
        "gatewright: 1\nlisteners: [{bind: '127.0.0.1:${env:PORT}', backlog: '${env:BACKLOG}'}]\n"
        "workers: ${env:WORKERS:-3}\nserver_name: ${file:secret.txt}\n"
        "services: [{name: a, targets: ['http://${env:HOST:-fallback}:1']}]\n"
        "routes: [{name: r, service: a, match: {headers: {x: 'a$${env:PORT}'}}}]\n"
    )
    path = write(tmp_path, text)
    loaded = load(path, {"PORT": "8080", "BACKLOG": "7", "HOST": ""})
    manifest = loaded.manifest
    assert manifest.listeners[0].bind == "127.0.0.1:8080"
    assert manifest.listeners[0].backlog == 7
    assert manifest.workers == 3
    assert manifest.server_name == "s3cret"
    assert manifest.services[0].targets[0].url == "http://fallback:1"
    assert manifest.routes[0].match.headers["x"].exact == "a${env:PORT}"
    assert loaded.files == (path, tmp_path / "secret.txt")


@pytest.mark.parametrize(
    "text",
    [
        TOP + "server_name: '${env:SECRET} x'\n",
        TOP + "server_name: ${env:SECRET}\n",
        TOP + "drain: {timeout: '${env:SECRET}'}\n",
        UP + "routes: [{name: r, service: '${env:SECRET}'}]\n",
        UP + "routes: [{name: '${env:SECRET}'}]\n",
        TOP + "services: [{name: a, targets: ['http://${env:SECRET}']}]\n",
        UP + "routes: [{name: r, match: {methods: ['${env:SECRET}']}}]\n",
    ],
)
def test_values_from_outside_are_not_shown(tmp_path: Path, text: str) -> None:
    for line in problems(tmp_path, text, {"SECRET": "hunter/two 2"}):
        assert "hunter" not in line
        assert "${env:SECRET}" in line


def test_a_folder_is_merged(tmp_path: Path) -> None:
    write(tmp_path, TOP, "10-top.yaml")
    write(
        tmp_path, "gatewright: 1\nservices: [{name: a, targets: [http://a]}]\npaths: {merge_slashes: false}\n", "20.yml"
    )
    write(
        tmp_path,
        "services: [{name: b, targets: [http://b]}]\nroutes: [{name: r, service: b}]\npaths: {dot_segments: keep}\n",
        "30.yaml",
    )
    write(tmp_path, "broken: [", ".hidden.yaml")
    write(tmp_path, "broken: [", "notes.txt")
    loaded = load(tmp_path, {})
    assert [service.name for service in loaded.manifest.services] == ["a", "b"]
    assert loaded.manifest.paths.model_dump() == {
        "dot_segments": "keep", "merge_slashes": False, "encoded_slashes": "keep",
    }  # fmt: skip
    assert tmp_path in loaded.files


def test_files_of_a_folder_that_contradict_each_other(tmp_path: Path) -> None:
    write(tmp_path, TOP + "workers: 1\n", "a.yaml")
    write(tmp_path, "workers: 2\nroutes: [{name: r, service: nope}]\n", "b.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})
    lines = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert lines == [
        "b.yaml:1:10: workers: is said differently at " + str(tmp_path / "a.yaml") + ":3; say it in one file only",
        "b.yaml:2:20: routes[0].service: there is no service 'nope'; name one of the services",
    ] or lines[0].startswith("b.yaml:1:10: workers: is said differently at a.yaml:3")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "has no *.yaml or *.yml file in it"),
        (tmp_path / "m.yaml" / "x", "there is no such file"),
    ):
        with pytest.raises(ConfigError, match=text.replace("*", r"\*")):
            load(path, {})


FULL = """
gatewright: 1
listeners: [{bind: "127.0.0.1:0", trusted_proxies: [10.0.0.1/8]}]
plugins: [cors, {jwt: ">=1"}, {name: x, settings: {a: "${env:S}"}}]
global: {plugins: [cors, {x: {deep: {key: "${env:S}"}}}], timeouts: {total: 1m}}
services:
  - {name: a, targets: [http://a, {url: "https://${env:S}", weight: 2}]}
routes:
  - name: r
    service: a
    match: {paths: ["/v/{id}", "~/x/(?P<id>.)"], headers: {h: "${env:S}"}, query: {q: {present: true}}}
    rewrite: /w/{id}
    plugins: [{jwt: {key: "$${literal}", other: "${env:S}"}}, {name: cors, id: two, enabled: false}]
  - {name: s, service: a, rewrite: {regex: "^/(.*)", to: '/\\1'}}
"""


def test_rendering_can_be_read_again(tmp_path: Path) -> None:
    env = {"S": "value"}
    loaded = load(write(tmp_path, FULL), env)
    text = render(loaded)
    assert "value" not in text.replace("ValueMatch", "")
    assert text.count("${env:S}") == 5
    assert load(write(tmp_path, text, "again.yaml"), env).manifest == loaded.manifest
    resolved = render(loaded, resolve=True)
    assert "${env:" not in resolved
    assert load(write(tmp_path, resolved, "resolved.yaml"), {}).manifest == loaded.manifest


DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.sampled_from(["${env:X}", "http://a", "/"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "match", "paths", "plugins", "service", "targets", "url", "rewrite", "cors", "<<"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(["gatewright", "listeners", "routes", "services", "plugins", "global"]), DATA))
def test_no_structure_breaks_it(tmp_path: Path, document: dict[str, Any]) -> None:
    found = []
    try:
        load(write(tmp_path, yaml.safe_dump({"gatewright": 1, "listeners": [{"bind": ":1"}], **document})), {})
    except ConfigError as error:
        found = error.problems
    assert all(problem.message and problem.file for problem in found)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab:-[]{}#&*!|>'\"%@`,? \n\t1${}", max_size=60))
def test_no_text_breaks_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(write(tmp_path, text), {})


def test_ten_thousand_routes(tmp_path: Path) -> None:
    lines = [UP, "routes:"]
    lines += [f"- {{name: r{n}, service: up, match: {{paths: [/r{n}/*]}}}}" for n in range(10_000)]
    lines.append("- {name: last, service: upp}")
    assert problems(tmp_path, "\n".join(lines)) == [
        "m.yaml:10006:16: routes[10000].service: there is no service 'upp'; did you mean 'up'?"
    ]
