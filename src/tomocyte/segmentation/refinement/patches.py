"""The second level as ACSeg published it: a network that sees patches around the surface, image and labels together.

Only patches in which the first level is not constant are looked at; their probabilities add up, and the most probable
class replaces the first level inside them. To give the network something else to see, add it in :func:`_batches`.

References
----------
Erozan et al., iScience 27, 109856 (2024), doi:10.1016/j.isci.2024.109856; the details, which the text leaves out, are
those of Biomedisa 22.09: two channels, the second one the label divided by the largest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.progress import silent
from tomocyte.segmentation.prediction.tiled import OnTiles, Predictor

Float = NDArray[np.float32]
Classes = NDArray[np.uint8]


def label_channel(classes: Classes, n_classes: int) -> Float:
    """Classes 0, 1, … as the network sees them: divided by the largest one.

    Examples
    --------
    >>> label_channel(np.array([0, 1, 2], np.uint8), 3).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(classes / np.float32(n_classes - 1), dtype=np.float32)


def surface_patches(classes: Classes, patch: tuple[int, int, int], stride: int) -> list[tuple[int, int, int]]:
    """Corners of the patches, a stride apart from the first voxel on, in which there is more than one class.

    Examples
    --------
    >>> classes = np.zeros((4, 4, 12), np.uint8)
    >>> classes[..., 5:] = 1
    >>> surface_patches(classes, (4, 4, 4), 4)
    [(0, 0, 4)]
    """
    z, y, x = (range(0, size - side + 1, stride) for size, side in zip(classes.shape, patch, strict=True))
    return [corner for corner in product(z, y, x) if _is_mixed(_cut(classes, corner, patch))]


def refine_patches(
    image: Float,
    classes: Classes,
    predictor: Predictor,
    *,
    n_classes: int,
    patch: tuple[int, int, int] = (64, 64, 64),
    stride: int = 32,
    batch_size: int = 1,
    callback: OnTiles = silent,
) -> Classes:
    """Classes as a second network sees them, near the surfaces of the first level's.

    Parameters
    ----------
    image : ndarray (Z, Y, X), float32
        Normalised as the network expects, finite.
    classes : ndarray (Z, Y, X), uint8
        Of the first level, 0 = background. Not changed.
    predictor : callable
        float32 (B, 2, *patch) to float32 probabilities (B, K, *patch).
    n_classes : int
        K, the background among them.
    patch : tuple of 3 int
        Voxels z, y, x; what a volume lacks to a multiple of them is mirrored at its far ends.
    stride : int
        Voxels from one patch to the next.
    batch_size : int
        Patches given to the network at once.
    callback : callable
        Called with the patches done and the patches in all.

    Returns
    -------
    ndarray (Z, Y, X), uint8
        The first level where no patch was looked at.

    Raises
    ------
    SettingsError
        ``E-AXES``: shapes that differ. ``E-TILE``: a stride longer than a patch. ``E-PREDICTOR``: another shape.
    """
    if image.shape != classes.shape or image.ndim != 3:
        raise SettingsError("E-AXES", f"a volume and its classes are needed, not {image.shape} and {classes.shape}.")
    if stride > min(patch):
        raise SettingsError("E-TILE", f"a stride of {stride} leaves gaps between patches of {patch}.")
    far = [(0, -size % side) for size, side in zip(image.shape, patch, strict=True)]
    seen = np.stack([np.pad(image, far, "symmetric"), label_channel(np.pad(classes, far, "symmetric"), n_classes)])
    corners = surface_patches(np.pad(classes, far, "symmetric"), patch, stride)
    total = np.zeros((n_classes, patch[0], *seen.shape[2:]), np.float32)
    result, top, n_done = classes.copy(), 0, 0
    for batch in _batches(corners, batch_size):
        if batch[0][0] > top:
            top = _settled(total, result, top, batch[0][0])
        found = predictor(np.stack([_cut(seen, corner, patch) for corner in batch]))
        if found.shape != (len(batch), n_classes, *patch):
            raise SettingsError("E-PREDICTOR", f"the network returned {found.shape} for {len(batch)} patches {patch}.")
        for one, (_, y, x) in zip(found, batch, strict=True):
            total[:, :, y : y + patch[1], x : x + patch[2]] += one
        n_done += len(batch)
        callback(n_done, len(corners))
    _settled(total, result, top, top + patch[0])
    return result


def _batches(corners: list[tuple[int, int, int]], size: int) -> Iterator[list[tuple[int, int, int]]]:
    """A few corners at a time, all on one plane."""
    for z in sorted({corner[0] for corner in corners}):
        row = [corner for corner in corners if corner[0] == z]
        for start in range(0, len(row), size):
            yield row[start : start + size]


def _cut(volume: NDArray[Any], corner: tuple[int, int, int], patch: tuple[int, int, int]) -> NDArray[Any]:
    z, y, x = (slice(start, start + side) for start, side in zip(corner, patch, strict=True))
    return volume[..., z, y, x]


def _is_mixed(classes: NDArray[Any]) -> bool:
    return bool((classes != classes[0, 0, 0]).any())


def _settled(total: Float, result: Classes, top: int, new_top: int) -> int:
    """Write the planes from ``top`` that no later patch reaches, and move the sums up."""
    n = min(new_top - top, total.shape[1])
    stop = min(top + n, result.shape[0])
    size_y, size_x = result.shape[1:]
    for index, z in enumerate(range(top, stop)):
        sums = total[:, index, :size_y, :size_x]
        winner = sums.argmax(axis=0).astype(np.uint8)
        np.copyto(result[z], winner, where=sums.any(axis=0))
    total[:, : total.shape[1] - n] = total[:, n:].copy()
    total[:, total.shape[1] - n :] = 0
    return new_top
