"""The orthogonal planes, judged by the pixels of the picture."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tomocyte.figures import closeup, overview, scale_bar_um
from tomocyte.figures.canvas import MISSING_COLOUR
from tomocyte.figures.planes import _cut_planes
from tomocyte.structures import structure_colour, structures

VOXEL_UM = (0.4, 0.2, 0.1)
RI = {"unit": "1", "quantity": "refractive_index"}


def pixels(png: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int64)


def like(picture: NDArray[np.int64], colour: str, tolerance: float = 40) -> NDArray[np.bool_]:
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return np.sqrt(((picture - wanted) ** 2).sum(axis=-1)) <= tolerance


def panels(picture: NDArray[np.int64]) -> list[tuple[slice, slice]]:
    """Boxes of the panels of an image that is all NaN: left group then right, each xy, zy, xz (top to bottom)."""
    # Lines and bars inside the panels do not split them once the holes are closed.
    filled = ndimage.binary_closing(like(picture, MISSING_COLOUR, 60), iterations=3)
    boxes = [box for box in ndimage.find_objects(ndimage.label(filled)[0]) if box[0].stop - box[0].start > 25]
    return sorted(boxes, key=lambda box: (box[1].start > picture.shape[1] / 2 - 40, box[0].start, box[1].start))


def ball(shape: tuple[int, int, int], radius_um: float) -> NDArray[np.uint32]:
    grid = np.meshgrid(*((np.arange(n) + 0.5 - n / 2) * size for n, size in zip(shape, VOXEL_UM, strict=True)),
                       indexing="ij")  # fmt: skip
    return (sum(axis**2 for axis in grid) <= radius_um**2).astype(np.uint32)


class Recorded:
    """An array that is no numpy array and writes down what is read of it."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.read = array, array.shape, list[Any]()

    def __getitem__(self, place: Any) -> NDArray[Any]:
        self.read.append(place)
        return self.array[place]


@pytest.mark.parametrize(
    ("width_um", "length_um"), [(19.46, 5), (86, 20), (6.5, 1), (0.8, 0.2), (10, 2), (1e3, 200), (33.4, 10)]
)
def test_scale_bar_has_a_round_length(width_um: float, length_um: float) -> None:
    assert scale_bar_um(width_um) == pytest.approx(length_um)


def test_a_ball_is_round_in_all_planes_whatever_the_voxel() -> None:
    shape = (44, 90, 184)  # 17.6 x 18 x 18.4 µm
    labels = ball(shape, 8.0)
    picture = pixels(overview(np.full(shape, np.nan), {"cell": labels}, VOXEL_UM, **RI))
    found = panels(picture)
    assert len(found) == 6
    for box in found[3:]:
        outline = ndimage.find_objects(like(picture[box], structure_colour("cell")).astype(int))[0]
        height, width = (side.stop - side.start for side in outline)
        assert height == pytest.approx(width, rel=0.05)  # one z voxel is 0.025 of the diameter
    for box in found[:3]:
        assert not like(picture[box], structure_colour("cell")).any(), "the left group shows the image alone"


def test_panels_have_the_physical_proportions() -> None:
    shape = (30, 40, 200)  # 12 x 8 x 20 µm
    picture = pixels(overview(np.full(shape, np.nan), {}, VOXEL_UM, **RI))
    sizes = [(box[0].stop - box[0].start, box[1].stop - box[1].start) for box in panels(picture)]
    (xy, zy, xz) = sizes[:3]
    assert sizes[3:] == sizes[:3]
    assert xy[0] / xy[1] == pytest.approx(8 / 20, abs=0.02)
    assert zy[0] / zy[1] == pytest.approx(8 / 12, abs=0.02)
    assert xz[0] / xz[1] == pytest.approx(12 / 20, abs=0.02)
    assert xy[1] == pytest.approx(xz[1], abs=2)


