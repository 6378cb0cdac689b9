"""``python tests/tuning_pictures.py``: the pictures of ``docs/tuning.md``, from fields that the program simulates.

Tomograms and phase images are those of ``tomocyte simulate``. Fluorescence and soft X-rays are drawn from the labels of
the same simulated cells, blurred, with noise. To show another setting, add a line to ``PICTURES``.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from tomocyte.figures import ContourPanel, contour_figure
from tomocyte.modalities import modality
from tomocyte.segmentation import segment
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.simulation.dataset import simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings

ROOT = Path(__file__).parent.parent
N_COLOURS = 128
"""Noise in more colours makes large files."""
PICTURES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "fluorescence": (
        ("the size estimated", {}),
        ("--object-diameter-um 2", {"object_diameter_um": 2.0}),
        ("--object-diameter-um 40", {"object_diameter_um": 40.0}),
    ),
    "odt": (
        ("as it comes", {}),
        ("foreground.fraction=0.8", {"foreground": {"fraction": 0.8}}),
        ("foreground.fraction=0.2", {"foreground": {"fraction": 0.2}}),
    ),
    "qpi": (
        ("as it comes", {}),
        ("foreground.min_contrast_to_noise=1", {"foreground": {"min_contrast_to_noise": 1.0}}),
        ("foreground.method=value, value=0.2", {"foreground": {"method": "value", "value": 0.2}}),
    ),
    "sxt": (
        ("as it comes", {}),
        ("foreground.smoothing_um=0.5", {"foreground": {"smoothing_um": 0.5}}),
        ("clean.min_volume_um3=900", {"clean": {"min_volume_um3": 900.0}}),
    ),
}
"""Modality to captions and what is set there; the first panel has the modality's own settings."""


def with_settings(own: SegmentationSettings, given: dict[str, Any]) -> SegmentationSettings:
    """The modality's settings with others laid over them, part by part."""
    content = own.model_dump()
    for name, value in given.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    return SegmentationSettings.model_validate(content)


def fields() -> dict[str, tuple[np.ndarray, tuple[float, float, float], str, str]]:
    """Modality to image (Z, Y, X), voxel size, quantity and unit."""
    rng = np.random.default_rng(1)
    tomograms, images = (
        simulate_item(DatasetSettings(modality=name, preset=preset, n_cells=(6, 6), shape=(64, 224, 224)), 0, seed=seed)
        for name, preset, seed in (("odt", "RAW264.7", 5), ("qpi", "MDA-MB-231", 3))
    )
    frame, size = tomograms.frame(0), tomograms.settings.voxel_size_um
    cells, nuclei = (frame.labels(name) for name in ("cell", "nucleus"))
    stain = ndimage.gaussian_filter(20.0 + 15 * (cells > 0) + 180 * (nuclei > 0), (1, 1.2, 1.2))
    absorption = ndimage.gaussian_filter(0.1 + 0.2 * (cells > 0) - 0.05 * (nuclei > 0), 0.5)
    return {
        "fluorescence": (rng.poisson(stain).astype(np.float32), size, "intensity", ""),
        "odt": (frame.channels[0], size, "refractive_index", "1"),
        "qpi": (images.frame(0).channels[0], (float("nan"), *size[1:]), "dry_mass_density", "pg/um2"),
        "sxt": ((absorption + rng.normal(0, 0.06, absorption.shape)).astype(np.float32), size,
                "linear_absorption_coefficient", "1/um"),
    }  # fmt: skip


def main() -> None:
    """Write one picture of each modality into ``docs/``."""
    for name, (image, size, quantity, unit) in fields().items():
        panels, plane = [], -1
        for caption, given in PICTURES[name]:
            labels = segment(image, size, with_settings(modality(name).segmentation, given))["cell"]
            if plane < 0:
                plane = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
            n = int(labels.max())
            panels.append(ContourPanel(image[plane], {"cell": labels[plane]}, f"{caption}: {n}"))
        title = f"{name}: a simulated field, and what is found"
        made = contour_figure(panels, size[1:], title=title, quantity=quantity, unit=unit)
        path = ROOT / "docs" / f"tuning-{name}.png"
        Image.open(io.BytesIO(made)).convert("RGB").quantize(N_COLOURS).save(path, optimize=True)
        print(path.name, [panel.caption for panel in panels])


if __name__ == "__main__":
    main()
