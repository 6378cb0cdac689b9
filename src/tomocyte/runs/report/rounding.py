"""Numbers for people: how many digits are shown, and what a column is called.

The page rounds; the tables beside it keep every digit. To show a quantity with other digits, add a rule to ``rounded``.
"""

from __future__ import annotations

import math

_UNIT_ENDINGS = {
    "µm": "_um",
    "µm²": "_um2",
    "µm³": "_um3",
    "1/µm": "_per_um",
    "pg": "_pg",
    "mg/mL": "_mg_per_ml",
    "s": "_s",
    "nm": "_nm",
    "µm/s": "_um_per_s",
    "µm³/s": "_um3_per_s",
    "pg/s": "_pg_per_s",
}
_MINUS = "\N{MINUS SIGN}"
_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


def rounded(value: float, column: str = "") -> str:
    """A number with four significant digits, a refractive index with four decimals.

    Parameters
    ----------
    value : float
        Finite or not; an integer keeps all its digits.
    column : str
        Name of the column; one with the part ``ri`` holds a refractive index.

    Returns
    -------
    str
        ``–`` for NaN.

    Examples
    --------
    >>> rounded(1493.46), rounded(1.35267, "mean_ri"), rounded(0.00012345), rounded(float("nan"))
    ('1493', '1.3527', '0.0001234', '–')
    """
    if isinstance(value, int):
        return _grouped(str(value))
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else _MINUS + "∞"
    if is_refractive_index(column):
        return _grouped(f"{value:.4f}")
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e9:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{_grouped(mantissa)} × 10^{_grouped(str(int(exponent)))}"
    exponent10 = int(f"{value:.3e}".split("e")[1])  # of the rounded value
    return _grouped(f"{value:.{max(0, 3 - exponent10)}f}")


def like(value: float, example: str) -> str:
    """A number with as many decimals as another one that is already written.

    Examples
    --------
    >>> like(333.6123, "439.9"), like(0.0585894, "0.3639"), like(12.3, "1493")
    ('333.6', '0.0586', '12')
    """
    if "^" in example:
        return rounded(value)
    return _grouped(f"{value:.{len(example.partition('.')[2])}f}")


def is_refractive_index(column: str) -> bool:
    """Whether a column holds a refractive index, by its name."""
    return "ri" in column.split("_") or "refractive" in column.split("_")


def heading(column: str, unit: str) -> str:
    """A column's name without the unit that it ends in, for a table that shows the unit by itself.

    Examples
    --------
    >>> heading("surface_area_um2", "µm²"), heading("mean_ri", "1"), heading("n_contacts", "1")
    ('surface area', 'mean RI', 'n contacts')
    """
    name = column.removesuffix(_UNIT_ENDINGS.get(unit, ""))
    return " ".join(part.upper() if part in ("ri", "lac") else part for part in name.split("_"))


def _grouped(text: str) -> str:
    """Typographic minus, and groups of three from five digits on."""
    sign, digits = (_MINUS, text[1:]) if text.startswith("-") else ("", text)
    whole, _, rest = digits.partition(".")
    if len(whole) > 4:
        whole = f"{int(whole):,}".replace(",", _NARROW_SPACE)
    return sign + whole + (f".{rest}" if rest else "")
