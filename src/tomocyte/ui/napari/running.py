"""A run from the window: a form of its settings, work beside everything else, progress, cancelling.

:class:`RunJob` is what runs; napari is needed for the panel only.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tomocyte.errors import SettingsError, TomocyteError
from tomocyte.ledger.result import RunResult
from tomocyte.modalities import modalities
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import ENDED, Progress
from tomocyte.runs import run_inputs
from tomocyte.ui.napari.background import in_background
from tomocyte.ui.napari.form import FormField, form_fields, settings_of

NOT_IN_FORM = ("modality", "edits", "channel_files")
"""Settings that the panel gives in another manner, or that belong to the command line."""
POLL_MS = 200


@dataclass
class RunJob:
    """Inputs that are run, and how far they are.

    Parameters
    ----------
    paths : sequence of Path
    settings : RunSettings
    output : Path
    """

    paths: Sequence[Path]
    settings: RunSettings
    output: Path
    latest: Progress = field(default_factory=Progress, init=False)
    n_ended: int = field(default=0, init=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, init=False)

    def run(self) -> RunResult | None:
        """Do the work; None where it was cancelled.

        What is finished by then stays, and the same job again goes on from there.

        Raises
        ------
        TomocyteError
            As :func:`tomocyte.runs.run_inputs`.
        """
        try:
            return run_inputs(list(self.paths), self.settings, self.output, callback=self._note)
        except KeyboardInterrupt:
            if self._cancelled.is_set():
                return None
            raise

    def cancel(self) -> None:
        """Stop at the next step, as Ctrl+C does on the command line."""
        self._cancelled.set()

    @property
    def words(self) -> str:
        """Where the work is, e.g. ``a: measure: cell (frame 2 of 4)``."""
        now = self.latest
        frame = f" (frame {now.frame + 1} of {now.n_frames})" if now.n_frames > 1 else ""
        return ": ".join(part for part in (now.item, now.step or now.state) if part) + frame

    def _note(self, event: Progress) -> None:
        self.latest = event
        self.n_ended += event.state in ENDED
        if self._cancelled.is_set():
            raise KeyboardInterrupt


class RunPanel:
    """The panel, and what connects it with a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        from magicgui.widgets import ComboBox, Container, FileEdit, Label, ProgressBar, PushButton

        self.viewer = viewer
        self.job: RunJob | None = None
        self.input = FileEdit(mode="r", label="input", nullable=True)
        self.output = FileEdit(mode="d", label="output", nullable=True)
        self.modality = ComboBox(label="modality", choices=sorted(modalities()), value="odt")
        self.bar = ProgressBar(value=0, max=1, label="")
        self.status = Label(value="", label="")
        run, cancel = PushButton(text="Run"), PushButton(text="Cancel")
        run.changed.connect(lambda _=None: self._do(self.start))
        cancel.changed.connect(lambda _=None: self.cancel())
        self.fields: list[FormField] = []
        self.values: dict[str, Any] = {}
        self.form = Container()
        self.form.margins = (0, 0, 0, 0)
        self.modality.changed.connect(lambda _=None: self._fill())
        self.widget = Container(
            widgets=[self.input, self.output, self.modality, run, cancel, self.bar, self.status, self.form],
            scrollable=True,
        )
        self._fill()
        active = viewer.layers.selection.active
        path = "" if active is None else str(active.metadata.get("path", ""))
        if path:
            self.input.value = path

    def _fill(self) -> None:
        """The form of the modality."""
        from magicgui.widgets import CheckBox, ComboBox, LineEdit

        self.fields = form_fields(RunSettings(modality=self.modality.value), without=NOT_IN_FORM)
        self.values = {}
        self.form.clear()
        for one in self.fields:
            about: dict[str, Any] = {"label": one.name, "tooltip": one.about}
            if one.kind == "choice":
                widget = ComboBox(choices=list(one.choices), value=one.default, **about)
            elif one.kind == "flag":
                widget = CheckBox(value=one.default == "true", **about)
            else:
                widget = LineEdit(value=one.default, **about)
            self.values[one.name] = widget
            self.form.append(widget)

    def settings(self) -> RunSettings:
        """What the form says; errors as :func:`tomocyte.ui.napari.form.settings_of`."""
        flags = {True: "true", False: "false"}
        texts = {
            one.name: flags[bool(self.values[one.name].value)]
            if one.kind == "flag"
            else str(self.values[one.name].value)
            for one in self.fields
        }
        return settings_of(RunSettings, {"modality": self.modality.value}, self.fields, texts)

    def start(self) -> None:
        """Run beside everything else, and show the results in the end."""
        from qtpy.QtCore import QTimer

        if self.job is not None:
            raise SettingsError("E-NAPARI-RUN", "a run is at work already.", cure="Wait for it, or press Cancel.")
        paths = [self.input.value, self.output.value]
        if any(not path or str(path) == "." for path in paths):
            raise SettingsError("E-NAPARI-RUN", "an input and an output are needed.", cure="Choose them above.")
        job = self.job = RunJob([Path(paths[0])], self.settings(), Path(paths[1]))
        self.bar.max = len(job.paths)
        timer = QTimer()

        def poll() -> None:
            self.bar.value, self.status.value = job.n_ended, job.words

        def end(result: RunResult | None, problem: TomocyteError | None) -> None:
            timer.stop()
            self.job = None
            self._do(lambda: self._show(job, result, problem))

        timer.timeout.connect(poll)
        timer.start(POLL_MS)
        in_background(job.run, end)

    def cancel(self) -> None:
        """Stop the run at its next step."""
        if self.job is not None:
            self.job.cancel()
            self.status.value = "stopping at the next step …"

    def _show(self, job: RunJob, result: RunResult | None, problem: TomocyteError | None) -> None:
        """The results as layers."""
        from napari.layers import Layer

        from tomocyte.ui.napari.reader import read_layers

        if problem is not None:
            raise problem
        self.bar.value = job.n_ended
        if result is None:
            self.status.value = "cancelled; Run goes on from what is finished"
            return
        if result.failures:
            self.status.value = "; ".join(f"{one.item}: {one.problem} {one.cure}" for one in result.failures)
            return
        for data, options, kind in read_layers(str(job.output)):
            if kind != "image":
                self.viewer.add_layer(Layer.create(data, options, kind))
        self.status.value = f"done: {job.output}"

    def _do(self, action: Any) -> None:
        from napari.utils.notifications import show_warning

        try:
            action()
        except TomocyteError as problem:
            self.status.value = f"{problem.problem} {problem.cure}"
            show_warning(str(problem))


def run_widget(napari_viewer: Any) -> Any:
    """The panel as a widget; napari gives its viewer."""
    panel = RunPanel(napari_viewer)
    widget = panel.widget.root_native_widget  # with its scroll bar
    widget.panel = panel
    return widget
