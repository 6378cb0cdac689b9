"""The rules of the house: floors, sizes, names, forbidden calls, light import.

Adding a room means adding its floor here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "tomocyte"
MODULES = sorted(SOURCE.rglob("*.py"))

FLOORS = {
    "errors": 0,
    "volume": 1,
    "settings": 1,
    "provenance": 1,
    "structures": 1,
    "tables": 1,
    "labels": 2,
    "statistics": 2,
    "ledger": 2,
    "segmentation": 3,
    "evaluation": 3,
    "batch": 3,
    "formats": 4,
    "modalities": 4,
    "networks": 4,
    "measurements": 4,
    "simulation": 4,
    "propagation": 4,
    "confidence": 5,
    "datasets": 5,
    "figures": 5,
    "models": 6,
    "corrections": 6,
    "training": 7,
    "pipeline": 7,
    "comparison": 8,
    "runs": 8,
    "papers": 9,
    "cli": 10,
    "__init__": 10,
    "__main__": 11,
}
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 12
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}
BANNED_IMPORTS = {"pickle", "joblib", "dill", "marshal", "shelve"}
HEAVY = {"torch", "monai", "matplotlib", "numba", "pandas", "scipy", "skimage", "h5py", "zarr", "tifffile"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring, blank lines and comments."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return len(
        {line for part in body for child in ast.walk(part) if hasattr(child, "lineno") for line in [child.lineno]}
    )


def imported_rooms(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree_of(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "tomocyte" else node.module for alias in node.names
            ]
        found |= {name.split(".")[1] for name in names if name.startswith("tomocyte.")}
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_stays_in_its_room(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"give the room {room!r} a floor"
    for other in imported_rooms(path) - {room, "__version__"}:
        assert FLOORS[other] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_small_documented_and_well_named(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    assert ast.get_docstring(tree_of(path)), "a module starts with a docstring that says what lives here"
    assert not BANNED_NAMES & set(path.relative_to(SOURCE).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short_with_few_parameters(path: Path) -> None:
    for node in functions_of(path):
        assert code_lines(node) <= LONGEST_FUNCTION, f"{node.name} has {code_lines(node)} lines of code"
        positional = [argument.arg for argument in node.args.posonlyargs + node.args.args]
        count = len([name for name in positional if name not in ("self", "cls")]) + len(node.args.kwonlyargs)
        is_command = room_of(path) == "cli"
        assert is_command or count <= MOST_PARAMETERS, f"{node.name} has {count} parameters"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_forbidden_is_called(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & BANNED_IMPORTS
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in BANNED_IMPORTS
        if isinstance(node, ast.ExceptHandler):
            broad = isinstance(node.type, ast.Name) and node.type.id == "BaseException"
            assert node.type is not None, f"bare except in line {node.lineno}"
            assert not broad or any(isinstance(part, ast.Raise) for part in ast.walk(node)), "blind except"
        if isinstance(node, ast.Assert):
            raise AssertionError(f"assert in line {node.lineno}: raise a TomocyteError")
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in {"eval", "exec", "compile", "__import__"}, f"{called} in line {node.lineno}"
            assert called != "print" or room_of(path) in {"cli", "__main__"}, f"print in line {node.lineno}"
            dangerous = {
                keyword.arg
                for keyword in node.keywords
                if (keyword.arg == "allow_pickle" and getattr(keyword.value, "value", None) is True)
                or (keyword.arg == "weights_only" and getattr(keyword.value, "value", None) is False)
            }
            assert not dangerous, f"{dangerous} in line {node.lineno}"
            is_yaml_load = isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "yaml.load"
            assert not is_yaml_load, f"yaml.load in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_torch_only_where_a_tensor_is_needed(path: Path) -> None:
    if room_of(path) in {"networks", "training"}:
        return
    for node in tree_of(path).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {name.split(".")[0] for name in names} & {"torch", "monai"}, "torch at module level"


def test_front_door_is_small_and_opens() -> None:
    import tomocyte

    assert len(tomocyte.__all__) <= 15
    for name in tomocyte.__all__:
        assert getattr(tomocyte, name) is not None
    with pytest.raises(AttributeError):
        tomocyte.no_such_name  # noqa: B018


@pytest.mark.parametrize("command", [["-c", "import tomocyte"], ["-m", "tomocyte", "--help"]], ids=["import", "help"])
def test_import_and_help_are_light(command: list[str]) -> None:
    """No heavy library is loaded, measured in the started process itself."""
    probe = (
        "import sys, runpy, atexit\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: sys.stderr.write('LOADED:' + ','.join(sorted(heavy & set(sys.modules)))))\n"
    )
    script = (
        "import tomocyte\n"
        if command[0] == "-c"
        else ("sys.argv = ['tomocyte', '--help']\nrunpy.run_module('tomocyte', run_name='__main__')\n")
    )
    done = subprocess.run([sys.executable, "-c", probe + script], capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("LOADED:"), done.stderr


@pytest.mark.slow
def test_help_answers_within_half_a_second() -> None:
    """A stopwatch, so by hand on a quiet machine: best of five."""
    import time

    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tomocyte", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5
