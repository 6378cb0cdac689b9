"""The registry of structures: what a cell is made of, and what else lies in the field of a microscope.

One entry says all that the product knows about a structure: its parent, colour, place in the drawing order, smallest
object, refraction increment and other names. To add one, add an entry to ``_ENTRIES``, in drawing order; a modality
that shows a structure of its own gives it in its own file, where it is registered by itself. A name without an entry
works everywhere and gets the defaults of :class:`Structure` and a colour that depends on the name alone.

The fifteen compartments of Zhanghao et al. (doi:10.1101/2021.12.13.472520) are :data:`ZHANGHAO_COMPARTMENTS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tomocyte.errors import SettingsError

PROTEIN_ML_PER_G = 0.19
"""Refraction increment α of everything in a cell but lipids (Choi et al. 2021, doi:10.1101/2021.05.23.445351)."""
LIPID_ML_PER_G = 0.135
"""Refraction increment α of lipid droplets (Choi et al. 2021)."""
CELL, NUCLEUS, BEAD = "cell", "nucleus", "bead"
"""Names of structures that the program itself treats in a way of their own."""
OUTSIDE_CELLS = ("extracellular", "capillary", "bead", "debris")
"""Structures that lie beside cells, never in them."""
CYTOPLASM = "cytoplasm"
"""Name of the region that remains of a cell without its organelles."""
SPARE_COLOURS = ("#D55E00", "#0072B2", "#B2DF8A", "#CAB2D6")
"""Colours of structures without an entry."""


@dataclass(frozen=True)
class Structure:
    """A structure that can be segmented, drawn and measured.

    Parameters
    ----------
    name : str
        As it stands in the column ``structure``.
    description : str
        One line for people.
    parent : str, optional
        The structure that contains it; ``None`` for what is not part of another structure.
    colour : str
        ``#RRGGBB``; empty: one of :data:`SPARE_COLOURS`, chosen by the name.
    smallest_um3, smallest_um2 : float
        Smallest object in µm³ and, in planar images, in µm²; smaller ones are left out.
    refraction_increment_ml_per_g : float, optional
        α in n = n0 + α·c, in mL/g; ``None`` for what has no dry mass. It is used only where a voxel value is a
        refractive index (see :meth:`tomocyte.modalities.Modality.structure`).
    aliases : tuple of str
        Other names; upper case, spaces, hyphens and a plural's final s need none of their own.
    is_solid : bool
        Whether what an object encloses belongs to it; not for shells, networks and what fills the space between others.

    References
    ----------
    α as in Barer 1952, doi:10.1038/169366b0; values from Choi et al. 2021, doi:10.1101/2021.05.23.445351.
    """

    name: str
    description: str
    parent: str | None = None
    colour: str = ""
    smallest_um3: float = 0.5
    smallest_um2: float = 0.5
    refraction_increment_ml_per_g: float | None = PROTEIN_ML_PER_G
    aliases: tuple[str, ...] = ()
    is_solid: bool = True

    def __post_init__(self) -> None:
        if not self.colour:
            spare = SPARE_COLOURS[sum(self.name.encode()) % len(SPARE_COLOURS)]
            object.__setattr__(self, "colour", spare)


# Colours: the first five are Okabe & Ito's, which differ with every kind of colour blindness. Smallest objects: a
# sphere of the diameter that the comment gives, or the registry's default.
_ENTRIES = (
    Structure(
        "extracellular", "everything outside the cells", None, "#BFBFBF", refraction_increment_ml_per_g=None,
        aliases=("extracellular_space", "ecs"), is_solid=False,
    ),
    Structure(
        "capillary", "glass capillary that holds the cells in soft X-ray tomography", None, "#00FA9A",
        refraction_increment_ml_per_g=None, aliases=("capillaries", "capillary_wall"),
    ),
    Structure(
        "bead", "polystyrene bead that normalises soft X-ray tomograms", None, "#FF00FF",
        refraction_increment_ml_per_g=None, aliases=("microsphere", "polystyrene_bead"),
    ),
    Structure(
        "debris", "remains of dead cells between the cells", None, "#A0522D", 0.05, 0.1,
        aliases=("cell_debris", "apoptotic_debris"),
    ),
    Structure("object", "bright object: a stained cell, nucleus or organelle", None, "#CAB2D6"),
    Structure(
        "cell", "whole cell, inside the plasma membrane", None, "#56B4E9",
        aliases=("membrane", "cell_membrane", "cell_body", "cell_bodies", "whole_cell"),
    ),
    Structure("cytoplasm", "cell without its organelles", "cell", "#8DA0CB"),
    Structure("nucleus", "nucleus", "cell", "#E69F00", 5.0, 5.0, aliases=("nuclei",)),
    Structure("inclusion", "inclusion: droplet, nucleolus or granule, not distinguished", "cell", "#F0E442"),
    Structure("nucleolus", "nucleolus", "nucleus", "#009E73", 0.2, 0.2, aliases=("nucleoli",)),
    Structure(
        "lipid_droplet", "lipid droplet", "cell", "#CC79A7", 0.05, 0.2, LIPID_ML_PER_G,
        aliases=("lipid", "droplet", "ld"),
    ),
    Structure("plasma_membrane", "plasma membrane", "cell", "#33A02C", aliases=("pm",), is_solid=False),
    Structure("filopodium", "filopodium", "cell", "#7FFF00", 0.05, 0.1, aliases=("filopodia",)),
    Structure("cytosol", "what fills the cell between its organelles", "cell", "#A6CEE3", is_solid=False),
    Structure(
        "endoplasmic_reticulum", "endoplasmic reticulum", "cell", "#6A3D9A", 0.05, 0.1,
        aliases=("endoplasmic_reticula", "er"), is_solid=False,
    ),
    Structure(
        "golgi", "Golgi apparatus", "cell", "#FB9A99", 0.05, 0.1,
        aliases=("golgi_apparatus", "golgi_body", "golgi_bodies", "golgi_complex"),
    ),
    Structure("mitochondrion", "mitochondrion", "cell", "#0072B2", 0.05, 0.1, aliases=("mitochondria", "mito")),
    # 0.2 µm.
    Structure("early_endosome", "early endosome", "cell", "#00CED1", 0.004, 0.03, aliases=("ee",)),
    Structure("late_endosome", "late endosome", "cell", "#1F78FF", 0.004, 0.03, aliases=("le",)),
    Structure("lysosome", "lysosome", "cell", "#DC143C", 0.004, 0.03, aliases=("lyso",)),
    Structure("peroxisome", "peroxisome", "cell", "#8C510A", 0.004, 0.03, aliases=("pero",)),
    Structure(
        "nuclear_membrane", "nuclear membrane", "nucleus", "#FFBF80",
        aliases=("nuclear_envelope", "nucleus_membrane"), is_solid=False,
    ),
    Structure("nucleoplasm", "what fills the nucleus between its parts", "nucleus", "#FFE4B5", is_solid=False),
    Structure(
        "nuclear_reticulum", "folds of the nuclear membrane that reach into the nucleus", "nucleus", "#B8860B", 0.05,
        0.1, aliases=("nuclear_reticula", "nucleoplasmic_reticulum"), is_solid=False,
    ),
)  # fmt: skip

ZHANGHAO_COMPARTMENTS = (
    "lipid_droplet",
    "golgi",
    "mitochondrion",
    "peroxisome",
    "early_endosome",
    "late_endosome",
    "lysosome",
    "endoplasmic_reticulum",
    "nuclear_membrane",
    "nuclear_reticulum",
    "plasma_membrane",
    "filopodium",
    "nucleus",
    "cytosol",
    "extracellular",
)
"""The fifteen compartments of Zhanghao et al., in the order of the paper's main text."""

