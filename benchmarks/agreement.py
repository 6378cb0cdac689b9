"""The columns of objects beside SimpleITK, cc3d, scikit-image and skan: the largest difference of each, and why.

Run it with ``python benchmarks/agreement.py LABELS --voxel-size-um Z Y X``, with ``--image`` for an image's statistics;
without a file it takes simulated cells. Rows marked ``same`` have the same definition in both programs, or are brought
to it here: where one of them differs by more than its tolerance, the script ends with 1. The other rows show what
another definition makes. Objects that the border cuts are left out where the programs treat the border differently.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import SimpleITK
import skan
from numpy.typing import NDArray
from skimage.measure import marching_cubes, mesh_surface_area, regionprops
from skimage.morphology import skeletonize

from tomocyte.formats import ReadOptions, read_volume
from tomocyte.labels.components import connected_components
from tomocyte.measurements import measure
from tomocyte.measurements.spatial import ContactSettings, measure_contacts

sys.path.insert(0, str(Path(__file__).parent))
from measurements import VOXEL_SIZE_UM, field

Labels = NDArray[np.unsignedinteger[Any]]
Values = NDArray[np.float64]
Size = tuple[float, float, float]
SHAPE = (
    "n_voxels", "volume_um3", "height_um", "extent", "equivalent_diameter_um", "major_axis_length_um",
    "middle_axis_length_um", "minor_axis_length_um", "euler_number", "projected_area_um2",
)  # fmt: skip
SURFACE = ("surface_area_um2", "surface_area_mesh_um2", "sphericity")
SLOW = ("solidity", "feret_diameter_max_um")
TUBES = ("skeleton_length_um",)
STATISTICS = ("mean_value", "sd_value", "p05_value", "p50_value", "p95_value")
EXACT, ROUNDED = 1e-9, 1e-5
NONE = float("inf")


@dataclass(frozen=True)
class Row:
    """One column by one other program.

    Parameters
    ----------
    column, peer : str
    ours, theirs : float64 ndarray (n,)
        One value per object; NaN is left out.
    tolerance : float
        Largest relative difference of the same definition; infinite: another definition.
    note : str
        Where the definitions differ, or what was done so that they do not.
    is_absolute : bool
        Whether the difference is not divided by the peer's value: positions, counts that may be 0.
    """

    column: str
    peer: str
    ours: Values
    theirs: Values
    tolerance: float = NONE
    note: str = ""
    is_absolute: bool = False

    @property
    def differences(self) -> Values:
        """Relative, or absolute, of the objects that both measure; ours minus theirs."""
        ours, theirs = np.asarray(self.ours, np.float64), np.asarray(self.theirs, np.float64)
        both = np.isfinite(ours) & np.isfinite(theirs)
        apart = ours[both] - theirs[both]
        return apart if self.is_absolute else apart / np.where(theirs[both] == 0, 1.0, np.abs(theirs[both]))

    @property
    def is_met(self) -> bool:
        """Whether there is something to compare and it differs by no more than is allowed."""
        return self.differences.size > 0 and float(np.abs(self.differences).max()) <= self.tolerance

    def line(self) -> str:
        """The row as text."""
        apart = self.differences
        kind = "same" if self.tolerance < NONE else "other"
        if apart.size == 0:
            return f"{self.column:24} {self.peer:13} {kind:5}    0 objects"
        largest, median = apart[np.abs(apart).argmax()], float(np.median(apart))
        shown = "{:+.1e} {:+.1e}" if kind == "same" else "{:+.4f} {:+.4f}" if self.is_absolute else "{:+.2%} {:+.2%}"
        numbers = shown.format(median, largest).split()
        return f"{self.column:24} {self.peer:13} {kind:5} {apart.size:5} {numbers[0]:>10} {numbers[1]:>10}  {self.note}"


def shapes(labels: Labels, size: Size) -> Any:
    """SimpleITK's statistics of the labels' shapes."""
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOff()
    shape.ComputePerimeterOn()
    shape.Execute(sitk_image(labels, size))
    return shape


def sitk_image(values: NDArray[Any], size: Size) -> Any:
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(size[::-1])
    return image


def covariance_axes(tensors: NDArray[np.float64], size: Size) -> Values:
    """(n, 3): full axes in µm, longest first, of ellipsoids with the covariance of solid voxels.

    Both peers take a voxel as a point at its centre; a solid one adds 1/12 of its side squared.
    """
    solid = tensors + np.diag(np.square(size)) / 12
    return np.asarray(2 * np.sqrt(5 * np.maximum(np.linalg.eigvalsh(solid), 0))[:, ::-1])


def rows_of_sitk(table: Mapping[str, Values], labels: Labels, size: Size) -> list[Row]:
    """Size, position, axes and surface."""
    shape, numbers = shapes(labels, size), [int(number) for number in table["label"]]

    def each(method: Callable[[int], Any]) -> Values:
        return np.array([method(number) for number in numbers], np.float64)

    boxes = each(shape.GetBoundingBox)
    moments = each(shape.GetPrincipalMoments)[:, ::-1]
    rotations = each(shape.GetPrincipalAxes).reshape(-1, 3, 3)[:, ::-1]
    # In the axes x, y, z; the size follows.
    tensors = np.einsum("nki,nk,nkj->nij", rotations, moments, rotations)
    axes = covariance_axes(tensors, size[::-1])
    centres = each(shape.GetCentroid)[:, ::-1]
    is_inside = np.where(table["is_cut"] > 0, np.nan, 1.0)
    names = ("major_axis_length_um", "middle_axis_length_um", "minor_axis_length_um")
    solid = "1/12 of the voxel side squared added to its moments"
    return [
        Row("n_voxels", "SimpleITK", table["n_voxels"], each(shape.GetNumberOfPixels), EXACT),
        Row("volume_um3", "SimpleITK", table["volume_um3"], each(shape.GetPhysicalSize), EXACT),
        Row("height_um", "SimpleITK", table["height_um"], boxes[:, 5] * size[0], EXACT),
        *(
            Row(name, "SimpleITK", table[name], centres[:, axis], EXACT, "um", is_absolute=True)
            for axis, name in enumerate(("z_um", "y_um", "x_um"))
        ),
        Row(
            "equivalent_diameter_um", "SimpleITK", table["equivalent_diameter_um"],
            2 * each(shape.GetEquivalentSphericalRadius), EXACT,
        ),
        Row(
            "is_cut", "SimpleITK", table["is_cut"], each(shape.GetNumberOfPixelsOnBorder) > 0, EXACT, is_absolute=True
        ),
        *(Row(name, "SimpleITK", table[name], axes[:, k], 1e-6, solid) for k, name in enumerate(names)),
        Row(
            "major_axis_length_um", "SimpleITK", table["major_axis_length_um"],
            each(shape.GetEquivalentEllipsoidDiameter)[:, 2], note="its ellipsoid is scaled to the object's volume",
        ),
        Row(
            "surface_area_um2", "SimpleITK", table["surface_area_um2"] * is_inside, each(shape.GetPerimeter),
            note="its 13 directions are weighted as in cubes; see docs/measure.md",
        ),
        Row(
            "sphericity", "SimpleITK", table["sphericity"], each(shape.GetRoundness), note="follows from the area",
        ),
    ]  # fmt: skip


def rows_of_cc3d(table: Mapping[str, Values], labels: Labels, size: Size) -> list[Row]:
    """Size, position and box; and which objects touch."""
    numbers = table["label"].astype(np.int64)
    found = cc3d.statistics(labels, no_slice_conversion=True)
    # Its boxes end with the last voxel.
    boxes = found["bounding_boxes"].astype(np.float64)[numbers]
    centres = found["centroids"][numbers] * np.array(size)
    neighbours = np.zeros(int(numbers.max()) + 1)
    for pair in cc3d.contacts(labels, connectivity=26, surface_area=False):
        neighbours[list(pair)] += 1
    tables = measure_contacts({"cell": labels}, size, cells="cell", settings=ContactSettings(gap_um=0.0))
    own = tables.objects["cell"].set_index("label")["n_neighbours"].reindex(numbers).to_numpy(np.float64)
    return [
        Row("n_voxels", "cc3d", table["n_voxels"], found["voxel_counts"][numbers], EXACT),
        Row("height_um", "cc3d", table["height_um"], (boxes[:, 1] - boxes[:, 0] + 1) * size[0], EXACT),
        *(
            Row(name, "cc3d", table[name], centres[:, axis], ROUNDED, "um", is_absolute=True)
            for axis, name in enumerate(("z_um", "y_um", "x_um"))
        ),
        Row("n_neighbours", "cc3d", own, neighbours[numbers], EXACT, "gap 0, 26-connected", is_absolute=True),
    ]


def rows_of_skimage(table: Mapping[str, Values], labels: Labels, size: Size, *, is_slow: bool) -> list[Row]:
    """Form, topology, mesh; convex hull where asked for, which takes it long."""
    objects = regionprops(labels, spacing=size)
    tensors = np.array([0.5 * np.trace(one.inertia_tensor) * np.eye(3) - one.inertia_tensor for one in objects])
    axes = covariance_axes(tensors, size)
    is_inside = np.where(table["is_cut"] > 0, np.nan, 1.0)
    is_measured = np.isfinite(table["surface_area_mesh_um2"] * is_inside)
    meshes = [mesh_area(one, size) if use else np.nan for one, use in zip(objects, is_measured, strict=True)]
    names = ("major_axis_length_um", "middle_axis_length_um", "minor_axis_length_um")
    pixel = size[1] * size[2]
    as_points = np.array([one.axis_major_length for one in objects])
    rows = [
        Row("extent", "scikit-image", table["extent"], np.array([one.image.mean() for one in objects]), EXACT),
        Row(
            "projected_area_um2", "scikit-image", table["projected_area_um2"],
            np.array([one.image.any(axis=0).sum() * pixel for one in objects]), EXACT, "its image seen along z",
        ),
        Row(
            "equivalent_diameter_um", "scikit-image", table["equivalent_diameter_um"],
            np.array([one.equivalent_diameter_area for one in objects]), EXACT,
        ),
        *(
            Row(name, "scikit-image", table[name], axes[:, k], 1e-6, "1/12 of the voxel side squared added")
            for k, name in enumerate(names)
        ),
        Row("major_axis_length_um", "scikit-image", table[names[0]], as_points, note="its voxels are points"),
        Row(
            "euler_number", "scikit-image", table["euler_number"],
            np.array([one.euler_number for one in objects]), EXACT, is_absolute=True,
        ),
        Row(
            "surface_area_mesh_um2", "scikit-image", table["surface_area_mesh_um2"] * is_inside, np.array(meshes),
            1e-6, "cut objects left out",
        ),
    ]  # fmt: skip
    return [*rows, *rows_of_hulls(table, objects, labels, size)] if is_slow else rows


def mesh_area(one: Any, size: Size) -> float:
    corners, faces, _, _ = marching_cubes(np.pad(one.image, 1).astype(np.float32), 0.5, spacing=size)
    return float(mesh_surface_area(corners, faces))


def rows_of_hulls(table: Mapping[str, Values], objects: list[Any], labels: Labels, size: Size) -> list[Row]:
    """Solidity by scikit-image, the largest diameter by SimpleITK; scikit-image's fails for flat objects."""
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.ComputeFeretDiameterOn()
    shape.Execute(sitk_image(labels, size))
    largest = np.array([shape.GetFeretDiameter(int(number)) for number in table["label"]])
    with warnings.catch_warnings():
        # Of flat objects there is no hull.
        warnings.simplefilter("ignore")
        solidity = np.array([one.solidity for one in objects], np.float64)
    own, diagonal = table["feret_diameter_max_um"], float(np.linalg.norm(size))
    # From corner to corner it is longer than from centre to centre, by the diagonal of a voxel at most.
    between = np.clip(own, largest, largest + diagonal)
    return [
        Row("solidity", "scikit-image", table["solidity"], solidity, note="its hull goes half a voxel beyond centres"),
        Row("feret_diameter_max_um", "SimpleITK", own, largest, note="from voxel centre to voxel centre"),
        Row("feret_diameter_max_um", "SimpleITK", own, between, EXACT, "between its value and one diagonal more"),
    ]


