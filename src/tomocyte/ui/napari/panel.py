"""The panel that corrects a run in napari: buttons, the picked objects, and the table as it is now.

What the buttons do stands in :mod:`tomocyte.ui.napari.correcting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.ui.napari.background import in_background
from tomocyte.ui.napari.correcting import (
    Correction,
    Uncertain,
    box_of_strokes,
    edits_path,
    hidden_axis,
    start_correcting,
)

if TYPE_CHECKING:
    import pandas as pd

LINES = "split line"
"""Name of the layer in which lines are drawn."""
SHOWN = (
    "structure", "frame", "label", "cell_id", "volume_um3", "area_um2", "dry_mass_pg", "mean_ri", "mean_intensity",
    "confidence", "track_id", "edited",
)  # fmt: skip
"""Columns of the table in the panel, where there are any."""


class CorrectPanel:
    """The panel, and what connects it with a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        from magicgui.widgets import CheckBox, Container, FileEdit, Label, Table

        self.viewer = viewer
        self.correction: Correction | None = None
        self._uncertain: Uncertain | None = None
        self._objects: pd.DataFrame | None = None
        self._is_measuring, self._is_outdated = False, False
        self.file = FileEdit(mode="w", filter="*.yaml", label="edits", nullable=True)
        self.picked = Label(value="open a run, then press Start", label="picked")
        self.status = Label(value="", label="")
        self.with_contents = CheckBox(value=False, text="delete with contents")
        self.objects = Table(value={"columns": [], "data": []})
        self.objects.read_only = True
        rows = [
            self._row(("Start", self.start), ("Undo", self.undo), ("Redo", self.redo)),
            self._row(("Merge", self.merge), ("Delete", self.delete), ("Split along line", self.split)),
            self._row(("Set cell", self.set_cell), ("Take over all painted", self.take_over)),
            self._row(
                ("Link", lambda: self.link("link")), ("Unlink", lambda: self.link("unlink")),
                ("Divides", lambda: self.link("division")), ("Dies", lambda: self.link("death")),
            ),
            self._row(("Next uncertain object", self.next_uncertain), ("Measure", self.measure)),
        ]  # fmt: skip
        self.widget = Container(
            widgets=[self.file, rows[0], self.picked, *rows[1:4], self.with_contents, rows[4], self.status,
                     self.objects],
            labels=False,
        )  # fmt: skip

    def _row(self, *buttons: tuple[str, Callable[[], None]]) -> Any:
        from magicgui.widgets import Container, PushButton

        widgets = []
        for text, action in buttons:
            button = PushButton(text=text)
            button.changed.connect(lambda _=None, action=action: self._do(action))
            widgets.append(button)
        row = Container(widgets=widgets, layout="horizontal", labels=False)
        row.margins = (0, 0, 0, 0)
        return row

    def _do(self, action: Callable[[], None]) -> None:
        """An action of a button; what is wrong with it is said."""
        with self._said():
            action()

    @contextmanager
    def _said(self) -> Iterator[None]:
        from napari.utils.notifications import show_warning

        try:
            yield
        except TomocyteError as problem:
            self.status.value = f"{problem.problem} {problem.cure}"
            show_warning(str(problem))

    def start(self) -> None:
        """Begin with the run that the layers show."""
        layers = {
            layer.metadata["structure"]: layer
            for layer in self.viewer.layers
            if "structure" in layer.metadata and "run" in layer.metadata
        }
        places = {(layer.metadata["run"], layer.metadata["item"]) for layer in layers.values()}
        if len(places) != 1:
            raise SettingsError(
                "E-NAPARI-RUN",
                "labels of one item of a run are needed." if not places else "labels of several items are shown.",
                cure="Open the folder of one run, or remove the layers of the others.",
            )
        run, item = places.pop()
        path = self.file.value if self.file.value and str(self.file.value) != "." else edits_path(Path(run), item)
        self.correction = start_correcting(Path(run), item, layers, Path(path))
        self.file.value = path
        self._uncertain = Uncertain(self._table)
        for structure, layer in layers.items():
            layer.events.paint.connect(self._painter(structure))
            layer.mouse_drag_callbacks.append(self._picker(structure))
            layer.bind_key("Control-Z", lambda _: self._do(self.undo), overwrite=True)
            layer.bind_key("Control-Shift-Z", lambda _: self._do(self.redo), overwrite=True)
        self.viewer.layers.selection.active = layers.get(self.correction.session.main)
        self._tell(f"{item}: {len(self.correction.session.new)} edits so far")
        self.measure()

    def merge(self) -> None:
        """Make the picked objects one."""
        self._working().merge()
        self._after("merged")

    def delete(self) -> None:
        """Remove the picked objects."""
        self._working().delete(with_contents=bool(self.with_contents.value))
        self._after("deleted")

    def split(self) -> None:
        """Cut along the line that was drawn last; without one, begin to draw."""
        correction = self._working()
        structure = self._structure(correction)
        if LINES not in self.viewer.layers:
            layer = self.viewer.layers[self._names(correction)[structure]]
            lines = self.viewer.add_shapes(
                name=LINES, ndim=layer.ndim, scale=layer.scale, units=layer.units, edge_color="yellow",
                metadata={"structure_to_split": structure},
            )  # fmt: skip
            lines.mode = "add_line"
            self._tell(f"draw a line across the {structure}, then press the button again")
            return
        lines = self.viewer.layers[LINES]
        if not len(lines.data):
            lines.mode = "add_line"
            raise InputError("E-EDIT-SPLIT", "no line was drawn.", cure="Draw one across the object.")
        structure = lines.metadata.get("structure_to_split", structure)
        line = np.asarray(lines.data[-1])[[0, -1]]
        hidden = hidden_axis(tuple(self.viewer.dims.displayed), lines.ndim)
        correction.split(structure, line, hidden)
        self.viewer.layers.remove(lines)
        self.viewer.layers.selection.active = correction.layers[structure]
        self._after("split")

    def set_cell(self) -> None:
        """Give the picked organelles to the picked cell."""
        self._working().set_cell()
        self._after("cell set")

    def link(self, do: Any) -> None:
        """Correct who becomes whom."""
        self._working().link(do)
        self._after(f"{do}: run again with these edits to see the tracks")

    def undo(self) -> None:
        """Take the last action back."""
        self._after(f"undone: {self._working().undo().do}")

    def redo(self) -> None:
        """Do again what was undone last."""
        self._after(f"done again: {self._working().redo().do}")

    def take_over(self) -> None:
        """Compare all layers with what they were, for programs and plugins that change labels without painting."""
        correction = self._working()
        for structure in correction.layers:
            correction.painted(structure)
        self._after("taken over")

    def next_uncertain(self) -> None:
        """Show the object that the model is least sure of, of those not seen yet."""
        correction = self._working()
        row = None if self._uncertain is None else self._uncertain.next()
        if row is None:
            self._tell("no further object with a confidence")
            return
        layer = self.viewer.layers[self._names(correction)[str(row["structure"])]]
        place = [row[f"{axis}_um"] for axis in "zyx"]
        point = [0.0 if np.isnan(at) else float(at) for at in place][-min(3, layer.ndim) :]
        point = [float(row["frame"])] * (layer.ndim - len(point)) + point
        if correction.session.n_frames > 1:
            point[0] = float(row["frame"])
        for axis, at in enumerate(point):
            self.viewer.dims.set_point(axis, at)
        self.viewer.camera.center = tuple(point[-3:])
        layer.selected_label = int(row["label"])
        self._tell(f"{row['structure']} {row['label']}")

    def measure(self) -> None:
        """Measure what has changed, beside everything else."""
        correction = self._working()
        if self._is_measuring:
            self._is_outdated = True
            return
        self._is_measuring, self._is_outdated = True, False
        frames = correction.session.changed()
        in_background(lambda: correction.table_of(frames), self._measured)

    def _measured(self, result: pd.DataFrame | None, problem: TomocyteError | None) -> None:
        self._is_measuring = False
        with self._said():
            if result is None:
                raise problem or InputError("E-BUG", "no table was made.")
            self._objects = result
            is_film = self._working().session.n_frames > 1
            names = [name for name in SHOWN if is_film or name not in ("frame", "track_id")]
            shown = result[[name for name in names if name in result and result[name].notna().any()]]
            self.objects.value = shown.round(4)
        if self._is_outdated:
            self.measure()

    def _table(self) -> pd.DataFrame:
        """The table as measured last."""
        if self._objects is None:
            raise InputError("E-NAPARI-RUN", "nothing was measured yet.", cure="Wait for the table, or press Measure.")
        return self._objects

    def _working(self) -> Correction:
        if self.correction is None:
            raise SettingsError("E-NAPARI-RUN", "no run is being corrected.", cure="Open a run and press Start.")
        return self.correction

    def _names(self, correction: Correction) -> dict[str, str]:
        """Structure -> name of its layer."""
        return {structure: str(getattr(layer, "name", "")) for structure, layer in correction.layers.items()}

    def _structure(self, correction: Correction) -> str:
        """The structure that was picked last, else that of the selected layer, else the main one."""
        if correction.picks:
            return correction.picks[-1].structure
        active = self.viewer.layers.selection.active
        selected = [structure for structure, layer in correction.layers.items() if layer is active]
        return selected[0] if selected else correction.session.main

    def _after(self, text: str) -> None:
        n_edits = len(self._working().session.new)
        self._tell(f"{text}; {n_edits} edits in {self._working().path.name}")
        self.measure()

    def _tell(self, text: str) -> None:
        picks = self.correction.picks if self.correction is not None else []
        self.picked.value = ", ".join(map(str, picks)) or "Alt + click objects"
        self.status.value = text

    def _picker(self, structure: str) -> Callable[[Any, Any], None]:
        def click(layer: Any, event: Any) -> None:
            if "Alt" not in event.modifiers or self.viewer.dims.ndisplay != 2:
                return
            with self._said():
                picked = self._working().pick(structure, layer.world_to_data(event.position))
                if picked is not None:
                    layer.selected_label = picked.label
                self._tell("" if picked else f"no {structure} there")

        return click

    def _painter(self, structure: str) -> Callable[[Any], None]:
        from qtpy.QtCore import QTimer

        def painted(event: Any) -> None:
            box = box_of_strokes(event.value)

            def take() -> None:
                with self._said():
                    self._working().painted(structure, box)
                    self._after("painted")

            if box is not None:
                QTimer.singleShot(0, take)  # napari tells before it writes

        return painted


def correct_widget(napari_viewer: Any) -> Any:
    """The panel as a widget; napari gives its viewer."""
    panel = CorrectPanel(napari_viewer)
    panel.widget.panel = panel
    return panel.widget