@pytest.mark.parametrize(
    ("n_columns", "voxel_x_um", "length_um"), [(184, 0.1, 5), (200, 0.25, 10), (100, 0.065, 1), (860, 0.1, 20)]
)
def test_scale_bar_is_as_long_as_it_says(n_columns: int, voxel_x_um: float, length_um: float) -> None:
    shape = (7, 90, n_columns)
    picture = pixels(overview(np.full(shape, np.nan), {}, (0.4, 0.2, voxel_x_um), **RI))
    box = panels(picture)[0]
    is_white = like(picture[box], "#FFFFFF", 30)
    longest = is_white.sum(axis=1).max()
    scale = (box[1].stop - box[1].start) / (n_columns * voxel_x_um)
    assert longest == pytest.approx(length_um * scale, abs=2)


def test_axes_point_the_right_way() -> None:
    shape = (30, 60, 120)
    labels = np.zeros(shape, np.uint16)
    labels[3:7, 50:56, 12:24] = 9  # near z = 0, far y, near x
    image = np.where(labels > 0, 2.0, 1.0)
    picture = pixels(overview(image, {"cell": labels}, VOXEL_UM, unit="", quantity="intensity"))
    empty = pixels(overview(np.full(shape, np.nan), {"cell": labels}, VOXEL_UM, unit="", quantity="intensity"))
    centres = []
    for box in panels(empty)[:3]:
        bright = ndimage.label(picture[box].min(axis=-1) > 230)[0]
        sizes = np.bincount(bright.ravel())[1:]
        biggest = ndimage.center_of_mass(bright == 1 + int(np.argmax(sizes)))
        centres.append([place / (side.stop - side.start) for place, side in zip(biggest, box, strict=True)])
    z, y, x = 5 / 30, 53 / 60, 18 / 120
    assert np.allclose(centres, [(y, x), (y, z), (z, x)], atol=0.03)


def test_contours_are_only_where_the_labels_are() -> None:
    shape = (20, 60, 160)
    labels = np.zeros(shape, np.uint8)
    labels[5:15, 10:40, 20:60] = 1
    droplets = np.zeros(shape, bool)
    droplets[8:12, 20:26, 30:40] = True
    png = overview(np.full(shape, np.nan), {"cell": labels, "lipid_droplet": droplets}, VOXEL_UM, **RI)
    picture = pixels(png)
    xy = panels(picture)[3]
    for name, (top, bottom, left, right) in {"cell": (10, 40, 20, 60), "lipid_droplet": (20, 26, 30, 40)}.items():
        outline = ndimage.find_objects(like(picture[xy], structure_colour(name)).astype(int))[0]
        height, width = (side.stop - side.start for side in xy)
        seen = [outline[0].start / height, outline[0].stop / height, outline[1].start / width, outline[1].stop / width]
        assert np.allclose(seen, [top / 60, bottom / 60, left / 160, right / 160], atol=0.015), name
    assert not like(picture[xy], structure_colour("nucleus")).any()


def test_touching_cells_are_told_apart() -> None:
    y, x = np.mgrid[:80, :80]
    square = (np.minimum(y, x) >= 20) & (np.maximum(y, x) < 60)
    # Two triangles with one diagonal in common: each lies in the other's box.
    two = np.where(square, np.where(y > x, 4_000_000_000, 7), 0).astype(np.uint32)[None]
    share = []
    for labels in (two, (two > 0).astype(np.uint32)):
        png = overview(np.full(labels.shape, np.nan), {"cell": labels}, (np.nan, 0.3, 0.3), **RI)
        panel = pixels(png)[panels(pixels(png))[1]]
        n = min(panel.shape[:2])
        near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 3
        on_diagonal = (like(panel[:n, :n], structure_colour("cell")) & near).any(axis=1)
        share.append(on_diagonal[int(0.3 * n) : int(0.45 * n)].mean())  # clear of the corners and of the numbers
    assert share[0] > 0.9
    assert share[1] == 0


