"""Whatever the web process reads of `merging` comes without torch, and quickly."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

from tests.test_architecture import is_light, modules

ROOT = Path(__file__).parents[2] / "merging"
HEAVY = (
    "torch",
    "transformers",
    "numba",
    "lingua",
    "cma",
    "cmaes",
    "safetensors",
    "django",
    "celery",
    "channels",
    "webapp",
    "workers",
)


def test_the_files_that_import_torch_are_known() -> None:
    names = [name for name, _ in modules("merging") if name != "merging.__main__"]
    light = sorted(filter(is_light, names))
    code = f"import importlib, json, sys\nfor name in {light!r}: importlib.import_module(name)\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    loaded = set(json.loads(done.stdout))
    assert not loaded & set(HEAVY)


def test_no_file_knows_the_web_or_the_queue() -> None:
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {name.partition(".")[0] for name in names} & {"django", "celery", "channels", "webapp", "workers"}
            assert not found, f"{file} imports {found}"


def test_every_module_says_what_it_is() -> None:
    for file in ROOT.rglob("*.py"):
        assert ast.get_docstring(ast.parse(file.read_text("utf-8"))), file
