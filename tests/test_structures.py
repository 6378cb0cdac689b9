"""The registry of structures against the papers, and against what was drawn and measured before it existed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from tomocyte import structures as registry
from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.scene import IN_NUCLEUS, PAINT_ORDER, STRUCTURES
from tomocyte.structures import (
    SPARE_COLOURS,
    ZHANGHAO_COMPARTMENTS,
    Structure,
    ancestors,
    canonical_name,
    find_name,
    in_drawing_order,
    register,
    structure,
    structure_colour,
    structures,
)

# Zhanghao et al. 2021, Fig. 1 and main text: network -> what it predicts, in the paper's own words.
ZHANGHAO = {
    "LD-net": ["lipid droplets"],
    "GOLGI-net": ["Golgi apparatus"],
    "MITO-net": ["mitochondria"],
    "PERO-net": ["peroxisome"],
    "EE-net": ["early endosome"],
    "LE-net": ["late endosome"],
    "LYSO-net": ["lysosome"],
    "ER-net": ["endoplasmic reticulum", "nuclear membrane", "nuclear reticulum"],
    "PM-net": ["plasma membrane", "filopodia"],
    "VOLUME-net": ["nucleus", "cytosol", "extracellular space"],
}


@pytest.fixture
def own_entries() -> Iterator[None]:
    """Whatever a test registers is forgotten afterwards."""
    before = dict(registry._REGISTERED), dict(registry._ALIASES)
    yield
    for table, content in zip((registry._REGISTERED, registry._ALIASES), before, strict=True):
        table.clear()
        table.update(content)


def test_the_fifteen_compartments_of_the_paper() -> None:
    words = [name for part in ZHANGHAO.values() for name in part]
    known = {entry.name for entry in structures()}
    assert len(words) == 15
    assert [canonical_name(name) for name in words] == list(ZHANGHAO_COMPARTMENTS)
    assert set(ZHANGHAO_COMPARTMENTS) <= known
    # The paper's short forms, as its networks and figures use them.
    short = ["LD", "golgi", "MITO", "PERO", "EE", "LE", "LYSO", "ER", "PM", "ECS"]
    assert {canonical_name(name) for name in short} <= set(ZHANGHAO_COMPARTMENTS)
    assert len({canonical_name(name) for name in short}) == len(short)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("membrane", "cell"),
        ("cell membrane", "cell"),
        ("cell_body", "cell"),
        ("Cells", "cell"),
        ("nuclei", "nucleus"),
        ("nucleoli", "nucleolus"),
        ("lipid droplets", "lipid_droplet"),
        ("lipid-droplet", "lipid_droplet"),
        ("plasma membrane", "plasma_membrane"),
        ("filopodia", "filopodium"),
        ("polystyrene beads", "bead"),
        ("cell cytoplasm", "cell cytoplasm"),
        ("Cytoplasm", "cytoplasm"),
        ("my own thing", "my own thing"),
        ("s", "s"),
        ("", ""),
    ],
)
def test_other_names(alias: str, name: str) -> None:
    assert canonical_name(alias) == name
    assert structure(alias).name == name


def test_refraction_increments_are_those_of_choi_2021() -> None:
    """0.135 mL/g for lipid droplets, 0.19 mL/g for everything else in a cell; glass and beads have no dry mass."""
    inside = [entry.name for entry in structures() if entry.name == "cell" or "cell" in ancestors(entry.name)]
    assert {"nucleus", "nucleolus", "mitochondrion", "inclusion"} <= set(inside)
    for name in inside:
        expected = 0.135 if name == "lipid_droplet" else 0.19
        assert structure(name).refraction_increment_ml_per_g == expected, name
    for name in ("bead", "capillary", "extracellular"):
        assert structure(name).refraction_increment_ml_per_g is None
    assert structure("invented").refraction_increment_ml_per_g == 0.19


def test_every_parent_exists_and_nothing_contains_itself() -> None:
    names = {entry.name for entry in structures()}
    for entry in structures():
        assert entry.parent is None or entry.parent in names
        assert entry.name not in ancestors(entry.name)
    assert ancestors("nucleolus") == ancestors("nuclear_membrane") == ("nucleus", "cell")
    assert ancestors("cell") == ancestors("bead") == ancestors("invented") == ()


def test_no_name_or_alias_means_two_things() -> None:
    words = [word for entry in structures() for word in (entry.name, *entry.aliases)]
    assert len(words) == len(set(words))
    assert all(word == word.lower().replace(" ", "_").replace("-", "_") for word in words)


def test_colours_differ_for_the_eye() -> None:
    """CIEDE2000, from scikit-image: 5 is seen at a glance."""
    colours = {entry.colour for entry in structures()} | set(SPARE_COLOURS)
    # Two common structures without an entry of their own before keep the spare colour that they had.
    assert len(colours) == len(structures()) + len(SPARE_COLOURS) - 2
    lab = {c: rgb2lab(np.array([int(c[place : place + 2], 16) / 255 for place in (1, 3, 5)])) for c in colours}
    nearest = min(float(deltaE_ciede2000(lab[a], lab[b])) for a, b in itertools.combinations(sorted(lab), 2))
    assert nearest > 7


def test_what_was_drawn_and_cleaned_before_stays_the_same() -> None:
    """Pictures, report and objects of runs before the registry, read from the lists that it replaced."""
    before = {
        "cell": ("#56B4E9", 0.5, 0.5),
        "nucleus": ("#E69F00", 5.0, 5.0),
        "inclusion": ("#F0E442", 0.5, 0.5),
        "lipid_droplet": ("#CC79A7", 0.05, 0.2),
        "nucleolus": ("#009E73", 0.2, 0.2),
        "mitochondrion": ("#0072B2", 0.05, 0.1),
        "object": ("#CAB2D6", 0.5, 0.5),
        "vacuole": ("#CAB2D6", 0.5, 0.5),  # the bytes of its name add up to 751, and 751 % 4 is 3
    }
    for name, expected in before.items():
        entry = structure(name)
        assert (entry.colour, entry.smallest_um3, entry.smallest_um2) == expected, name


def test_small_vesicles_are_not_cleaned_away() -> None:
    """A sphere of 0.3 µm, the size of an early endosome, has 0.0141 µm³ and, projected, 0.0707 µm²."""
    for name in ("early_endosome", "late_endosome", "lysosome", "peroxisome"):
        assert structure(name).smallest_um3 < np.pi / 6 * 0.3**3
        assert structure(name).smallest_um2 < np.pi / 4 * 0.3**2


def test_drawing_goes_from_the_outside_in() -> None:
    assert in_drawing_order(["mine", "lipid_droplet", "nucleolus", "cell", "yours", "nuclei", "cell"]) == [
        "cell",
        "nuclei",
        "nucleolus",
        "lipid_droplet",
        "mine",
        "yours",
    ]
    places = {entry.name: place for place, entry in enumerate(structures())}
    for entry in structures():
        assert all(places[outer] < places[entry.name] for outer in ancestors(entry.name))


def test_the_simulation_makes_only_registered_structures() -> None:
    names = {entry.name for entry in structures()}
    assert {*STRUCTURES, *PAINT_ORDER} <= names
    assert {"nuclear_membrane", "nucleoplasm", "nuclear_reticulum", "nucleolus"} == IN_NUCLEUS


@pytest.mark.usefixtures("own_entries")
def test_a_new_structure_is_found_everywhere() -> None:
    vacuole = Structure("vacuole", "vacuole of a yeast cell", "cell", "#123456", 0.1, 0.2, aliases=("vac",))
    register(vacuole)
    register(vacuole)
    assert structure("Vacuoles") is structure("VAC") is vacuole
    assert structure_colour("vacuole") == "#123456"
    assert ancestors("vacuole") == ("cell",)
    assert structures()[-1] is vacuole
    assert in_drawing_order(["mine", "vacuole", "cell"]) == ["cell", "vacuole", "mine"]


@pytest.mark.usefixtures("own_entries")
@pytest.mark.parametrize(
    "entry",
    [
        Structure("cell", "another cell"),
        Structure("membrane", "an alias of another structure"),
        Structure("vacuole", "an alias that is taken", aliases=("nuclei",)),
        Structure("ring", "inside itself", parent="ring"),
    ],
    ids=lambda entry: entry.description,
)
def test_a_name_that_is_taken_is_refused(entry: Structure) -> None:
    with pytest.raises(SettingsError) as caught:
        register(entry)
    assert caught.value.code == "E-STRUCTURE-NAME"


@pytest.mark.usefixtures("own_entries")
def test_nothing_contains_itself_in_a_circle() -> None:
    register(Structure("egg", "egg", parent="hen"))
    with pytest.raises(SettingsError, match="would contain itself"):
        register(Structure("hen", "hen", parent="egg"))


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("membrane", ("nucleus", "cell"), "cell"),
        ("cell", ("nuclei", "membrane"), "membrane"),
        ("membrane", ("cell", "membrane"), "membrane"),  # the same word comes first
        ("Cells", ("cell_body", "membrane"), "cell_body"),
        ("golgi", ("cell",), None),
        ("my own", ("My own", "my own"), "my own"),
    ],
)
def test_a_name_is_found_under_its_aliases(name: str, names: tuple[str, ...], expected: str | None) -> None:
    assert find_name(name, names) == expected
