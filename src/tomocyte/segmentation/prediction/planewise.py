"""Volumes resized plane by plane, first every section in y and x, then along z, as Biomedisa does it with OpenCV.

Where an axis shrinks, each new voxel is the mean of what it covers; where all grow, cubic convolution with a = -3/4
(Keys), continued at the border by the outermost voxel. Where one grows while another shrinks, OpenCV takes between two
voxels only as much of the second as the new voxel covers. Every case is a matrix per axis. To resize in another manner,
add a function that makes such a matrix to :func:`_weights`.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Shape = tuple[int, int, int]
Kind = Literal["mean", "covered", "cubic"]
CUBIC = -0.75
ROUNDING = 1e-6


def resized_volume(volume: NDArray[Any], shape: Shape) -> Float:
    """A volume at another shape over the same extent.

    Parameters
    ----------
    volume : ndarray (Z, Y, X), real
    shape : tuple of 3 int

    Returns
    -------
    ndarray (*shape), float32
        Cubic convolution may leave the range of the values a little.

    References
    ----------
    Keys, IEEE Trans. Acoust. 29, 1153 (1981), doi:10.1109/TASSP.1981.1163711.

    Examples
    --------
    >>> resized_volume(np.arange(8.0).reshape(2, 2, 2), (1, 1, 2)).tolist()
    [[[3.0, 4.0]]]
    """
    return _along_z(_in_planes(volume.astype(np.float32), shape), shape, is_mean=_shrinks(volume.shape, shape))


def resized_mask(mask: NDArray[np.bool_], shape: Shape) -> NDArray[np.bool_]:
    """A mask at another shape: resized like an image of zeros and ones, rounded in the planes and again along z.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool
    shape : tuple of 3 int

    Returns
    -------
    ndarray (*shape), bool

    Examples
    --------
    >>> resized_mask(np.array([[[True, True, True, False, False, False]]]), (1, 1, 4)).tolist()
    [[[True, True, False, False]]]
    """
    is_mean = _shrinks(mask.shape, shape)
    in_planes = _kind(mask.shape[1:], shape[1:], is_mean=is_mean)
    is_halved = in_planes == "mean" and all(old == 2 * new for old, new in zip(mask.shape[1:], shape[1:], strict=True))
    flat = _in_planes(mask.astype(np.float32), shape) > _half(in_planes, is_halved=is_halved)
    along_z = _kind(mask.shape[:1], shape[:1], is_mean=is_mean)
    return np.asarray(_along_z(flat.astype(np.float32), shape, is_mean=is_mean) > _half(along_z))


def _half(kind: Kind, *, is_halved: bool = False) -> float:
    """What a share must exceed: OpenCV rounds a half to even, but up in means of 2 x 2 pixels and in the mixed case."""
    return 0.5 - ROUNDING if is_halved or kind == "covered" else 0.5 + ROUNDING


def resized_labels(labels: NDArray[Any], shape: Shape, n_labels: int) -> NDArray[np.uint8]:
    """Labels at another shape: each as a mask, in ascending order, so that the last one wins where two meet.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), integer
        0 = background, up to ``n_labels``.
    shape : tuple of 3 int
    n_labels : int

    Returns
    -------
    ndarray (*shape), uint8
    """
    result = np.zeros(shape, dtype=np.uint8)
    for label in range(1, n_labels + 1):
        mask = labels == label
        if mask.any():
            result[resized_mask(mask, shape)] = label
    return result


def _shrinks(before: tuple[int, ...], after: Shape) -> bool:
    return any(new < old for new, old in zip(after, before, strict=True))


def _in_planes(volume: Float, shape: Shape) -> Float:
    """(Z, Y, X) -> (Z, *shape[1:])."""
    sizes, is_mean = volume.shape[1:], _shrinks(volume.shape, shape)
    kind = _kind(sizes, shape[1:], is_mean=is_mean)
    y, x = (_weights(old, new, kind) for old, new in zip(sizes, shape[1:], strict=True))
    return np.asarray(np.matmul(y, volume @ x.T), dtype=np.float32)


def _along_z(volume: Float, shape: Shape, *, is_mean: bool) -> Float:
    """(Z, *shape[1:]) -> shape; sections along y are resized, so x keeps its size."""
    z = _weights(len(volume), shape[0], _kind((len(volume),), shape[:1], is_mean=is_mean))
    return np.asarray((z @ volume.reshape(len(volume), -1)).reshape(shape))


def _kind(before: tuple[int, ...], after: tuple[int, ...], *, is_mean: bool) -> Kind:
    if not is_mean:
        return "cubic"
    return "mean" if all(new <= old for new, old in zip(after, before, strict=True)) else "covered"


def _weights(n_in: int, n_out: int, kind: Kind) -> Float:
    """(n_out, n_in): how much each voxel counts in each new one; rows add up to 1."""
    step = n_in / n_out
    start = np.arange(n_out) * step
    if kind == "mean":
        edges = np.arange(n_in)
        covered = np.minimum(edges[None] + 1, start[:, None] + step) - np.maximum(edges[None], start[:, None])
        return np.asarray(np.clip(covered, 0, None) / step, dtype=np.float32)
    if kind == "covered":
        first = np.floor(start + 1e-9)
        share = (np.arange(n_out) + 1) - (first + 1) / step
        share = np.where(share <= 1e-9, 0.0, share - np.floor(share))
        taps = np.stack([1 - share, share])
    else:
        place = start + step / 2 - 0.5
        first = np.floor(place) - 1
        taps = _cubic(place - np.floor(place))
    result = np.zeros((n_out, n_in), dtype=np.float64)
    for offset, tap in enumerate(taps):
        np.add.at(result, (np.arange(n_out), np.clip(first.astype(np.intp) + offset, 0, n_in - 1)), tap)
    return result.astype(np.float32)


def _cubic(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, n): Keys' kernel at -1, 0, 1, 2 for places ``share`` beyond 0."""
    distance = np.abs(np.stack([share + 1, share, 1 - share, 2 - share]))
    near = (CUBIC + 2) * distance**3 - (CUBIC + 3) * distance**2 + 1
    far = CUBIC * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)
