"""Real next to simulated: the same slices, histograms and power spectra of two volumes.

The numbers come from :func:`profile_volume`; :func:`draw_beside` puts two of them on one page. To compare one more
property, add it to :class:`VolumeProfile` and give it a panel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.volume import VoxelSize, check_voxel_size

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VolumeProfile:
    """What two volumes are compared by.

    Parameters
    ----------
    slices : tuple of 3 ndarray
        The middle planes (Y, X), (Z, X) and (Z, Y) of value minus medium.
    extents_um : tuple of 3 tuple
        Height and width of each slice in µm.
    edges, share : ndarray
        Histogram of value minus medium: bin edges, share of the voxels.
    frequency_per_um, power : ndarray
        Radial spatial frequency in 1/µm, and mean spectral power there over that of frequency 0's neighbours.
    """

    slices: tuple[Float, Float, Float]
    extents_um: tuple[tuple[float, float], ...]
    edges: Float
    share: Float
    frequency_per_um: Float
    power: Float


def profile_volume(
    voxels: NDArray[Any], medium: float, *, voxel_size_um: VoxelSize, limits: tuple[float, float], n_bins: int = 80
) -> VolumeProfile:
    """Slices, histogram and radial power spectrum of a volume.

    Parameters
    ----------
    voxels : ndarray (Z, Y, X), float
    medium : float
        Value of the background, subtracted.
    voxel_size_um : tuple of float
        z, y, x in µm.
    limits : tuple of float
        Ends of the histogram, value minus medium.
    n_bins : int
        Of histogram and spectrum.

    Raises
    ------
    SettingsError
        ``E-AXES`` for another number of axes.
    MetadataError
        ``E-VOXEL-SIZE``.
    """
    if voxels.ndim != 3:
        raise SettingsError("E-AXES", f"a volume Z, Y, X is needed, not {voxels.shape}.")
    check_voxel_size(voxel_size_um)
    contrast = np.asarray(voxels, np.float64) - medium
    middle = [size // 2 for size in contrast.shape]
    size_um = [size * step for size, step in zip(contrast.shape, voxel_size_um, strict=True)]
    counts, edges = np.histogram(contrast, bins=n_bins, range=limits)
    frequency, power = radial_power(contrast, voxel_size_um, n_bins=n_bins)
    return VolumeProfile(
        (contrast[middle[0]], contrast[:, middle[1]], contrast[:, :, middle[2]]),
        ((size_um[1], size_um[2]), (size_um[0], size_um[2]), (size_um[0], size_um[1])),
        edges,
        counts / contrast.size,
        frequency,
        power / power[0],
    )


def radial_power(voxels: NDArray[Any], voxel_size_um: VoxelSize, *, n_bins: int = 80) -> tuple[Float, Float]:
    """Mean spectral power in shells of equal width, under a Hann window, up to the coarsest axis's Nyquist frequency.

    Returns
    -------
    frequency_per_um, power : ndarray (n,), float64
        Middle of each shell that holds a frequency, and its mean power.
    """
    windowed = np.asarray(voxels, np.float64)
    for axis, size in enumerate(windowed.shape):
        along = [1, 1, 1]
        along[axis] = size
        windowed = windowed * np.hanning(size + 2)[1:-1].reshape(along)
    power = np.abs(scipy.fft.fftn(windowed)) ** 2
    axes = [np.fft.fftfreq(size, step) for size, step in zip(windowed.shape, voxel_size_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    radius = np.sqrt(z**2 + y**2 + x**2)
    edges = np.linspace(0, 0.5 / max(voxel_size_um), n_bins + 1)
    shell = np.digitize(radius.ravel(), edges) - 1
    is_inside = shell < n_bins
    counts = np.bincount(shell[is_inside], minlength=n_bins)
    sums = np.bincount(shell[is_inside], weights=power.ravel()[is_inside], minlength=n_bins)
    is_sampled = counts > 0
    return ((edges[:-1] + edges[1:]) / 2)[is_sampled], sums[is_sampled] / counts[is_sampled]


def draw_beside(
    profiles: dict[str, VolumeProfile], path: Path, *, quantity: str = "RI minus medium", limits: tuple[float, float]
) -> None:
    """Draw named profiles on one page (PNG, PDF or SVG by the ending of ``path``).

    Parameters
    ----------
    profiles : dict
        Name to profile; a row of slices each, then histograms and spectra of all.
    path : Path
    quantity : str
        Name of the values.
    limits : tuple of float
        Grey scale of the slices.
    """
    from matplotlib.figure import Figure

    n_rows = len(profiles) + 1
    figure = Figure(figsize=(11, 3.4 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 3)
    for row, (name, profile) in enumerate(profiles.items()):
        planes = zip(profile.slices, profile.extents_um, ("y-x", "z-x", "z-y"), strict=True)
        for column, (plane, extent, label) in enumerate(planes):
            panel = axes[row, column]
            shown = panel.imshow(
                plane, cmap="gray", vmin=limits[0], vmax=limits[1], extent=(0, extent[1], extent[0], 0)
            )
            panel.set_title(f"{name}, {label} (µm)")
        figure.colorbar(shown, ax=axes[row, 2], label=quantity)
    histogram, zoom, spectrum = axes[-1]
    for name, profile in profiles.items():
        middle = (profile.edges[:-1] + profile.edges[1:]) / 2
        histogram.semilogy(middle, np.maximum(profile.share, 1e-7), label=name)
        zoom.plot(middle, profile.share, label=name)
        spectrum.semilogy(profile.frequency_per_um, profile.power, label=name)
    histogram.set(xlabel=quantity, ylabel="share of voxels", title="histogram")
    zoom.set(xlabel=quantity, ylabel="share of voxels", title="inside the cell", ylim=(0, 0.02))
    spectrum.set(xlabel="spatial frequency (1/µm)", ylabel="relative power", title="radial power spectrum")
    for panel in (histogram, zoom, spectrum):
        panel.legend()
    figure.savefig(path, dpi=110)