def rows_of_statistics(table: Mapping[str, Values], labels: Labels, image: NDArray[Any], size: Size) -> list[Row]:
    """Statistics of an image."""
    found = SimpleITK.LabelIntensityStatisticsImageFilter()
    found.Execute(sitk_image(labels, size), sitk_image(image.astype(np.float64), size))
    numbers = [int(number) for number in table["label"]]
    mean = np.array([found.GetMean(number) for number in numbers])
    # Its standard deviation divides by n - 1.
    n = table["n_voxels"]
    deviation = np.array([found.GetStandardDeviation(number) for number in numbers]) * np.sqrt((n - 1) / n)
    quantiles = np.array(
        [np.percentile(one.image_intensity[one.image], (5, 50, 95)) for one in regionprops(labels, image)]
    )
    named = zip(("p05_value", "p50_value", "p95_value"), quantiles.T, strict=True)
    return [
        Row("mean_value", "SimpleITK", table["mean_value"], mean, EXACT),
        Row("sd_value", "SimpleITK", table["sd_value"], deviation, 1e-6, "times the root of (n - 1) / n"),
        *(Row(name, "scikit-image", table[name], values, EXACT, "numpy's percentiles") for name, values in named),
        Row(
            "p50_value", "SimpleITK", table["p50_value"], np.array([found.GetMedian(number) for number in numbers]),
            note="from a histogram of the object",
        ),
    ]  # fmt: skip


