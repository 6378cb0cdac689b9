"""Cell lines: one row each.

The figures are means or (low, high) ranges that cells are drawn from; ``source`` says where they come from. What the
papers give for a line is its look (a small trim nucleus, one or two large nucleoli, a spiky outline); sizes and counts
without a reference are starting values. To add a cell line, add a row with its source.
"""

from __future__ import annotations

from dataclasses import dataclass

from tomocyte.errors import SettingsError

Pair = tuple[float, float]
Count = tuple[int, int]

KINDS = ("suspended", "adherent", "macrophage", "fibroblast", "mitotic", "apoptotic")


@dataclass(frozen=True)
class CellLine:
    """One row: how cells of a line look and what they hold. Lengths in µm, volumes in µm³, counts as (low, high)."""

    name: str
    kind: str
    volume_um3: float
    height_um: float
    delta_n: Pair
    """Cytoplasm over medium."""
    nucleus_share: Pair
    """Volume of all nuclei over the cell's."""
    n_nucleoli: Count
    nucleolus_um: Pair
    n_droplets: Count
    droplet_um: Pair
    n_filopodia: Count
    n_mitochondria: Count
    n_vesicles: tuple[Count, Count, Count, Count]
    """Early endosomes, late endosomes, lysosomes, peroxisomes."""
    nuclei: tuple[float, float, float] = (0.0, 0.97, 0.03)
    """Shares of cells with no, one and two nuclei."""
    lobed_share: float = 0.0
    lower_nucleus_share: float = 0.65
    """Share of cells whose nucleus has a lower index than the cytoplasm."""
    network_share: float = 0.7
    """Share of cells whose mitochondria form a network rather than fragments."""
    n_spikes: int = 0
    source: str = ""


_DESIGN = "sizes, counts and indices: starting value, simulation.md"
_CHOI = "look: Choi et al., bioRxiv 2021 (3-D QPI of five cell lines); " + _DESIGN
_ACSEG = "cell type: Erozan et al., iScience 2024, doi 10.1016/j.isci.2024.109856; " + _DESIGN
_HL60 = (
    "lower index of the nucleus: Schürmann et al., J. Biophotonics 2017, doi 10.1002/jbio.201700145; volume 1475 µm³ "
    "and mean index of the open HL60 tomogram; " + _DESIGN
)
_NILE_RED = "cell type and compartments: Zhanghao et al. (15 compartments, U2-OS); " + _DESIGN

_FEW: tuple[Count, Count, Count, Count] = ((3, 10), (2, 8), (4, 14), (3, 10))
_MANY: tuple[Count, Count, Count, Count] = ((6, 16), (6, 16), (10, 30), (6, 16))

# fmt: off
_ROWS = (
    # name, kind, volume, height, Δn, nucleus share, nucleoli (n, µm), droplets (n, µm),
    # filopodia, mitochondria, vesicles
    CellLine("NIH3T3", "fibroblast", 1800, 6.0, (0.018, 0.032), (0.12, 0.2), (2, 4), (0.6, 1.2), (2, 20), (0.2, 0.6),
             (0, 8), (14, 30), _FEW, source=_CHOI),
    CellLine("A549", "adherent", 1700, 6.5, (0.018, 0.034), (0.14, 0.22), (1, 2), (1.0, 1.7), (15, 60), (0.35, 1.1),
             (0, 6), (14, 30), _FEW, source=_CHOI),
    CellLine("MDA-MB-231", "adherent", 1600, 6.5, (0.018, 0.034), (0.2, 0.32), (1, 2), (1.1, 1.7), (5, 40), (0.25, 0.8),
             (0, 10), (14, 30), _FEW, source=_CHOI),
    CellLine("HeLa", "adherent", 2000, 7.5, (0.018, 0.034), (0.22, 0.34), (2, 4), (0.8, 1.5), (3, 30), (0.2, 0.7),
             (0, 8), (16, 34), _FEW, source=_CHOI),
    CellLine("RAW 264.7", "macrophage", 750, 8.0, (0.024, 0.042), (0.3, 0.45), (1, 4), (0.5, 1.0), (2, 20), (0.2, 0.6),
             (6, 24), (8, 20), _MANY, n_spikes=16, source=_CHOI),
    CellLine("HL60", "suspended", 1400, 13.0, (0.014, 0.024), (0.22, 0.4), (0, 3), (0.5, 1.2), (0, 12), (0.25, 1.0),
             (0, 0), (8, 22), _FEW, lobed_share=0.4, lower_nucleus_share=0.9, network_share=0.4, source=_HL60),
    CellLine("T cell", "suspended", 220, 7.5, (0.026, 0.042), (0.4, 0.55), (0, 2), (0.4, 0.8), (0, 3), (0.2, 0.4),
             (0, 4), (3, 9), ((1, 4), (0, 3), (1, 5), (0, 3)), network_share=0.2, source=_ACSEG),
    CellLine("Huh-7", "adherent", 2400, 8.0, (0.02, 0.036), (0.15, 0.25), (1, 4), (0.8, 1.5), (30, 200), (0.25, 1.2),
             (0, 4), (18, 40), _FEW, nuclei=(0.0, 0.85, 0.15), source=_ACSEG),
    CellLine("BV-2", "macrophage", 850, 7.5, (0.022, 0.038), (0.25, 0.4), (1, 3), (0.5, 1.0), (2, 25), (0.2, 0.6),
             (4, 16), (8, 20), _MANY, n_spikes=8, source=_ACSEG),
    CellLine("MEF", "fibroblast", 2400, 6.0, (0.016, 0.03), (0.12, 0.2), (2, 6), (0.6, 1.2), (2, 25), (0.2, 0.6),
             (0, 8), (18, 36), _FEW, source=_ACSEG),
    CellLine("β-cell", "suspended", 1000, 12.0, (0.024, 0.04), (0.15, 0.28), (1, 2), (0.6, 1.1), (0, 8), (0.2, 0.5),
             (0, 4), (14, 30), ((6, 12), (6, 16), (60, 140), (4, 10)), source=_ACSEG),
    CellLine("U2-OS", "adherent", 2600, 5.5, (0.014, 0.028), (0.18, 0.28), (2, 6), (0.7, 1.4), (5, 50), (0.2, 0.7),
             (2, 16), (20, 44), _MANY, source=_NILE_RED),
)
# fmt: on

CELL_LINES: dict[str, CellLine] = {row.name: row for row in _ROWS}
"""Every cell line, by name."""


def cell_line(name: str) -> CellLine:
    """The cell line of that name; case, blanks, dots and hyphens do not matter (``RAW264.7``, ``hela``, ``u2os``).

    Raises
    ------
    SettingsError
        ``E-SIM-PRESET`` with the valid names.

    Examples
    --------
    >>> cell_line("raw264.7").kind
    'macrophage'
    """
    row = find_line(name)
    if row is None:
        raise SettingsError("E-SIM-PRESET", f"unknown cell line {name!r}.", cure=f"Known: {', '.join(CELL_LINES)}.")
    return row


def find_line(name: str) -> CellLine | None:
    """The cell line of that name as :func:`cell_line` reads it, or ``None``.

    Examples
    --------
    >>> find_line("huh7").name, find_line("moon cell")
    ('Huh-7', None)
    """
    key = _plain(name)
    return next((row for row in _ROWS if _plain(row.name) == key), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold().replace("beta", "β") if letter.isalnum())
