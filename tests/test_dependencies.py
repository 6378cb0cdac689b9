"""What pyproject.toml declares is what the code imports: nothing missing, nothing left over."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tomocyte.provenance import RECORDED_LIBRARIES

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    "cc3d": "connected-components-3d",
    "ctc_metrics": "py-ctcmetrics",
    "mpl_toolkits": "matplotlib",
    "nrrd": "pynrrd",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Import name to the name on the index, where the two differ by more than case and hyphens."""
IMPORTERS = {"import_module", "find_spec", "importorskip", "_require_extra", "package"}
"""Functions whose literal arguments are imported."""
TOOLS = {"pytest-cov", "pytest-timeout", "pytest-xdist"}
"""Plug-ins of pytest, which nothing imports."""
BACKENDS = {"pyside6-essentials"}
"""What a declared library draws with; nothing imports it by its name."""
BY_CHANCE = {"bioimageio", "bioio-imageio", "bioio-acme"}
"""Tests use them where they happen to be installed; the last is a plugin that a test writes itself."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    names = {normal(re.split(r"[ \[<>=!~;]", requirement, maxsplit=1)[0]) for requirement in requirements}
    return names - {"tomocyte"}


def names_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in IMPORTERS:
            yield from (part.value for arg in node.args for part in ast.walk(arg)
                        if isinstance(part, ast.Constant) and isinstance(part.value, str))  # fmt: skip


def imported(folder: Path) -> set[str]:
    """Distributions that the modules of a folder import, at the top, in functions or by a literal name."""
    files = sorted(folder.rglob("*.py"))
    own = {path.stem for path in files} | {path.name for path in folder.rglob("*") if path.is_dir()}
    names = {name.split(".")[0] for path in files for name in names_in(ast.parse(path.read_text(encoding="utf-8")))}
    names = (
        names - set(sys.stdlib_module_names) - {"tomocyte", "tests"} - (own if folder.name == "tests" else set()) - {""}
    )
    return {normal(DISTRIBUTIONS.get(name, name)) for name in names if name[:1].isalpha()}


CORE = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(members) for name, members in PROJECT["optional-dependencies"].items()}
OPTIONAL = set().union(*(members for name, members in EXTRAS.items() if name not in ("test", "dev")))


def test_the_source_imports_what_is_declared_and_nothing_else() -> None:
    assert imported(ROOT / "src") == (CORE | OPTIONAL) - BACKENDS


def test_tests_import_what_is_declared_for_them_and_nothing_else() -> None:
    names = imported(ROOT / "tests") - BY_CHANCE
    assert names <= CORE | OPTIONAL | EXTRAS["test"]
    assert EXTRAS["test"] - TOOLS <= names


def test_nothing_is_declared_twice() -> None:
    assert not CORE & OPTIONAL
    assert not (CORE | OPTIONAL) & EXTRAS["test"]


def test_recorded_libraries_are_declared() -> None:
    assert {normal(name) for name in RECORDED_LIBRARIES} <= CORE | OPTIONAL


@pytest.mark.parametrize(
    ("code", "name"),
    [("import yaml.nodes", "yaml.nodes"), ("def f():\n    from a.b import c", "a.b"), ("find_spec('onnx')", "onnx"),
     ("importlib.import_module('x')", "x")],
)  # fmt: skip
def test_every_form_of_import_is_seen(code: str, name: str) -> None:
    assert list(names_in(ast.parse(code))) == [name]
