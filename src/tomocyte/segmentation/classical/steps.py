"""The classical engine: the steps in order, from physical values to labels.

Foreground, components, holes, split, size and border, nucleus, inclusions. To add a step, write it in its own file
and call it here; its settings go into ``SegmentationSettings``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.cleaning import fill_holes, large_enough, reaches, touches_border, voxels_of
from tomocyte.labels.components import connected_components
from tomocyte.labels.extents import label_extents
from tomocyte.labels.renumber import renumber
from tomocyte.labels.splitting import split_own
from tomocyte.segmentation.classical.foreground import find_foreground
from tomocyte.segmentation.classical.organelles import find_inclusions, find_nuclei
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.structures import in_drawing_order
from tomocyte.volume import VoxelSize, check_voxel_size

Labels = NDArray[np.unsignedinteger[Any]]


def segment(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings | None = None,
    *,
    known: Mapping[str, Labels] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> dict[str, Labels]:
    """Find cells, their nuclei and their inclusions.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real, physical values
        NaN or infinite = outside. A 2-D image has Z = 1. Not changed.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z may be NaN for a single plane.
    settings : SegmentationSettings, optional
        Its defaults when not given; a modality has better ones.
    known : mapping of str to ndarray (Z, Y, X), unsigned integer, optional
        Structures that something else has found already, a trained model say; they are taken as they are.
    on_step : callable, optional
        Told the name of each step as it begins.

    Returns
    -------
    dict of str to ndarray (Z, Y, X)
        ``cell``, and ``nucleus`` and ``inclusion`` unless their method is ``none``. Labels in the smallest unsigned
        type that holds them, 0 = background, 1..n in raster order of each object's first voxel. No cells: all 0.
        Further known structures follow.

    Raises
    ------
    SettingsError
        ``E-AXES`` unless the image has three axes and at least one voxel; ``E-SHAPE`` for known labels of another
        shape.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> image = np.zeros((1, 40, 50), dtype=np.float32)
    >>> image[0, 10:30, 20:40] = 1.0
    >>> found = segment(image, (float("nan"), 0.5, 0.5))
    >>> sorted(found), int(found["cell"].max()), found["cell"].dtype.name
    (['cell'], 1, 'uint8')
    """
    chosen = SegmentationSettings() if settings is None else settings
    if image.ndim != 3 or image.size == 0 or image.dtype.kind not in "fiu":
        raise SettingsError("E-AXES", f"a real image (Z, Y, X) is needed, not {image.dtype} of shape {image.shape}.")
    check_voxel_size(voxel_size_um, is_2d=image.shape[0] == 1)
    tell = on_step if on_step is not None else _say_nothing
    given = {} if known is None else dict(known)
    for name, labels in given.items():
        if labels.shape != image.shape:
            raise SettingsError("E-SHAPE", f"{name} labels {labels.shape} and the image {image.shape} differ in shape.")
    cells = given["cell"] if "cell" in given else find_cells(image, voxel_size_um, chosen, tell)
    found = {"cell": cells}
    if "nucleus" not in given and chosen.nucleus.method != "none":
        tell("nucleus")
        found["nucleus"] = find_nuclei(image, cells, voxel_size_um, chosen.nucleus)
    if "inclusion" not in given and chosen.inclusion.method != "none":
        tell("inclusion")
        found["inclusion"] = find_inclusions(image, cells, voxel_size_um, chosen.inclusion)
    everything = {**given, **found}
    return {name: everything[name] for name in in_drawing_order(everything)}


def find_cells(
    image: NDArray[Any], voxel_size_um: VoxelSize, settings: SegmentationSettings, tell: Callable[[str], None]
) -> Labels:
    """The cells alone; parameters and returns as :func:`segment`."""
    clean = settings.clean
    is_plane = image.shape[0] == 1
    smallest = voxels_of(clean.min_volume_um3, clean.min_area_um2, voxel_size_um, image.shape[0])
    tell("foreground")
    foreground = find_foreground(image, voxel_size_um, settings.foreground)
    tell("components")
    components = connected_components(foreground.mask)
    keep = large_enough(components, smallest)
    if foreground.core is not None:
        keep &= components.reach(foreground.core)
    levels, core = foreground.levels, foreground.core
    del foreground
    labels = components.paint(keep)
    del components
    if clean.is_hole_filled:
        # In a plane, cells may stand in a ring: only what is smaller than a cell is surely a hole before the split.
        fill_holes(labels, max_voxels=smallest if is_plane else np.inf)
    tell("split")
    labels = split_own(
        labels,
        image,
        voxel_size_um,
        settings.split,
        level=levels.background,
        is_bright=settings.foreground.is_bright,
        min_voxels=smallest,
    )
    tell("clean")
    if clean.is_hole_filled and is_plane:
        fill_holes(labels)
    extents = label_extents(labels)
    keep = large_enough(extents, smallest)
    if core is not None:
        keep &= reaches(labels, core, len(keep) - 1)
    if clean.is_border_cleared:
        keep &= ~touches_border(extents.lower, extents.upper, labels.shape)
    return renumber(labels, keep)


def _say_nothing(step: str) -> None:
    """The default of ``on_step``."""
