"""Corners of surfaces counted by hand, and one geometry for all channels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tomocyte.measurements.geometry import Geometry

VOXEL = (0.31, 0.17, 0.13)


@pytest.mark.parametrize(
    ("size", "n_corners"), [((1, 1, 1), 8), ((2, 2, 2), 26), ((3, 3, 3), 56), ((1, 2, 3), 24)], ids=str
)
def test_corners_of_a_block(size, n_corners) -> None:
    """(a + 1)(b + 1)(c + 1) corners, less the (a - 1)(b - 1)(c - 1) inside."""
    corners = Geometry(np.pad(np.ones(size, np.bool_), 1), VOXEL).surface_corners
    assert len(corners) == n_corners
    assert corners.min(axis=0).tolist() == [1, 1, 1]
    assert corners.max(axis=0).tolist() == [1 + side for side in size]


def test_a_planar_object_has_its_corners_in_the_plane() -> None:
    corners = Geometry(
        np.pad(np.ones((1, 2, 3), np.bool_), ((0, 0), (1, 1), (1, 1))), (math.nan, 0.2, 0.1)
    ).surface_corners
    assert len(corners) == 3 * 4 - 2
    assert set(corners[:, 0]) == {0}


def test_a_cut_has_no_corners() -> None:
    """A block of 2 × 2 × 2 voxels in the corner of the volume: three faces of 3 × 3 corners, edges shared."""
    mask = np.zeros((3, 3, 3), np.bool_)
    mask[:2, :2, :2] = True
    corners = Geometry(mask, VOXEL).surface_corners
    assert len(corners) == 27 - 8
    assert (corners == 2).any(axis=1).all()
    assert len(Geometry(np.ones((2, 3, 4), np.bool_), VOXEL).surface_corners) == 0


def test_channels_of_a_region_share_its_geometry(make_region) -> None:
    mask = np.pad(np.ones((2, 3, 4), np.bool_), 1)
    one = make_region(mask, corner=(5, 6, 7))
    other = one.on_channel(1)
    assert other.geometry is one.geometry
    assert (one.channel, other.channel) == (0, 1)
    assert one.on_channel(0) is one
    np.testing.assert_allclose(other.centre_um, np.multiply([6.5, 8.0, 9.5], VOXEL))
