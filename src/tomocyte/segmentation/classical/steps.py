"""The classical engine: the steps in order, from physical values to labels.

Glass and beads, foreground, components, holes, split, size and border, nucleus, inclusions. To add a step, write it in
its own file and call it here; its settings go into ``SegmentationSettings``.
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
from tomocyte.labels.settings import required
from tomocyte.progress import silent
from tomocyte.segmentation.classical.dim_objects import SIGNIFICANCE, with_dim_objects
from tomocyte.segmentation.classical.foreground import find_foreground
from tomocyte.segmentation.classical.organelles import find_inclusions, find_nuclei
from tomocyte.segmentation.classical.outlines import at_own_level
from tomocyte.segmentation.classical.scale_space import Significance, estimate_diameter_um, significance
from tomocyte.segmentation.classical.surroundings import (
    Surroundings,
    carried_to_glass,
    find_surroundings,
    without_surroundings,
)
from tomocyte.segmentation.classical.thresholds import Levels
from tomocyte.segmentation.scales import with_scales
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.segmentation.smoothing import sigma_in_voxels
from tomocyte.segmentation.splitting import split_own
from tomocyte.structures import in_drawing_order
from tomocyte.volume import VoxelSize, check_voxel_size

Labels = NDArray[np.unsignedinteger[Any]]


def segment(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings | None = None,
    *,
    existing: Mapping[str, Labels] | None = None,
    callback: Callable[[str], None] = silent,
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
    existing : mapping of str to ndarray (Z, Y, X), unsigned integer, optional
        Structures that have been segmented already, e.g. by a trained model; they are used as they are.
    callback : callable, optional
        Called with the name of each step as it begins.

    Returns
    -------
    dict of str to ndarray (Z, Y, X)
        ``cell``, and ``nucleus``, ``inclusion``, ``capillary`` and ``bead`` unless their method is ``none``. Labels in
        the smallest unsigned type that holds them, 0 = background, 1..n in raster order of each object's first voxel
        (beads: as they are found). No cells: all 0.
        Further existing structures follow.

    Raises
    ------
    SettingsError
        ``E-AXES`` unless the image has three axes and at least one voxel; ``E-SHAPE`` for existing labels of
        another shape.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> image = np.zeros((1, 40, 50), dtype=np.float32)
    >>> image[0, 10:30, 20:40] = 1.0
    >>> labels = segment(image, (float("nan"), 0.5, 0.5))
    >>> sorted(labels), int(labels["cell"].max()), labels["cell"].dtype.name
    (['cell'], 1, 'uint8')
    """
    options = SegmentationSettings() if settings is None else settings
    if image.ndim != 3 or image.size == 0 or image.dtype.kind not in "fiu":
        raise SettingsError("E-AXES", f"a real image (Z, Y, X) is needed, not {image.dtype} of shape {image.shape}.")
    check_voxel_size(voxel_size_um, is_2d=image.shape[0] == 1)
    existing = dict(existing or {})
    for name, labels in existing.items():
        if labels.shape != image.shape:
            raise SettingsError(
                "E-SHAPE", f"the {name} labels {labels.shape} and the image {image.shape} differ in shape."
            )
    surroundings = Surroundings({})
    if options.capillary.method != "none" or options.bead.method != "none":
        callback("surroundings")
        surroundings = find_surroundings(image, voxel_size_um, options, existing)
    if "cell" in existing:
        cells = existing["cell"]
    elif surroundings.labels:
        rest = without_surroundings(image, voxel_size_um, surroundings, options)
        cells = carried_to_glass(find_cells(rest, voxel_size_um, options, callback), voxel_size_um, surroundings)
    else:
        cells = find_cells(image, voxel_size_um, options, callback)
    result = {"cell": cells, **surroundings.labels}
    if "nucleus" not in existing and options.nucleus.method != "none":
        callback("nucleus")
        result["nucleus"] = find_nuclei(image, cells, voxel_size_um, options.nucleus)
    if "inclusion" not in existing and options.inclusion.method != "none":
        callback("inclusion")
        result["inclusion"] = find_inclusions(image, cells, voxel_size_um, options.inclusion)
    everything = {**existing, **result}
    return {name: everything[name] for name in in_drawing_order(everything)}


