"""Soft X-ray tomography: a voxel is a linear absorption coefficient, or the grey value of a reconstruction.

Most archives keep grey values of an arbitrary scale. They become 1/µm only with a factor from whoever calibrated the
microscope.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.settings import CleanSettings, SplitSettings
from tomocyte.modalities._modality import SOLID_GEOMETRY, Conversion, Modality, Normalization
from tomocyte.segmentation.settings import (
    BeadSettings,
    CapillarySettings,
    ForegroundSettings,
    SegmentationSettings,
)
from tomocyte.structures import structures

_SHAPE = SOLID_GEOMETRY[:-2]


def grey_to_absorption(grey: NDArray[Any], lac_per_um: float) -> NDArray[np.float32]:
    """Linear absorption coefficient from grey values that are proportional to it.

    Parameters
    ----------
    grey : ndarray, any shape
        Grey values; 0 means that nothing is absorbed.
    lac_per_um : float
        Absorption in 1/µm of one grey value.

    Returns
    -------
    ndarray float32, same shape
        1/µm.

    Examples
    --------
    >>> grey_to_absorption(np.array([0, 200]), 0.0025).tolist()
    [0.0, 0.5]
    """
    return np.asarray(grey * np.float64(lac_per_um), dtype=np.float32)


MODALITY = Modality(
    name="sxt",
    description="soft X-ray tomography: linear absorption coefficient, or the microscope's grey values",
    quantity="linear_absorption_coefficient",
    unit="1/um",
    channels=("linear_absorption_coefficient",),
    # In the water window protein absorbs 0.1 to 1 per µm; many archives store 8- or 16-bit grey values instead.
    plausible_range=(-1e6, 1e6),
    plausible_median=(-1e6, 1e6),
    hint="Give the reconstructed tomogram.",
    normalization=Normalization("lac-0-1", offset=0.0, scale=1.0),
    structures=structures(
        "cell", "cytoplasm", "nucleus", "mitochondrion", "lipid_droplet", "inclusion", "bead", "capillary"
    ),
    # Cells are suspended in a capillary, touch each other and have filopodia of 0.1 to 0.3 um.
    segmentation=SegmentationSettings(
        foreground=ForegroundSettings(smoothing_um=0.1, min_contrast_to_noise=1.5),
        split=SplitSettings(method="bodies", min_separation_um=3.0, prominence=0.1, thin_um=0.8),
        clean=CleanSettings(min_volume_um3=20.0),
        capillary=CapillarySettings(method="circle"),
        bead=BeadSettings(method="ball"),
    ),
    measurements=(*_SHAPE, "mean_lac_per_um", "sd_value", "p05_value", "p50_value", "p95_value"),
    alternatives={"intensity": ""},
    conversions={"intensity": Conversion("lac_per_um", grey_to_absorption)},
    alternative_measurements={
        "intensity": (*_SHAPE, "mean_intensity", "sd_intensity", "p05_value", "p50_value", "p95_value")
    },
    assumed_quantity="intensity",
    may_be_dark=True,
)
