"""Label images that somebody corrected in another program, taken back as edits of the run they came from.

Programs drop axes, voxel sizes and integer types; what is known of the run's own label image stands in for what is
missing, and what contradicts it is refused. To accept another way of saving labels, extend :class:`CorrectedLabels`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import apply_edits
from tomocyte.corrections.compare import find_edits
from tomocyte.corrections.edits import Edit, EditList
from tomocyte.corrections.files import COPY_NAME, load_edits, whole_labels
from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.ledger import CommitRecord, sha256_file
from tomocyte.ledger.record import read_record
from tomocyte.volume import Volume, VoxelSize

SIZE_TOLERANCE = 0.01
"""Relative difference of voxel sizes that rounding in another program may make."""


@dataclass(frozen=True)
class TakenEdits:
    """What was found.

    Parameters
    ----------
    edits : EditList
        Everything that ``run --edits`` needs: edits that were there before, then the new ones.
    new : tuple of Edit
        The new ones alone; empty where nothing differs.
    notes : tuple of str
        What had to be taken for granted.
    """

    edits: EditList
    new: tuple[Edit, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class DoneItem:
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
        """The labels of a structure, as the run wrote them.

        Raises
        ------
        SettingsError
            ``E-EDIT-STRUCTURE``: the run has no such structure.
        InputError
            ``E-EDIT-BASE``: the file is not the one that the run wrote.
        """
        if structure not in self.structures:
            known = ", ".join(self.structures)
            raise SettingsError("E-EDIT-STRUCTURE", f"{self.name} has no {structure}.", cure=f"It has {known}.")
        path = self.folder / f"{structure}.ome.tif"
        written = self.record.outputs.get(path.name)
        if written is None or not path.is_file() or sha256_file(path) != written.sha256:
            raise InputError(
                "E-EDIT-BASE",
                "is not the file that the run wrote.",
                path=path,
                cure=f"Move it away, delete the folder {self.folder.name} and run again; save corrections elsewhere.",
            )
        return read_volume(path)

    def edits(self) -> EditList | None:
        """The edits that it was made with."""
        path = self.folder / COPY_NAME
        return load_edits(path, [self.name]).get(self.name) if path.exists() else None


def done_item(run: Path, item: str) -> DoneItem:
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
        known = sorted(entry.name.removesuffix(".done.json") for entry in (run / "items").glob("*.done.json"))
        raise SettingsError(
            "E-EDIT-ITEM",
            f"has no finished item {item!r}.",
            path=run,
            cure=f"Items: {', '.join(known[:20]) or 'none'}.",
        )
    return DoneItem(item, run / "items" / item, read_record(path))


class CorrectedLabels:
    """A label image from another program, read as if it had the axes of the run's own.

    Parameters
    ----------
    path : Path
    shape : tuple of 4 int
        Frames, Z, Y, X that are expected.
    voxel_size_um : tuple of 3 float
        That is expected.

    Raises
    ------
    InputError
        ``E-SHAPE``; ``E-EDIT-VOXEL-SIZE``: the file carries another one; whatever reading it raises.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], voxel_size_um: VoxelSize) -> None:
        self.path = path
        self.shape = shape
        self.notes: list[str] = []
        self._volume = self._open()
        found = tuple(size for size in self._volume.shape if size > 1)
        if found != tuple(size for size in shape if size > 1):
            raise InputError(
                "E-SHAPE",
                f"has shape {self._volume.shape} (T, C, Z, Y, X), the run's labels have {shape} (T, Z, Y, X).",
                path=path,
                cure="Save it uncropped and unscaled. One frame of a time series: give --frame.",
            )
        size = self._volume.voxel_size_um
        if size is None:
            self.notes.append("W-EDIT-VOXEL-SIZE: the file carries no voxel size; that of the run was taken.")
        elif not all(_is_near(one, other) for one, other in zip(size, voxel_size_um, strict=True)):
            raise InputError(
                "E-EDIT-VOXEL-SIZE",
                f"has voxels of {size} um, the run's labels of {voxel_size_um} um.",
                path=path,
                cure="Save it with the voxel size of the run, or with none at all.",
            )

    def _open(self) -> Volume:
        try:
            return read_volume(self.path, is_size_required=False)
        except MetadataError as problem:
            if problem.code != "E-AXES":
                raise
        names = "".join(name for name, size in zip("TZYX", self.shape, strict=True) if size > 1 or name in "YX")
        self.notes.append(f"W-EDIT-AXES: the file does not name its axes; they were taken as {names}.")
        try:
            return read_volume(self.path, ReadOptions(axes=names), is_size_required=False)
        except MetadataError as problem:
            raise InputError(
                "E-SHAPE",
                f"does not name its axes, and they do not fit the run's labels of {self.shape} (T, Z, Y, X).",
                path=self.path,
                cure="Save it uncropped and unscaled, as it is in the run. One frame of a time series: give --frame.",
            ) from problem

    def frame(self, frame: int) -> NDArray[np.unsignedinteger[Any]]:
        """One frame (Z, Y, X).

        Raises
        ------
        InputError
            ``E-LABELS-TYPE``: values that are no labels.
        """
        _, n_channels, n_z = self._volume.shape[:3]
        planes = []
        # Another program may have called the planes frames or channels; their order is the same.
        for flat in range(frame * self.shape[1], (frame + 1) * self.shape[1]):
            rest, z = divmod(flat, n_z)
            t, channel = divmod(rest, n_channels)
            planes.append(self._volume.planes(t, channel, z, z + 1)[0])
        return whole_labels(np.stack(planes).reshape(self.shape[1:]), self.path)


