"""The order of all stock plugins on one route, frozen. Whoever changes it changes what users see."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

from gatewright.config.models import Manifest
from gatewright.errors import Problem
from gatewright.events import Events
from gatewright.snapshot.compiler import Compiler

ROOT = Path(__file__).resolve().parents[2]
#: What a plugin needs to be attached at all.
LEAST = {"cors": {"origins": ["https://app.example.com"]}, "respond": {"status": 204}}

GOLDEN = [
    ("edge", "access-log"),
    ("edge", "prometheus"),
    ("edge", "request-id"),
    ("edge", "cors"),
    ("transform", "transform"),
    ("route", "respond"),
]


def test_golden_order(tmp_path):
    names = [
        importlib.import_module(f"gatewright_{folder.name}").plugin.name
        for folder in (ROOT / "plugins").iterdir()
        if (folder / "pyproject.toml").exists()
    ]
    manifest = Manifest.model_validate(
        {
            "gatewright": 1,
            "listeners": [{"bind": "127.0.0.1:0"}],
            "plugins": names,
            "routes": [{"name": "r", "plugins": [{name: LEAST.get(name, {})} for name in names]}],
        }
    )
    compiler = Compiler(run_dir=tmp_path, worker=-1, events=Events())
    snapshot = asyncio.run(compiler.compile(manifest, lambda place, message, hint: Problem(message, str(place))))
    attached = snapshot.routes["r"].chain.attached
    assert [(each.phase.name.lower(), each.plugin) for each in attached] == GOLDEN
