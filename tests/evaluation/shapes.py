"""Bodies the evaluation tests share: balls with a voxel size, and boxes for matching."""

from __future__ import annotations

import numpy as np

Triple = tuple[float, float, float]


def ball(centre_um: Triple, radius_um: float, *, shape: tuple[int, int, int], voxel_size_um: Triple) -> np.ndarray:
    """Voxels whose centre lies within the radius; voxel 0 lies at 0 µm."""
    axes = [np.arange(n) * size - c for n, size, c in zip(shape, voxel_size_um, centre_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return z**2 + y**2 + x**2 <= radius_um**2


def boxes() -> tuple[np.ndarray, np.ndarray]:
    """30 true boxes and their shifted, cut, missing and merged predictions, (6, 60, 70), by whole-number rules."""
    truth = np.zeros((6, 60, 70), np.int32)
    prediction = np.zeros_like(truth)
    for k in range(30):
        z, y, x = k % 2, 10 * (k // 6) + 1, 11 * (k % 6) + 1
        height, width = 5 + k % 4, 6 + k % 3
        truth[z : z + 4, y : y + height, x : x + width] = k + 1
        if k % 7 == 3:
            continue
        dy, dx = (k * 5) % 4 - 1, (k * 3) % 5 - 2
        place = np.s_[
            max(z + k % 3 - 1, 0) : z + 3 + k % 2, max(y + dy, 0) : y + dy + height, max(x + dx, 0) : x + dx + width
        ]
        prediction[place] = 2 * k + 1 if k % 5 else 2 * k + 7
    return truth, prediction