def _is_near(one: float, other: float) -> bool:
    return math.isnan(one) or math.isnan(other) or abs(one - other) <= SIZE_TOLERANCE * other


def edits_from_labels(
    item: DoneItem, structure: str, corrected: Path, *, frame: int | None = None, pending: EditList | None = None
) -> TakenEdits:
    """The edits that turn a run's label image into one that somebody corrected.

    Parameters
    ----------
    item : DoneItem
    structure : str
    corrected : Path
        Any format that is read; axes, voxel size and integer type may have been lost.
    frame : int, optional
        The frame that ``corrected`` shows, where it shows only one of several.
    pending : EditList, optional
        Edits that are to be applied first: those of the run, and others that came after them.

    Returns
    -------
    TakenEdits
        Replayed on the same input with the same model and settings, they give the corrected labels exactly.

    Raises
    ------
    InputError
        ``E-SHAPE``, ``E-EDIT-VOXEL-SIZE``, ``E-LABELS-TYPE``, ``E-EDIT-LABEL``; ``E-EDIT-BASE``: ``pending`` does not
        begin with the run's own edits, or the run's labels were changed.
    SettingsError
        ``E-EDIT-STRUCTURE``; ``E-EDIT-FRAME``: no such frame.
    """
    own = item.edits()
    before = pending if pending is not None else own if own is not None else EditList(edits=())
    n_own = 0 if own is None else len(own.edits)
    if n_own and before.edits[:n_own] != (own.edits if own is not None else ()):
        raise InputError(
            "E-EDIT-BASE",
            "the edits to go on with do not begin with those that the run was made with.",
            path=item.folder,
            cure=f"Go on with {item.folder / COPY_NAME}, or run again with your edits first.",
        )
    labels = item.labels(structure)
    size = labels.require_voxel_size()
    frames = range(labels.n_frames) if frame is None else [frame]
    if frame is not None and not 0 <= frame < labels.n_frames:
        raise SettingsError("E-EDIT-FRAME", f"there are {labels.n_frames} frames, from 0; {frame} is none.")
    wanted = CorrectedLabels(corrected, (len(frames), *labels.spatial_shape), size)
    later = before.edits[n_own:]
    new: list[Edit] = []
    for place, number in enumerate(frames):
        now = {name: item.labels(name).planes(number, 0) for name in item.structures} if later else {}
        now[structure] = labels.planes(number, 0)
        main = str(item.record.facts.get("primary", "cell"))
        done = apply_edits(now, later, size, frame=number, main=main, go_by=before.go_by)
        new += find_edits(done.labels[structure], wanted.frame(place), size, structure=structure, frame=number)
    update = {"edits": (*before.edits, *new), "input_sha256": item.record.input_sha256}
    return TakenEdits(before.model_copy(update=update), tuple(new), tuple(wanted.notes))
