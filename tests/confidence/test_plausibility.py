"""What cannot be right, on images whose fault is known, and silence on good ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from tomocyte.confidence.plausibility import Objects, implausible, is_implausible, without_cell

PLANE = (math.nan, 0.5, 0.4)


def codes(objects: Objects) -> list[str]:
    notices = implausible(objects)
    assert all(is_implausible(str(notice)) for notice in notices)
    return [notice.code.removeprefix("W-IMPLAUSIBLE-") for notice in notices]


def discs(radius: int = 6, n: int = 4) -> np.ndarray:
    labels = np.zeros((1, 25 * n, 26 * n), dtype=np.uint16)
    y, x = np.mgrid[: labels.shape[1], : labels.shape[2]]
    for label in range(n * n):
        row, column = divmod(label, n)
        labels[0][np.hypot(y - 25 * row - 12, x - 26 * column - 13) < radius] = label + 1
    return labels


def noisy(labels: np.ndarray, height: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 5, labels.shape) + height * (labels > 0)


@pytest.mark.parametrize("height", [20, 200])
def test_a_good_field_has_nothing(height: float) -> None:
    labels = discs()
    assert codes(Objects(labels, noisy(labels, height), PLANE, "nucleus", is_light=True, smallest_um=3)) == []
    assert codes(Objects(0 * labels, noisy(labels, height), PLANE, "nucleus", is_light=True)) == []


def test_halos_of_phase_contrast_are_no_fluorescence() -> None:
    labels = discs()
    image = noisy(labels, 60)
    image[0] -= 300 * ndimage.binary_dilation(labels[0] > 0, iterations=2) * (labels[0] == 0)
    assert "DARK" in codes(Objects(labels, image, PLANE, "object", is_light=True))
    assert "DARK" not in codes(Objects(labels, image, PLANE, "object"))


def test_peaks_of_noise() -> None:
    image = np.random.default_rng(1).normal(100, 5, (1, 150, 160))
    smooth = ndimage.gaussian_filter(image, (0, 2, 2))
    labels, n = ndimage.label(smooth > np.quantile(smooth, 0.95))
    keep = np.flatnonzero(np.bincount(labels.ravel()) > 20)[1:]
    assert n > len(keep) > 10
    labels = np.where(np.isin(labels, keep), labels, 0).astype(np.uint16)
    assert codes(Objects(labels, image, PLANE, "cell")) == ["NOISE"]


def test_specks_and_fragments() -> None:
    specks = discs(radius=1, n=5)
    assert "SMALL" in codes(Objects(specks, noisy(specks, 200), PLANE, "cell"))
    labels = discs(n=5)
    area = float(np.count_nonzero(labels == 1)) * 0.2
    assert codes(Objects(labels, noisy(labels, 200), PLANE, "cell", smallest_um=area / 1.5)) == ["FRAGMENTS"]
    assert codes(Objects(labels, noisy(labels, 200), PLANE, "cell", smallest_um=area / 2.5)) == []


def test_all_cut_and_filled() -> None:
    labels = np.zeros((1, 60, 100), dtype=np.uint8)
    for label in range(10):
        labels[0, :6, 10 * label + 1 : 10 * label + 8] = label + 1
    assert codes(Objects(labels, noisy(labels, 200), PLANE, "cell")) == ["CUT"]
    labels[0, 40:50, 40:50] = 11
    assert codes(Objects(labels, noisy(labels, 200), PLANE, "cell")) == []
    assert codes(Objects(np.ones((1, 60, 100), np.uint8), noisy(labels, 5), PLANE, "cell")) == ["FILLED"]
    # A field inside a cell: all that is not extracellular space.
    assert codes(Objects(np.ones((1, 60, 100), np.uint8), noisy(labels, 5), PLANE, "cell", is_what_remains=True)) == []


def test_a_hill_of_background_has_no_edge() -> None:
    """A Gaussian hill, cut at any height, falls on outside its outline; a disc on the same hill does not."""
    y, x = np.mgrid[:192, :200]
    hill = 60 * np.exp(-(np.hypot(y - 30, x - 40) ** 2) / (2 * 50**2))[None]
    noise = np.random.default_rng(3).normal(100, 3, hill.shape)
    for share in (0.3, 0.5, 0.7):
        labels = (hill > share * 60).astype(np.uint8)
        assert codes(Objects(labels, hill + noise, PLANE, "cell")) == ["GRADIENT"]
        assert codes(Objects(labels, noise - hill, PLANE, "cell")) == ["GRADIENT"]
    disc = (np.hypot(y - 90, x - 100) < 30)[None]
    assert codes(Objects(disc.astype(np.uint8), hill + noise + 60 * disc, PLANE, "cell")) == []


def test_what_lies_beside_objects_is_no_background() -> None:
    """A dim disc in a dark room whose surroundings are darker still: the room alone is its background."""
    y, x = np.mgrid[:192, :200]
    away = np.hypot(y - 96, x - 100)
    disc = away < 40
    image = (np.where(away < 62, 100.0, 40.0) + 60 * disc + np.random.default_rng(5).normal(0, 3, y.shape))[None]
    labels = disc[None].astype(np.uint8)
    assert codes(Objects(labels, image, PLANE, "cell")) == ["GRADIENT"]
    room = np.where(away < 62, image, np.nan)
    assert codes(Objects(labels, image, PLANE, "cell", uncluttered=lambda: room)) == []
    hill = (100 * np.exp(-(away**2) / (2 * 60**2)))[None]
    assert codes(Objects(labels, hill, PLANE, "cell", uncluttered=lambda: hill)) == ["GRADIENT"]


def test_what_varies_with_depth_fills_planes() -> None:
    image = np.random.default_rng(4).normal(0, 1, (20, 40, 50)) + np.arange(20)[:, None, None]
    labels = np.zeros(image.shape, np.uint8)
    labels[12:] = 1
    assert codes(Objects(labels, image, (0.3, 0.2, 0.2), "cell")) == ["FILLED"]


def test_organelles_without_a_cell() -> None:
    notice = without_cell(0, 2, organelle="lipid_droplet", cell="cell", n_cells=0)
    assert notice is not None
    assert str(notice).startswith("W-IMPLAUSIBLE-NO-CELL: 2 of 2 lipid droplet objects lie in no cell (0 found)")
    assert without_cell(8, 2, organelle="lipid_droplet", cell="cell", n_cells=1) is None
    assert without_cell(0, 0, organelle="nucleus", cell="cell", n_cells=0) is None
