"""Runs the demo: a small upstream, and the gateway in front of it, until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

WELCOME = """
Gatewright listens on http://127.0.0.1:8080, before a small shop on port 9000. In another terminal:

  curl -i http://127.0.0.1:8080/                     an answer of the gateway's own
  curl -i http://127.0.0.1:8080/api/orders/7         transformed: no cost, no Server, one more member
  curl -i http://127.0.0.1:8080/api/hello -H 'Origin: https://app.example.com'
                                                     CORS, and what the shop sees of the request
  curl -i http://127.0.0.1:8080/api/hello -H 'x-beta: 1'
                                                     another route, because of a header
  curl -N http://127.0.0.1:8080/api/events           an event stream, passed on as it comes
  curl -i http://127.0.0.1:8080/api/slow             504 after 2 seconds, as a problem document
  curl -s http://127.0.0.1:9464/metrics              metrics of all workers
  tail -f access.log                                 the access log

  .venv/bin/gatewright status                        workers, config, requests
  .venv/bin/gatewright explain GET /api/orders/7 -c examples/demo/gatewright.yaml
  $EDITOR examples/demo/gatewright.yaml              taken up when it is saved

Ctrl-C ends it.
"""


def main() -> int:
    upstream = subprocess.Popen([sys.executable, HERE / "upstream.py"], stdout=subprocess.PIPE)
    assert upstream.stdout is not None
    if upstream.stdout.readline() != b"ready\n":
        print("the demo's upstream cannot start: is port 9000 in use?", file=sys.stderr)
        return 1
    print(WELCOME, flush=True)
    # Ctrl-C goes to the whole group: the gateway drains, and this waits for it.
    gateway = subprocess.Popen([sys.executable, "-m", "gatewright", "run", HERE / "gatewright.yaml"])
    signal.signal(signal.SIGTERM, lambda *_: gateway.terminate())
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            status = gateway.wait()
            break
    upstream.terminate()
    upstream.wait()
    return status


if __name__ == "__main__":
    sys.exit(main())
