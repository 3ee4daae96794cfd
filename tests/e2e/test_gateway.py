"""The life of a gateway: start, reload, crash, restart, drain, and what it says when something is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from .conftest import Load, Running, free_port, wait_for


def manifest(upstream, *routes, **more):
    routes = routes or ({"name": "all", "service": "up"},)
    return {
        "gatewright": 1,
        "workers": 2,
        "listeners": [{"bind": "127.0.0.1:0"}],
        "services": [{"name": "up", "targets": [upstream.url]}],
        "routes": list(routes),
        "drain": {"timeout": 10},
        **more,
    }


def test_it_serves_and_says_so(start, upstream):
    gateway = start(manifest(upstream))
    status, body = gateway.get("/hello?x=1")
    assert status == 200
    assert json.loads(body)["path"] == "/hello?x=1"
    found = gateway.status()
    assert found["snapshot"] == 1
    assert found["routes"] == 1
    assert [each["state"] for each in found["workers"]] == ["ready", "ready"]
    assert sum(each["requests_total"] for each in found["workers"]) == 1
    table = gateway.command("status")
    assert table.returncode == 0
    assert str(found["workers"][0]["pid"]) in table.stdout
    assert gateway.end() == 0


@pytest.mark.parametrize("way", ["command", "signal", "watch"])
def test_reload(start, upstream, way):
    gateway = start(manifest(upstream), *([] if way == "watch" else ["--no-watch"]))
    assert gateway.get("/only")[0] == 200
    gateway.write(manifest(upstream, {"name": "only", "match": {"paths": ["/only"]}, "service": "up"}))
    if way == "command":
        done = gateway.command("reload")
        assert done.returncode == 0, done.stderr
        assert "config 2 taken up" in done.stdout
    elif way == "signal":
        gateway.signal(signal.SIGHUP)
    wait_for(lambda: gateway.status()["snapshot"] == 2)
    assert all(each["snapshot"] == 2 for each in gateway.status()["workers"])
    assert gateway.get("/only")[0] == 200
    assert gateway.get("/other")[0] == 404


def test_a_bad_config_changes_nothing_and_says_why(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    good = gateway.path.read_text()
    gateway.write(good.replace("service: up", "service: upp"))
    refused = gateway.command("reload")
    assert refused.returncode == 1
    assert "gatewright.yaml:11:3: routes[0].service: " in refused.stderr
    assert "there is no service 'upp'; did you mean 'up'?" in refused.stderr
    assert gateway.get("/")[0] == 200
    found = gateway.status()
    assert found["snapshot"] == 1
    assert "did you mean 'up'?" in found["rejected"][0]
    gateway.write(good)
    assert gateway.command("reload").returncode == 0
    assert gateway.status()["rejected"] == []


def test_a_plugin_that_cannot_start_in_a_worker_changes_nothing(start, upstream, tmp_path):
    gateway = start(manifest(upstream), "--no-watch")
    gateway.write(manifest(upstream, plugins=["no-such-plugin"]))
    refused = gateway.command("reload")
    assert refused.returncode == 1
    assert "plugin 'no-such-plugin' is not installed" in refused.stderr
    assert gateway.status()["snapshot"] == 1


def test_listeners_come_and_go(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    second = free_port()
    both = manifest(upstream, listeners=[{"bind": "127.0.0.1:0"}, {"bind": f"127.0.0.1:{second}"}])
    gateway.write(both)
    assert gateway.command("reload").returncode == 0
    gateway.ports.insert(0, second)
    assert gateway.get("/")[0] == 200
    gateway.ports.pop(0)
    assert gateway.get("/")[0] == 200
    gateway.write(manifest(upstream))
    assert gateway.command("reload").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second), 5)
    assert gateway.get("/")[0] == 200


def test_more_and_fewer_workers(start, upstream):
    gateway = start(manifest(upstream, workers=1), "--no-watch")
    (first,) = gateway.workers()
    gateway.write(manifest(upstream, workers=3))
    assert gateway.command("reload").returncode == 0
    assert len(gateway.workers()) == 3
    gateway.write(manifest(upstream, workers=1))
    assert gateway.command("reload").returncode == 0
    wait_for(lambda: gateway.workers() == [first])
    assert gateway.get("/")[0] == 200


def test_reloads_under_load_drop_nothing(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    load = Load(gateway.port)
    for number in range(20):
        extra = [{"name": f"r{i}", "match": {"paths": [f"/r{i}"]}, "service": "up"} for i in range(number % 5)]
        gateway.write(manifest(upstream, {"name": "all", "service": "up"}, *extra))
        gateway.signal(signal.SIGHUP)
        wait_for(lambda wanted=number + 2: f"config {wanted} taken up" in gateway.text)
    load.wait_for(50)
    load.stop()
    assert load.failures == []
    assert set(load.statuses) == {200}


def test_a_rolling_restart_drops_nothing(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    before = set(gateway.workers())
    load = Load(gateway.port)
    load.wait_for(50)
    assert gateway.command("restart").returncode == 0
    load.wait_for(50)
    load.stop()
    assert load.failures == []
    assert set(load.statuses) == {200}
    assert not before & set(gateway.workers())


def test_a_killed_worker_is_replaced_and_takes_only_its_own_requests_along(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    load = Load(gateway.port, clients=4)
    load.wait_for(50)
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    load.wait_for(200)
    wait_for(lambda: len(gateway.workers()) == 2)
    load.stop()
    # Each client has one request under way at most.
    assert len(load.failures) <= 4
    assert set(load.statuses) == {200}
    assert f"(pid {victim}) was killed by signal 9; replaced" in gateway.text


def test_a_worker_that_is_told_to_end_is_replaced(start, upstream):
    gateway = start(manifest(upstream), "--no-watch")
    load = Load(gateway.port)
    load.wait_for(20)
    victim = gateway.workers()[0]
    os.kill(victim, signal.SIGTERM)
    wait_for(lambda: victim not in gateway.workers() and len(gateway.workers()) == 2)
    load.stop()
    assert load.failures == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished(start, upstream, number):
    gateway = start(manifest(upstream))
    answers = []
    client = threading.Thread(target=lambda: answers.append(gateway.get("/slow")))
    client.start()
    assert upstream.entered.wait(10)
    gateway.signal(number)
    wait_for(lambda: "draining" in gateway.text)

    def refuses() -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gateway.port), 5).close()
            return False
        return True

    wait_for(refuses)
    assert gateway.process.poll() is None
    upstream.release.set()
    client.join(20)
    assert answers[0][0] == 200
    assert gateway.process.wait(20) == 0


def test_the_drain_has_a_deadline(start, upstream):
    gateway = start(manifest(upstream, drain={"timeout": "300ms"}))
    failed = []

    def ask() -> None:
        try:
            gateway.get("/slow")
        except OSError as error:
            failed.append(error)

    client = threading.Thread(target=ask)
    client.start()
    assert upstream.entered.wait(10)
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(20) == 3
    client.join(20)
    assert failed


def test_a_second_signal_ends_it_at_once(start, upstream):
    gateway = start(manifest(upstream, drain={"timeout": 60}))

    def ask() -> None:
        with contextlib.suppress(OSError):
            gateway.get("/slow")

    client = threading.Thread(target=ask)
    client.start()
    assert upstream.entered.wait(10)
    gateway.signal(signal.SIGINT)
    wait_for(lambda: "draining" in gateway.text)
    gateway.signal(signal.SIGINT)
    gateway.process.wait(20)
    client.join(20)


def test_workers_end_when_the_supervisor_dies(start, upstream):
    gateway = start(manifest(upstream))
    workers = gateway.workers()
    gateway.process.kill()
    gateway.process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_the_command_stop(start, upstream):
    gateway = start(manifest(upstream))
    assert gateway.command("stop").returncode == 0
    assert gateway.process.wait(5) == 0


# -- what cannot start --------------------------------------------------------------------------------


def failure(start, document, *options) -> str:
    gateway: Running = start(document, *options)
    assert gateway.process.wait(20) == 1
    assert "Traceback" not in gateway.text
    return gateway.text


def test_a_port_in_use(start, upstream):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = failure(start, manifest(upstream, listeners=[{"bind": f"127.0.0.1:{port}"}]))
    assert text == (
        f"error: cannot listen on 127.0.0.1:{port}: the address is in use; "
        "stop the program that has it, or bind another port\n"
    )


def test_an_address_of_another_machine(start, upstream):
    text = failure(start, manifest(upstream, listeners=[{"bind": "203.0.113.1:8080"}]))
    assert "cannot listen on 203.0.113.1:8080: this machine does not have that address" in text


def test_a_missing_plugin(start, upstream):
    text = failure(start, manifest(upstream, plugins=["request-idd"]))
    assert "plugins[0]: plugin 'request-idd' is not installed; did you mean 'request-id'?" in text


def test_a_missing_manifest(start, upstream, tmp_path):
    gateway = start(manifest(upstream))
    done = gateway.command("run", "gatewright.yml")
    assert done.returncode == 1
    assert done.stderr.startswith("gatewright.yml: there is no such file; did you mean gatewright.yaml?")


def test_a_file_that_is_unreadable(start, upstream):
    gateway = start(manifest(upstream))
    (gateway.folder / "broken.yaml").write_bytes(b"gatewright: \xff\n")
    done = gateway.command("check", "broken.yaml")
    assert done.returncode == 1
    assert "broken.yaml:1: is not UTF-8; save the file as UTF-8" in done.stderr


def test_a_gateway_that_runs_already(start, upstream):
    gateway = start(manifest(upstream))
    done = gateway.command("run", str(gateway.path))
    assert done.returncode == 1
    assert f"a gateway already runs {gateway.path} (pid {gateway.process.pid})" in done.stderr


def test_no_gateway_to_talk_to(start, upstream):
    gateway = start(manifest(upstream))
    gateway.end()
    for command in ("status", "reload", "restart", "stop"):
        done = gateway.command(command)
        assert done.returncode == 1
        assert "no gateway is running" in done.stderr


def test_an_upstream_that_does_not_resolve_is_a_502(start, upstream):
    broken = manifest(upstream, services=[{"name": "up", "targets": ["http://no-such-host.invalid:80"]}])
    gateway = start(broken)
    status, body = gateway.get("/")
    assert status == 502
    problem = json.loads(body)
    assert problem["code"] == "upstream-name-unresolved"


def test_a_folder_of_manifests(start, upstream):
    gateway = start(manifest(upstream))
    folder = gateway.folder / "conf.d"
    folder.mkdir()
    (folder / "10-listen.yaml").write_text("gatewright: 1\nlisteners: [{bind: 127.0.0.1:0}]\n")
    (folder / "20-up.yaml").write_text(f"services: [{{name: up, targets: ['{upstream.url}']}}]\n")
    (folder / "30-routes.yaml").write_text("routes: [{name: a, service: up}]\n")
    (folder / "40-routes.yaml").write_text("routes: [{name: b, match: {paths: [/b]}, service: upp}]\n")
    done = gateway.command("check", "conf.d")
    assert done.returncode == 1
    assert "conf.d/40-routes.yaml:1:42: routes[1].service: there is no service 'upp'; did you mean 'up'?" in done.stderr
    (folder / "40-routes.yaml").unlink()
    assert gateway.command("check", "conf.d").returncode == 0
