"""What holds the house together: layers, imports, and that every list of plugins says the same."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from gatewright_sdk import Plugin

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(folder for folder in (ROOT / "plugins").iterdir() if (folder / "pyproject.toml").exists())
NAMES = [folder.name for folder in PLUGINS]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def test_layers():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", PLUGINS, ids=NAMES)
def test_a_plugin_imports_the_sdk_and_no_other_part_of_ours(folder):
    own = f"gatewright_{folder.name}"
    for path in (folder / "src").rglob("*.py"):
        ours = {name for name in imports_of(path) if name.split(".")[0].startswith("gatewright")}
        strangers = {name for name in ours if name.split(".")[0] not in ("gatewright_sdk", own)}
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"
        assert not any(name.startswith("gatewright_sdk.testing") for name in ours), path


@pytest.mark.parametrize("where", ["kernel", "sdk/python", "registry"])
def test_no_file_of_the_kernel_names_a_plugin(where):
    words = re.compile(r"gatewright_(" + "|".join(NAMES) + r")\b|[\"'](" + "|".join(
        name.replace("_", "-") for name in NAMES if "_" in name or name == "prometheus"
    ) + r")[\"']")  # fmt: skip
    for path in (ROOT / where / "src").rglob("*.py"):
        found = words.search(path.read_text())
        assert found is None, f"{path.relative_to(ROOT)} names {found[0]}"


@pytest.mark.parametrize("folder", PLUGINS, ids=NAMES)
def test_folder_distribution_entry_point_and_module_agree(folder):
    name = folder.name.replace("_", "-")
    described = project(folder)["project"]
    assert described["name"] == f"gatewright-{name}"
    assert described["entry-points"] == {"gatewright": {name: f"gatewright_{folder.name}:plugin"}}
    assert any(requirement.startswith("gatewright-sdk>=") for requirement in described["dependencies"])
    plugin = importlib.import_module(f"gatewright_{folder.name}").plugin
    assert isinstance(plugin, Plugin)
    assert plugin.name == name
    assert name in {point.name for point in entry_points(group="gatewright")}
    assert (folder / "src" / f"gatewright_{folder.name}" / "py.typed").exists()
    assert list((folder / "tests").glob("test_*.py"))
    heading = re.search(r"^## (.+)$", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1].split()[0] == described["version"]


@pytest.mark.parametrize("folder", PLUGINS, ids=NAMES)
def test_every_option_is_described(folder):
    plugin = importlib.import_module(f"gatewright_{folder.name}").plugin
    for model in (plugin.filter.config_model, plugin.settings):
        for inner in models_of(model):
            for name, field in inner.model_fields.items():
                assert field.description, f"{plugin.name}: {inner.__name__}.{name} has no description"


def models_of(model):
    """A model and all that its fields are made of."""
    yield model
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from models_of(kind)


def test_the_bundle_lists_every_plugin():
    bundle = project(ROOT)
    listed = [name for name in bundle["project"]["dependencies"] if name.startswith("gatewright-")]
    assert listed[:2] == ["gatewright-registry", "gatewright-sdk"]
    assert listed[2:] == [f"gatewright-{name.replace('_', '-')}" for name in NAMES]
    assert set(bundle["tool"]["uv"]["sources"]) == {"gatewright", *listed}


def test_tool_settings_stand_at_the_root_alone():
    for path in ROOT.glob("*/**/pyproject.toml"):
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
            assert set(project(path.parent).get("tool", {})) <= {"hatch"}, path


def test_constraints_name_no_index():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "index" not in text


def test_the_docs_are_up_to_date():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        generate = importlib.import_module("generate_docs")
    finally:
        sys.path.pop(0)
    for path, text in generate.pages().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale; run 'make docs'"
