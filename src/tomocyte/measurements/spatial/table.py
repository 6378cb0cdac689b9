"""From label images to what touches what: columns for every object, and one row per cell and two structures."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.labels.parents import assign_parents
from tomocyte.measurements._label_runs import label_runs
from tomocyte.measurements.measure import check_labels
from tomocyte.measurements.spatial._kernels import Floats, smallest_of_objects
from tomocyte.measurements.spatial.chance import Comparison, compare
from tomocyte.measurements.spatial.columns import CONTACT_COLUMNS, STATISTICS, object_columns_of
from tomocyte.measurements.spatial.compartment import FILLINGS, FIXED, Compartment, Indexed, compartments
from tomocyte.measurements.spatial.nearest import nearest_of_kind
from tomocyte.measurements.spatial.placement import contacts_among, movables, place, summed_contacts
from tomocyte.measurements.spatial.position import polarity, radial_positions
from tomocyte.measurements.spatial.settings import ContactSettings
from tomocyte.measurements.spatial.surfaces import Faces, Reach
from tomocyte.structures import NUCLEUS, ancestors, canonical_name, find_name
from tomocyte.tables import Column, table_from_rows
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ContactTables:
    """Contacts, distances and positions of one frame.

    Parameters
    ----------
    objects : mapping
        Structure -> one row per object: ``label``, distance, contacts and contact area for every structure, its own
        too, the radial position; for cells the number of neighbours, the area shared with them and the distance of the
        nearest.
    structures : DataFrame
        One row per cell and two structures, with the columns :data:`CONTACT_COLUMNS`.
    object_columns : tuple of Column
        What the columns of objects mean.
    """

    objects: Mapping[str, pd.DataFrame]
    structures: pd.DataFrame
    object_columns: tuple[Column, ...]


def measure_contacts(
    labels: Mapping[str, NDArray[Any]],
    voxel_size_um: VoxelSize,
    *,
    cells: str | None = None,
    cell_ids: Mapping[str, Mapping[int, int]] | None = None,
    settings: ContactSettings | None = None,
    frame: int = 0,
) -> ContactTables:
    """Measure contacts, distances and positions of the objects in every cell, and compare them with chance.

    Parameters
    ----------
    labels : mapping
        Structure -> unsigned integer ndarray (Z, Y, X), 0 = background.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z is NaN for planar images.
    cells : str, optional
        Which of them are the cells; none: the whole volume counts as one, with the number 0.
    cell_ids : mapping, optional
        Structure -> label -> cell; by default the cell with which an object has most voxels in common.
    settings : ContactSettings, optional
    frame : int
        With the seed, the cell and the structure it decides the random placements.

    Returns
    -------
    ContactTables

    Raises
    ------
    InputError
        ``E-LABELS``, ``E-SHAPE``.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> droplets, golgi = np.zeros((2, 3, 5, 9), np.uint8)
    >>> droplets[1, 2, 1], droplets[1, 2, 6], golgi[1, 2, 2:4] = 1, 2, 1
    >>> tables = measure_contacts({"lipid_droplet": droplets, "golgi": golgi}, (0.3, 0.2, 0.1))
    >>> tables.objects["lipid_droplet"][["label", "distance_to_golgi_um", "n_contacts_golgi"]].round(6).values.tolist()
    [[1.0, 0.0, 1.0], [2.0, 0.2, 0.0]]
    """
    settings = settings or ContactSettings()
    shapes = {name: one.shape for name, one in labels.items()}
    for one in labels.values():
        check_labels(one, None, voxel_size_um)
    if len(set(shapes.values())) > 1:
        raise InputError(
            "E-SHAPE", f"the label images have the shapes {shapes}.", cure="Give label images of the same volume."
        )
    given = cell_ids or {}
    inner: dict[str, Indexed] = {}
    for name, one in labels.items():
        if name != cells:
            parents = given.get(name) if cells is None else given.get(name) or assign_parents(one, labels[cells])
            inner[name] = Indexed.of(one, parents)
    cell_objects = None if cells is None else Indexed.of(labels[cells])
    reach = Reach.within(settings.gap_um, voxel_size_um)
    by_object: dict[str, dict[int, dict[str, float]]] = {name: {} for name in labels}
    rows: list[dict[str, Any]] = []
    for compartment in compartments(inner, cell_objects, cells, voxel_size_um):
        for structure in inner:
            rows += _structure_rows(compartment, structure, reach, settings, frame, by_object[structure])
    if cells is not None and cell_objects is not None:
        by_object[cells] = _neighbours(labels[cells], cell_objects, voxel_size_um, reach)
    columns = {name: object_columns_of(name, list(labels), cells) for name in labels}
    every = {name: sorted(map(int, one.numbers)) for name, one in inner.items()}
    if cells is not None and cell_objects is not None:
        every[cells] = sorted(map(int, cell_objects.numbers))
    objects = {name: _object_table(every[name], by_object[name], columns[name]) for name in labels}
    described = {column.name: column for own in columns.values() for column in own}
    return ContactTables(objects, table_from_rows(rows, CONTACT_COLUMNS), tuple(described.values()))


def _structure_rows(
    compartment: Compartment,
    structure: str,
    reach: Reach,
    settings: ContactSettings,
    frame: int,
    values: dict[int, dict[str, float]],
) -> list[dict[str, Any]]:
    """Rows of one structure of a cell against every other; the objects' own values are added to ``values``."""
    n = compartment.n_objects(structure)
    if n == 0 or structure in FILLINGS:
        return []
    numbers = [int(number) for number in compartment.numbers[structure]]
    for number in numbers:
        values.setdefault(number, {})
    nucleus = find_name(NUCLEUS, compartment.objects)
    if nucleus is not None and nucleus != structure and not compartment.surrounds(nucleus, structure):
        for number, radius in zip(numbers, radial_positions(compartment, structure, nucleus), strict=True):
            values[number]["radial_position"] = float(radius)
    rows, targets = [], compartment.targets(structure)
    for other in targets:
        rows.append(_contact_row(compartment, structure, other, reach, values))
    own = _own_row(compartment, structure, reach, values)
    rows += [own] if n > 1 else []
    if settings.n_placements and canonical_name(structure) not in FIXED:
        _add_chance(compartment, structure, targets, reach, settings, frame, rows)
    return rows


