"""The geometric transfer matrix: the index of each part of a field, from the frequencies that were measured.

On these frequencies a tomogram is the sum of the parts' shapes times their potentials (single scattering). Shapes are
known from the masks, so the potentials follow by least squares. Frequency 0 is left out: a wrong index of the medium
changes nothing.

References
----------
Rousset, Ma & Evans, J. Nucl. Med. 39, 904 (1998), for emission tomography.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.extents import label_extents
from tomocyte.missing_cone.parts import Index
from tomocyte.volume import VoxelSize

Shape = tuple[int, int, int]
Support = Callable[[Shape, VoxelSize], NDArray[np.bool_]]
"""Which frequencies (Z, Y, X // 2 + 1) of a real FFT an instrument measures, from shape and voxel size."""
Float = NDArray[np.float64]

HIGHEST_PER_UM = 0.6
"""Frequencies from here on are left out: there masks are worse than at low ones."""
COARSE_UM = 0.4
"""Voxels are averaged to at most this size, which holds the frequencies that are used."""
SMALLEST_EIGENVALUE = 1e-6
"""Over the largest; combinations of parts that the instrument cannot tell apart are not determined."""


def part_potentials(
    potential: NDArray[np.float32],
    index: Index,
    n_parts: int,
    voxel_size_um: VoxelSize,
    support: Support,
    *,
    highest_per_um: float = HIGHEST_PER_UM,
) -> Float:
    """The scaled potential of each part.

    Parameters
    ----------
    potential : ndarray (Z, Y, X), float32
        Of the tomogram, from :func:`tomocyte.missing_cone.potential.potential_of`.
    index : ndarray (Z, Y, X), int32
        0 is the medium, i + 1 the i-th part.
    n_parts : int
    voxel_size_um : tuple of 3 float
    support : callable
        What the instrument measures.
    highest_per_um : float
        Cycles per µm.

    Returns
    -------
    ndarray (n_parts,), float64
    """
    import scipy.fft

    if n_parts == 0:
        return np.zeros(0)
    steps = [max(1, math.floor(COARSE_UM / size + 1e-9)) for size in voxel_size_um]
    coarse = _averaged(_padded(potential, steps), steps)
    size = (voxel_size_um[0] * steps[0], voxel_size_um[1] * steps[1], voxel_size_um[2] * steps[2])
    shape = (coarse.shape[0], coarse.shape[1], coarse.shape[2])
    is_used = support(shape, size) & (frequency_per_um(shape, size) < highest_per_um)
    is_used[0, 0, 0] = False
    # A half grid holds each frequency once but for its first column, and for its last where X is even.
    times = np.full(is_used.shape, math.sqrt(2), np.float32)
    times[:, :, 0] = 1
    if shape[2] % 2 == 0:
        times[:, :, -1] = 1
    weights = times[is_used]

    def spectrum(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        selected = scipy.fft.rfftn(volume, workers=1)[is_used] * weights
        return np.concatenate([selected.real, selected.imag], dtype=np.float32)

    padded = _padded(index, steps)
    extents = label_extents(padded.view(np.uint32))
    rows = np.empty((n_parts, 2 * len(weights)), np.float32)
    for number in range(1, n_parts + 1):
        box = tuple(
            slice(low - low % step, high + (-high) % step)
            for low, high, step in zip(
                extents.lower[number].tolist(), extents.upper[number].tolist(), steps, strict=True
            )
        )
        shape_of_part = np.zeros(shape, np.float32)
        where = tuple(slice(side.start // step, side.stop // step) for side, step in zip(box, steps, strict=True))
        shape_of_part[where] = _averaged((padded[box] == number).astype(np.float32), steps)
        rows[number - 1] = spectrum(shape_of_part)
    data = spectrum(coarse)
    exact = rows.astype(np.float64)
    matrix, right = exact @ exact.T, exact @ data
    return np.asarray(np.linalg.pinv(matrix, rcond=SMALLEST_EIGENVALUE, hermitian=True) @ right)


def frequency_per_um(shape: Shape, voxel_size_um: VoxelSize) -> NDArray[np.float32]:
    """Cycles per µm of each entry of a real FFT's half grid, (Z, Y, X // 2 + 1) float32."""
    z, y = (np.fft.fftfreq(n, step) for n, step in zip(shape[:2], voxel_size_um[:2], strict=True))
    x = np.fft.rfftfreq(shape[2], voxel_size_um[2])
    return np.asarray(np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x**2), dtype=np.float32)


def _padded(volume: NDArray[Any], steps: list[int]) -> NDArray[Any]:
    """Continued by its border to a multiple of the steps."""
    more = [(0, -size % step) for size, step in zip(volume.shape, steps, strict=True)]
    return np.pad(volume, more, mode="edge") if any(after for _, after in more) else volume


def _averaged(volume: NDArray[np.float32], steps: list[int]) -> NDArray[np.float32]:
    """Means of blocks."""
    z, y, x = (size // step for size, step in zip(volume.shape, steps, strict=True))
    blocks = volume.reshape(z, steps[0], y, steps[1], x, steps[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
