"""Label images that were corrected in another program, turned into edits of the run they came from.

Programs drop axes, voxel sizes and integer types; missing ones are taken from the run's own label image, and
contradictions are refused. To accept labels saved in another form, extend :class:`CorrectedLabels`.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import apply_edits
from tomocyte.corrections.compare import find_edits
from tomocyte.corrections.edits import Edit, EditList
from tomocyte.corrections.files import AS_WRITTEN, COPY_NAME, REPAIRS_NAME, load_edits, whole_labels
from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.ledger import CommitRecord, sha256_file
from tomocyte.ledger.record import read_record
from tomocyte.structures import find_name
from tomocyte.volume import Volume, VoxelSize

SIZE_TOLERANCE = 0.01
"""Relative difference of voxel sizes that rounding in another program may make."""


@dataclass(frozen=True)
class EditsFromLabels:
    """Edits derived from corrected labels.

    Parameters
    ----------
    edits : EditList
        Everything that ``run --edits`` needs: the earlier edits, then the new ones.
    new : tuple of Edit
        The new ones alone; empty if nothing differs.
    notes : tuple of str
        What had to be assumed.
    """

    edits: EditList
    new: tuple[Edit, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class FinishedItem:
    """One finished item of a run folder.

    Parameters
    ----------
    name : str
    folder : Path
        Of its files.
    record : CommitRecord
    """

    name: str
    folder: Path
    record: CommitRecord

    @property
    def structures(self) -> tuple[str, ...]:
        """The structures that it has labels of."""
        counts = self.record.facts.get("n_objects", {})
        return tuple(counts) if isinstance(counts, dict) else ()

    def labels(self, structure: str) -> Volume:
        """The labels of a structure, as they lie in the folder and as the run wrote them.

        Raises
        ------
        SettingsError
            ``E-EDIT-STRUCTURE``: the run has no such structure.
        InputError
            ``E-EDIT-BASE``: the file is not the one that the run wrote.
        """
        path = self._label_file(structure)
        if self._is_written(path, path.name):
            return read_volume(path)
        words = [
            "tomocyte",
            "edits",
            "from-labels",
            str(self.folder.parent.parent),
            self.name,
            "--structure",
            structure,
        ]
        command = shlex.join([*words, "--corrected", str(path), "-o", f"{self.name}.edits.yaml"])
        raise InputError(
            "E-EDIT-BASE",
            "is not the file that the run wrote.",
            path=path,
            cure=f"Was it corrected? `{command}` makes edits of that, for the same run again.",
        )

    def labels_as_written(self, structure: str) -> Volume:
        """The labels of a structure as the run wrote them, also where the file was changed since.

        They lie where their input lies, if that says it; the label image itself has no place for that.

        Raises
        ------
        SettingsError
            ``E-EDIT-STRUCTURE``.
        InputError
            ``E-EDIT-BASE``: neither the file nor its copy is what the run wrote.
        """
        path = self._label_file(structure)
        for candidate in (path, self.folder / AS_WRITTEN / path.name):
            if self._is_written(candidate, path.name):
                return read_volume(candidate).with_properties(**self._place())
        raise InputError(
            "E-EDIT-BASE",
            "is not the file that the run wrote, and there is no copy of what it wrote.",
            path=path,
            cure="Move it to another place, give the same run command again, then --corrected with that place.",
        )

    def _place(self) -> dict[str, Any]:
        """Where the input says that its voxels lie; nothing for runs that did not note it."""
        rows = self.record.facts.get("affine")
        if not isinstance(rows, list):
            return {}
        affine = tuple(tuple(row) for row in rows if isinstance(row, list))
        return {"affine": affine, "affine_unit": self.record.facts.get("affine_unit", "")}

    def _label_file(self, structure: str) -> Path:
        if structure not in self.structures:
            structures = ", ".join(self.structures)
            raise SettingsError("E-EDIT-STRUCTURE", f"{self.name} has no {structure}.", cure=f"It has {structures}.")
        return self.folder / f"{structure}.ome.tif"

    def _is_written(self, path: Path, name: str) -> bool:
        """Whether a file has the content that the run wrote under a name."""
        written = self.record.outputs.get(name)
        return written is not None and path.is_file() and sha256_file(path) == written.sha256

    def repairs(self) -> tuple[Edit, ...]:
        """What the run repaired by itself, after those edits."""
        path = self.folder / REPAIRS_NAME
        return load_edits(path, [self.name])[self.name].edits if path.exists() else ()

    def edits(self) -> EditList | None:
        """The edits that the item was made with."""
        path = self.folder / COPY_NAME
        return load_edits(path, [self.name]).get(self.name) if path.exists() else None


def finished_item(run: Path, item: str) -> FinishedItem:
    """A finished item of a run folder.

    Raises
    ------
    SettingsError
        ``E-EDIT-ITEM``: there is none of this name.
    InputError
        ``E-RECORD``: its record is damaged.
    """
    path = run / "items" / f"{item}.done.json"
    if not path.is_file():
        names = sorted(entry.name.removesuffix(".done.json") for entry in (run / "items").glob("*.done.json"))
        raise SettingsError(
            "E-EDIT-ITEM",
            f"has no finished item {item!r}.",
            path=run,
            cure=f"Items: {', '.join(names[:20]) or 'none'}.",
        )
    return FinishedItem(item, run / "items" / item, read_record(path))


class CorrectedLabels:
    """A label image from another program, read with the axes of the run's own labels.

    Parameters
    ----------
    path : Path
    shape : tuple of 4 int
        Expected frames, Z, Y, X.
    voxel_size_um : tuple of 3 float
        Expected voxel size z, y, x.
    made : Volume, optional
        The run's own labels: a file that says where its axes point is turned to their directions.

    Raises
    ------
    InputError
        ``E-SHAPE``; ``E-EDIT-VOXEL-SIZE``: the file has another one; and any error of reading it.
    MetadataError
        ``E-ORIENTATION``: the file is rotated against the run's labels.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int, int],
        voxel_size_um: VoxelSize,
        *,
        made: Volume | None = None,
    ) -> None:
        self.path = path
        self.shape = shape
        self.notes: list[str] = []
        self._volume = self._turned(self._open(), made)
        if not self._is_of_shape() and (other := self._with_axes_of_run()) is not None:
            self._volume = other
        if not self._is_of_shape():
            raise InputError(
                "E-SHAPE",
                f"has shape {self._volume.shape} (T, C, Z, Y, X), the run's labels have {shape} (T, Z, Y, X).",
                path=path,
                cure="Save it uncropped and unscaled. One frame of a time series: give --frame.",
            )
        size = self._volume.voxel_size_um
        if size is None:
            self.notes.append("W-EDIT-VOXEL-SIZE: the file has no voxel size; that of the run was assumed.")
        elif not all(_is_near(length, expected) for length, expected in zip(size, voxel_size_um, strict=True)):
            raise InputError(
                "E-EDIT-VOXEL-SIZE",
                f"has voxels of {size} um, the run's labels of {voxel_size_um} um.",
                path=path,
                cure="Save it with the voxel size of the run, or without any.",
            )

    def _turned(self, volume: Volume, made: Volume | None) -> Volume:
        """The file in the directions of the run's labels, where it says its own; programs turn what they save."""
        if made is None or volume.affine is None:
            return volume
        turned = oriented_like(volume, made)
        self.notes += turned.notes[len(volume.notes) :]
        return turned

    def _is_of_shape(self) -> bool:
        return [size for size in self._volume.shape if size > 1] == [size for size in self.shape if size > 1]

    def _axes_of_run(self) -> str:
        return "".join(name for name, size in zip("TZYX", self.shape, strict=True) if size > 1 or name in "YX")

    def _with_axes_of_run(self) -> Volume | None:
        """The file with the run's axes, where its own do not fit: programs mix up frames, planes and channels."""
        axes = self._axes_of_run()
        try:
            volume = read_volume(self.path, ReadOptions(axes=axes), is_size_required=False)
        except InputError:
            return None
        self.notes.append(f"W-EDIT-AXES: the file names its axes otherwise; {axes} was assumed.")
        return volume

    def _open(self) -> Volume:
        try:
            return read_volume(self.path, is_size_required=False)
        except MetadataError as problem:
            if problem.code != "E-AXES":
                raise
        names = self._axes_of_run()
        self.notes.append(f"W-EDIT-AXES: the file does not name its axes; {names} was assumed.")
        try:
            return read_volume(self.path, ReadOptions(axes=names), is_size_required=False)
        except MetadataError as problem:
            raise InputError(
                "E-SHAPE",
                f"does not name its axes, and its shape does not match the run's labels of {self.shape} (T, Z, Y, X).",
                path=self.path,
                cure="Save it uncropped and unscaled, as it is in the run. One frame of a time series: give --frame.",
            ) from problem

    def frame(self, frame: int) -> NDArray[np.unsignedinteger[Any]]:
        """One frame (Z, Y, X).

        Raises
        ------
        InputError
            ``E-LABELS-TYPE``: values that are not labels.
        """
        _, n_channels, n_z = self._volume.shape[:3]
        planes = []
        # Another program may have stored the planes as frames or channels; their order is the same.
        for flat in range(frame * self.shape[1], (frame + 1) * self.shape[1]):
            index, z = divmod(flat, n_z)
            t, channel = divmod(index, n_channels)
            planes.append(self._volume.planes(t, channel, z, z + 1)[0])
        return whole_labels(np.stack(planes).reshape(self.shape[1:]), self.path)