def _contact_row(
    compartment: Compartment, structure: str, other: str, reach: Reach, values: dict[int, dict[str, float]]
) -> dict[str, Any]:
    """What is observed of one structure against another."""
    n = compartment.n_objects(structure)
    is_envelope = compartment.surrounds(other, structure)
    others = compartment.target(other, is_envelope=is_envelope)
    is_there = bool(others.any())
    distances = np.full(n, math.nan)
    if is_there:
        gaps = compartment.gaps(other, is_envelope=is_envelope)
        distances = smallest_of_objects(compartment.objects[structure], gaps, n)
    contacts = compartment.faces(structure).contacts(others, reach)
    per_object = np.bincount(contacts.pairs[:, 0], minlength=n + 1)[1:]
    area = contacts.area_um2 if is_there else contacts.area_um2 * 0
    for index, number in enumerate(compartment.numbers[structure]):
        values[int(number)] |= {
            f"distance_to_{other}_um": float(distances[index]),
            f"n_contacts_{other}": float(per_object[index]),
            f"contact_area_{other}_um2": float(area[index]),
        }
    vector, strength = polarity(compartment, structure, other)
    row: dict[str, Any] = dict.fromkeys((column.name for column in CONTACT_COLUMNS), math.nan)
    n_others = int(others.max(initial=0)) if not is_envelope else int(is_there)
    return row | {
        "cell_id": compartment.cell_id,
        "structure": structure,
        "other_structure": other,
        "n_objects": n,
        "n_other_objects": n_others,
        "n_in_contact": int(np.count_nonzero(per_object)),
        "n_contacts": float(per_object.sum()),
        "contact_area_um2": float(area.sum()),
        "mean_distance_um": float(distances.mean()),
        "polarity_z_um": float(vector[0]),
        "polarity_y_um": float(vector[1]),
        "polarity_x_um": float(vector[2]),
        "polarity": strength,
        "n_placements": 0,
    }


def _own_row(
    compartment: Compartment, structure: str, reach: Reach, values: dict[int, dict[str, float]]
) -> dict[str, Any]:
    """What is observed of the objects of a structure among each other; each pair counts once."""
    n = compartment.n_objects(structure)
    distances, n_contacts = nearest_of_kind(compartment.runs(structure), compartment.voxel_size_um, reach.gap_um)
    areas = compartment.faces(structure).contacts(compartment.objects[structure], reach, is_same=True).area_um2
    for index, number in enumerate(compartment.numbers[structure]):
        values[int(number)] |= {
            f"distance_to_{structure}_um": float(distances[index]),
            f"n_contacts_{structure}": float(n_contacts[index]),
            f"contact_area_{structure}_um2": float(areas[index]),
        }
    row: dict[str, Any] = dict.fromkeys((column.name for column in CONTACT_COLUMNS), math.nan)
    return row | {
        "cell_id": compartment.cell_id,
        "structure": structure,
        "other_structure": structure,
        "n_objects": n,
        "n_other_objects": n - 1,
        "n_in_contact": int(np.count_nonzero(n_contacts)),
        "n_contacts": float(n_contacts.sum() / 2),
        "contact_area_um2": float(areas.sum()),
        "mean_distance_um": float(distances.mean()),
        "n_placements": 0,
    }


