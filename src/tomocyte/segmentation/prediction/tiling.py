"""Where the tiles of a prediction lie and how much each counts: geometry and weights, no network.

Tiles stand on a grid that is a product of axes, so their weights are products too: each axis holds a short vector per
tile, already divided by the sum over tiles, and no weight volume is ever needed. Every tile starts at a multiple of
the network's divisor: pooling then meets the same voxels in every tile, which is what makes results independent of
the tile size. To add an importance weight, add its name to :class:`TilingSettings` and its formula to :func:`window`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings

GAUSSIAN_SHARE = 1 / 8
"""Sigma of the Gaussian weight as a share of the tile."""

Weight = Literal["gaussian", "spline", "linear", "constant"]


class TilingSettings(Settings):
    """How a large image is predicted in pieces."""

    tile_shape: tuple[int, ...]
    """Voxels of a tile, (z, y, x) or (y, x); each a multiple of the network's divisor. Smaller images get smaller
    tiles."""
    overlap: float = Field(default=0.25, ge=0, le=0.75)
    """Share of a tile (without its halo) that the next one covers too; more where the grid or the border asks."""
    overlap_voxels: tuple[int, ...] = ()
    """The same in voxels per axis, instead of ``overlap``; empty: by share."""
    weight: Weight = "gaussian"
    """How tiles are blended where they overlap: a Gaussian of sigma tile/8; the squared spline of Choi et al. (overlap
    0.5); linear ramps over the overlap as Zhanghao et al.; or all alike."""
    halo: tuple[int, ...] = ()
    """Voxels at each side of a tile that are read but never used, except where the image ends; empty: none. At least
    the network's reach makes seams vanish."""
    batch_size: int = Field(default=1, ge=1, le=1024)
    """Tiles given to the network at once."""
    test_time_flips: bool = False
    """Whether predictions are averaged over all flips of the tile's axes: 4 in 2-D, 8 in 3-D, so many times slower."""

    @field_validator("tile_shape")
    @classmethod
    def _two_or_three_axes(cls, tile_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(tile_shape) not in (2, 3) or min(tile_shape) < 1:
            raise ValueError("two or three sizes of at least 1 are needed")
        return tile_shape

    @model_validator(mode="after")
    def _halo_fits(self) -> TilingSettings:
        if self.halo and len(self.halo) != len(self.tile_shape):
            raise ValueError("'halo' needs as many sizes as 'tile_shape', or none")
        if any(width < 0 or 2 * width >= size for width, size in zip(self.halo, self.tile_shape, strict=False)):
            raise ValueError("'halo' must be at least 0 and less than half a tile")
        if self.overlap_voxels and len(self.overlap_voxels) != len(self.tile_shape):
            raise ValueError("'overlap_voxels' needs as many sizes as 'tile_shape', or none")
        if any(not 0 <= n < size for n, size in zip(self.overlap_voxels, self.tile_shape, strict=False)):
            raise ValueError("'overlap_voxels' must be at least 0 and less than a tile")
        return self


@dataclass(frozen=True)
class Placement:
    """One tile along one axis.

    Parameters
    ----------
    start : int
        First voxel read; the tile may reach beyond the image's end, never before its beginning.
    first, stop : int
        Half-open range of voxels written.
    weights : ndarray (stop - first,), float32
        Share of this tile in each of them; over all tiles of the axis they add up to 1.
    """

    start: int
    first: int
    stop: int
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class TilePlan:
    """All tiles of an image: the product of the placements along its axes.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image.
    tile_shape : tuple of int
        Shape of every tile.
    axes : tuple of tuple of Placement
        Per axis, in ascending order.
    """

    shape: tuple[int, ...]
    tile_shape: tuple[int, ...]
    axes: tuple[tuple[Placement, ...], ...]

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return math.prod(len(placements) for placements in self.axes)


def plan_tiles(shape: tuple[int, ...], settings: TilingSettings, *, divisor: tuple[int, ...]) -> TilePlan:
    """Lay tiles over an image of any size.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape (Z, Y, X) or (Y, X).
    settings : TilingSettings
        With as many axes.
    divisor : tuple of int
        What each size of the network's input must be a multiple of.

    Returns
    -------
    TilePlan

    Raises
    ------
    SettingsError
        ``E-AXES`` when numbers of axes differ; ``E-TILE`` for a tile that is no multiple of the divisor, or too small
        for its halo.

    Examples
    --------
    >>> plan = plan_tiles((100, 40), TilingSettings(tile_shape=(64, 64), overlap=0.5), divisor=(16, 16))
    >>> plan.tile_shape, [place.start for place in plan.axes[0]], plan.n_tiles
    ((64, 48), [0, 32, 48], 3)
    """
    if not len(shape) == len(settings.tile_shape) == len(divisor):
        raise SettingsError(
            "E-AXES",
            f"an image of shape {shape}, tiles of {settings.tile_shape} and a network that divides by {divisor} "
            "differ in their number of axes.",
            cure="Give 2-D tiles and predict_sections for a 2-D network, 3-D tiles for a 3-D one.",
        )
    halo = settings.halo or (0,) * len(shape)
    tiles, axes = [], []
    shared = settings.overlap_voxels or (None,) * len(shape)
    for size, extent, step_of, width, n_shared in zip(shape, settings.tile_shape, divisor, halo, shared, strict=True):
        if size < 1 or extent % step_of or extent < 2 * width + step_of:
            raise SettingsError(
                "E-TILE",
                f"tiles of {settings.tile_shape} with a halo of {halo} cannot be used for an image of shape {shape} "
                f"and a network that divides by {divisor}.",
                cure="Each tile size must be a multiple of the divisor and at least twice the halo plus the divisor.",
            )
        # An image smaller than a tile gets a smaller one; two divisors at least, so that no map shrinks to one voxel.
        tile = min(extent, max(2 * step_of, math.ceil(size / step_of) * step_of))
        tiles.append(tile)
        inner = tile - 2 * width
        axes.append(_place(size, tile, width, step_of, settings.weight, _step(inner, step_of, settings, n_shared)))
    return TilePlan(tuple(shape), tuple(tiles), tuple(axes))


def grown_tiles(
    shape: tuple[int, ...],
    settings: TilingSettings,
    *,
    divisor: tuple[int, ...],
    most_voxels: int,
    most_planes: int | None = None,
) -> TilingSettings:
    """Larger tiles where that saves work: the same overlap in voxels, fewer voxels predicted twice.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image.
    settings : TilingSettings
        The smallest tiles that may be used; tiles with a halo stay as they are.
    divisor : tuple of int
    most_voxels : int
        Of a tile.
    most_planes : int, optional
        Of a tile along the first axis, beyond those it has.

    Returns
    -------
    TilingSettings
        Those tiles of at most ``most_voxels`` voxels that together are smallest; of equals, the smallest tile.

    Examples
    --------
    >>> settings = TilingSettings(tile_shape=(64, 128, 128))
    >>> grown = grown_tiles((128, 512, 512), settings, divisor=(16, 32, 32), most_voxels=5_000_000)
    >>> before, after = (plan_tiles((128, 512, 512), each, divisor=(16, 32, 32)) for each in (settings, grown))
    >>> after.tile_shape, before.n_tiles * math.prod(before.tile_shape), after.n_tiles * math.prod(after.tile_shape)
    ((128, 192, 192), 78643200, 42467328)
    """
    plan = plan_tiles(shape, settings, divisor=divisor)
    if settings.halo:
        return settings
    shared = settings.overlap_voxels or tuple(math.ceil(settings.overlap * size) for size in settings.tile_shape)
    sides = []
    for axis, (size, placements) in enumerate(zip(shape, plan.axes, strict=True)):
        step_of, most = divisor[axis], size + divisor[axis]
        if axis == 0 and most_planes is not None:
            most = max(most_planes, plan.tile_shape[0])
        between = math.ceil(shared[axis] / step_of) * step_of
        n_by_side = {plan.tile_shape[axis]: len(placements)}
        for n in range(1, len(placements)):
            side = max(2, math.ceil((size + (n - 1) * between) / n / step_of)) * step_of
            if plan.tile_shape[axis] <= side <= most:
                n_by_side[side] = n
        sides.append(n_by_side.items())
    best = min(
        (
            (
                math.prod(n for _, n in option) * math.prod(side for side, _ in option),
                tuple(side for side, _ in option),
            )
            for option in itertools.product(*sides)
            if math.prod(side for side, _ in option) <= max(most_voxels, math.prod(plan.tile_shape))
        ),
        key=lambda entry: (entry[0], math.prod(entry[1]), entry[1]),
    )
    overlap = tuple(min(n, side - 1) for n, side in zip(shared, best[1], strict=True))
    return settings.model_copy(update={"tile_shape": best[1], "overlap_voxels": overlap})


def _step(inner: int, divisor: int, settings: TilingSettings, n_shared: int | None) -> int:
    """How far one tile lies from the next: whole divisors."""
    apart = inner * (1 - settings.overlap) if n_shared is None else inner - n_shared
    return max(divisor, int(apart / divisor + 1e-9) * divisor)


def _place(size: int, tile: int, halo: int, divisor: int, weight: Weight, step: int) -> tuple[Placement, ...]:
    if size <= tile:
        return (Placement(0, 0, size, np.ones(size, dtype=np.float32)),)
    inner = tile - 2 * halo
    last = math.ceil((size - tile) / divisor) * divisor
    starts = [*range(0, last, step), last]
    total = np.zeros(size)
    raw = []
    for start in starts:
        first = 0 if start == 0 else start + halo
        stop = size if start == last else start + tile - halo
        weights = np.pad(window(inner, weight, overlap=inner - step), halo, mode="edge")
        inner_weights = weights[first - start : stop - start]
        total[first:stop] += inner_weights
        raw.append((start, first, stop, inner_weights))
    return tuple(
        Placement(start, first, stop, (inner / total[first:stop]).astype(np.float32))
        for start, first, stop, inner in raw
    )


def window(n: int, weight: Weight, *, overlap: int = 0) -> NDArray[np.float64]:
    """Importance of the voxels of a tile along one axis, symmetric and above 0.

    Parameters
    ----------
    n : int
        Voxels.
    weight : {"gaussian", "spline", "linear", "constant"}
    overlap : int
        Voxels shared with the next tile; the length of ``linear``'s ramps.

    Returns
    -------
    ndarray (n,), float64
        ``spline`` has mean 1, and for even n the window and itself moved by n/2 add up to 2.

    References
    ----------
    Choi et al., bioRxiv 2021.05.23.445351: squared-spline blending. Zhanghao et al., Nat. Commun. 2025: linear ramps.

    Examples
    --------
    >>> window(6, "linear", overlap=2).tolist()
    [0.25, 0.75, 1.0, 1.0, 0.75, 0.25]
    """
    # Distance of each voxel's middle from the nearer end of the tile, in voxels.
    depth = np.minimum(np.arange(n) + 0.5, np.arange(n)[::-1] + 0.5)
    if weight == "gaussian":
        return np.asarray(np.exp(-0.5 * ((n / 2 - depth) / (GAUSSIAN_SHARE * n)) ** 2))
    if weight == "spline":
        height = depth / (n / 2)  # triangular window, in (0, 1]
        spline = np.where(height < 0.5, (2 * height) ** 2 / 2, 1 - (2 * (height - 1)) ** 2 / 2)
        return np.asarray(spline / spline.mean())
    if weight == "linear" and overlap > 0:
        return np.asarray(np.minimum(depth / overlap, 1.0))
    return np.ones(n)


def reflected(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices start..stop of an axis of that size, mirrored at its ends as often as needed (the end is not repeated).

    Examples
    --------
    >>> reflected(-2, 8, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0, 1, 2, 1]
    """
    if size == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (size - 1)
    place = np.arange(start, stop) % period
    return np.minimum(place, period - place).astype(np.intp)
