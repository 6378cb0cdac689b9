"""What a person does to the labels of a run, as edits: layers in, edits out. napari itself is not needed here.

Every action goes through :class:`tomocyte.corrections.session.CorrectionSession`; then the layers show its labels and
the file of edits holds it. To offer another action, add a method to :class:`Correction` and a button to the panel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import EditedFrame
from tomocyte.corrections.edits import Delete, Edit, Merge, SetCell, Split, Target
from tomocyte.corrections.session import CorrectionSession, label_along, open_session, plane_along
from tomocyte.errors import InputError, TomocyteError
from tomocyte.progress import Callback, silent
from tomocyte.runs.corrected_table import corrected_table
from tomocyte.runs.finished import FinishedRun, finished_run
from tomocyte.structures import find_name
from tomocyte.tracking.changes import Kind

if TYPE_CHECKING:
    import pandas as pd

LINE_ENDS = 2


class LabelsLayer(Protocol):
    """What is needed of a layer of labels."""

    data: Any

    def refresh(self) -> None:
        """Draw it again."""


@dataclass(frozen=True)
class Pick:
    """An object that was clicked.

    Parameters
    ----------
    structure : str
    frame, label : int
    voxel : tuple of 3 int
        Where, z, y, x.
    """

    structure: str
    frame: int
    label: int
    voxel: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.structure} {self.label}" + (f" in frame {self.frame}" if self.frame else "")


class Correction:
    """The labels of an item in a window, with the session that corrects them.

    Parameters
    ----------
    run : FinishedRun
    session : CorrectionSession
    layers : mapping of str to layer
        Structure -> its layer, with labels ((T,) (Z,) Y, X) in memory.
    path : Path
        File of edits, written after every action.
    """

    def __init__(
        self, run: FinishedRun, session: CorrectionSession, layers: Mapping[str, LabelsLayer], path: Path
    ) -> None:
        self.run = run
        self.session = session
        self.layers = dict(layers)
        self.path = path
        self.picks: list[Pick] = []
        for structure, layer in self.layers.items():
            if not isinstance(layer.data, np.ndarray):
                raise InputError(
                    "E-NAPARI-LARGE",
                    f"the labels of {structure} are too large to be held in memory and corrected here.",
                    cure="Correct a part of them in another program, and use `tomocyte edits from-labels`.",
                )
        for frame in {edit.frame for edit in session.new}:
            self.show(frame)

    def pick(self, structure: str, position: Sequence[float]) -> Pick | None:
        """Add the object at a place to the picked ones; None on background.

        Parameters
        ----------
        structure : str
        position : sequence of float
            In voxels of the layer, all of its axes.
        """
        frame, voxel = self.place(position)
        labels = self.session.labels(structure, frame)
        if not all(0 <= at < size for at, size in zip(voxel, labels.shape, strict=True)) or not labels[voxel]:
            return None
        picked = Pick(structure, frame, int(labels[voxel]), voxel)
        same = (structure, frame, picked.label)
        self.picks = [one for one in self.picks if (one.structure, one.frame, one.label) != same]
        self.picks.append(picked)
        return picked

    def place(self, position: Sequence[float]) -> tuple[int, tuple[int, int, int]]:
        """Frame and voxel z, y, x of a place in the voxels of a layer."""
        whole = [round(float(at)) for at in position]
        frame = whole.pop(0) if self.session.n_frames > 1 else 0
        z, y, x = [0] * (3 - len(whole)) + whole
        return frame, (z, y, x)

    def merge(self) -> None:
        """Make the picked objects one, with the first one's number."""
        picks = self._picked(2, "to merge")
        self._apply(Merge(structure=picks[0].structure, frame=picks[0].frame, targets=tuple(map(self._target, picks))))

    def delete(self, *, with_contents: bool = False) -> None:
        """Make the picked objects background."""
        picks = self._picked(1, "to delete")
        targets = tuple(map(self._target, picks))
        edit = Delete(structure=picks[0].structure, frame=picks[0].frame, targets=targets, with_contents=with_contents)
        self._apply(edit)

    def split(self, structure: str, line: NDArray[np.float64], hidden: int) -> None:
        """Cut the object that a line crosses, straight into the depth of the section.

        Parameters
        ----------
        structure : str
        line : ndarray (2, axes of the layer)
            Its ends, in voxels.
        hidden : int
            The axis across the section: 0, 1 or 2 for z, y, x.
        """
        frame, _ = self.place(line[0])
        ends = [np.concatenate([np.zeros(3), end])[-3:].tolist() for end in line[:, int(self.session.n_frames > 1) :]]
        label = label_along(self.session.labels(structure, frame), ends[0], ends[1])
        if not label:
            raise InputError("E-EDIT-SPLIT", f"the line crosses no {structure}.", cure="Draw it across an object.")
        target = self.session.target(structure, frame, label)
        plane = plane_along(ends[0], ends[1], hidden, self.session.voxel_size_um)
        self._apply(Split(structure=structure, frame=frame, target=target, plane=plane))

    def set_cell(self) -> None:
        """Give the picked organelles to the picked cell; without a cell, to none."""
        picks = self._picked(1, "to give to a cell", is_mixed=True)
        cells = [one for one in picks if one.structure == self.session.main]
        others = [one for one in picks if one.structure != self.session.main]
        if not others or len(cells) > 1:
            raise InputError(
                "E-NAPARI-PICK", "organelles and one cell are needed.", cure="Pick the organelles, then their cell."
            )
        cell: Target | Literal["none"] = self._target(cells[0]) if cells else "none"
        for one in others:
            self._apply(
                SetCell(structure=one.structure, frame=one.frame, target=self._target(one), cell=cell), is_last=False
            )
        self._end()

    def link(self, do: Kind) -> None:
        """Correct who becomes whom: the pick in the earliest frame, and those in a later one.

        Parameters
        ----------
        do : {"link", "unlink", "division", "death"}
        """
        picks = sorted(self._picked(1, f"for a {do}", is_mixed=True), key=lambda one: one.frame)
        later = [one for one in picks if one.frame > picks[0].frame]
        if len(later) != len(picks) - 1 or len({one.frame for one in later}) > 1:
            raise InputError(
                "E-NAPARI-PICK",
                "one object, and later ones that lie in one frame, are needed.",
                cure="Pick the earlier object, move on in time, and pick the later ones.",
            )
        to_frame = later[0].frame if later and later[0].frame != picks[0].frame + 1 else None
        self.session.link(
            do, frame=picks[0].frame, label=picks[0].label, later=[one.label for one in later], to_frame=to_frame
        )
        self._end()

    def painted(self, structure: str, box: Sequence[slice] | None = None) -> None:
        """Take over what was painted into a layer.

        Parameters
        ----------
        structure : str
        box : sequence of slice, optional
            Where, one per axis of the layer; without it everything is compared.

        Raises
        ------
        InputError
            ``E-EDIT-LABEL``; the layer then is as it was.
        """
        layer = self.layers[structure]
        n_frames = self.session.n_frames
        own = None if box is None else [slice(0, 1)] * (3 - len(box[int(n_frames > 1) :])) + [*box[int(n_frames > 1) :]]
        frames = range(n_frames) if box is None or n_frames == 1 else range(n_frames)[box[0]]
        try:
            for frame in frames:
                after = self._frame_of(layer, frame)
                inside = None if own is None else (own[0], own[1], own[2])
                self.session.paint(structure, frame, after, box=inside)
        except TomocyteError:
            for frame in frames:
                self.show(frame)
            raise
        self._end()

    def undo(self) -> Edit:
        """Take the last action back."""
        edit = self.session.undo()
        self.show(edit.frame)
        self._end()
        return edit

    def redo(self) -> Edit:
        """Do again what was undone last."""
        edit = self.session.redo()
        self.show(edit.frame)
        self._end()
        return edit

    def show(self, frame: int) -> None:
        """Let the layers show the labels of the session in a frame."""
        for structure, layer in self.layers.items():
            labels = self.session.labels(structure, frame)
            if int(labels.max(initial=0)) > np.iinfo(layer.data.dtype).max:
                layer.data = layer.data.astype(np.uint32)
            shown = self._frame_of(layer, frame)
            differs = shown != labels
            if differs.any():
                shown[differs] = labels[differs]
                layer.refresh()

    def table(self, callback: Callback = silent) -> pd.DataFrame:
        """The objects as they are now; see :func:`tomocyte.runs.corrected_table.corrected_table`."""
        return self.table_of(self.session.changed(), callback)

    def table_of(self, frames: Mapping[int, EditedFrame], callback: Callback = silent) -> pd.DataFrame:
        """The objects as they were when ``frames`` was taken; for work beside everything else."""
        return corrected_table(self.run, self.session.item, frames, callback)

    def _frame_of(self, layer: LabelsLayer, frame: int) -> NDArray[Any]:
        """A view (Z, Y, X) of a frame of a layer."""
        data: NDArray[Any] = layer.data
        shown = data[frame] if self.session.n_frames > 1 else data
        return shown if shown.ndim == 3 else shown[np.newaxis]

    def _target(self, pick: Pick) -> Target:
        return self.session.target(pick.structure, pick.frame, pick.label, at=pick.voxel)

    def _picked(self, n_least: int, purpose: str, *, is_mixed: bool = False) -> list[Pick]:
        picks = list(self.picks)
        kinds = {(one.structure, one.frame) for one in picks}
        if len(picks) < n_least or (len(kinds) > 1 and not is_mixed):
            raise InputError(
                "E-NAPARI-PICK",
                f"{'two objects' if n_least == LINE_ENDS else 'an object'} of one structure and frame "
                f"{'are' if n_least == LINE_ENDS else 'is'} needed {purpose}; picked: "
                f"{', '.join(map(str, picks)) or 'none'}.",
                cure="Click objects while Alt is held.",
            )
        return picks

    def _apply(self, edit: Edit, *, is_last: bool = True) -> None:
        self.session.apply(edit)
        self.show(edit.frame)
        if is_last:
            self._end()

    def _end(self) -> None:
        self.picks.clear()
        self.session.save(self.path)


