"""A finished item while it is corrected step by step: each step is an edit that can be undone, all are kept in a file.

The labels at every moment are those of the run with the edits so far, by the same functions that apply them in a run.
To offer another correction, make its edit and give it to :meth:`CorrectionSession.apply`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import EditedFrame, EditRecord, apply_edit
from tomocyte.corrections.compare import find_edits
from tomocyte.corrections.edits import (
    LINK_EDITS,
    Add,
    Edit,
    EditList,
    LinkEdit,
    Place,
    Plane,
    Repaint,
    Shape,
    Target,
)
from tomocyte.corrections.files import edits_as_yaml, load_edits
from tomocyte.corrections.frame import Box, EditingFrame, Labels
from tomocyte.corrections.from_labels import FinishedItem, continued_edits, with_repairs
from tomocyte.corrections.links import build_link_edit, later_frame
from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.labels.runs import LARGEST_LABEL, pack_voxels
from tomocyte.ledger.atomic import write_atomic
from tomocyte.structures import find_name
from tomocyte.tracking.changes import Kind
from tomocyte.volume import VoxelSize

FRAMES_KEPT = 4
"""Frames whose corrected labels stay in memory."""


class CorrectionSession:
    """The edits of an item, and its labels with them.

    Parameters
    ----------
    item : FinishedItem
    pending : EditList, optional
        Edits to continue: those of the run, and others made after them.

    Raises
    ------
    InputError
        ``E-EDIT-BASE``: ``pending`` does not begin with the run's own edits, or the run's labels are lost.
    """

    def __init__(self, item: FinishedItem, pending: EditList | None = None) -> None:
        self.item = item
        self.main = str(item.record.facts.get("primary", "cell"))
        before, n_own = with_repairs(item, *continued_edits(item, pending))
        self._base = before.model_copy(update={"input_sha256": item.record.input_sha256})
        self._n_own = n_own
        self._edits: list[Edit] = list(before.edits)
        self._undone: list[Edit] = []
        self._made = {name: item.labels_as_written(name) for name in item.structures}
        self._frames: dict[int, EditingFrame] = {}
        self._saved: dict[Path, bytes] = {}

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the label images."""
        return tuple(self._made)

    @property
    def n_frames(self) -> int:
        """Number of time points."""
        return self._made[self.main].n_frames

    @property
    def voxel_size_um(self) -> VoxelSize:
        """z, y, x in µm."""
        return self._made[self.main].require_voxel_size()

    @property
    def edits(self) -> EditList:
        """All edits: what ``run --edits`` takes."""
        return self._base.model_copy(update={"edits": tuple(self._edits)})

    @property
    def new(self) -> tuple[Edit, ...]:
        """The edits after those that the run was made with, in order."""
        return tuple(self._edits[self._n_own :])

    @property
    def undone(self) -> tuple[Edit, ...]:
        """What :meth:`redo` would do, the next one last."""
        return tuple(self._undone)

    def labels(self, structure: str, frame: int = 0) -> Labels:
        """The labels (Z, Y, X) with all edits so far; not to be changed.

        Raises
        ------
        SettingsError
            ``E-EDIT-STRUCTURE``, ``E-EDIT-FRAME``.
        """
        return self._frame(frame).labels[self._name(structure)]

    def target(self, structure: str, frame: int, label: int, *, at: Sequence[int] | None = None) -> Target:
        """An object by its label and a voxel in it.

        Parameters
        ----------
        structure : str
        frame, label : int
        at : sequence of 3 int, optional
            A voxel z, y, x of it; by default the deepest one.

        Raises
        ------
        InputError
            ``E-EDIT-TARGET``: there is no such object, or the voxel is not in it.
        """
        work, name = self._frame(frame), self._name(structure)
        given = Target(label=label) if at is None else Target(label=label, voxel=(at[0], at[1], at[2]))
        work.find(name, given)
        return work.target(name, label) if at is None else given

    def apply(self, edit: Edit) -> EditRecord | None:
        """Do an edit after all others.

        Parameters
        ----------
        edit : Edit

        Returns
        -------
        EditRecord or None
            What it did to labels; None for links, which tracking applies.

        Raises
        ------
        InputError
            ``E-EDIT-…``; then nothing has changed.
        """
        record = self._done(edit)
        self._edits.append(edit)
        self._undone.clear()
        return record

    def undo(self) -> Edit:
        """Take the last edit back; those of the run itself stay.

        Raises
        ------
        SettingsError
            ``E-EDIT-UNDO``: there is none.
        """
        if not self.new:
            raise SettingsError("E-EDIT-UNDO", "there is no edit to undo.", cure="Those of the run itself stay.")
        edit = self._edits.pop()
        self._undone.append(edit)
        if not isinstance(edit, LINK_EDITS):
            self._frames.pop(edit.frame, None)
        return edit

    def redo(self) -> Edit:
        """Do again what was undone last.

        Raises
        ------
        SettingsError
            ``E-EDIT-UNDO``: nothing was undone since the last edit.
        """
        if not self._undone:
            raise SettingsError("E-EDIT-UNDO", "nothing was undone since the last edit.", cure="Make a new edit.")
        edit = self._undone[-1]
        self._done(edit)
        self._edits.append(self._undone.pop())
        return edit

    def paint(
        self, structure: str, frame: int, after: NDArray[Any], *, box: Box | None = None
    ) -> tuple[EditRecord, ...]:
        """Take over what was painted into a copy of the labels.

        Parameters
        ----------
        structure : str
        frame : int
        after : ndarray (Z, Y, X), unsigned integer
            The labels as they are to be.
        box : tuple of 3 slice, optional
            Where they differ at most, e.g. around a stroke: all becomes new objects and one repaint. Without it the
            whole frame is compared, and deletions, merges, splits and new numbers are recognised.

        Returns
        -------
        tuple of EditRecord
            Empty where nothing differs.

        Raises
        ------
        InputError
            ``E-EDIT-LABEL``: a label is too large; ``E-SHAPE``.
        """
        name, before = self._name(structure), self.labels(structure, frame)
        if after.shape != before.shape:
            raise InputError("E-SHAPE", f"labels of shape {before.shape} are needed, not {after.shape}.")
        if box is None:
            found = find_edits(before, after, self.voxel_size_um, structure=name, frame=frame)
        else:
            found = self._stroke(name, frame, before, after, box)
        return tuple(record for edit in found if (record := self.apply(edit)) is not None)

    def _stroke(self, structure: str, frame: int, before: Labels, after: NDArray[Any], box: Box) -> tuple[Edit, ...]:
        """New objects and one repaint of what differs in a box."""
        differs = before[box] != after[box]
        planes = np.flatnonzero(differs.any(axis=(1, 2)))
        if not planes.size:
            return ()
        largest = int(after[box][differs].max())
        if largest > LARGEST_LABEL:
            raise InputError("E-EDIT-LABEL", f"label {largest} is above {LARGEST_LABEL}.", cure="Use smaller labels.")
        first, last = box[0].start + int(planes[0]), box[0].start + int(planes[-1]) + 1
        mask = np.zeros((last - first, *before.shape[1:]), dtype=bool)
        mask[:, box[1], box[2]] = differs[planes[0] : planes[-1] + 1]
        painted = after[first:last].astype(np.uint32)
        known = self._frame(frame).boxes(structure)
        edits: list[Edit] = []
        for label in np.unique(painted[mask]).tolist():
            if label and label not in known:
                own = mask & (painted == label)
                mask &= ~own
                voxels = pack_voxels(painted, own, corner=first, n_planes=before.shape[0])
                shape = Shape(voxels=voxels)
                edits.append(Add(structure=structure, frame=frame, shape=shape, label=label, over="anything"))
        if mask.any():
            voxels = pack_voxels(painted, mask, corner=first, n_planes=before.shape[0])
            edits.append(Repaint(structure=structure, frame=frame, shape=Shape(voxels=voxels)))
        return tuple(edits)

    def link(
        self, do: Kind, *, frame: int, label: int, later: Sequence[int] = (), to_frame: int | None = None
    ) -> LinkEdit:
        """Correct who becomes whom over time.

        Parameters
        ----------
        do : {"link", "unlink", "division", "death"}
        frame, label : int
            Of the earlier object.
        later : sequence of int
            Labels of the later objects.
        to_frame : int, optional
            Their frame; by default the next one.

        Raises
        ------
        InputError, SettingsError
            As :func:`tomocyte.corrections.links.link_edit`.
        """

        def named(number: int, of_frame: int) -> Target:
            return self.target(self.main, of_frame, number)

        edit = build_link_edit(do, named, structure=self.main, frame=frame, label=label, later=later,
                               to_frame=to_frame)  # fmt: skip
        self.apply(edit)
        return edit

    def changed(self) -> dict[int, EditedFrame]:
        """The frames whose labels the new edits change, as they are now; later edits do not reach them."""
        frames = sorted({edit.frame for edit in self.new if not isinstance(edit, LINK_EDITS)})
        return {frame: self._as_edited(frame) for frame in frames}

    def _as_edited(self, frame: int) -> EditedFrame:
        work = self._frame(frame)
        edited = {name: {label: tuple(kinds) for label, kinds in marks.items()} for name, marks in work.marks.items()}
        labels = {name: array.copy() if work.is_own(name) else array for name, array in work.labels.items()}
        cells = {name: dict(numbers) for name, numbers in work.cells.items()}
        return EditedFrame(labels, cells, edited, {}, ())

    def save(self, path: Path) -> None:
        """Write all edits to a file, whole or not at all.

        Parameters
        ----------
        path : Path
            New, or written or read by this session before and unchanged since.

        Raises
        ------
        OutputError
            ``E-EXISTS``: it holds something else; ``E-DISK``, ``E-OUT-…``.
        """
        if path.exists() and self._saved.get(path) != path.read_bytes():
            raise OutputError(
                "E-EXISTS",
                "holds something that was not written here.",
                path=path,
                cure="Choose another name, or open the file first to continue it.",
            )
        content = edits_as_yaml({self.item.name: self.edits}).encode("utf-8")
        write_atomic(path, content)
        self._saved[path] = content

    def _done(self, edit: Edit) -> EditRecord | None:
        """An edit applied to its frame, which is as before if that fails."""
        if isinstance(edit, LINK_EDITS):
            self._check_link(edit)
            return None
        try:
            record = apply_edit(self._frame(edit.frame), edit, len(self._edits) + 1)
            self._check_links(edit.frame)
        except InputError:
            self._frames.pop(edit.frame, None)
            raise
        return record

    def _check_links(self, frame: int) -> None:
        """Links are applied after all edits of labels: their objects must still be there."""
        for number, edit in enumerate(self._edits, start=1):
            if number > self._n_own and isinstance(edit, LINK_EDITS) and frame in (edit.frame, later_frame(edit)):
                try:
                    self._check_link(edit)
                except InputError as problem:
                    raise InputError(
                        "E-EDIT-LINK",
                        f"edit {number} ({edit.do}, frame {edit.frame}) would not find its object any more.",
                        cure="Undo that edit first.",
                    ) from problem

    def _check_link(self, edit: LinkEdit) -> None:
        if self.n_frames < 2:
            raise InputError("E-EDIT-LINK", "it corrects tracks, and there is one frame.", cure="Open a time-lapse.")
        self._frame(edit.frame).find(self.main, edit.target)
        for target in () if edit.do == "death" else edit.later:
            self._frame(later_frame(edit)).find(self.main, target)

    def _name(self, structure: str) -> str:
        name = find_name(structure, self._made)
        if name is None:
            names = ", ".join(self._made)
            raise SettingsError("E-EDIT-STRUCTURE", f"{self.item.name} has no {structure}.", cure=f"It has {names}.")
        return name

    def _frame(self, frame: int) -> EditingFrame:
        """The labels of a frame with all edits so far."""
        if not 0 <= frame < self.n_frames:
            raise SettingsError(
                "E-EDIT-FRAME", f"there are {self.n_frames} frames, counted from 0; frame {frame} does not exist."
            )
        if frame not in self._frames:
            while len(self._frames) >= FRAMES_KEPT:
                del self._frames[next(iter(self._frames))]
            made = {name: volume.planes(frame, 0) for name, volume in self._made.items()}
            work = EditingFrame(made, self.voxel_size_um, self.main, self._base.go_by)
            for number, edit in enumerate(self._edits, start=1):
                if number > self._n_own and edit.frame == frame and not isinstance(edit, LINK_EDITS):
                    apply_edit(work, edit, number)
            self._frames[frame] = work
        return self._frames[frame]


