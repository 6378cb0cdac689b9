"""Labels on a few planes, propagated to all while they are painted. napari itself is not needed for :class:`Spread`.

What a method does stands in :mod:`tomocyte.propagation`; after the first time only what changed labels concern is
filled again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, TomocyteError
from tomocyte.propagation import DenseLabels, labelled_slices, propagate
from tomocyte.propagation.next_slice import NextSlice, next_slices, profile_errors
from tomocyte.runs.convert import refuse_existing, write_whole_volume
from tomocyte.ui.napari.background import in_background
from tomocyte.volume import Planes, Volume, VoxelSize


@dataclass
class Spread:
    """Labels that are propagated again whenever they change.

    Parameters
    ----------
    image : Planes (Z, Y, X), real
        What the labels follow.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    """

    image: Planes
    voxel_size_um: VoxelSize
    dense: DenseLabels | None = field(default=None, init=False)
    slices: tuple[int, ...] = field(default=(), init=False)

    def update(self, labels: NDArray[np.unsignedinteger[Any]]) -> DenseLabels:
        """The labels of all planes.

        Parameters
        ----------
        labels : ndarray (Z, Y, X), unsigned integer
            Planes that hold any label are labelled.

        Raises
        ------
        TomocyteError
            As :func:`tomocyte.propagation.propagate`; ``E-PROPAGATION-SLICES``: no plane is labelled.
        """
        slices = labelled_slices(labels)
        dense = propagate(
            labels, voxel_size_um=self.voxel_size_um, slices=slices, image=self.image, previous=self.dense
        )
        self.dense, self.slices = dense, slices
        return dense

    def next_plane(self) -> NextSlice | None:
        """The plane whose labelling is expected to remove most wrong voxels; None where none is expected.

        Raises
        ------
        InputError
            ``E-NAPARI-PROPAGATE``: nothing was propagated yet.
        """
        if self.dense is None:
            raise InputError("E-NAPARI-PROPAGATE", "nothing was propagated yet.", cure="Press Propagate first.")
        found = next_slices(profile_errors(self.dense, self.slices), 1)
        return found[0] if found else None

    def save(self, path: Path) -> None:
        """Write the labels of all planes; the ending chooses the format.

        Raises
        ------
        OutputError
            ``E-EXISTS``: something of that name exists.
        InputError
            ``E-NAPARI-PROPAGATE``; ``E-FORMAT-WRITE``.
        """
        if self.dense is None:
            raise InputError("E-NAPARI-PROPAGATE", "nothing was propagated yet.", cure="Press Propagate first.")
        refuse_existing(path)
        volume = Volume.from_array(self.dense.labels, voxel_size_um=self.voxel_size_um, quantity="labels")
        write_whole_volume(path, volume)


class PropagatePanel:
    """The panel, and what connects it with a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, Label, PushButton

        self.viewer = viewer
        self.spread: Spread | None = None
        self._key: tuple[Any, ...] = ()
        self._layer: Any = None
        self.is_working, self._is_outdated = False, False
        self.image = ComboBox(label="image", choices=lambda _: self._named("Image"))
        self.labels = ComboBox(label="labels", choices=lambda _: self._named("Labels"))
        self.is_live = CheckBox(value=True, text="again after each stroke")
        self.file = FileEdit(mode="w", label="file", nullable=True)
        self.status = Label(value="", label="")
        buttons = []
        for text, action in (("Propagate", self.propagate), ("Next plane", self.next_plane), ("Save", self.save)):
            button = PushButton(text=text)
            button.changed.connect(lambda _=None, action=action: self._do(action))
            buttons.append(button)
        self.widget = Container(
            widgets=[self.image, self.labels, self.is_live, *buttons[:2], self.file, buttons[2], self.status]
        )
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(lambda _=None: self._choose_again())

    def _named(self, kind: str) -> list[str]:
        own = ("propagated", "uncertainty of propagation")
        return [layer.name for layer in self.viewer.layers if type(layer).__name__ == kind and layer.name not in own]

    def _choose_again(self) -> None:
        self.image.reset_choices()
        self.labels.reset_choices()

    def _do(self, action: Any) -> None:
        from napari.utils.notifications import show_warning

        try:
            action()
        except TomocyteError as problem:
            self.status.value = f"{problem.problem} {problem.cure}"
            show_warning(str(problem))

    def propagate(self) -> None:
        """Propagate beside everything else, and from now on after each stroke."""
        if self.image.value is None or self.labels.value is None:
            raise InputError(
                "E-NAPARI-PROPAGATE", "an image and a layer of labels are needed.", cure="Open or add them."
            )
        image, layer = self.viewer.layers[self.image.value], self.viewer.layers[self.labels.value]
        if layer.ndim != 3 or image.data.shape != layer.data.shape:
            raise InputError(
                "E-NAPARI-PROPAGATE", "an image and labels of one size (z, y, x) are needed.", cure="Choose others."
            )
        key = (image, layer)
        if self.spread is None or key != self._key:
            size = tuple(float(step) for step in layer.scale)
            self.spread, self._key = Spread(image.data, (size[0], size[1], size[2])), key
            layer.events.paint.connect(self._stroke)
        if self.is_working:
            self._is_outdated = True
            return
        self.is_working, self._is_outdated, self._layer = True, False, layer
        spread, labels = self.spread, np.array(layer.data).astype(np.uint32)
        self.status.value = "propagating …"
        in_background(lambda: spread.update(labels), self._show)

    def _show(self, result: DenseLabels | None, problem: TomocyteError | None) -> None:
        self.is_working = False
        if result is None:
            self.status.value = "" if problem is None else f"{problem.problem} {problem.cure}"
            return
        place = {"scale": self._layer.scale, "units": self._layer.units}
        if "propagated" in self.viewer.layers:
            self.viewer.layers["propagated"].data = result.labels
            self.viewer.layers["uncertainty of propagation"].data = result.uncertainty
        else:
            self.viewer.add_image(
                result.uncertainty, name="uncertainty of propagation", colormap="inferno", contrast_limits=(0, 1),
                blending="additive", visible=False, **place,
            )  # fmt: skip
            self.viewer.add_labels(result.labels, name="propagated", opacity=0.4, **place)
            self.viewer.layers.selection.active = self._layer
        n_labelled = len(self.spread.slices) if self.spread is not None else 0
        self.status.value = f"propagated from {n_labelled} of {len(result.labels)} planes"
        if self._is_outdated:
            self._do(self.propagate)

    def _stroke(self, _: Any) -> None:
        from qtpy.QtCore import QTimer

        if self.is_live.value:
            QTimer.singleShot(0, lambda: self._do(self.propagate))  # napari tells before it writes

    def next_plane(self) -> None:
        """Show the plane that is worth labelling most."""
        found = None if self.spread is None else self.spread.next_plane()
        if self.spread is None:
            raise InputError("E-NAPARI-PROPAGATE", "nothing was propagated yet.", cure="Press Propagate first.")
        if found is None:
            self.status.value = "no voxel is expected to be wrong"
            return
        size = self.spread.voxel_size_um
        place = (found.index * size[0], found.place[0] * size[1], found.place[1] * size[2])
        for axis, at in enumerate(place):
            self.viewer.dims.set_point(axis, at)
        self.status.value = f"plane {found.index}: {found.gain_voxels:,.0f} wrong voxels fewer are expected"

    def save(self) -> None:
        """Write the propagated labels to a file that does not exist yet."""
        if self.spread is None or not self.file.value or str(self.file.value) == ".":
            raise InputError("E-NAPARI-PROPAGATE", "nothing to save, or no name.", cure="Propagate, and name a file.")
        self.spread.save(Path(self.file.value))
        self.status.value = f"wrote {self.file.value}"


def propagate_widget(napari_viewer: Any) -> Any:
    """The panel as a widget; napari gives its viewer."""
    panel = PropagatePanel(napari_viewer)
    panel.widget.panel = panel
    return panel.widget
