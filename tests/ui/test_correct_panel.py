"""The panel's buttons in napari's model of a viewer, without a screen; skipped without the extra ``gui``."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.corrections.conftest import FIRST, SECOND, TWO, segment
from tests.in_process import workers_in_this_process

from tomocyte.corrections.files import read_edit_file
from tomocyte.formats import write_volume
from tomocyte.volume import Volume

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries that napari imports
    pytest.importorskip("napari.layers", reason="the extra gui is not installed")
    pytest.importorskip("qtpy.QtWidgets", reason="the extra gui is not installed", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Any]:
    """A viewer with a run of two balls, and the panel after Start."""
    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtWidgets import QApplication

    from tomocyte.ui.napari.panel import correct_widget
    from tomocyte.ui.napari.reader import read_layers

    app = QApplication.instance() or QApplication([])
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(tmp_path / "a.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **known))
    with workers_in_this_process():
        assert segment(tmp_path / "a.ome.tif", tmp_path / "out").exit_code == 0
    viewer = ViewerModel()
    for data in read_layers(str(tmp_path / "out")):
        viewer.add_layer(Layer.create(*data))
    panel = correct_widget(viewer).panel

    def settle() -> None:
        """Let Qt work until the table is there."""
        end = time.monotonic() + 60
        app.processEvents()
        while panel._is_measuring and time.monotonic() < end:
            app.processEvents()
            time.sleep(0.01)
        assert not panel._is_measuring

    yield SimpleNamespace(viewer=viewer, panel=panel, settle=settle, folder=tmp_path)
    settle()


def press(shown: Any, text: str) -> None:
    buttons = [button for row in shown.panel.widget if hasattr(row, "__iter__") for button in row]
    next(button for button in buttons if getattr(button, "text", "") == text).changed.emit(True)
    shown.settle()


def click(shown: Any, name: str, point_um: list[float]) -> None:
    """Alt and a click into a layer, as napari reports it; voxel 0 lies at 0 in its world, too."""
    layer = shown.viewer.layers[name]
    event = SimpleNamespace(modifiers=("Alt",), position=tuple(point_um), type="mouse_press")
    for callback in layer.mouse_drag_callbacks[-1:]:
        callback(layer, event)


def edits(shown: Any) -> list[str]:
    return [edit.do for edit in read_edit_file(shown.folder / "a.edits.yaml").edits or ()]


def test_merge_split_paint_and_undo_change_file_and_table(shown: Any) -> None:
    press(shown, "Merge")
    assert "no run is being corrected" in shown.panel.status.value
    press(shown, "Start")
    cell = shown.viewer.layers["cell"]
    before = cell.data.copy()
    table = shown.panel.objects.to_dataframe()
    volumes = table[table["structure"] == "cell"]["volume_um3"].tolist()
    assert len(volumes) == 2
    click(shown, "cell", [0, 0, 0])
    assert shown.panel.status.value == "no cell there"
    click(shown, "cell", FIRST)
    click(shown, "cell", SECOND)
    assert shown.panel.picked.value in ("cell 1, cell 2", "cell 2, cell 1")
    press(shown, "Merge")
    table = shown.panel.objects.to_dataframe()
    assert table[table["structure"] == "cell"]["volume_um3"].tolist() == pytest.approx([sum(volumes)], rel=1e-4)
    press(shown, "Undo")
    np.testing.assert_array_equal(cell.data, before)
    press(shown, "Split along line")
    z, y, x = (at / size for at, size in zip(FIRST, BALL_SIZE_UM, strict=True))
    shown.viewer.layers["split line"].add_lines(np.array([[z, y - 9, x], [z, y + 9, x]]))
    press(shown, "Split along line")
    assert np.unique(cell.data).tolist() == [0, 1, 2, 3]
    assert "split line" not in shown.viewer.layers
    # A stroke of the brush: one pixel in the corner of plane 0.
    shown.viewer.dims.set_point(0, 0)
    cell.brush_size = 1
    cell.paint((0, 0, 0), 9)
    shown.settle()
    assert edits(shown) == ["split", "add"]
    table = shown.panel.objects.to_dataframe()
    assert 9 in table[table["structure"] == "cell"]["label"].tolist()
    (shown.folder / "a.ome.tif").rename(shown.folder / "b.ome.tif")
    press(shown, "Measure")
    assert "does not exist any more" in shown.panel.status.value
    press(shown, "Next uncertain object")
    assert "no object has a confidence" in shown.panel.status.value


def test_a_file_of_somebody_else_stays(shown: Any) -> None:
    (shown.folder / "a.edits.yaml").write_text("my notes")
    press(shown, "Start")
    assert shown.panel.correction is None
    assert (shown.folder / "a.edits.yaml").read_text() == "my notes"


def test_labels_are_propagated_after_a_stroke() -> None:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication
    from tests.ui.test_spread import SIZE, cylinder

    from tomocyte.ui.napari.propagating import propagate_widget

    app = QApplication.instance() or QApplication([])
    image, inside = cylinder()
    viewer = ViewerModel()
    viewer.add_image(image, name="image", scale=SIZE)
    sparse = np.zeros(image.shape, np.uint32)
    sparse[0], sparse[12] = inside[0], inside[12]
    layer = viewer.add_labels(sparse, name="mine", scale=SIZE)
    panel = propagate_widget(viewer).panel

    def settle() -> None:
        end = time.monotonic() + 60
        app.processEvents()
        while panel.is_working and time.monotonic() < end:
            app.processEvents()
            time.sleep(0.01)

    panel._do(panel.next_plane)
    assert "nothing was propagated" in panel.status.value
    layer.data = np.zeros_like(sparse)
    panel._do(panel.propagate)
    settle()
    assert "no slice is labelled" in panel.status.value
    layer.data = sparse
    panel._do(panel.propagate)
    settle()
    assert panel.status.value == "propagated from 2 of 13 planes"
    assert viewer.layers["propagated"].data[6, 20, 22] == 1
    viewer.dims.set_point(0, 6 * SIZE[0])
    layer.brush_size = 9
    layer.paint((6, 20, 22), 5)
    settle()
    assert panel.status.value == "propagated from 3 of 13 planes"
    assert viewer.layers["propagated"].data[6, 20, 22] == 5
    panel._do(panel.next_plane)
    assert panel.status.value.startswith("plane ")


def test_a_run_starts_from_the_form_and_its_results_are_shown(tmp_path: Path) -> None:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication

    from tomocyte.ui.napari.running import run_widget

    app = QApplication.instance() or QApplication([])
    known = {"voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI}
    write_volume(tmp_path / "a.ome.tif", Volume.from_array(ball_ri(centres_um=TWO), **known))
    viewer = ViewerModel()
    widget = run_widget(viewer)
    panel = widget.panel
    assert widget.minimumSizeHint().height() < 600, "many settings, so with a scroll bar"
    panel._do(panel.start)
    assert "an input and an output are needed" in panel.status.value
    panel.input.value, panel.output.value = tmp_path / "a.ome.tif", tmp_path / "out"
    panel.values["model"].value = "none such"
    with workers_in_this_process():
        for model, words in (("none such", "none such"), ("classical", "done: ")):
            panel.values["model"].value = model
            panel._do(panel.start)
            end = time.monotonic() + 120
            while panel.job is not None and time.monotonic() < end:
                app.processEvents()
                time.sleep(0.01)
            assert words in panel.status.value
    assert "cell" in viewer.layers
    assert panel.bar.value == 1
