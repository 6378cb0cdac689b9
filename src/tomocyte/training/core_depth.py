"""How wide the rim between an object's surface and its core is, from the size of the labelled objects.

To choose it by another rule, change :func:`core_depth_of`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.networks import find_network
from tomocyte.training.recipe import Recipe

N_IMAGES = 8
N_SECTIONS = 9
DIGITS = 3


def with_core_depth(recipe: Recipe, items: list[LabelledItem]) -> Recipe:
    """The recipe with ``data.core_depth_um`` from the training images, where it is empty and needed.

    Parameters
    ----------
    recipe : Recipe
    items : list of LabelledItem
        Training images; the first frames of eight, evenly spaced, are looked at.

    Raises
    ------
    InputError
        As the label images' files.
    """
    if recipe.data.targets != "mask-and-core" or recipe.data.core_depth_um is not None or not items:
        return recipe
    n_axes = find_network(recipe.network.name).dimensions
    chosen = [items[i] for i in np.unique(np.linspace(0, len(items) - 1, N_IMAGES).round().astype(int))]
    images = (image for item in chosen for image in _label_images(item, recipe.data.structures[0], n_axes))
    depth_um = core_depth_of(images)
    if depth_um is None:
        return recipe
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"core_depth_um": depth_um})})


def core_depth_of(images: Iterator[tuple[NDArray[Any], tuple[float, ...]]]) -> float | None:
    """Half of the median over all objects of the depth of their deepest voxel below their surface, in µm.

    Parameters
    ----------
    images : iterator of (ndarray, tuple of float)
        Label images (Y, X) or (Z, Y, X), 0 = background, and their voxel sizes in µm.

    Returns
    -------
    float, optional
        ``None`` without an object.

    Examples
    --------
    >>> plane = np.zeros((9, 20), int)
    >>> plane[1:8, 1:8], plane[1:8, 8:15] = 1, 2
    >>> core_depth_of(iter([(plane, (0.5, 0.5))]))
    1.0
    """
    import edt
    from scipy import ndimage

    deepest: list[float] = []
    for labels, size_um in images:
        present, inverse = np.unique(labels, return_inverse=True)
        # 0 first, also where every voxel belongs to an object.
        ranks = np.ascontiguousarray(inverse.reshape(labels.shape).astype(np.uint32) + (present[0] != 0))
        n_objects = int(ranks.max(initial=0))
        if n_objects:
            depth = edt.edt(ranks, anisotropy=tuple(float(side) for side in size_um), black_border=False, parallel=1)
            deepest += np.atleast_1d(ndimage.maximum(depth, ranks, index=np.arange(1, n_objects + 1))).tolist()
    finite = [depth for depth in deepest if np.isfinite(depth) and depth > 0]
    return round(0.5 * float(np.median(finite)), DIGITS) if finite else None


def _label_images(item: LabelledItem, structure: str, n_axes: int) -> Iterator[tuple[NDArray[Any], tuple[float, ...]]]:
    """The first frame of an item as volume, or as sections, without what is not labelled."""
    image = item.open_image()
    labels = item.open_labels(structure, image)
    if labels is None:
        return
    size_um = image.require_voxel_size()
    depth = image.spatial_shape[0]
    if n_axes == 3:
        yield _objects(labels.planes(0, 0), item), size_um
        return
    for z in np.unique(np.linspace(0, depth - 1, N_SECTIONS).round().astype(int)).tolist():
        yield _objects(labels.planes(0, 0, z, z + 1)[0], item), size_um[1:]


def _objects(labels: NDArray[Any], item: LabelledItem) -> NDArray[Any]:
    return labels if item.ignore_label is None else np.where(labels == item.ignore_label, 0, labels)
