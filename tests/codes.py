"""``python tests/codes.py``: writes ``docs/codes.md``, every code of an error or a note with what the source says.

What is read: codes among the arguments of a call or in a tuple, with the text behind, and texts that begin with a code
(``W-NAN: 3 voxels …``).
A value that is only known when it happens is shown as ``…``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "codes.md"
CODE = re.compile(r"^([EW]-[A-Z0-9]+(?:-[A-Z0-9]+)*)$")
BEGINS = re.compile(r"^ ?(W-[A-Z0-9]+(?:-[A-Z0-9]+)*): (.+)", re.DOTALL)
HEAD = """# Codes

Every error (`E-…`) and every note (`W-…`) has a code that stays the same, so that scripts can rely on it. An error
stops a command, or one input of a run (`status.csv` names it); a note stands beside the result. `…` stands for what is
known only when it happens. Options are those of `tomocyte run`; another command names its own when it prints the cure.
What the exit codes mean stands in [the command line](command-line.md#exit-codes). This page is made from the source by
`make codes`.
"""
UNKNOWN = "the message says it: it depends on the file"
Entry = tuple[str, str]


def text_of(node: ast.expr | None, names: dict[str, ast.expr]) -> str:
    """A text as far as the source spells it, with ``…`` for the rest."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left, names) + text_of(node.right, names)
    if isinstance(node, ast.IfExp):
        return text_of(node.body, names) or text_of(node.orelse, names)
    if isinstance(node, ast.Name) and node.id in names:
        return text_of(names[node.id], {})
    return "" if node is None else "…"


def entries(module: ast.Module) -> Iterator[tuple[str, Entry]]:
    """Code, problem and cure of everything in one module that gives a code."""
    constants = {
        node.targets[0].id: node.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for scope in ast.walk(module):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        own = list(own_nodes(scope))
        names = constants | {
            node.targets[0].id: node.value
            for node in own
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in own:
            if isinstance(node, ast.Call | ast.Tuple):
                texts = node.args if isinstance(node, ast.Call) else node.elts
                words = node.keywords if isinstance(node, ast.Call) else []
                cure = next((word.value for word in words if word.arg == "cure"), None)
                asked = " ".join(filter(None, (asked_for(words), plain(text_of(cure, names)))))
                for index, first in enumerate(texts):
                    for code in codes_of(first, names):
                        problem = plain(text_of(texts[index + 1] if index + 1 < len(texts) else None, names))
                        yield code, (problem, asked)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.match(node.value):
                yield node.value, ("", "")
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                begins = BEGINS.match(text_of(node, names))
                if begins:
                    yield begins[1], (plain(begins[2]), "")


def asked_for(words: list[ast.keyword]) -> str:
    """The sentence that asks for the facts in an argument ``missing``."""
    written = " ".join(ast.unparse(word.value) for word in words if word.arg == "missing")
    names = re.findall(r"MissingFact\('(\w+)'", written)
    options = " and ".join(f"--{name.replace('_', '-')} …" for name in dict.fromkeys(names))
    return f"Give {options}." if options else ""


def codes_of(node: ast.expr, names: dict[str, ast.expr]) -> Iterator[str]:
    """The codes that an expression can be."""
    if isinstance(node, ast.IfExp):
        yield from codes_of(node.body, names)
        yield from codes_of(node.orelse, names)
    elif isinstance(node, ast.Constant | ast.JoinedStr | ast.Name | ast.BinOp):
        code = text_of(node, names).replace("-…", "")
        if CODE.match(code):
            yield code


def own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a module or function without those of functions inside, docstrings and parts of longer texts."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        yield node
        if not isinstance(node, ast.FunctionDef | ast.JoinedStr | ast.BinOp):
            yield from own_nodes(node)
        elif isinstance(node, ast.JoinedStr | ast.BinOp):
            yield from (part for part in ast.walk(node) if isinstance(part, ast.Call))


def plain(text: str) -> str:
    """One line that a table can hold."""
    text = re.sub(r"\{[a-z_]+(:[^}]*)?\}", "…", " ".join(text.split()))
    return re.sub(r"(…[ ,]*)+…", "…", text).replace("|", "\\|").replace("<", "\\<").strip()


def all_codes(source: Path) -> dict[str, list[Entry]]:
    """Code -> every problem and cure that the source gives with it."""
    found: dict[str, dict[Entry, None]] = {}
    for path in sorted(source.rglob("*.py")):
        for code, entry in entries(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(code, {})[entry] = None
    return {code: informative(list(rows)) for code, rows in sorted(found.items())}


def informative(rows: list[Entry]) -> list[Entry]:
    """Without rows that say nothing beyond another one."""
    told = [row for row in rows if row[0].strip("… .")]
    return told or rows[:1]


def page(source: Path) -> str:
    """The whole page."""
    codes = all_codes(source)
    lines = [HEAD]
    for title, letter, columns in (
        ("Errors", "E", ("code", "what is wrong", "what to do")),
        ("Notes", "W", ("code", "what is noted", "what to do")),
    ):
        lines += [f"## {title}\n", "| " + " | ".join(columns) + " |", "|---|---|---|"]
        for code, rows in codes.items():
            if code.startswith(letter):
                for number, (problem, cure) in enumerate(rows):
                    name = f"`{code}`" if number == 0 else ""
                    lines.append(f"| {name} | {problem if problem.strip('… ') else UNKNOWN} | {cure} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(ROOT / "src" / "tomocyte"), encoding="utf-8")