def box_of_strokes(atoms: Iterable[Any]) -> tuple[slice, ...] | None:
    """The box around what napari says was painted; None for nothing.

    Parameters
    ----------
    atoms : iterable
        Of the event ``paint`` of a layer of labels: each with ``slice_key``, or a tuple that begins with an index array
        per axis.
    """
    boxes: list[list[tuple[int, int]]] = []
    for atom in atoms:
        if hasattr(atom, "slice_key"):
            boxes.append([(side.start, side.stop) for side in atom.slice_key])
        elif len(atom[0]) and np.size(atom[0][0]):
            boxes.append([(int(np.min(index)), int(np.max(index)) + 1) for index in atom[0]])
    if not boxes:
        return None
    sides = zip(*boxes, strict=True)
    return tuple(slice(min(low for low, _ in side), max(high for _, high in side)) for side in map(list, sides))


def hidden_axis(displayed: Sequence[int], n_dimensions: int) -> int:
    """The axis z, y or x (0, 1, 2) across a section.

    Parameters
    ----------
    displayed : sequence of 2 int
        The axes that are seen, of all.
    n_dimensions : int
        How many axes there are; the last three, or two, are those of space.

    Raises
    ------
    InputError
        ``E-NAPARI-SECTION``: no section of space is seen.

    Examples
    --------
    >>> hidden_axis((1, 2), 3), hidden_axis((1, 3), 4), hidden_axis((0, 1), 2)
    (0, 1, 0)
    """
    across = {0, 1, 2} - {axis - n_dimensions + 3 for axis in displayed}
    if len(across) != 1:
        raise InputError(
            "E-NAPARI-SECTION", "no section is seen.", cure="Show two axes of space, not three and not time."
        )
    return across.pop()