def is_same_labels(changed: Path, made: Path) -> bool:
    """Whether two label images hold the same number in every voxel, whatever program saved the first.

    Parameters
    ----------
    changed : Path
        Saved by any program; axes, voxel size and integer type may have been lost.
    made : Path
        Written by a run.
    """
    labels = read_volume(made)
    try:
        saved = CorrectedLabels(changed, (labels.n_frames, *labels.spatial_shape), labels.require_voxel_size())
        return all(np.array_equal(saved.frame(frame), labels.planes(frame, 0)) for frame in range(labels.n_frames))
    except InputError:
        return False


def _is_near(length: float, expected: float) -> bool:
    return math.isnan(length) or math.isnan(expected) or abs(length - expected) <= SIZE_TOLERANCE * expected


def continued_edits(item: FinishedItem, pending: EditList | None) -> tuple[EditList, int]:
    """The edits that new ones are added to, and how many of them the item was made with.

    Raises
    ------
    InputError
        ``E-EDIT-BASE``: ``pending`` does not begin with those.
    """
    own = item.edits()
    before = pending if pending is not None else own if own is not None else EditList(edits=())
    n_own = 0 if own is None else len(own.edits)
    if n_own and before.edits[:n_own] != (own.edits if own is not None else ()):
        raise InputError(
            "E-EDIT-BASE",
            "the edits to continue do not begin with those that the run was made with.",
            path=item.folder,
            cure=f"Continue {item.folder / COPY_NAME}, or run again with your edits first.",
        )
    return before, n_own


