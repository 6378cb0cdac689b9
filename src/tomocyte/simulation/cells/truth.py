"""What is true of every object of a scene, from its continuous shape: no voxel takes part.

Spheres and single capsules have formulas; star-shaped bodies are integrated by Gauss quadrature over their surface;
unions of capsules by sampling each capsule and counting a point only for the first that holds it. To add a column,
compute it in :func:`_row` and describe it in :data:`COLUMNS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.capillary import Capillary
from tomocyte.simulation.cells.rendering import texture_at
from tomocyte.simulation.cells.scene import Cell, Part, Scene
from tomocyte.simulation.cells.shapes import Float, StarBody
from tomocyte.simulation.cells.unions import interior_outside, surface_outside
from tomocyte.structures import structure
from tomocyte.tables import Column, table_from_rows

if TYPE_CHECKING:
    import pandas as pd

CONTACT_GAP_UM = 0.3
"""Largest edge-to-edge distance in µm that counts as a contact between cells."""
POINTS_PER_CAPSULE = 8192
"""Points that count what the joints of a union cut off; the error of an organelle is about 0.05 %, 0.2 % at most."""
MANY_CAPSULES = 1000
"""Unions of more capsules than that, networks of hundreds of µm, get fewer points for each: the error of the whole is
below 0.1 % all the same."""
_POINTS_TO_WEIGH = 512
"""The same where only the mass of the whole cell counts, which the joints of organelles change by less than 0.1 %."""
ORGANELLE_GAP_UM = 0.1
"""The same between organelles."""

COLUMNS = (
    Column("item", "", "Name of the field, given by the caller.", kind="text"),
    Column("frame", "1", "Frame, from 0.", kind="integer"),
    Column("structure", "", "What the object is: cell, nucleus, …", kind="text"),
    Column("label", "1", "Label of the object in the structure's label volume.", kind="integer"),
    Column("cell_id", "1", "Label of the cell that holds it; 0 for what lies between cells.", kind="integer"),
    Column("track_id", "1", "Identity of that cell over time; 0 without one.", kind="integer"),
    Column("volume_um3", "µm³", "Volume of the continuous shape."),
    Column("surface_area_um2", "µm²", "Area of its whole boundary, inner walls of shells included."),
    Column("height_um", "µm", "Extent of the continuous shape along z."),
    Column("mean_ri", "1", "Mean true refractive index.", "Empty for objects without a volume."),
    Column("dry_mass_pg", "pg", "Sum over its parts of (n − medium) / α · V.", "", "doi:10.1038/169366b0"),
    Column("z_um", "µm", "Centre of mass along z, from the field's corner.", "Empty for objects without a volume."),
    Column("y_um", "µm", "Centre of mass along y, from the field's corner.", "Empty for objects without a volume."),
    Column("x_um", "µm", "Centre of mass along x, from the field's corner.", "Empty for objects without a volume."),
    Column(
        "n_contacts",
        "1",
        "Cells within 0.3 µm of a cell; organelles of the same cell within 0.1 µm of an organelle.",
        kind="integer",
    ),
    Column(
        "contact_area_um2",
        "µm²",
        "Area of a cell's surface within 0.3 µm of another cell.",
        "Empty for other structures.",
    ),
    Column("is_cut", "", "Whether the object reaches over the border of the field.", kind="boolean"),
)
"""Columns of the truth table."""
ABSORPTION = Column("mean_lac_per_um", "1/µm", "Mean true linear absorption coefficient.", "Empty in other modalities.")
"""One more column of the truth table of soft X-ray tomograms."""


@dataclass(frozen=True, eq=False)
class Solid:
    """Volume, area and first moment of a shape, and points that stand for its inside."""

    volume_um3: float
    surface_area_um2: float
    points_um: Float
    weights_um3: Float

    @cached_property
    def moment(self) -> Float:
        """Volume times the centre of mass, in µm⁴."""
        # Not a BLAS product: its last digits depend on the number of threads.
        total: Float = np.einsum("i,ij->j", self.weights_um3, self.points_um)
        return total


@dataclass
class _Sum:
    """A running total of solids with their index."""

    volume: float = 0.0
    index: float = 0.0
    absorption: float = 0.0
    mass: float = 0.0
    moment: Float | float = 0.0

    def add(self, volume: float, moment: Float, *, ri: float, lac: float, mass: float) -> None:
        self.volume += volume
        self.moment = self.moment + moment
        self.index += volume * ri
        self.absorption += volume * lac
        self.mass += mass

    def means(self) -> dict[str, object]:
        """Mean index and absorption coefficient; NaN where there is no volume."""
        share = 1.0 / self.volume if self.volume > 0 else float("nan")
        return {"mean_ri": self.index * share, ABSORPTION.name: self.absorption * share}


def truth_table(scene: Scene, *, item: str = "", absorbing: Scene | None = None) -> pd.DataFrame:
    """One row per object of a scene; the columns are those of :data:`COLUMNS`.

    Parameters
    ----------
    scene : Scene
    item : str
        Name of the field, for the first column.
    absorbing : Scene, optional
        The same scene with linear absorption coefficients; then :data:`ABSORPTION` is a further column.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> from tomocyte.simulation import simulate_scene
    >>> scene = simulate_scene("T cell", 1, extent_um=(14.0, 20.0, 22.0), rng=np.random.default_rng(1))
    >>> table = truth_table(scene, item="field-1")
    >>> volume = table.groupby("structure").volume_um3.sum()
    >>> bool(volume["cell"] > volume["nucleus"])
    True
    """
    contacts = _cell_contacts(scene)
    rows = []
    seen = absorbing or scene
    for cell, dark in zip(scene.cells, seen.cells, strict=True):
        n_contacts, area_um2 = contacts[cell.label]
        rows += _cell_rows(scene, cell, dark, n_contacts=n_contacts, contact_area_um2=area_um2)
    for part, dark_part in zip(scene.surroundings, seen.surroundings, strict=True):
        rows.append(_surrounding_row(scene, part, dark_part))
    if scene.capillary is not None and seen.capillary is not None:
        rows.append(_glass_row(scene, scene.capillary, seen.capillary))
    columns = COLUMNS if absorbing is None else (*COLUMNS, ABSORPTION)
    names = ["item", "frame", *(column.name for column in columns)]
    fixed = {"item": item, "frame": scene.frame}
    return table_from_rows([{k: v for k, v in {**fixed, **row}.items() if k in names} for row in rows], columns)


def measure(
    shape: StarBody | Float, *, without: tuple[StarBody, ...] = (), n_points: int = POINTS_PER_CAPSULE
) -> Solid:
    """Volume and area of a shape, less what lies in the bodies ``without`` (only for unions of capsules).

    ``n_points`` count what the joints of a capsule cut off.

    Raises
    ------
    TypeError
        A star-shaped body with ``without``.
    """
    if isinstance(shape, StarBody):
        if without:
            raise TypeError("a star-shaped body is never cut here")
        return Solid(shape.volume_um3, shape.surface_area_um2, *shape.interior())
    if len(shape) == 1 and not without:
        radius, length = float(shape[0, 6]), float(np.linalg.norm(shape[0, 3:6] - shape[0, :3]))
        points, weights = interior_outside(shape[0], shape[:0], 200)
        volume = np.pi * radius**2 * (length + 4 / 3 * radius)
        return Solid(volume, 2 * np.pi * radius * (length + 2 * radius), points, weights)
    return _measure_union(shape, without, n_points)


def _measure_union(tubes: Float, without: tuple[StarBody, ...], n_points: int) -> Solid:
    points, weights, area = [], [], 0.0
    if len(tubes) > MANY_CAPSULES:
        n_points = min(n_points, max(n_points * MANY_CAPSULES // (16 * len(tubes)), 48))
    for number, tube in enumerate(tubes):
        is_near = kernels.overlapping(tubes, number)
        before = np.ascontiguousarray(tubes[:number][is_near[:number]])
        inside, volume = interior_outside(tube, before, n_points)
        surface, share = surface_outside(tube, np.ascontiguousarray(tubes[is_near]), n_points)
        for body in without:
            keep = body.levels(inside) >= 1.0
            inside, volume = inside[keep], volume[keep]
            shown = body.levels(surface) >= 1.0
            surface, share = surface[shown], share[shown]
        points.append(inside)
        weights.append(volume)
        area += float(share.sum())
    inside, volume = np.concatenate(points), np.concatenate(weights)
    return Solid(float(volume.sum()), area, inside, volume)


def weigh(scene: Scene, cell: Cell) -> tuple[float, float]:
    """Dry mass of a cell, and how it grows with the index of all its parts but the lipid droplets.

    Parameters
    ----------
    scene : Scene
        That holds the cell, or one like it: medium and texture count.
    cell : Cell

    Returns
    -------
    mass_pg, pg_per_index : float
        The mass is exactly linear in a shift of the index.
    """
    solids = [_measure_part(part, cell, _POINTS_TO_WEIGH) for part in cell.parts]
    shells = _shells(cell, solids)
    mass_pg = pg_per_index = 0.0
    for number, (part, solid) in enumerate(zip(cell.parts, solids, strict=True)):
        volume = shells[number][0] if number in shells else solid.volume_um3
        ri = part.ri + part.texture_sigma * _mean_texture(scene, cell, solid)
        mass_pg += _dry_mass(part.structure, ri - scene.medium_ri, volume)
        if part.structure != "lipid_droplet":
            pg_per_index += _dry_mass(part.structure, 1.0, volume)
    return mass_pg, pg_per_index


def _cell_rows(
    scene: Scene, cell: Cell, dark: Cell, *, n_contacts: int, contact_area_um2: float
) -> list[dict[str, object]]:
    """Rows of the cell, its nuclei and its leaves; shells and remainders come from sums and differences.

    ``dark`` is the cell with absorption coefficients.
    """
    solids = [_measure_part(part, cell) for part in cell.parts]
    whole = _Sum()
    nuclei: dict[int, _Sum] = {}
    rows: list[dict[str, object]] = []
    organelle_contacts = _organelle_contacts(cell)
    shells = _shells(cell, solids)
    for number, (part, solid) in enumerate(zip(cell.parts, solids, strict=True)):
        leaf = _Sum()
        volume, moment, area = shells.get(number, (solid.volume_um3, solid.moment, solid.surface_area_um2))
        texture = _mean_texture(scene, cell, solid)
        ri = part.ri + part.texture_sigma * texture
        lac = dark.parts[number].ri + dark.parts[number].texture_sigma * texture
        leaf.add(volume, moment, ri=ri, lac=lac, mass=_dry_mass(part.structure, ri - scene.medium_ri, volume))
        whole.add(volume, moment, ri=ri, lac=lac, mass=leaf.mass)
        if part.nucleus_label:
            nuclei.setdefault(part.nucleus_label, _Sum()).add(volume, moment, ri=ri, lac=lac, mass=leaf.mass)
        if part.structure not in ("nucleoplasm", "cytosol") or number in _first_cytosol(cell):
            rows.append(_row(scene, cell, part.structure, part.label, leaf, area, [part.shape]))
            rows[-1]["n_contacts"] = organelle_contacts.get(number, 0)
    filopodia = [solid for part, solid in zip(cell.parts, solids, strict=True) if part.structure == "filopodium"]
    covered = sum(np.pi * part.shape[0, 6] ** 2 for part in cell.parts_of("filopodium"))  # type: ignore[index]
    area = sum(body.surface_area_um2 for body in cell.bodies) + sum(f.surface_area_um2 for f in filopodia) - covered
    top = [_row(scene, cell, "cell", cell.label, whole, area, [part.shape for part in cell.parts])]
    top[0].update(n_contacts=n_contacts, contact_area_um2=contact_area_um2)
    for label, total in nuclei.items():
        outer = next(part.shape for part in cell.parts if part.nucleus_label == label)
        top.append(_row(scene, cell, "nucleus", label, total, measure(outer).surface_area_um2, [outer]))
    return top + rows


def _dry_mass(name: str, delta_ri: float, volume_um3: float) -> float:
    """(n − medium) / α · V in pg; 0 for what has no dry mass."""
    alpha = structure(name).refraction_increment_ml_per_g
    return 0.0 if alpha is None else delta_ri / alpha * volume_um3


def _measure_part(part: Part, cell: Cell, n_points: int = POINTS_PER_CAPSULE) -> Solid:
    return measure(part.shape, without=cell.bodies if part.structure == "filopodium" else (), n_points=n_points)


def _first_cytosol(cell: Cell) -> set[int]:
    return {next(n for n, part in enumerate(cell.parts) if part.structure == "cytosol")}


def _shells(cell: Cell, solids: list[Solid]) -> dict[int, tuple[float, Float, float]]:
    """Part number -> volume, moment and area of parts that later ones are painted into; fragments join the cytosol."""
    numbers: dict[str, list[int]] = {}
    for number, part in enumerate(cell.parts):
        numbers.setdefault(part.structure, []).append(number)
    inner, *fragments = numbers["cytosol"]
    nuclear = ("nuclear_reticulum", "nucleolus")
    held = [
        number
        for number, part in enumerate(cell.parts)
        if part.structure not in ("filopodium", "plasma_membrane", "cytosol", *nuclear)
        and not (part.structure == "nucleoplasm" and numbers.get("nuclear_membrane"))
    ]
    shells = {numbers["plasma_membrane"][0]: _less(solids, numbers["plasma_membrane"], [inner])}
    shells[inner] = _less(solids, [inner, *fragments], held)
    for number in fragments:
        shells[number] = (0.0, np.zeros(3), 0.0)
    for membrane in numbers.get("nuclear_membrane", []):
        label = cell.parts[membrane].nucleus_label
        below = next(n for n in numbers["nucleoplasm"] if cell.parts[n].nucleus_label == label)
        shells[membrane] = _less(solids, [membrane], [below])
        within = [n for name in nuclear for n in numbers.get(name, []) if cell.parts[n].nucleus_label == label]
        shells[below] = _less(solids, [below], within)
    return shells


def _less(solids: list[Solid], plus: list[int], minus: list[int]) -> tuple[float, Float, float]:
    volume = sum(solids[n].volume_um3 for n in plus) - sum(solids[n].volume_um3 for n in minus)
    moment = np.sum([solids[n].moment for n in plus], axis=0) - np.sum([solids[n].moment for n in minus], axis=0)
    return volume, moment if minus else np.asarray(moment), sum(solids[n].surface_area_um2 for n in [*plus, *minus])


def _mean_texture(scene: Scene, cell: Cell, solid: Solid) -> float:
    """Mean of the texture over the shape (for what other parts are painted into, over all of it)."""
    if solid.weights_um3.size == 0:
        return 0.0
    return float(np.average(texture_at(scene, cell, solid.points_um), weights=solid.weights_um3))


def height_um(shapes: Sequence[StarBody | Float]) -> float:
    """Extent along z of all shapes together, in µm.

    Examples
    --------
    A ball of radius 2 µm around z = 5 and a capsule of radius 0.5 µm from z = 6 to z = 9.

    >>> height_um([np.array([[5.0, 0, 0, 5, 0, 0, 2]]), np.array([[6.0, 0, 0, 9, 0, 0, 0.5]])])
    6.5
    """
    ends = [
        shape.bounds_um[:, 0]
        if isinstance(shape, StarBody)
        else np.array([(shape[:, [0, 3]] - shape[:, 6:]).min(), (shape[:, [0, 3]] + shape[:, 6:]).max()])
        for shape in shapes
        if isinstance(shape, StarBody) or len(shape)
    ]
    return float(max(high for _, high in ends) - min(low for low, _ in ends)) if ends else 0.0


def _surrounding_row(scene: Scene, part: Part, dark: Part) -> dict[str, object]:
    """A bead or a piece of debris."""
    solid, total = measure(part.shape), _Sum()
    mass = _dry_mass(part.structure, part.ri - scene.medium_ri, solid.volume_um3)
    total.add(solid.volume_um3, solid.moment, ri=part.ri, lac=dark.ri, mass=mass)
    height = height_um([part.shape])
    is_cut = _reaches_out(scene, [_bounds_um(part.shape)])
    return _free_row(part.structure, part.label, total, solid.surface_area_um2, height, is_cut=is_cut)


def _glass_row(scene: Scene, capillary: Capillary, dark: Capillary) -> dict[str, object]:
    """The capillary over the height of the field."""
    total, middle = _Sum(), 0.5 * capillary.height_um
    volume = capillary.volume_um3
    moment = volume * np.array([middle, *capillary.centre_um(middle)])
    total.add(volume, moment, ri=capillary.ri, lac=dark.ri, mass=0.0)
    return _free_row("capillary", 1, total, capillary.surface_area_um2, scene.extent_um[0], is_cut=True)


def _free_row(
    structure_name: str, label: int, total: _Sum, area_um2: float, height: float, *, is_cut: bool
) -> dict[str, object]:
    """What belongs to no cell."""
    centre = np.asarray(total.moment) / total.volume
    return {
        "structure": structure_name,
        "label": label,
        "cell_id": 0,
        "track_id": 0,
        "volume_um3": total.volume,
        "surface_area_um2": area_um2,
        "height_um": height,
        **total.means(),
        "dry_mass_pg": total.mass,
        "z_um": centre[0],
        "y_um": centre[1],
        "x_um": centre[2],
        "n_contacts": 0,
        "contact_area_um2": float("nan"),
        "is_cut": is_cut,
    }


def _bounds_um(shape: StarBody | Float) -> Float:
    """Lowest and highest z, y, x (2, 3) of a body or a union of capsules."""
    if isinstance(shape, StarBody):
        return shape.bounds_um
    ends, radius = np.stack([shape[:, :3], shape[:, 3:6]]), shape[:, 6:]
    return np.stack([(ends - radius).min(axis=(0, 1)), (ends + radius).max(axis=(0, 1))])


def _reaches_out(scene: Scene, bounds_um: Sequence[Float]) -> bool:
    """Whether bounds leave the field: sideways on a coverslip, anywhere in a capillary."""
    axes = slice(1 if scene.capillary is None else 0, 3)
    ends = np.array(bounds_um)
    return bool((ends[:, 0, axes] < 0).any() or (ends[:, 1, axes] > np.array(scene.extent_um)[axes]).any())


def _row(
    scene: Scene,
    cell: Cell,
    structure_name: str,
    label: int,
    total: _Sum,
    area_um2: float,
    shapes: Sequence[StarBody | Float],
) -> dict[str, object]:
    centre = np.asarray(total.moment) / total.volume if total.volume > 0 else np.full(3, np.nan)
    is_cut = _reaches_out(scene, [body.bounds_um for body in cell.bodies])
    return {
        "structure": structure_name,
        "label": label,
        "cell_id": cell.label,
        "track_id": cell.track_id,
        "volume_um3": total.volume,
        "surface_area_um2": area_um2,
        "height_um": height_um(shapes),
        **total.means(),
        "dry_mass_pg": total.mass,
        "z_um": centre[0],
        "y_um": centre[1],
        "x_um": centre[2],
        "n_contacts": 0,
        "contact_area_um2": float("nan"),
        "is_cut": is_cut,
    }


def _cell_contacts(scene: Scene) -> dict[int, tuple[int, float]]:
    """Cell label -> number of cells within reach and the area that is."""
    contacts = {}
    for cell in scene.cells:
        points, area = cell.bodies[0].surface_points(outside_um=CONTACT_GAP_UM)
        low, high = cell.bodies[0].bounds_um
        is_near = np.zeros(len(points), bool)
        count = 0
        for other in scene.cells:
            bounds = other.bodies[0].bounds_um
            is_far = (bounds[0] > high + CONTACT_GAP_UM).any() or (bounds[1] < low - CONTACT_GAP_UM).any()
            if other is cell or is_far:
                continue
            touches = other.bodies[0].levels(points) < 1.0
            count += bool(touches.any())
            is_near |= touches
        contacts[cell.label] = (count, float(area[is_near].sum()))
    return contacts


def _organelle_contacts(cell: Cell) -> dict[int, int]:
    """Part number -> organelles of the same cell within :data:`ORGANELLE_GAP_UM`."""
    numbers = [
        n
        for n, part in enumerate(cell.parts)
        if not isinstance(part.shape, StarBody) and part.structure not in ("filopodium", "nuclear_reticulum")
    ]
    if not numbers:
        return {}
    shapes = [np.asarray(cell.parts[n].shape) for n in numbers]
    owner = np.repeat(np.arange(len(numbers)), [len(tubes) for tubes in shapes])
    matrix = kernels.touching(np.concatenate(shapes), owner, len(numbers), ORGANELLE_GAP_UM)
    return dict(zip(numbers, matrix.sum(axis=1).tolist(), strict=True))
