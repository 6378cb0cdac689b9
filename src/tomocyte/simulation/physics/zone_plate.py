"""Images through a Fresnel zone plate: what is in focus, what is not, and how blurred it is.

A zone plate is an incoherent lens with a circular pupil whose cut-off frequency is one over the width of its outermost
zone. Its response out of focus is the product of the one in focus and :func:`defocus_transfer`.

References
----------
Stokseth 1969, 10.1364/JOSA.59.001314: closed form of the defocused response of a circular pupil.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import scipy.special
from numpy.typing import NDArray

Float = NDArray[np.float32]


def focus_transfer(frequency_per_um: NDArray[np.float64], outermost_zone_um: float) -> NDArray[np.float64]:
    """Response of the lens in focus at a spatial frequency in 1/µm: 1 at 0, 0 from 1/Δr on."""
    relative = np.clip(np.abs(frequency_per_um) * outermost_zone_um, 0, 1)
    return np.asarray(2 / np.pi * (np.arccos(relative) - relative * np.sqrt(1 - relative**2)))


def defocus_transfer(
    frequency_per_um: NDArray[np.float64], defocus_um: float, *, outermost_zone_um: float, wavelength_um: float
) -> NDArray[np.float64]:
    """What distance from the focus multiplies the response with: ``2 J1(a) / a``, ``a = π λ d f (1 - f Δr) / Δr``.

    Parameters
    ----------
    frequency_per_um : ndarray, float64
        Spatial frequency f in 1/µm.
    defocus_um : float
        Distance d from the plane in focus in µm; both sides are alike.
    outermost_zone_um, wavelength_um : float
        Δr and λ in µm.
    """
    relative = np.clip(np.abs(frequency_per_um) * outermost_zone_um, 0, 1)
    argument = np.pi * wavelength_um * abs(defocus_um) / outermost_zone_um**2 * relative * (1 - relative)
    safe = np.where(argument > 0, argument, 1)
    return np.asarray(np.where(argument > 1e-6, 2 * scipy.special.j1(safe) / safe, 1.0))


@dataclass(frozen=True, eq=False)
class ZonePlateImaging:
    """Everything that turns line integrals into transmitted light, for one size of image.

    Parameters
    ----------
    defocus : ndarray (D, S, Z // 2 + 1), float32
        :func:`defocus_transfer` of every knot of depth, on the padded grid.
    focus : ndarray (S, Z // 2 + 1), float32
        Response in focus, with further blur.
    frequency_per_um : tuple of ndarray
        Of the padded grid: (S, 1) and (1, Z // 2 + 1).
    margins : tuple of int
        Pixels beyond the image on either side of S and Z.
    padded : tuple of int
        S and Z of the transforms.
    """

    defocus: Float
    focus: Float
    frequency_per_um: tuple[NDArray[np.float64], NDArray[np.float64]]
    margins: tuple[int, int]
    padded: tuple[int, int]

    def transmitted(self, knots: Float, shift_um: tuple[float, float]) -> Float:
        """The part of the light that reaches each pixel, (S, Z), in 0 to 1.

        Parameters
        ----------
        knots : ndarray (D, S + 2 margin, Z), float32
            Line integrals, split by the distance from the plane in focus.
        shift_um : tuple of float
            How far the sample has moved along S and Z.
        """
        beside, above = self.margins
        n_s, n_z = knots.shape[1] - 2 * beside, knots.shape[2]
        missing = self.padded[0] - knots.shape[1], self.padded[1] - n_z - above
        wide = np.pad(knots, ((0, 0), (0, missing[0]), (above, missing[1])), mode="edge")
        spectrum = (scipy.fft.rfft2(wide) * self.defocus).sum(axis=0)
        along_s, along_z = self.frequency_per_um
        if any(shift_um):
            spectrum *= np.exp(-2j * np.pi * (along_s * shift_um[0] + along_z * shift_um[1])).astype(np.complex64)
        depth = scipy.fft.irfft2(spectrum, self.padded)
        blurred = scipy.fft.irfft2(scipy.fft.rfft2(np.exp(-depth)) * self.focus, self.padded)
        return np.asarray(np.clip(blurred[beside : beside + n_s, above : above + n_z], 0, 1), np.float32)


def zone_plate_imaging(
    shape: tuple[int, int],
    pixel_um: tuple[float, float],
    depths_um: NDArray[np.float64],
    *,
    outermost_zone_um: float,
    wavelength_um: float,
    blur_um: float,
    movement_um: float,
) -> ZonePlateImaging:
    """The imaging of projections of one size.

    Parameters
    ----------
    shape : tuple of int
        S, Z of the image.
    pixel_um : tuple of float
        Along S and Z.
    depths_um : ndarray (D,), float64
        Knots of the distance from the plane in focus.
    outermost_zone_um, wavelength_um : float
    blur_um : float
        Gaussian sigma of what else blurs.
    movement_um : float
        Largest movement of the sample to expect; the margins hold it.
    """
    aperture = wavelength_um / (2 * outermost_zone_um)
    reach_um = depths_um[-1] * aperture + movement_um + 3 * blur_um + 2 * outermost_zone_um
    margins = math.ceil(reach_um / pixel_um[0]), math.ceil(reach_um / pixel_um[1])
    sizes = shape[0] + 2 * margins[0], shape[1] + 2 * margins[1]
    padded = scipy.fft.next_fast_len(sizes[0]), scipy.fft.next_fast_len(sizes[1], real=True)
    along_s = scipy.fft.fftfreq(padded[0], pixel_um[0])[:, None]
    along_z = scipy.fft.rfftfreq(padded[1], pixel_um[1])[None, :]
    radius = np.hypot(along_s, along_z)
    options: dict[str, Any] = {"outermost_zone_um": outermost_zone_um, "wavelength_um": wavelength_um}
    defocus = np.stack([defocus_transfer(radius, float(depth), **options) for depth in depths_um])
    focus = focus_transfer(radius, outermost_zone_um) * np.exp(-2 * (np.pi * radius * blur_um) ** 2)
    return ZonePlateImaging(defocus.astype(np.float32), focus.astype(np.float32), (along_s, along_z), margins, padded)
