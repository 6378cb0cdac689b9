"""The rules of the house: floors, circles, private names, forbidden calls, light import.

Adding a room means adding its floor here. Sizes are advice, which ``make sizes`` prints.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tomocyte.provenance import WITHOUT_RESULTS

SOURCE = Path(__file__).parent.parent / "src" / "tomocyte"
MODULES = sorted(SOURCE.rglob("*.py"))

FLOORS = {
    "names": -1,
    "errors": 0,
    "progress": 0,
    "notices": 0,
    "volume": 1,
    "settings": 1,
    "provenance": 1,
    "structures": 1,
    "tables": 1,
    "labels": 2,
    "statistics": 2,
    "ledger": 2,
    "segmentation": 3,
    "missing_cone": 3,
    "channels": 3,
    "tracking": 3,
    "evaluation": 3,
    "batch": 3,
    "formats": 4,
    "modalities": 4,
    "networks": 4,
    "measurements": 4,
    "simulation": 4,
    "agreement": 4,
    "propagation": 4,
    "confidence": 5,
    "datasets": 5,
    "figures": 5,
    "models": 6,
    "corrections": 6,
    "training": 7,
    "pipeline": 7,
    "runs": 8,
    "comparison": 9,
    "papers": 10,
    "cli": 11,
    "ui": 11,
    "__init__": 11,
    "__main__": 12,
}
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager"}
BANNED_IMPORTS = {"pickle", "joblib", "dill", "marshal", "shelve"}
HEAVY = {"torch", "matplotlib", "numba", "pandas", "scipy", "skimage", "h5py", "zarr", "tifffile", "statsmodels"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(path: Path) -> str:
    """The name under which a module is imported."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


DOTTED = {dotted(path) for path in MODULES}


def imports_of(path: Path) -> set[str]:
    """Everything of tomocyte that a module imports anywhere, in functions and for types too, as ``module.name``.

    What the stub beside an ``__init__`` promises counts as imported by it.
    """
    found = set()
    stub = path.with_suffix(".pyi")
    nodes = [*ast.walk(tree_of(path)), *(ast.walk(tree_of(stub)) if stub.exists() else ())]
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([dotted(path)] * (node.level > 0) + [node.module] * bool(node.module))
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("tomocyte.")}


def imported_rooms(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports_of(path)}


def imported_modules(path: Path) -> set[str]:
    """The modules behind :func:`imports_of`: ``a.b`` where ``b`` is a module, else ``a``."""
    names = imports_of(path)
    modules = {name if name in DOTTED else name.rpartition(".")[0] for name in names}
    return (modules & DOTTED) - {dotted(path)}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Sets of more than one node that all reach each other (strongly connected components).

    >>> circles({"a": {"b"}, "b": {"a", "c"}, "c": set()}) == {frozenset({"a", "b"})}
    True
    """
    reach = {node: {node} | graph[node] for node in graph}
    for middle in graph:
        for node in graph:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    together = {frozenset(other for other in reach[node] if node in reach[other]) for node in graph}
    return {circle for circle in together if len(circle) > 1}


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_stays_in_its_room(path: Path) -> None:
    room = room_of(path)
    assert room in FLOORS, f"give the room {room!r} a floor"
    for other in imported_rooms(path) - {room, "__version__"}:
        assert FLOORS[other] < FLOORS[room], f"{room} (floor {FLOORS[room]}) imports {other} (floor {FLOORS[other]})"


@pytest.mark.parametrize("room", sorted({room_of(path) for path in MODULES if path.parent != SOURCE}))
def test_no_circle_inside_a_room(room: str) -> None:
    paths = [path for path in MODULES if room_of(path) == room]
    inside = {dotted(path) for path in paths}
    graph = {dotted(path): imported_modules(path) & inside for path in paths}
    assert circles(graph) == set(), "let what both need go downstairs, or move it into one of them"


def test_what_a_run_computes_with_is_in_the_version_of_its_results() -> None:
    """Nothing that the road imports, over any number of rooms, is left out of the hash of the code."""
    reached, new = set(), {"pipeline"}
    while new:
        reached |= new
        new = {other for path in MODULES if room_of(path) in new for other in imported_rooms(path)} - reached
    assert {"measurements", "segmentation", "formats", "models"} <= reached
    assert reached & set(WITHOUT_RESULTS) == set()


def test_a_circle_is_noticed() -> None:
    """Three nodes by hand: a and b reach each other over d, c only ends it."""
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"a"}}
    assert circles(graph) == {frozenset({"a", "b", "d"})}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_private_name_of_another_room(path: Path) -> None:
    """Neither a module nor a name that starts with an underscore, imported or reached through an imported module."""
    others = {name for name in imports_of(path) if name.split(".")[1] != room_of(path)}
    private = {name for name in others if any(part.startswith("_") for part in name.split(".")[1:])}
    assert private <= {"tomocyte.__version__"}
    modules = {name.rpartition(".")[2] for name in others & DOTTED}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert not node.attr.startswith("_"), f"{node.value.id}.{node.attr} in line {node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_documented_and_well_named(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), "a module starts with a docstring that says what lives here"
    assert not BANNED_NAMES & set(path.relative_to(SOURCE).with_suffix("").parts)


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
        assert not {name.split(".")[0] for name in names} & {"torch"}, "torch at module level"


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


def test_names_of_test_files_are_unique() -> None:
    """Two test files of one name cannot be collected together."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