def row_of_skan(table: Mapping[str, Values], labels: Labels, size: Size) -> Row:
    """Length of the centre line: scikit-image thins, skan measures."""
    lengths = []
    for one in regionprops(labels):
        line = skeletonize(np.pad(one.image, 1))
        lengths.append(skan.Skeleton(line, spacing=size).path_lengths().sum() if line.sum() > 1 else np.nan)
    note = "it thins unequal voxels as if equal, keeps bumps, measures the voxels' stairs"
    own = np.where(table["skeleton_length_um"] > 0, table["skeleton_length_um"], np.nan)
    return Row("skeleton_length_um", "skan", own, np.array(lengths), note=note)


def compare(
    labels: Labels, size: Size, image: NDArray[Any] | None = None, *, is_slow: bool = True, is_tubes: bool = False
) -> list[Row]:
    """All rows of a label image.

    Parameters
    ----------
    labels : unsigned integer ndarray (Z, Y, X)
    size : tuple of 3 float
        Voxel size z, y, x in µm.
    image : ndarray (Z, Y, X), optional
    is_slow : bool
        Whether convex hulls are compared, which takes the peers minutes for large objects.
    is_tubes : bool
        Whether centre lines are.
    """
    names = (*SHAPE, *SURFACE, *(SLOW if is_slow else ()), *(TUBES if is_tubes else ()))
    names += STATISTICS if image is not None else ()
    channels = None if image is None else image[np.newaxis]
    frame = measure(labels, channels, size, structure="cell", names=names)
    table = {name: frame[name].to_numpy(np.float64) for name in frame.columns}
    rows = rows_of_sitk(table, labels, size) + rows_of_cc3d(table, labels, size)
    rows += rows_of_skimage(table, labels, size, is_slow=is_slow)
    rows += [] if image is None else rows_of_statistics(table, labels, image, size)
    return [*rows, row_of_skan(table, labels, size)] if is_tubes else rows