def test_planes_meet_in_the_nucleus_of_the_largest_cell_and_only_they_are_read() -> None:
    shape = (24, 40, 70)
    cells, nuclei = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    cells[2:20, 5:35, 5:45], cells[2:8, 5:15, 50:60] = 70_000, 2
    nuclei[10:15, 20:27, 30:39], nuclei[3:6, 6:12, 51:57], nuclei[3:5, 7:9, 8:10] = 5, 9, 3
    image = Recorded(np.ones(shape))
    seen = {"cell": Recorded(cells), "nucleus": Recorded(nuclei)}
    overview(image, seen, VOXEL_UM, **RI)  # type: ignore[arg-type]
    everything = slice(None)
    assert image.read == [(12, everything, everything), (everything, 23, everything), (everything, everything, 34)]


@pytest.mark.parametrize("labels", [{}, {"cell": np.zeros((9, 20, 31), np.uint16)}])
def test_without_objects_the_planes_meet_in_the_middle(labels: dict[str, NDArray[Any]]) -> None:
    image = Recorded(np.ones((9, 20, 31)))
    overview(image, labels, VOXEL_UM, **RI)  # type: ignore[arg-type]
    assert [tuple(entry for entry in place if isinstance(entry, int)) for place in image.read] == [(4,), (10,), (15,)]


def test_a_bent_cell_is_cut_where_it_is() -> None:
    labels = np.zeros((5, 41, 43), np.uint8)
    labels[:, 3:38, 3:6] = labels[:, 3:6, 3:40] = labels[:, 35:38, 3:40] = 1  # a C: its centroid is outside
    image = Recorded(np.ones(labels.shape))
    overview(image, {"cell": labels}, VOXEL_UM, **RI)  # type: ignore[arg-type]
    (z, *_), (_, y, _), (*_, x) = image.read
    assert labels[z, y, x] == 1


@pytest.mark.parametrize(
    "image",
    [np.full((4, 30, 50), 1.337), np.full((4, 30, 50), np.nan), np.full((4, 30, 50), np.inf), np.zeros((4, 30, 50))],
    ids=["constant", "nan", "inf", "zero"],
)
def test_images_without_contrast_are_drawn(image: NDArray[Any]) -> None:
    picture = pixels(overview(image, {}, VOXEL_UM, **RI))
    assert like(picture, MISSING_COLOUR, 5).any() == (not np.isfinite(image).all())


def test_missing_values_are_drawn_where_they_are() -> None:
    image = np.random.default_rng(1).normal(size=(1, 60, 80))
    image[0, 15:30, 40:80] = np.nan
    picture = pixels(overview(image, {}, (np.nan, 0.5, 0.5), unit="rad", quantity="phase"))
    all_missing = pixels(overview(np.full(image.shape, np.nan), {}, (np.nan, 0.5, 0.5), unit="rad", quantity="phase"))
    left = panels(all_missing)[0]
    box = ndimage.find_objects(like(picture[left], MISSING_COLOUR, 5).astype(int))[0]
    height, width = (side.stop - side.start for side in left)
    seen = [box[0].start / height, box[0].stop / height, box[1].start / width, box[1].stop / width]
    assert np.allclose(seen, [0.25, 0.5, 0.5, 1], atol=0.01)


def test_the_display_range_ignores_outliers() -> None:
    image = np.tile(np.linspace(0, 1, 100), (1, 100, 1))
    image[0, 0, 0] = 1e6
    picture = pixels(overview(image, {}, (np.nan, 0.5, 0.5), unit="", quantity="intensity"))
    row = picture[picture.shape[0] // 2, : picture.shape[1] // 2, 0]
    assert len(np.unique(row)) > 50


@pytest.mark.parametrize("title", ["$x_{$", "세포 🦠", "a\nb\tc", "<img onerror=1>", "ä" * 500, ""])
def test_hostile_titles_are_drawn_as_they_are(title: str) -> None:
    assert overview(np.ones((3, 20, 30)), {"$\\frac{": np.ones((3, 20, 30), np.uint8)}, VOXEL_UM, title=title, **RI)


def test_same_input_same_bytes_whatever_the_users_settings() -> None:
    import matplotlib as mpl

    labels = ball((12, 30, 60), 2.0)
    image = np.random.default_rng(3).normal(1.34, 0.01, labels.shape)
    before = overview(image, {"cell": labels}, VOXEL_UM, title="a", **RI)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "image.interpolation": "bicubic"}):
        after = overview(image, {"cell": labels}, VOXEL_UM, title="a", **RI)
        assert mpl.rcParams["font.size"] == 30
    assert before == after
    assert set(Image.open(io.BytesIO(before)).info) == {"dpi"}


