"""What the columns of contacts, distances and positions mean."""

from __future__ import annotations

from collections.abc import Sequence

from tomocyte.measurements.spatial.compartment import FILLINGS
from tomocyte.structures import ancestors, canonical_name
from tomocyte.tables import LEADING, Column

STATISTICS = ("mean_distance_um", "n_contacts", "contact_area_um2")
"""What is compared with chance."""
OUTSIDE = "Empty for objects outside all cells"
NO_OTHER = "Empty when the cell has none"
PLANAR = "in planar images"
AMONG = "among objects of one structure"
NO_CHANCE = (
    "Empty when nothing was placed at random (n_placements 0), for what stays in its place, as nuclei, when the cell "
    "has no object of the other structure, and when no object fits elsewhere (n_movable 0); of areas, also when the "
    "other structure is its own."
)

_MEANINGS = {
    "mean_distance_um": "mean distance",
    "n_contacts": "number of contacts",
    "contact_area_um2": "contact area",
}


def _chance_columns() -> tuple[Column, ...]:
    columns = []
    for name, meaning in _MEANINGS.items():
        unit = "_um2" if name.endswith("_um2") else "_um" if name.endswith("_um") else ""
        stem = name.removesuffix(unit) if unit else name
        symbol = {"_um2": "µm²", "_um": "µm", "": "1"}[unit]
        columns += [
            Column(f"{stem}_expected{unit}", symbol, f"Mean {meaning} over the random placements.", NO_CHANCE),
            Column(f"{stem}_effect", "1", f"Observed {meaning} / expected one.", f"{NO_CHANCE} Also when it is 0."),
            Column(
                f"{stem}_z", "1", f"(observed - expected) / standard deviation over the placements, of the {meaning}.",
                f"{NO_CHANCE} Also when all placements give the same.",
            ),
            Column(
                f"{stem}_p", "1",
                f"Twice the share of placements whose {meaning} is at least as extreme, the observed one counted among "
                "them; two-sided, for this one cell and pair.",
                NO_CHANCE, "doi:10.2202/1544-6115.1585",
            ),
        ]  # fmt: skip
    return tuple(columns)


_LEADING = {column.name: column for column in LEADING}

CONTACT_COLUMNS: tuple[Column, ...] = (
    _LEADING["structure"],
    _LEADING["cell_id"],
    Column(
        "other_structure", "",
        "What the objects are compared with; the name of the cells: their membrane; the same structure: each other.",
        kind="text",
    ),
    Column("n_objects", "1", "Objects of the structure in the cell.", kind="integer"),
    Column(
        "n_other_objects", "1", "Objects of the other structure in the cell; of the same structure, one less.",
        kind="integer",
    ),
    Column("n_in_contact", "1", "Objects of the structure with at least one contact.", kind="integer"),
    Column(
        "n_contacts", "1",
        "Pairs of one object of each whose surfaces lie at most the contact gap apart; of the same structure, each "
        "pair once.",
    ),
    Column(
        "contact_area_um2", "µm²",
        "Area of the surface of the structure's objects that lies at most the contact gap from the other structure.",
        f"Empty {PLANAR}.",
    ),
    Column(
        "mean_distance_um", "µm",
        "Mean over the objects of the distance from their surface to the other structure; of the same structure, to "
        "the nearest other object.",
        f"{NO_OTHER}.",
    ),
    Column("polarity_z_um", "µm", "z from the centre of the other structure to that of this one.",
           f"{NO_OTHER}; {AMONG}, {PLANAR}."),
    Column("polarity_y_um", "µm", "y from the centre of the other structure to that of this one.",
           f"{NO_OTHER}; {AMONG}."),
    Column("polarity_x_um", "µm", "x from the centre of the other structure to that of this one.",
           f"{NO_OTHER}; {AMONG}."),
    Column(
        "polarity", "1",
        "Distance of these centres, divided by the root mean square distance of the cell's voxels from the centre of "
        "the other structure: 0 for what lies all around it, about 1 at one edge of the cell.",
        f"{NO_OTHER}; {AMONG}, without cells.", "doi:10.1016/j.celrep.2012.01.009",
    ),
    Column("n_placements", "1", "How many times the objects were placed at random in the cell.", kind="integer"),
    Column("n_movable", "1", "Objects that fit anywhere in the region allowed to them; the others stay.", NO_CHANCE),
    Column(
        "n_staying", "1",
        "Objects, on average over the placements, that stayed where they are: because they fit nowhere, or because "
        "others of their kind left no room.", NO_CHANCE,
    ),
    Column(
        "n_outside_allowed", "1",
        "Objects that are observed, at least with one voxel, where none is placed: outside the cell or in another "
        "structure.", "Empty when nothing was placed at random, and for what stays in its place.",
    ),
    *_chance_columns(),
)  # fmt: skip
"""Columns of the table with one row per cell and two structures."""


def object_columns_of(structure: str, structures: Sequence[str], cells: str | None) -> list[Column]:
    """The columns that the objects of a structure get, given which other structures there are."""
    if structure == cells:
        return [
            Column("n_neighbours", "1", "Cells whose surface lies at most the contact gap from this one's."),
            Column(
                "shared_area_um2", "µm²", "Area of the surface that lies at most the contact gap from another cell.",
                f"Empty {PLANAR}.",
            ),
            Column(
                "neighbour_distance_um", "µm",
                "Smallest distance between the surface of the cell and that of the nearest other one.",
                "Empty where there is no other cell.",
            ),
        ]  # fmt: skip
    if structure in FILLINGS:
        return []
    columns = []
    for other in structures:
        is_inner = canonical_name(structure) in ancestors(other) and other != cells
        if other in FILLINGS or is_inner:
            continue
        columns += _columns_to(other, is_membrane=other == cells)
    if any(canonical_name(name) == "nucleus" for name in structures) and canonical_name(structure) != "nucleus":
        columns.append(
            Column(
                "radial_position", "1",
                "Mean over the object's voxels of the distance to the nuclear envelope, divided by the sum of it and "
                "the distance to the cell's membrane: 0 at the nucleus, 1 at the membrane.",
                f"{OUTSIDE}, in nuclei, without a nucleus, and where the cell fills the volume.",
            )
        )  # fmt: skip
    return columns


def _columns_to(other: str, *, is_membrane: bool) -> list[Column]:
    others = other if is_membrane else f"{other} (other than itself)"
    what = f"the membrane of its {other}" if is_membrane else f"the nearest {others} of its cell"
    gone = f"{OUTSIDE}, and where the {other} fills the volume." if is_membrane else f"{OUTSIDE}. {NO_OTHER}."
    return [
        Column(
            f"distance_to_{other}_um", "µm",
            f"Smallest distance between the surface of the object and {what}; surfaces are made of voxel faces, 0 "
            "where they touch or intersect.", gone,
        ),
        Column(f"n_contacts_{other}", "1", f"Number of {others} within the contact gap.", f"{OUTSIDE}."),
        Column(
            f"contact_area_{other}_um2", "µm²",
            f"Area of the object's surface that lies at most the contact gap from {others}.",
            f"{OUTSIDE}, and {PLANAR}.",
        ),
    ]  # fmt: skip
