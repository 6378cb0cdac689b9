"""How far images are from those that a model learned from, before anything is labelled or trained: which one next.

An image is described by its values, its spectrum and its quality (:func:`describe_volume`); no network and no labels
are needed. The distance of an image from a set is that to its nearest member, in standard deviations of the set. To
describe images by another figure, add it to :func:`describe_volume` and to :data:`WORDS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.image_quality import edge_width_um, noise_level, shell_resolution_um
from tomocyte.errors import SettingsError
from tomocyte.volume import VoxelSize

Float = NDArray[np.float64]
Figures = Mapping[str, float]

BANDS_UM = ((0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0))
"""Wavelengths of the bands of the spectrum, in µm."""
WORDS: dict[str, str] = {
    "lower_value": "brightness of its darker half",
    "middle_value": "middle brightness",
    "upper_value": "brightness of its brighter half",
    "bright_share": "share of bright voxels",
    **{f"power_{low:g}_{high:g}": f"structure of {low:g} to {high:g} µm" for low, high in BANDS_UM},
    "noise": "noise",
    "resolution": "resolution",
    "edge": "width of edges",
}
"""Name of each figure -> what it means. Values are relative to the 1st and 99th percentile; the rest are logarithms."""
LEAST_SPREAD = 0.05
LARGEST_VOXELS = 6_000_000


def describe_volume(image: NDArray[Any], voxel_size_um: VoxelSize) -> dict[str, float]:
    """Figures of an image, by the names of :data:`WORDS`.

    Parameters
    ----------
    image : ndarray (Z, Y, X), real
        Of any unit; NaN counts as the median.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.

    Returns
    -------
    dict of str to float
        Finite.

    Raises
    ------
    SettingsError
        ``E-FLAT``: an image of one value.
    """
    values, size = _binned(image, voxel_size_um)
    low, high = np.percentile(values, (1, 99))
    if not high > low:
        raise SettingsError("E-FLAT", "the image has one value throughout.", cure="Leave it out.")
    scaled = (values - low) / (high - low)
    quarter, middle, upper = np.percentile(scaled, (25, 50, 75))
    figures = {
        "lower_value": float(quarter),
        "middle_value": float(middle),
        "upper_value": float(upper),
        "bright_share": float(np.mean(scaled > 0.5)),
        **_spectrum(scaled, size),
        "noise": _log(noise_level(scaled)),
        "resolution": _log(shell_resolution_um(scaled, size)),
        "edge": _log(edge_width_um(scaled, size)),
    }
    return {name: value if math.isfinite(value) else 0.0 for name, value in figures.items()}


def _log(value: float) -> float:
    return math.log(max(value, 1e-6))


def _binned(image: NDArray[Any], voxel_size_um: VoxelSize) -> tuple[NDArray[np.float32], VoxelSize]:
    """Float values, finite; of a large image means of cubes of voxels."""
    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all():
        values = np.where(np.isfinite(values), values, np.nanmedian(np.where(np.isfinite(values), values, np.nan)))
    n = math.ceil((values.size / LARGEST_VOXELS) ** (1 / 3))
    if n == 1:
        return values, voxel_size_um
    from skimage.transform import downscale_local_mean

    size = (n * voxel_size_um[0], n * voxel_size_um[1], n * voxel_size_um[2])
    length = [one // n * n for one in values.shape]
    return downscale_local_mean(values[: length[0], : length[1], : length[2]], (n, n, n)).astype(np.float32), size


def _spectrum(scaled: NDArray[np.float32], voxel_size_um: VoxelSize) -> dict[str, float]:
    """Logarithm of the variance within each band of wavelengths."""
    window = [np.hanning(n + 2)[1:-1].astype(np.float32) for n in scaled.shape]
    weight = window[0][:, None, None] * window[1][:, None] * window[2]
    power = np.abs(np.fft.rfftn((scaled - scaled.mean()) * weight)) ** 2
    power[..., 1:] *= 2
    grids = [np.fft.fftfreq(n, size) for n, size in zip(scaled.shape[:2], voxel_size_um[:2], strict=True)]
    grids.append(np.fft.rfftfreq(scaled.shape[2], voxel_size_um[2]))
    z, y, x = np.meshgrid(*grids, indexing="ij", sparse=True)
    frequency = np.sqrt(z**2 + y**2 + x**2)
    total = scaled.size * float(np.square(weight, dtype=np.float64).sum())
    return {
        f"power_{low:g}_{high:g}": _log(float(power[(frequency >= 1 / high) & (frequency < 1 / low)].sum()) / total)
        for low, high in BANDS_UM
    }


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images that a model learned from, or would learn from.

    Parameters
    ----------
    names : tuple of str
        Of the figures.
    figures : ndarray (N, K), float64
    spread : ndarray (K,), float64
        What counts as one step of each figure.
    """

    names: tuple[str, ...]
    figures: Float
    spread: Float

    @classmethod
    def of(cls, described: Sequence[Figures]) -> ImageSet:
        """From the figures of its images.

        Raises
        ------
        SettingsError
            ``E-NO-IMAGES``: none.
        """
        if not described:
            raise SettingsError("E-NO-IMAGES", "a set of images without any image.", cure="Give one or more.")
        names = tuple(described[0])
        table = np.array([[one[name] for name in names] for one in described], np.float64)
        return cls(names, table, np.maximum(table.std(axis=0), LEAST_SPREAD))

    def with_images(self, described: Sequence[Figures]) -> ImageSet:
        """With further images, in the same steps."""
        more = np.array([[one[name] for name in self.names] for one in described], np.float64)
        return ImageSet(self.names, np.vstack([self.figures, more.reshape(-1, len(self.names))]), self.spread)

    def distances(self, described: Sequence[Figures]) -> Float:
        """Distance (M,) of each image from the nearest of the set: root mean square of the steps over all figures.

        Examples
        --------
        >>> learned = ImageSet.of([{"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 0.0}])
        >>> learned.distances([{"a": 4.0, "b": 0.0}]).round(3).tolist()  # two steps of a, none of b
        [1.414]
        """
        table = np.array([[one[name] for name in self.names] for one in described], np.float64) / self.spread
        steps = table[:, np.newaxis] - self.figures / self.spread
        return np.asarray(np.sqrt(np.square(steps).mean(axis=2)).min(axis=1))

    def farthest_figure(self, one: Figures) -> str:
        """The figure in which an image differs most from the nearest of the set."""
        steps = np.array([one[name] for name in self.names]) / self.spread - self.figures / self.spread
        nearest = steps[np.square(steps).mean(axis=1).argmin()]
        return self.names[int(np.abs(nearest).argmax())]