def find_cells(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings,
    callback: Callable[[str], None] = silent,
) -> Labels:
    """The cells alone; parameters and returns as :func:`segment`."""
    if not settings.follows_diameter:
        return _find_objects(image, voxel_size_um, settings, None, callback)[0]
    callback("scale")
    diameter = settings.object_diameter_um or estimate_diameter_um(image, voxel_size_um)
    significant = None if diameter is None else significance(image, voxel_size_um, diameter)
    if diameter is None or significant is None:
        return np.zeros(image.shape, dtype=np.uint8)
    scaled = with_scales(settings, diameter)
    labels, levels = _find_objects(image, voxel_size_um, scaled, significant, callback)
    options = scaled.foreground
    if not (options.is_dim_sought and options.is_bright and options.min_significance):
        return labels
    callback("dim objects")
    strict = options.model_copy(update={"min_significance": SIGNIFICANCE * options.min_significance})
    asked = scaled.model_copy(update={"foreground": strict})
    # At the scale of a whole object, not of half of one: what is dim needs all of its voxels to stand out.
    whole = significance(image, voxel_size_um, 2 * diameter)
    return with_dim_objects(
        labels,
        levels,
        image,
        voxel_size_um,
        lambda rest: _find_objects(rest, voxel_size_um, asked, whole, silent)[0],
        diameter_um=diameter,
        least_height=options.fraction / options.own_fraction if options.own_fraction else 0.0,
    )


def _find_objects(
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: SegmentationSettings,
    significant: Significance | None,
    callback: Callable[[str], None],
) -> tuple[Labels, Levels]:
    """From foreground to clean labels, and the levels of the foreground."""
    clean = settings.clean
    is_plane = image.shape[0] == 1
    smallest = voxels_of(required(clean.min_volume_um3), required(clean.min_area_um2), voxel_size_um, image.shape[0])
    callback("foreground")
    foreground = find_foreground(image, voxel_size_um, settings.foreground)
    callback("components")
    components = connected_components(foreground.mask)
    keep = large_enough(components, smallest)
    if foreground.core is not None:
        keep &= components.reach(foreground.core)
    levels, core = foreground.levels, foreground.core
    del foreground
    labels = components.paint(keep)
    del components
    least = settings.foreground.min_significance
    if significant is not None and least:
        # What holds no significant place holds no significant object: not worth a split.
        labels = renumber(labels, significant.reach(labels, int(labels.max()), least))
    if clean.is_hole_filled:
        # In a plane, cells may stand in a ring: only what is smaller than a cell is surely a hole before the split.
        fill_holes(labels, max_voxels=smallest if is_plane else np.inf)
    callback("split")
    labels = split_own(
        labels,
        image,
        voxel_size_um,
        settings.split,
        background=levels.background,
        is_bright=settings.foreground.is_bright,
        min_voxels=smallest,
    )
    callback("clean")
    if settings.foreground.own_fraction:
        labels = at_own_level(
            labels,
            image,
            sigma_in_voxels(required(settings.foreground.smoothing_um), voxel_size_um, image.shape[0]),
            share=settings.foreground.own_fraction,
            background=levels.background,
        )
    if clean.is_hole_filled and is_plane:
        fill_holes(labels)
    extents = label_extents(labels)
    keep = large_enough(extents, smallest)
    if core is not None:
        keep &= reaches(labels, core, len(keep) - 1)
    if significant is not None and least:
        keep &= significant.reach(labels, len(keep) - 1, least)
    if clean.is_border_cleared:
        keep &= ~touches_border(extents.lower, extents.upper, labels.shape)
    return renumber(labels, keep), levels
