"""Who may know whom: `workers -> webapp -> merging` and `workers -> merging`. By reading imports, and by importing for real.

The files of `merging` in TORCH_FILES may import torch, and those in NUMBA_FILES numba, all that the merge of a small model needs; the
web process, which has to start fast and small, imports only the others.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DJANGO_SIDE = {"django", "celery", "channels", "channels_redis", "kombu", "redis", "webapp", "workers"}
MODEL_SIDE = {"torch", "transformers", "numba", "lm_eval", "datasets"}
TORCH_FILES = {
    "merging.demo.train",
    "merging.embeddings",
    "merging.engines.transformers",
    "merging.engines.vllm",
    "merging.finished.loading",
    "merging.harness.adaptor",
    "merging.harness.asking",
    "merging.harness.freezing",
    "merging.harness.results",
    "merging.harness.scoring",
    "merging.kernels.gpu",
    "merging.kernels.gpu_spectra",
    "merging.kernels.tiles",
    "merging.path_shells",
    "merging.peer_rules",
    "merging.shells",
    "merging.shelves",
    "merging.workbench",
}
NUMBA_FILES = {
    "merging.assembly",
    "merging.kernels.compiling",
    "merging.kernels.cpu",
    "merging.kernels.inner",
    "merging.kernels.keepers",
    "merging.kernels.loops",
    "merging.kernels.peer",
    "merging.kernels.spectra",
    "merging.streaming",
}


def modules(package: str) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of a package."""
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


def imports(tree: ast.AST, of_calls: bool = True) -> Iterator[str]:
    """Every module that a file imports; without `of_calls` only what importing it imports, not what its functions do later.

    Imports for type checkers alone are left out.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not of_calls:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, of_calls)


def top_level(names: Iterator[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def may_import_torch(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in TORCH_FILES)


def is_light(module: str) -> bool:
    return not may_import_torch(module) and module not in NUMBA_FILES


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("merging", DJANGO_SIDE), ("webapp", MODEL_SIDE | {"workers"})],
)
def test_a_room_imports_only_what_it_may_know(package: str, forbidden: set[str]) -> None:
    found = {module: top_level(imports(ast.parse(file.read_text()))) & forbidden for module, file in modules(package)}
    assert {module: names for module, names in found.items() if names} == {}


def test_only_the_named_files_of_merging_import_torch_or_numba() -> None:
    found = {
        module: top_level(imports(ast.parse(file.read_text()), of_calls=False)) & MODEL_SIDE
        for module, file in modules("merging")
        if not may_import_torch(module)
    }
    unexpected = {module: names - {"numba"} if module in NUMBA_FILES else names for module, names in found.items()}
    assert {module: names for module, names in unexpected.items() if names} == {}


def test_every_torch_file_exists() -> None:
    assert (TORCH_FILES | NUMBA_FILES) - {module for module, _ in modules("merging")} == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import torch.nn", {"torch"}),
        ("def f():\n    from torch import nn", {"torch"}),
        ("class A:\n    from workers import tasks", {"workers"}),
        ("if TYPE_CHECKING:\n    from torch import Tensor", set()),
        ("try:\n    import django\nexcept ImportError:\n    pass", {"django"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, names: set[str]) -> None:
    assert top_level(imports(ast.parse(source))) == names


def test_an_import_inside_a_function_is_not_one_of_its_file() -> None:
    tree = ast.parse(
        "import numpy\ndef f():\n    import torch\nclass A:\n    def g(self):\n        import transformers"
    )
    assert top_level(imports(tree, of_calls=False)) == {"numpy"}


def importing(names: Iterable[str]) -> str:
    """Code that imports modules, programs left out."""
    lines = (f"importlib.import_module({name!r})" for name in names if not name.endswith("__main__"))
    return "\n".join(("import importlib", *lines))


def in_fresh_process(*codes: str) -> list[set[str]]:
    """Top-level modules that are loaded after each piece of code has run, one after the other in a Python of their own."""
    report = "\nimport sys\nprint('loaded', *{name.partition('.')[0] for name in sys.modules})\n"
    code = "".join(code + report for code in codes)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [set(line.split()) for line in done.stdout.splitlines() if line.startswith("loaded ")]


def test_the_web_process_loads_no_torch() -> None:
    [loaded] = in_fresh_process("import webapp.asgi\nfrom django.urls import get_resolver\nget_resolver().url_patterns")
    assert "merging" in loaded
    assert loaded & (MODEL_SIDE | {"workers"}) == set()


@pytest.mark.slow
def test_merging_loads_no_django_and_without_its_torch_files_no_torch() -> None:
    """In one process, because importing all of it takes most of this file's time."""
    every = [module for module, _ in modules("merging") if module != "merging.kernels.tiles"]  # which needs triton
    light, merging, whole = in_fresh_process(
        importing(filter(is_light, every)), importing(sorted(NUMBA_FILES)), importing(every)
    )
    assert "merging" in light and light & MODEL_SIDE == set()
    assert merging & MODEL_SIDE == {"numba"}
    # portalocker, which lm-eval's sacrebleu brings along, takes redis where it finds it
    assert "torch" in whole and whole & (DJANGO_SIDE - {"redis"}) == set()