def edits_path(run: Path, item: str) -> Path:
    """Where the edits of an item are kept unless somebody says otherwise: beside the folder of the run."""
    return run.resolve().parent / f"{item}.edits.yaml"


def start_correcting(run: Path, item: str, layers: Mapping[str, LabelsLayer], path: Path | None = None) -> Correction:
    """Begin, or go on with, the corrections of an item.

    Parameters
    ----------
    run : Path
        Folder of the run.
    item : str
    layers : mapping of str to layer
        Structure -> its layer, as :func:`tomocyte.ui.napari.opening.item_layers` made it.
    path : Path, optional
        File of edits; those that it holds are continued. By default :func:`edits_path`.

    Raises
    ------
    TomocyteError
        As :func:`tomocyte.corrections.session.open_session`; ``E-NAPARI-LARGE``.
    """
    finished, place = finished_run(run), edits_path(run, item) if path is None else path
    session = open_session(finished.item(item), place)
    named = {name: layer for structure, layer in layers.items() if (name := find_name(structure, session.structures))}
    return Correction(finished, session, named, place)


def uncertain_first(table: pd.DataFrame) -> pd.DataFrame:
    """The objects that the model is least sure of first; those without a confidence are left out.

    Parameters
    ----------
    table : DataFrame
        Of objects.

    Raises
    ------
    InputError
        ``E-NAPARI-CONFIDENCE``: the run did not find out how sure the model is.
    """
    columns = [name for name in ("confidence", "cell_confidence") if name in table and table[name].notna().any()]
    if not columns:
        raise InputError(
            "E-NAPARI-CONFIDENCE",
            "no object has a confidence: the run was made without a model that gives one.",
            cure="Run with a trained model.",
        )
    known = table[table[columns[0]].notna()]
    return known.sort_values([columns[0], "frame", "structure", "label"], kind="stable").reset_index(drop=True)


class Uncertain:
    """Goes through the objects of a table, the least certain first.

    Parameters
    ----------
    read : callable
        Returns the table as it is now.
    """

    def __init__(self, read: Callable[[], pd.DataFrame]) -> None:
        self._read = read
        self._seen: set[tuple[int, str, int]] = set()

    def next(self) -> pd.Series | None:
        """The row of the next object that was not visited yet; None after the last."""
        for _, row in uncertain_first(self._read()).iterrows():
            key = (int(row["frame"]), str(row["structure"]), int(row["label"]))
            if key not in self._seen:
                self._seen.add(key)
                return row
        return None