ZHANGHAO_CLASSES = (
    ("endoplasmic_reticulum", "nuclear_membrane", "nuclear_reticulum"),
    ("plasma_membrane", "filopodium"),
    ("nucleus", "cytosol", "extracellular"),
)
"""Those of the fifteen that exclude each other: the classes of the paper's softmax networks, and of its matrices."""

_REGISTERED: dict[str, Structure] = {}
_ALIASES: dict[str, str] = {}


def structure(name: str) -> Structure:
    """The structure of a name or alias; a name without an entry gets the defaults and a colour of its own.

    Parameters
    ----------
    name : str

    Returns
    -------
    Structure
        Its ``name`` is the canonical one.

    Examples
    --------
    >>> structure("Lipid droplets").name, structure("nucleolus").parent
    ('lipid_droplet', 'nucleus')
    >>> structure("lamellipodium").colour
    '#B2DF8A'
    """
    canonical = canonical_name(name)
    return _REGISTERED.get(canonical) or Structure(canonical, canonical)


def structure_colour(name: str) -> str:
    """The colour in which a structure is always drawn, as ``#RRGGBB``.

    Examples
    --------
    >>> structure_colour("cell")
    '#56B4E9'
    """
    return structure(name).colour


def structures(*names: str) -> tuple[Structure, ...]:
    """The structures of these names, in the order given; without names every registered one, in drawing order.

    Examples
    --------
    >>> [one.name for one in structures("nuclei", "cell")]
    ['nucleus', 'cell']
    """
    return tuple(map(structure, names)) if names else tuple(_REGISTERED.values())