def open_session(item: FinishedItem, path: Path | None = None) -> CorrectionSession:
    """A session that continues a file of edits, or begins it.

    Parameters
    ----------
    item : FinishedItem
    path : Path, optional
        Where edits are kept; those that it holds are continued.

    Raises
    ------
    SettingsError
        ``E-EDIT-FILE``, ``E-EDIT-ITEM``: it holds something else, or edits of other items.
    InputError
        ``E-EDIT-BASE``: its edits do not continue those of the run.
    """
    if path is None or not path.exists():
        return CorrectionSession(item)
    content = path.read_bytes()
    session = CorrectionSession(item, load_edits(path, [item.name], is_empty_kept=True).get(item.name))
    session._saved[path] = content
    return session


def plane_along(first: Sequence[float], second: Sequence[float], hidden: int, voxel_size_um: VoxelSize) -> Plane:
    """The plane through a line that was drawn on a section, straight into the section's depth.

    Parameters
    ----------
    first, second : sequence of 3 float
        The line's ends z, y, x in voxels.
    hidden : int
        The axis across the section: 0, 1 or 2 for z, y, x.
    voxel_size_um : tuple of 3 float
        z may be NaN for a single plane.

    Raises
    ------
    InputError
        ``E-EDIT-SPLIT``: the line has no length.

    Examples
    --------
    A line along y at x = 4 cuts across x.

    >>> plane = plane_along((2, 0, 4), (2, 9, 4), 0, (1.0, 0.5, 0.25))
    >>> plane.through.um, [abs(part) for part in plane.normal]
    ((2.0, 2.25, 1.0), [0.0, 0.0, 1.0])
    """
    size = np.nan_to_num(np.asarray(voxel_size_um, dtype=np.float64), nan=0.0)
    ends = np.asarray([first, second], dtype=np.float64) * size
    across = np.cross(ends[1] - ends[0], np.eye(3)[hidden])
    length = float(np.linalg.norm(across))
    if length == 0:
        raise InputError("E-EDIT-SPLIT", "the line has no length on the section.", cure="Draw it across the object.")
    middle = ends.mean(axis=0).round(6).tolist()
    normal = (across / length).round(6).tolist()
    return Plane(through=Place(um=(middle[0], middle[1], middle[2])), normal=(normal[0], normal[1], normal[2]))


def label_along(labels: NDArray[Any], first: Sequence[float], second: Sequence[float]) -> int:
    """The object that most of a line lies in.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    first, second : sequence of 3 float
        The line's ends in voxels.

    Returns
    -------
    int
        0 where it touches none.

    Examples
    --------
    >>> label_along(np.array([[[0, 3, 3, 3, 5, 0]]]), (0, 0, 0), (0, 0, 5))
    3
    """
    ends = np.asarray([first, second], dtype=np.float64)
    n_points = 2 * int(np.abs(ends[1] - ends[0]).max()) + 2
    points = np.rint(np.linspace(ends[0], ends[1], n_points)).astype(np.int64)
    inside = points[((points >= 0) & (points < labels.shape)).all(axis=1)]
    values, counts = np.unique(labels[tuple(inside.T)], return_counts=True)
    counts = counts[values > 0]
    return int(values[values > 0][np.argmax(counts)]) if counts.size else 0
