"""``docs/codes.md`` is what the source says: no code is missing, none is left over, and each has its meaning."""

from __future__ import annotations

import ast
import re

from tests.codes import PAGE, ROOT, all_codes, entries, page

SOURCE = ROOT / "src" / "tomocyte"
QUOTED = re.compile(r'^(?! *>>>).*"([EW]-[A-Z]+(?:-[A-Z0-9]+)*)[":]', re.MULTILINE)
ROW = re.compile(r"^\| `([EW]-[A-Z0-9-]+)` \| (.*?) \|", re.MULTILINE)


def test_the_page_is_that_of_the_source() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(SOURCE), "type `make codes`"


def test_every_code_in_quotes_is_on_the_page() -> None:
    """Found by looking for quotation marks, not by reading Python."""
    quoted = {code for path in SOURCE.rglob("*.py") for code in QUOTED.findall(path.read_text(encoding="utf-8"))}
    assert quoted - set(dict(ROW.findall(PAGE.read_text(encoding="utf-8")))) == set()
    assert len(quoted) > 200


def test_what_is_read_from_a_module() -> None:
    source = '''
LONG = "is too long."
def check(n):
    """``E-DOC``: not here."""
    if n > 3:
        raise InputError("E-LONG", LONG, cure=f"Give at most {n}" + " planes.")
    notes.append(f"W-FEW: {n} planes of {n!r} are few.")
    raise InputError("E-OTHER", f"{n} | {n}.", path=path)
'''
    assert {code: entry for code, entry in entries(ast.parse(source)) if any(entry)} == {
        "E-LONG": ("is too long.", "Give at most … planes."),
        "W-FEW": ("… planes of … are few.", ""),
        "E-OTHER": ("… \\| ….", ""),
    }
    assert len(all_codes(SOURCE)["E-AXES"]) > 5