def with_repairs(item: FinishedItem, before: EditList, n_own: int) -> tuple[EditList, int]:
    """The same with what the run repaired, which its labels show: it is corrected too, and then found no more."""
    repairs = item.repairs()
    own, later = before.edits[:n_own], before.edits[n_own:]
    if later[: len(repairs)] != repairs:
        before = before.model_copy(update={"edits": (*own, *repairs, *later)})
    return before, n_own + len(repairs)


def edits_from_labels(
    item: FinishedItem, structure: str, corrected: Path, *, frame: int | None = None, pending: EditList | None = None
) -> EditsFromLabels:
    """The edits that turn a run's label image into a corrected one.

    Parameters
    ----------
    item : FinishedItem
    structure : str
    corrected : Path
        In any readable format; axes, voxel size and integer type may have been lost.
    frame : int, optional
        The frame that ``corrected`` shows, where it shows only one of several.
    pending : EditList, optional
        Edits to apply first: those of the run, and others made after them.

    Returns
    -------
    EditsFromLabels
        Replayed on the same input with the same model and settings, they give the corrected labels exactly.

    Raises
    ------
    InputError
        ``E-SHAPE``, ``E-EDIT-VOXEL-SIZE``, ``E-LABELS-TYPE``, ``E-EDIT-LABEL``; ``E-EDIT-BASE``: ``pending`` does not
        begin with the run's own edits, or the run's labels were changed.
    MetadataError
        ``E-ORIENTATION``: the file is rotated against the input of the run.
    SettingsError
        ``E-EDIT-STRUCTURE``; ``E-EDIT-FRAME``: no such frame.
    """
    before, n_own = continued_edits(item, pending)
    before, n_own = with_repairs(item, before, n_own)
    structure = find_name(structure, item.structures) or structure
    labels = item.labels_as_written(structure)
    size = labels.require_voxel_size()
    frames = range(labels.n_frames) if frame is None else [frame]
    if frame is not None and not 0 <= frame < labels.n_frames:
        raise SettingsError(
            "E-EDIT-FRAME", f"there are {labels.n_frames} frames, counted from 0; frame {frame} does not exist."
        )
    corrected_labels = CorrectedLabels(corrected, (len(frames), *labels.spatial_shape), size, made=labels)
    later = before.edits[n_own:]
    new: list[Edit] = []
    for place, number in enumerate(frames):
        labels_now = {name: item.labels_as_written(name).planes(number, 0) for name in item.structures} if later else {}
        labels_now[structure] = labels.planes(number, 0)
        main = str(item.record.facts.get("primary", "cell"))
        edited = apply_edits(labels_now, later, size, frame=number, main=main, go_by=before.go_by)
        new += find_edits(
            edited.labels[structure], corrected_labels.frame(place), size, structure=structure, frame=number
        )
    update = {"edits": (*before.edits, *new), "input_sha256": item.record.input_sha256}
    return EditsFromLabels(before.model_copy(update=update), tuple(new), tuple(corrected_labels.notes))
