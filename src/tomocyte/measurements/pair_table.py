"""From two label images to one row per pair of objects that lie near each other.

The columns are defined in ``neighbours.py`` and files beside it. Candidates come from bounding boxes,
so that no object is compared with all others voxel by voxel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, SettingsError
from tomocyte.measurements._image import Image, crop
from tomocyte.measurements._kernels import Integers
from tomocyte.measurements.measure import as_image, check_labels, label_boxes, roomy_box
from tomocyte.measurements.pair import Pair
from tomocyte.measurements.region import Region
from tomocyte.measurements.registry import select_measurements
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

PAIR_KEYS = ("structure", "label", "other_structure", "other_label")
REGIONS_IN_MEMORY = 512
# Distances are products and roots of floats: a limit given as a multiple of the voxel size must include it.
SLACK = 1e-9


@dataclass(frozen=True)
class _Objects:
    """The objects of one label image, cut out when asked for."""

    structure: str
    labels: NDArray[Any]
    image: Image | None
    voxel_size_um: VoxelSize
    numbers: NDArray[np.uint64]
    boxes: Integers

    def region(self, index: int) -> Region:
        box, is_cut = roomy_box(self.boxes[index], self.labels.shape, is_2d=math.isnan(self.voxel_size_um[0]))
        return Region(
            structure=self.structure,
            label=int(self.numbers[index]),
            mask=self.labels[box] == self.labels.dtype.type(self.numbers[index]),
            image=None if self.image is None else crop(self.image, box),
            voxel_size_um=self.voxel_size_um,
            corner=(box[0].start, box[1].start, box[2].start),
            is_cut=is_cut["is_cut"],
        )


def measure_pairs(
    labels: NDArray[Any],
    other_labels: NDArray[Any] | None,
    voxel_size_um: VoxelSize,
    *,
    structure: str,
    other_structure: str | None = None,
    names: Sequence[str] | None = None,
    max_distance_um: float = 0.0,
    image: Image | None = None,
    extra_measurements: Sequence[Callable[..., Any]] = (),
) -> pd.DataFrame:
    """Measure the pairs of objects that overlap, touch or lie within a distance of each other.

    Parameters
    ----------
    labels : unsigned integer or bool ndarray (Z, Y, X)
        The objects of one structure, 0 = background. A whole structure is one object: give its mask (bool).
    other_labels : unsigned integer or bool ndarray (Z, Y, X), optional
        The objects of the other structure; ``None``: the objects of ``labels`` among themselves, each pair once, the
        smaller label first.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z is NaN for planar images.
    structure, other_structure : str
        What the objects are; the other one is left out without ``other_labels``.
    names : sequence of str, optional
        Names of registered measurements of pairs, in column order; all of them by default.
    max_distance_um : float >= 0
        Pairs whose surfaces lie farther apart are left out, unless they overlap.
    image : array-like (C, Z, Y, X), optional
        The PHYSICAL image, for measurements that look at it.
    extra_measurements : sequence of callable
        The user's own functions ``Pair -> float`` whose name is the column and whose docstring is its meaning.

    Returns
    -------
    DataFrame
        One row per pair, ascending: ``structure``, ``label`` (int64), ``other_structure``, ``other_label`` (int64), and
        the measurements (float64). No pairs: no rows, same columns and types.

    Raises
    ------
    InputError
        ``E-LABELS``, ``E-SHAPE``.
    MetadataError
        ``E-VOXEL-SIZE``.
    SettingsError
        ``E-MEASUREMENT-NAME``, ``E-MEASUREMENT-KIND``, ``E-MEASUREMENT-CLASH``, ``E-MEASUREMENT-VALUE``, and
        ``E-PAIRS`` for a distance that is not a number of at least 0, or two label images with one name.

    Examples
    --------
    >>> labels = np.zeros((3, 4, 9), np.uint8)
    >>> labels[1, 1:3, 1:3], labels[1, 1:3, 5:8] = 1, 2
    >>> table = measure_pairs(labels, None, (0.3, 0.2, 0.1), structure="cell", max_distance_um=0.5)
    >>> table[["label", "other_label", "surface_distance_um", "centroid_distance_um"]].round(6).values.tolist()
    [[1.0, 2.0, 0.2, 0.45]]
    """
    columns = select_measurements(names, "pair", extra_measurements=extra_measurements, reserved=PAIR_KEYS)
    _check(max_distance_um, structure, other_structure, is_other_given=other_labels is not None)
    check_labels(labels, image, voxel_size_um)
    source = as_image(image)
    first = _Objects(structure, labels, source, voxel_size_um, *label_boxes(labels))
    second = first
    if other_labels is not None:
        check_labels(other_labels, image, voxel_size_um)
        if other_labels.shape != labels.shape:
            raise InputError(
                "E-SHAPE",
                f"the label images have the shapes {labels.shape} and {other_labels.shape}.",
                cure="Give two label images of the same volume.",
            )
        other_name = other_structure or structure
        second = _Objects(other_name, other_labels, source, voxel_size_um, *label_boxes(other_labels))
    rows = []
    for pair in _near_pairs(first, second, max_distance_um):
        keys = (pair.first.structure, pair.first.label, pair.second.structure, pair.second.label)
        rows.append((*keys, *(column(pair) for column in columns)))
    return _table(rows, [column.name for column in columns])


def _near_pairs(first: _Objects, second: _Objects, max_distance_um: float) -> Iterator[Pair]:
    """The pairs that overlap or lie within the distance; among the objects of one image each pair once."""
    region_of_first = lru_cache(maxsize=REGIONS_IN_MEMORY)(first.region)
    region_of_second = region_of_first if second is first else lru_cache(maxsize=REGIONS_IN_MEMORY)(second.region)
    limit = max_distance_um * (1 + SLACK)
    # Bottom up, so that the neighbours of an object are still at hand when the next one is looked at.
    for index in np.argsort(first.boxes[:, 0], kind="stable"):
        near = _near_boxes(first.boxes[index], second.boxes, first.voxel_size_um, limit)
        for other in near[near > index] if second is first else near:
            pair = Pair(region_of_first(int(index)), region_of_second(int(other)))
            is_overlapping = second is not first and pair.n_overlap_voxels > 0
            if is_overlapping or pair.surface_distance_um <= limit:
                yield pair


def _near_boxes(box: Integers, boxes: Integers, voxel_size_um: VoxelSize, limit_um: float) -> NDArray[np.intp]:
    """Indices of the boxes (n, 6) within the distance of one box."""
    # Planar images have no distance along z.
    sizes = np.nan_to_num(np.array(voxel_size_um), nan=0.0)
    gaps = np.maximum(np.maximum(box[0::2] - boxes[:, 1::2], boxes[:, 0::2] - box[1::2]), 0) * sizes
    return np.flatnonzero(np.square(gaps).sum(axis=1) <= limit_um**2 * (1 + SLACK))


def _table(rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    """The rows as a table whose columns and types do not depend on how many there are."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=[*PAIR_KEYS, *names])
    kinds = {"structure": "object", "label": "int64", "other_structure": "object", "other_label": "int64"}
    table = table.astype({**kinds, **dict.fromkeys(names, "float64")})
    return table.sort_values(["label", "other_label"], kind="stable").reset_index(drop=True)


def _check(max_distance_um: float, structure: str, other_structure: str | None, *, is_other_given: bool) -> None:
    if not (math.isfinite(max_distance_um) and max_distance_um >= 0):
        raise SettingsError(
            "E-PAIRS", f"the largest distance cannot be {max_distance_um} µm.", cure="Give a number of at least 0."
        )
    if is_other_given == (other_structure is None or other_structure == structure):
        raise SettingsError(
            "E-PAIRS",
            f"the structures {structure!r} and {other_structure!r} do not match the label images.",
            cure="Give other_labels and a different other_structure together, or leave both out.",
        )
