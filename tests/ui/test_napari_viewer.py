"""Layers in napari's own model of a viewer, which needs no screen; skipped where the extra ``gui`` is not installed."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import BALL_SIZE_UM
from tests.corrections.conftest import segment
from tests.in_process import workers_in_this_process
from tests.pipeline.stages.test_tracking_stage import moving_cells

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries that napari imports
    pytest.importorskip("napari.layers", reason="the extra gui is not installed")
pytestmark = pytest.mark.filterwarnings("default")


def test_a_film_with_tracks_opens_in_a_viewer(tmp_path: Path) -> None:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from tomocyte.ui.napari.reader import get_reader

    moving_cells(tmp_path / "a.ome.tif")
    with workers_in_this_process():
        assert segment(tmp_path / "a.ome.tif", tmp_path / "out").exit_code == 0
    reader = get_reader([str(tmp_path / "out")])
    assert reader is not None
    viewer = ViewerModel()
    for data in reader([str(tmp_path / "out")]):
        viewer.add_layer(Layer.create(*data))
    assert [type(layer).__name__ for layer in viewer.layers][:2] == ["Image", "Labels"]
    assert viewer.layers[-1].graph == {}
    cell = viewer.layers["cell"]
    np.testing.assert_allclose(cell.get_color(1), [86 / 255, 180 / 255, 233 / 255, 1], atol=0.01)
    assert cell.get_color(0) is None or cell.get_color(0)[3] == 0
    viewer.dims.set_point(0, 2)
    viewer.dims.set_point(1, 8 * 0.4)
    shown = viewer.layers["a"]._slice.image.view
    assert shown.shape == (60, 120)
    assert float(shown[20, 6 + 3 * 2 + 2]) == pytest.approx(1.36)


def test_what_cannot_be_read_is_left_to_others(ball_file, tmp_path: Path) -> None:
    from tomocyte.ui.napari.reader import get_reader

    (tmp_path / "notes.txt").write_text("no image")
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(ball_file()), str(tmp_path / "missing.tif")]) is None
    reader = get_reader(str(ball_file()))
    assert reader is not None
    ((data, options, kind),) = reader(str(ball_file()))
    assert (kind, data.shape) == ("image", (24, 36, 52))
    np.testing.assert_allclose(options["scale"], BALL_SIZE_UM)