def allowed_region(compartment: Compartment, structure: str, overlapping: Collection[str] = ()) -> NDArray[np.bool_]:
    """Where objects of a structure could lie: inside what contains them, outside all other structures of the cell.

    Parameters
    ----------
    compartment : Compartment
    structure : str
    overlapping : collection of str
        Registered names of structures in which they may lie, too.
    """
    containers = [
        name for name in compartment.objects if canonical_name(name) in ancestors(structure) and name != structure
    ]
    allowed = compartment.inside.copy()
    for name in containers:
        if name != compartment.cells and compartment.n_objects(name):
            allowed &= compartment.mask(name)
    for name in compartment.objects:
        is_inner = canonical_name(structure) in ancestors(name)
        is_free = name in FILLINGS or canonical_name(name) in overlapping
        if name not in (structure, *containers) and not is_free and not is_inner:
            allowed &= ~compartment.mask(name)
    return allowed


def _add_chance(
    compartment: Compartment,
    structure: str,
    targets: Sequence[str],
    reach: Reach,
    settings: ContactSettings,
    frame: int,
    rows: list[dict[str, Any]],
) -> None:
    """Place the objects of a structure at random, many times, and write what chance gives into the rows."""
    rng = np.random.default_rng([settings.seed, frame, compartment.cell_id, crc32(structure.encode())])
    overlapping = {canonical_name(name) for name in settings.overlapping or ()}
    allowed = allowed_region(compartment, structure, overlapping)
    movable = movables(compartment.faces(structure), allowed, rng)
    n_moving = sum(len(one.candidates) > 0 for one in movable)
    n_misplaced = int(np.count_nonzero(np.bincount(
        compartment.objects[structure][~allowed], minlength=len(movable) + 1)[1:]))  # fmt: skip
    for row in rows:
        row |= {"n_outside_allowed": float(n_misplaced), "n_movable": float(n_moving)}
    if not n_moving:
        return
    scenes = []
    for other in targets:
        is_envelope = compartment.surrounds(other, structure)
        others = compartment.target(other, is_envelope=is_envelope)
        scenes.append((compartment.gaps(other, is_envelope=is_envelope), others))
    free = allowed.astype(np.uint8)
    # The last row is that of the objects among each other.
    values = np.empty((settings.n_placements, len(targets) + 1, len(STATISTICS)))
    n_staying = 0
    for turn in range(settings.n_placements):
        at, stayed = place(movable, free, rng)
        n_staying += stayed
        for index, (gaps, others) in enumerate(scenes):
            values[turn, index] = summed_contacts(movable, at, gaps, others, reach)
        if len(movable) > 1:
            values[turn, -1] = contacts_among(movable, at, compartment, structure, reach)
    for index, row in enumerate(rows):
        if not row["n_other_objects"]:
            continue
        row |= {"n_placements": settings.n_placements, "n_staying": n_staying / settings.n_placements}
        _write_comparisons(row, values[:, index])


def _write_comparisons(row: dict[str, Any], values: Floats) -> None:
    """Expected value, effect, z and p of every statistic."""
    for statistic, placed in zip(STATISTICS, values.T, strict=True):
        comparison = compare(row[statistic], placed)
        stem, unit = _stem(statistic)
        for one in fields(Comparison):
            suffix = unit if one.name == "expected" else ""
            row[f"{stem}_{one.name}{suffix}"] = getattr(comparison, one.name)


def _stem(statistic: str) -> tuple[str, str]:
    """A statistic's name without its unit, and the unit with its underscore."""
    for unit in ("_um2", "_um"):
        if statistic.endswith(unit):
            return statistic.removesuffix(unit), unit
    return statistic, ""


def _neighbours(
    labels: NDArray[Any], cells: Indexed, voxel_size_um: VoxelSize, reach: Reach
) -> dict[int, dict[str, float]]:
    """Number of neighbours of each cell, the area of its surface within the gap of one, and how far the nearest is."""
    numbers = [int(number) for number in cells.numbers]
    values: dict[int, dict[str, float]] = {}
    distances, _ = nearest_of_kind(label_runs(labels), voxel_size_um, reach.gap_um)
    for index, number in enumerate(numbers):
        box = cells.boxes[index]
        margin = np.abs(reach.voxel).max(axis=0) + 1
        low = np.maximum(box[0::2] - margin, 0)
        high = np.minimum(box[1::2] + margin, labels.shape)
        around = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        own = around == labels.dtype.type(number)
        here = np.unique(around[~own])
        others = np.searchsorted(here, around).astype(np.int32) + 1
        others[own | (around == 0)] = 0
        contacts = Faces.of(own.astype(np.int32), 1, voxel_size_um).contacts(others, reach, is_wall=True)
        values[number] = {
            "n_neighbours": float(len(contacts.pairs)),
            "shared_area_um2": float(contacts.area_um2[0]),
            "neighbour_distance_um": float(distances[index]),
        }
    return values


def _object_table(
    numbers: Sequence[int], values: Mapping[int, Mapping[str, float]], columns: Sequence[Column]
) -> pd.DataFrame:
    """One row per object, NaN where nothing was measured."""
    label = Column("label", "1", "", kind="integer")
    rows = [
        {"label": number, **{column.name: values.get(number, {}).get(column.name, math.nan) for column in columns}}
        for number in numbers
    ]
    return table_from_rows(rows, (label, *columns))
