"""Surfaces against the volume and the place of a ball."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.errors import SettingsError
from tomocyte.figures import Body, BodyPanel, body_figure, surface_mesh
from tomocyte.figures.rendering import PREDICTION_BODY_COLOUR, TRUTH_BODY_COLOUR, box_edges

SIZE = (0.3, 0.2, 0.15)


def ball(centre_um: tuple[float, float, float], radius_um: float, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    axes = [(np.arange(n) + 0.5) * step - middle for n, step, middle in zip(shape, SIZE, centre_um, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(z**2 + y**2 + x**2 <= radius_um**2)


def enclosed_um3(vertices: NDArray[Any], faces: NDArray[Any]) -> float:
    corners = vertices[faces]
    return abs(float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])))) / 6


@pytest.mark.parametrize("largest_side", [200, 56, 24])
def test_mesh_of_a_ball_has_its_volume_and_centre(largest_side: int) -> None:
    centre, radius, smoothing = (6.0, 7.0, 5.5), 4.0, 0.4
    vertices, faces = surface_mesh(
        ball(centre, radius, (40, 70, 80)), SIZE, smoothing_um=smoothing, largest_side=largest_side
    )
    expected = 4 / 3 * math.pi * (radius - smoothing**2 / radius) ** 3
    assert enclosed_um3(vertices, faces) == pytest.approx(expected, rel=0.02)
    assert (vertices.min(axis=0) + vertices.max(axis=0)) / 2 == pytest.approx(centre, abs=0.1)
    assert len(np.unique(np.sort(np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])), axis=0)) * 2 == (
        3 * len(faces)
    )  # closed: every edge belongs to two triangles


def test_reduction_has_fewer_triangles() -> None:
    mask = ball((6.0, 7.0, 5.5), 4.0, (40, 70, 80))
    n_faces = [len(surface_mesh(mask, SIZE, largest_side=side)[1]) for side in (200, 12)]
    assert n_faces[1] < n_faces[0] / 5  # voxels of 0.6 µm instead of 0.3, 0.2, 0.15


def test_a_body_that_fills_the_volume_is_closed_at_its_border() -> None:
    vertices, faces = surface_mesh(np.ones((12, 14, 16), bool), SIZE, smoothing_um=0.05)
    assert enclosed_um3(vertices, faces) == pytest.approx(12 * 14 * 16 * math.prod(SIZE), rel=0.03)


def test_empty_and_tiny_masks() -> None:
    vertices, faces = surface_mesh(np.zeros((4, 5, 6), bool), SIZE)
    assert vertices.shape == faces.shape == (0, 3)
    dot = np.zeros((9, 9, 9), bool)
    dot[4, 4, 4] = True
    assert len(surface_mesh(dot, SIZE)[1]) > 0
    with pytest.raises(SettingsError, match="E-SHAPE"):
        surface_mesh(np.ones((4, 5)), SIZE)


def hues(png: bytes, columns: slice) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[:, columns].reshape(-1, 3)


def test_truth_is_purple_and_prediction_yellow() -> None:
    mask = ball((6.0, 7.0, 5.5), 4.0, (40, 70, 80))
    panels = [BodyPanel((Body(mask, TRUTH_BODY_COLOUR),), "truth"), BodyPanel((Body(mask, PREDICTION_BODY_COLOUR),))]
    png = body_figure(panels, SIZE, title="simulated")
    width = Image.open(io.BytesIO(png)).width
    left, right = hues(png, slice(0, width // 2)), hues(png, slice(width // 2, width))
    purple = [(part[:, 2] - part[:, 1] > 40).mean() for part in (left, right)]
    yellow = [(part[:, 0] - part[:, 2] > 40).mean() for part in (left, right)]
    assert purple[0] > 0.05
    assert purple[1] < 0.001
    assert yellow[1] > 0.05
    assert yellow[0] < 0.001
    assert png == body_figure(panels, SIZE, title="simulated")


def test_a_nucleus_shows_through_its_cell() -> None:
    nucleus = Body(ball((6.0, 7.0, 5.5), 2.5, (40, 70, 80)), PREDICTION_BODY_COLOUR)
    cell = ball((6.0, 7.0, 5.5), 5.0, (40, 70, 80))
    shares = []
    for opacity in (0.1, 1.0):
        png = body_figure([BodyPanel((Body(cell, "#B8CAD6", opacity), nucleus))], SIZE)
        picture = hues(png, slice(None))
        shares.append((picture[:, 0] - picture[:, 2] > 40).mean())
    assert shares[0] > 0.01
    assert shares[1] == 0


def test_nothing_found_is_drawn_and_grids_must_agree() -> None:
    empty = Body(np.zeros((5, 6, 7), bool), TRUTH_BODY_COLOUR)
    assert body_figure([BodyPanel((empty,))], SIZE)[:4] == b"\x89PNG"
    with pytest.raises(SettingsError, match="E-SHAPE"):
        body_figure([BodyPanel((empty, Body(np.zeros((5, 6, 8), bool), TRUTH_BODY_COLOUR)))], SIZE)
    with pytest.raises(SettingsError, match="E-SHAPE"):
        body_figure([], SIZE)


def test_painted_parts_and_close_ups() -> None:
    """The upper half of a ball is painted red; in the close-up of its top nothing has another colour."""
    mask = ball((6.0, 7.0, 5.5), 4.0, (40, 70, 80))
    is_upper = np.zeros_like(mask)
    is_upper[20:] = True
    body = Body(mask, "#3050C0", paint=((is_upper, "#FF0000"),))
    top = np.where(np.arange(40)[:, None, None] > 28, mask, False)
    panels = [
        BodyPanel((body,)),
        BodyPanel((Body(top, "#3050C0", paint=body.paint),), is_close_up=True),
    ]
    picture = body_figure(panels, SIZE, view_deg=(0.0, -60.0))
    pixels = np.array(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    is_red = (pixels[..., 0] > 120) & (pixels[..., 1:].max(axis=-1) < 60)
    is_blue = (pixels[..., 2] > 90) & (pixels[..., 0] < 60)
    middle = pixels.shape[1] // 2
    rows = [np.flatnonzero(mask[:, :middle].any(axis=1)) for mask in (is_red, is_blue)]
    assert rows[0].max() == pytest.approx(rows[1].min(), abs=12)
    assert is_red[:, :middle].sum() == pytest.approx(is_blue[:, :middle].sum(), rel=0.2)
    assert not is_blue[:, middle:].any()
    widths = [np.ptp(np.flatnonzero(is_red[:, side].any(axis=0))) for side in (slice(middle), slice(middle, None))]
    assert widths[1] > 0.8 * widths[0]  # 2.9 of 4 um of radius, drawn larger


def test_a_frame_has_twelve_edges_of_a_box() -> None:
    edges = box_edges(np.array([[0.0, 1.0], [2.0, 5.0], [0.0, 7.0]]))
    lengths = sorted(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1).tolist())
    assert lengths == [1.0] * 4 + [3.0] * 4 + [7.0] * 4