def test_no_structure_has_the_colour_of_missing_values() -> None:
    assert MISSING_COLOUR not in {entry.colour for entry in structures()}


def test_huge_planes_are_thinned_but_keep_their_size() -> None:
    image = np.zeros((1, 9000, 12), np.float32)
    labels = np.zeros(image.shape, np.uint8)
    labels[0, 3000:6000, 3:9] = 1
    (plane,) = _cut_planes(image, {"cell": labels}, (np.nan, 0.01, 0.9))
    assert max(plane.image.shape) <= 2048
    assert plane.labels["cell"].shape == plane.image.shape
    assert plane.size_um == pytest.approx((90.0, 10.8), rel=1e-3)


def test_a_closeup_shows_the_largest_cell_and_its_neighbourhood_alone() -> None:
    shape = (20, 200, 300)
    cells = np.zeros(shape, np.uint16)
    cells[5:15, 40:80, 100:180], cells[2:8, 150:160, 20:40] = 3, 4
    png = closeup(np.full(shape, np.nan), {"cell": cells}, VOXEL_UM, **RI)
    assert png is not None
    picture = pixels(png)
    xy = panels(picture)[3]
    height, width = (side.stop - side.start for side in xy)
    outline = ndimage.find_objects(like(picture[xy], structure_colour("cell")).astype(int))[0]
    # The cell is 8 x 8 µm; with its margin of 0.15 on each side it is a square of about 1.3 times that.
    assert height == pytest.approx(width, rel=0.06)
    assert (outline[1].stop - outline[1].start) / width == pytest.approx(1 / 1.3, abs=0.06)
    assert (outline[0].stop - outline[0].start) / height == pytest.approx(1 / 1.3, abs=0.08)


def test_a_closeup_keeps_the_positions_of_the_whole() -> None:
    shape = (20, 100, 200)
    cells = np.zeros(shape, np.uint16)
    cells[9:12, 50:61, 120:141] = 1
    whole = _cut_planes(np.zeros(shape), {"cell": cells}, VOXEL_UM)
    part = (slice(8, 15), slice(40, 80), slice(110, 160))
    cut = _cut_planes(np.zeros((7, 40, 50)), {"cell": cells[part]}, VOXEL_UM, corner=(8, 40, 110))
    assert [plane.caption for plane in cut] == [plane.caption for plane in whole]
    assert whole[0].caption == "xy   z = 4 µm (plane 11)"  # voxel 10 of 0.4 µm; voxel 0 lies at 0 µm, as in the tables


@pytest.mark.parametrize("side", [0, 90])
def test_no_closeup_without_a_cell_or_where_it_fills_the_field(side: int) -> None:
    cells = np.zeros((5, 100, 110), np.uint8)
    cells[1:4, :side, :side] = 1
    assert closeup(np.ones(cells.shape), {"cell": cells}, VOXEL_UM, **RI) is None


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, numpy as np, pandas as pd; from tomocyte.figures import overview, time_course_figure as draw\n"
        "assert 'matplotlib' not in sys.modules\n"
        "image = np.ones((3, 20, 30)); overview(image, {}, (1, 1, 1), unit='', quantity='')\n"
        "draw(pd.DataFrame({'frame': [0, 1], 'a': [1.0, 2.0]}), 'a', '')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