def read(path: Path, options: ReadOptions) -> tuple[NDArray[Any], Size]:
    """The first channel of the first frame, and the voxel size."""
    volume = read_volume(path, options)
    return np.asarray(volume.planes(0, 0)), volume.require_voxel_size()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, nargs="?")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--voxel-size-um", type=float, nargs=3)
    parser.add_argument("--axes")
    parser.add_argument("--dataset")
    parser.add_argument("--image-dataset")
    parser.add_argument("--tubes", action="store_true", help="compare centre lines, too")
    parser.add_argument("--quick", action="store_true", help="without convex hulls, which take the peers minutes")
    options = parser.parse_args(arguments)
    image: NDArray[Any] | None = None
    if options.labels is None:
        cells, droplets, image = field(2, np.random.default_rng(1))
        labels, size = np.where(droplets > 0, droplets + cells.max(), cells).astype(np.uint32), VOXEL_SIZE_UM
    else:
        size = None if options.voxel_size_um is None else tuple(options.voxel_size_um)
        values, size = read(options.labels, ReadOptions(size, options.axes, dataset=options.dataset))
        labels = values.astype(np.uint32)
        labels = connected_components(labels > 0).paint() if len(np.unique(labels)) == 2 else labels
        if options.image is not None:
            image, _ = read(options.image, ReadOptions(size, options.axes, dataset=options.image_dataset))
    rows = compare(labels.astype(np.uint32), size, image, is_slow=not options.quick, is_tubes=options.tubes)
    print(f"{labels.shape} voxels of {size} um; difference ours - theirs: median, largest")
    for row in rows:
        print(row.line())
    wrong = [row for row in rows if row.differences.size and row.tolerance < NONE and not row.is_met]
    for row in wrong:
        print(f"DIFFERS: {row.column} of {row.peer} by more than {row.tolerance:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
