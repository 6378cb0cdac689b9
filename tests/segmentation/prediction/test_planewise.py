"""Resizing plane by plane: means by integration, cubic convolution by torch, masks as OpenCV gave them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tomocyte.segmentation.prediction.planewise import resized_labels, resized_mask, resized_volume

Shape = tuple[int, int, int]


def integrated(volume: NDArray[np.float64], shape: Shape) -> NDArray[np.float64]:
    """Mean over each new voxel, from the running integral along every axis."""
    for axis, n in enumerate(shape):
        lines = np.moveaxis(volume, axis, -1)
        total = np.concatenate((np.zeros((*lines.shape[:-1], 1)), np.cumsum(lines, axis=-1)), axis=-1)
        edges = np.arange(n + 1) * lines.shape[-1] / n
        at = np.arange(total.shape[-1])
        parts = np.stack([np.diff(np.interp(edges, at, line)) for line in total.reshape(-1, total.shape[-1])])
        volume = np.moveaxis(parts.reshape(*lines.shape[:-1], n) * n / lines.shape[-1], -1, axis)
    return volume


@pytest.mark.parametrize("shape", [(5, 7, 9), (11, 7, 4), (1, 1, 1), (6, 8, 10)])
def test_shrinking_is_the_mean_over_what_is_covered(shape: Shape) -> None:
    volume = np.random.default_rng(1).random((12, 16, 20))
    np.testing.assert_allclose(resized_volume(volume, shape), integrated(volume, shape), atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 9, 17), (8, 7, 11), (4, 14, 9)])
def test_growing_is_torchs_cubic_convolution(shape: Shape) -> None:
    """torch's has the same a = -3/4, the same voxel centres and the same border."""
    volume = np.random.default_rng(2).random((4, 7, 9)).astype(np.float32)

    def grown(planes: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return torch.nn.functional.interpolate(planes[:, None], size, mode="bicubic", align_corners=False)[:, 0]

    flat = grown(torch.from_numpy(volume), shape[1:])
    expected = grown(flat.transpose(0, 1), (shape[0], shape[2])).transpose(0, 1)
    torch.testing.assert_close(torch.from_numpy(resized_volume(volume, shape)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "every", "values", "total"),
    [
        ((2, 3, 3), 2, [5.1667, 11.6833, 9.5333, 4.6833, 6.2, 11.9667, 6.0333, 5.3333, 5.85], 142.8),
        (
            (4, 5, 6),
            13,
            [-1.2017, 2.8871, -0.6259, 9.5656, 6.5842, 15.9612, 9.7397, 12.4613, 6.4844, 6.6243],
            952.5,
        ),
        # z grows while y and x shrink: between two planes OpenCV takes of the second what the new one covers
        ((4, 3, 3), 4, [1.7, 10.2, 5.05, 11.3, 6.2333, 9.8833, 6.55, 13.3, 6.5], 285.6),
    ],
)
def test_values_are_those_of_opencv(shape: Shape, every: int, values: list[float], total: float) -> None:
    """OpenCV 4.14, each plane in y and x, then along z; INTER_AREA where an axis shrinks, else INTER_CUBIC."""
    volume = np.arange(60).reshape(3, 4, 5) ** 2 % 17
    found = resized_volume(volume, shape)
    np.testing.assert_allclose(found.ravel()[::every], values, atol=1e-4)
    assert float(found.sum()) == pytest.approx(total, abs=1e-2)


@pytest.mark.parametrize(
    ("shape", "expected", "total"),
    [
        ((4, 3, 3), "011101110011100111001110011101110011", 23),  # halves of 2 x 2 pixels are rounded up
        ((3, 4, 4), "010100010010101001010000101000010100101010010101", 18),
        ((2, 3, 3), "011100110001110011", 10),  # halves of 1 x 2 are rounded to even
        ((6, 9, 8), "100100011001001100010111011001100110011001101110100011001001100110011001000100010001001000", 181),
    ],
)
def test_masks_are_those_of_opencv(shape: Shape, expected: str, total: int) -> None:
    mask = (np.arange(4 * 6 * 6).reshape(4, 6, 6) * 7) % 11 < 5
    found = resized_mask(mask, shape)
    assert "".join(map(str, found.ravel().astype(int)))[: len(expected)] == expected
    assert found.sum() == total


def test_the_same_shape_changes_nothing() -> None:
    volume = np.random.default_rng(3).random((4, 5, 6)).astype(np.float32)
    assert np.array_equal(resized_volume(volume, (4, 5, 6)), volume)
    assert np.array_equal(resized_mask(volume > 0.5, (4, 5, 6)), volume > 0.5)


def test_the_last_label_wins_and_volumes_are_kept() -> None:
    """Two boxes that touch, grown by three halves: voxels of both masks go to the second."""
    labels = np.zeros((8, 12, 12), np.uint8)
    labels[2:6, 2:6, 2:10], labels[2:6, 6:10, 2:10] = 1, 2
    grown = resized_labels(labels, (12, 18, 18), 2)
    assert np.unique(grown).tolist() == [0, 1, 2]
    assert np.array_equal(grown == 2, resized_mask(labels == 2, (12, 18, 18)))
    assert np.count_nonzero(grown) == pytest.approx(np.count_nonzero(labels) * 1.5**3, rel=0.02)