@dataclass(frozen=True)
class RankedImage:
    """An image that is worth labelling.

    Parameters
    ----------
    name : str
    distance : float
        From the nearest image that was learned from or ranked before it.
    differs_in : str
        The figure in which it differs most from what was learned from.
    """

    name: str
    distance: float
    differs_in: str


def rank_images(candidates: Mapping[str, Figures], learned: ImageSet, n_next: int) -> list[RankedImage]:
    """Which images to label next: the farthest one, then the farthest from that and all others, and so on.

    Parameters
    ----------
    candidates : mapping of str to mapping
        Name -> figures.
    learned : ImageSet
    n_next : int

    References
    ----------
    Gonzalez 1985, Theor. Comput. Sci. 38:293, doi:10.1016/0304-3975(85)90224-5. Sener & Savarese 2018,
    arXiv:1708.00489.

    Examples
    --------
    >>> learned = ImageSet.of([{"a": 0.0}, {"a": 1.0}])
    >>> candidates = {"x": {"a": 9.0}, "y": {"a": 8.9}, "z": {"a": -3.0}}
    >>> [one.name for one in rank_images(candidates, learned, 2)]
    ['x', 'z']
    """
    ranked: list[RankedImage] = []
    left, known = dict(candidates), learned
    while left and len(ranked) < n_next:
        names = list(left)
        distances = known.distances([left[name] for name in names])
        index = int(distances.argmax())
        one = left.pop(names[index])
        ranked.append(RankedImage(names[index], float(distances[index]), learned.farthest_figure(one)))
        known = known.with_images([one])
    return ranked
