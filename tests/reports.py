"""Two reports about the tree: how large things are (advice) and how much is tested (a goal).

``python tests/reports.py sizes`` prints what is larger than the advice in ``CONTRIBUTING.md`` and always succeeds.
``python tests/reports.py coverage FILE`` reads what ``pytest --cov --cov-report=json:FILE`` wrote, prints the lines
covered per room and the ratio of test to source lines, and fails where that ratio is below the goal. To report another
size, add a line to :func:`size_report`.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tomocyte"
LONGEST_MODULE = 250
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 7
MOST_FILES = 15
MOST_OF_A_PREFIX = 3
LEAST_RATIO = 0.50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_of(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def code_lines(node: Function) -> int:
    """Lines of a function's body without docstring, blank lines and comments."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return len({child.lineno for part in body for child in ast.walk(part) if hasattr(child, "lineno")})


def n_parameters(node: Function) -> int:
    named = [argument.arg for argument in node.args.posonlyargs + node.args.args + node.args.kwonlyargs]
    return len([name for name in named if name not in ("self", "cls")])


def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_modules(source: Path) -> list[str]:
    sizes = sorted(((n_lines(path), path) for path in source.rglob("*.py")), reverse=True)
    return [f"{size:5}  {path.relative_to(source)}" for size, path in sizes if size > LONGEST_MODULE]


def large_functions(source: Path, size_of: Callable[[Function], int], largest: int) -> list[str]:
    sizes = [
        (size_of(node), f"{path.relative_to(source)}:{node.lineno} {node.name}")
        for path in source.rglob("*.py")
        for node in functions_of(path)
    ]
    return [f"{size:5}  {name}" for size, name in sorted(sizes, reverse=True) if size > largest]


def full_folders(source: Path) -> list[str]:
    counts = Counter(path.parent for path in source.rglob("*.py"))
    return [f"{n:5}  {folder.relative_to(source)}/" for folder, n in counts.most_common() if n > MOST_FILES]


def shared_prefixes(source: Path) -> list[str]:
    """Files of one folder whose names start with the same word: a subject that wants a folder of its own."""
    counts = Counter(
        (path.parent, path.stem.lstrip("_").partition("_")[0])
        for path in source.rglob("*.py")
        if not path.stem.startswith("__")
    )
    return [
        f"{n:5}  {folder.relative_to(source)}/{prefix}*"
        for (folder, prefix), n in counts.most_common()
        if n > MOST_OF_A_PREFIX
    ]


def size_report(source: Path = SOURCE) -> str:
    """Everything that is larger than advised, under a heading with its number."""
    parts = {
        f"modules over {LONGEST_MODULE} lines": long_modules(source),
        f"functions over {LONGEST_FUNCTION} lines of code": large_functions(source, code_lines, LONGEST_FUNCTION),
        f"functions with more than {MOST_PARAMETERS} parameters": large_functions(
            source, n_parameters, MOST_PARAMETERS
        ),
        f"folders with more than {MOST_FILES} files": full_folders(source),
        f"more than {MOST_OF_A_PREFIX} files with one prefix": shared_prefixes(source),
    }
    return "\n\n".join("\n".join([f"{len(lines)} {heading}", *lines]) for heading, lines in parts.items())


def room_of(file: str) -> str:
    """The room of a path as coverage writes it: ``src/tomocyte/labels/runs.py`` gives ``labels``."""
    return Path(file).parts[Path(file).parts.index("tomocyte") + 1].removesuffix(".py")


def coverage_report(report: Path, source: Path = SOURCE, tests: Path = ROOT / "tests") -> tuple[str, bool]:
    """Lines covered per room, the ratio of test to source lines, and whether that ratio reaches the goal."""
    covered: dict[str, int] = defaultdict(int)
    statements: dict[str, int] = defaultdict(int)
    for file, entry in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        if "tomocyte" not in Path(file).parts:  # what tests put behind a door
            continue
        covered[room_of(file)] += entry["summary"]["covered_lines"]
        statements[room_of(file)] += entry["summary"]["num_statements"]
    shares = sorted((covered[room] / max(1, n), room) for room, n in statements.items())
    lines = [f"{share:6.1%}  {room} ({covered[room]} of {statements[room]})" for share, room in shares]
    total = sum(covered.values()) / max(1, sum(statements.values()))
    n_tests, n_source = (sum(map(n_lines, folder.rglob("*.py"))) for folder in (tests, source))
    ratio = n_tests / n_source
    return "\n".join([
        "lines covered by tests, per room", *lines, f"{total:6.1%}  all",
        f"{n_tests} lines of tests, {n_source} of source: {ratio:.2f} (goal: at least {LEAST_RATIO:.2f})",
    ]), ratio >= LEAST_RATIO  # fmt: skip


def main(arguments: list[str]) -> int:
    match arguments:
        case ["sizes"]:
            print(size_report())
            return 0
        case ["coverage", file]:
            text, is_enough = coverage_report(Path(file))
            print(text)
            return 0 if is_enough else 1
    print("usage: python tests/reports.py sizes | coverage FILE", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
