"""From measured frequencies to a refractive index: filling the missing cone by non-negativity, on NumPy or torch.

The object is the *scaled potential* ``p = (n² - n0²) / (2 n0)``, which is n - n0 to first order and keeps float32
accurate. To add another regularisation, add a function with the signature of :func:`fill_missing_cone`.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from tomocyte.errors import SettingsError


class Transform(Protocol):
    """Where the FFTs run; arrays stay there between the calls."""

    def send(self, array: NDArray[Any]) -> Any:
        """A NumPy array to the device."""

    def fetch(self, array: Any) -> NDArray[Any]:
        """Back to NumPy."""

    def forward(self, volume: Any) -> Any:
        """Real (Z, Y, X) to half spectrum."""

    def inverse(self, spectrum: Any, shape: tuple[int, int, int]) -> Any:
        """Half spectrum to real (Z, Y, X); may use up its input."""

    def clip_negative(self, volume: Any) -> None:
        """Set negative values to zero, in place."""


class NumpyTransform:
    """scipy.fft, on as many threads as OMP_NUM_THREADS or the machine allows."""

    def __init__(self) -> None:
        n_threads = os.environ.get("OMP_NUM_THREADS", "")
        self.n_workers = int(n_threads) if n_threads.isdigit() and int(n_threads) > 0 else (os.cpu_count() or 1)

    def send(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array itself."""
        return array

    def fetch(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array itself."""
        return array

    def forward(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Real FFT."""
        return np.asarray(scipy.fft.rfftn(volume, workers=self.n_workers))

    def inverse(self, spectrum: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
        """Inverse real FFT."""
        return np.asarray(scipy.fft.irfftn(spectrum, s=shape, workers=self.n_workers, overwrite_x=True))

    def clip_negative(self, volume: NDArray[Any]) -> None:
        """In place."""
        np.maximum(volume, 0, out=volume)


class TorchTransform:
    """torch.fft on a CPU or GPU."""

    def __init__(self, device: str) -> None:
        import torch

        self._torch = torch
        self.device = device

    def send(self, array: NDArray[Any]) -> Any:
        """A tensor on the device."""
        return self._torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def fetch(self, array: Any) -> NDArray[Any]:
        """A NumPy array on the host."""
        return np.asarray(array.cpu().numpy())

    def forward(self, volume: Any) -> Any:
        """Real FFT."""
        return self._torch.fft.rfftn(volume)

    def inverse(self, spectrum: Any, shape: tuple[int, int, int]) -> Any:
        """Inverse real FFT."""
        return self._torch.fft.irfftn(spectrum, s=shape)

    def clip_negative(self, volume: Any) -> None:
        """In place."""
        volume.clamp_(min=0)


def transform_for(backend: str) -> Transform:
    """The FFT engine of that name.

    Parameters
    ----------
    backend : str
        ``numpy``, ``torch`` (its CPU) or ``torch:<device>`` such as ``torch:cuda``.

    Raises
    ------
    SettingsError
        ``E-BACKEND`` for another name or a device that is not there.
    """
    if backend == "numpy":
        return NumpyTransform()
    name, _, device = backend.partition(":")
    if name != "torch":
        raise SettingsError("E-BACKEND", f"unknown backend {backend!r}.", cure="Use numpy, torch or torch:cuda.")
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError("E-BACKEND", f"torch sees no GPU for {backend!r}.", cure="Use numpy or torch.")
    return TorchTransform(device or "cpu")


def potential_from_ri(ri: NDArray[Any], medium_ri: float) -> NDArray[np.float32]:
    """Scaled potential ``(n² - n0²) / (2 n0)``, same shape, float32.

    Written as Δn (1 + Δn / 2 n0) to keep the precision of float32.
    """
    potential: NDArray[np.float32] = np.subtract(ri, medium_ri, dtype=np.float32)
    potential *= 1 + potential / np.float32(2 * medium_ri)
    return potential


def ri_from_potential(potential: NDArray[np.float32], medium_ri: float) -> NDArray[np.float32]:
    """The refractive index of a scaled potential: the inverse of :func:`potential_from_ri`, same shape, float32.

    A potential below ``-n0/2``, which no passive cell has, is taken as that value.
    """
    ri = np.maximum(potential, np.float32(-medium_ri / 2))
    ri *= np.float32(2 * medium_ri)
    ri += np.float32(medium_ri**2)
    np.sqrt(ri, out=ri)
    return ri


def fill_missing_cone(
    measured: NDArray[np.complex64],
    is_measured: NDArray[np.bool_],
    *,
    shape: tuple[int, int, int],
    n_iterations: int,
    transform: Transform,
) -> NDArray[np.float32]:
    """Gerchberg–Papoulis iteration: non-negative in space, faithful to the measured frequencies.

    Parameters
    ----------
    measured : ndarray (M,), complex64
        Spectrum where ``is_measured``, in C order.
    is_measured : ndarray (Z, Y, X // 2 + 1), bool
    shape : tuple of int
        Z, Y, X.
    n_iterations : int
        0 returns the band-limited volume with its missing cone.
    transform : Transform

    Returns
    -------
    ndarray (Z, Y, X), float32
        The scaled potential; the last step restores the measured frequencies, so noise below zero stays visible.

    References
    ----------
    Lim et al. 2015, 10.1364/OE.23.016933.
    """
    mask, data = transform.send(is_measured), transform.send(measured)
    spectrum = transform.send(np.zeros(is_measured.shape, np.complex64))
    spectrum[mask] = data
    volume = transform.inverse(spectrum, shape)
    for _ in range(n_iterations):
        transform.clip_negative(volume)
        spectrum = transform.forward(volume)
        del volume
        spectrum[mask] = data
        volume = transform.inverse(spectrum, shape)
    return np.asarray(transform.fetch(volume), dtype=np.float32)