def canonical_name(name: str) -> str:
    """The registered name that a name or alias stands for; any other name comes back unchanged.

    Examples
    --------
    >>> canonical_name("membrane"), canonical_name("Early endosomes"), canonical_name("my own")
    ('cell', 'early_endosome', 'my own')
    """
    if name in _REGISTERED:
        return name
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    for form in (plain, plain.removesuffix("s")):
        if form in _REGISTERED:
            return form
        if form in _ALIASES:
            return _ALIASES[form]
    return name


def find_name(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that a name or alias stands for: the same word, else the first of the same structure.

    Examples
    --------
    >>> find_name("cell", ["nuclei", "membrane"]), find_name("membrane", ["cell", "membrane"])
    ('membrane', 'membrane')
    >>> find_name("golgi", ["cell"]) is None
    True
    """
    candidates = list(names)
    if name in candidates:
        return name
    canonical = canonical_name(name)
    return next((one for one in candidates if canonical_name(one) == canonical), None)


def ancestors(name: str) -> tuple[str, ...]:
    """The structures that contain a structure, the innermost first.

    Examples
    --------
    >>> ancestors("nucleolus")
    ('nucleus', 'cell')
    """
    found: list[str] = []
    parent = structure(name).parent
    while parent is not None and parent not in found:
        found.append(parent)
        parent = structure(parent).parent
    return tuple(found)


def contains(outer: str, inner: str) -> bool:
    """Whether objects of one structure may hold those of another.

    What is no part of a cell may hold anything but what lies beside cells: glass, beads, debris.

    Examples
    --------
    >>> contains("nucleus", "nucleolus"), contains("nucleus", "lipid_droplet"), contains("object", "my own")
    (True, False, True)
    >>> contains("cell", "bead")
    False
    """
    if canonical_name(inner) in OUTSIDE_CELLS:
        return False
    return structure(outer).parent is None or canonical_name(outer) in ancestors(inner)


def in_drawing_order(names: Iterable[str]) -> list[str]:
    """Each name once, from the outermost structure in; names without an entry last, in the order given.

    Examples
    --------
    >>> in_drawing_order(["mine", "lipid_droplet", "cell", "nucleus"])
    ['cell', 'nucleus', 'lipid_droplet', 'mine']
    """
    places = {name: place for place, name in enumerate(_REGISTERED)}
    return sorted(dict.fromkeys(names), key=lambda name: places.get(canonical_name(name), len(places)))


def register(entry: Structure) -> None:
    """Add a structure to the registry, last in drawing order; the same entry again changes nothing.

    Parameters
    ----------
    entry : Structure

    Raises
    ------
    SettingsError
        ``E-STRUCTURE-NAME``: its name or an alias already means something else, or it would contain itself.
    """
    if _REGISTERED.get(entry.name) == entry:
        return
    taken = [name for name in (entry.name, *entry.aliases) if name in _REGISTERED or name in _ALIASES]
    if taken:
        raise SettingsError(
            "E-STRUCTURE-NAME",
            f"{taken[0]!r} is already a name of the structure {canonical_name(taken[0])!r}.",
            cure="Use that structure, or give the new one another name.",
        )
    if entry.parent is not None and entry.name in (entry.parent, *ancestors(entry.parent)):
        raise SettingsError(
            "E-STRUCTURE-NAME", f"{entry.name!r} would contain itself.", cure="Give it another parent, or none."
        )
    _REGISTERED[entry.name] = entry
    _ALIASES.update(dict.fromkeys(entry.aliases, entry.name))


for _entry in _ENTRIES:
    register(_entry)
