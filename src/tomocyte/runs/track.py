"""``tomocyte track``: labels, a table, a run's folder or another program's tracks become tracks in files.

What tracking does stands in ``tracking/``, what can be tracked in ``track_sources.py``; here is what is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tomocyte.corrections.apply import apply_edits
from tomocyte.corrections.edits import LINK_EDITS, Edit, EditList
from tomocyte.corrections.files import REPAIRS_NAME, check_edits, edits_as_yaml, load_edits, write_corrections
from tomocyte.corrections.links import LinkEdits, find_link_edits, in_labels, in_table
from tomocyte.corrections.repairs import repair_edits
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, write_volume
from tomocyte.labels.dtypes import refit
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger.atomic import part_folder, sync_tree, write_whole, writing
from tomocyte.measurements import measure_tracks
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import environment, now_utc, sha256_of_path
from tomocyte.runs.convert import refuse_existing
from tomocyte.runs.track_sources import Source, measured, open_source
from tomocyte.tables import LEADING, data_dictionary, find_columns, write_csv
from tomocyte.tracking import FLAGS, TRACK_COLUMNS, LinkChange, Relabeller, TrackingSettings, Tracks, track_objects
from tomocyte.tracking.files import (
    graph_of,
    tracks_of_links,
    write_ctc_table,
    write_geff,
    write_trackmate,
)
from tomocyte.volume import Volume

FileFormat = Literal["ctc", "geff", "trackmate"]


@dataclass(frozen=True, eq=False)
class TrackResult:
    """What came out.

    Parameters
    ----------
    tracks : Tracks
    n_objects, n_frames : int
    files : tuple of str
        Names in the folder.
    warnings : tuple of str
        ``W-EDIT-…: …``, of corrections by hand.
    n_repaired : int
        Objects that were cut or joined.
    """

    tracks: Tracks
    n_objects: int
    n_frames: int
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    n_repaired: int = 0


def track_file(
    path: Path,
    output: Path,
    settings: TrackingSettings,
    *,
    options: ReadOptions | None = None,
    structure: str | None = None,
    item: str | None = None,
    edits: Path | None = None,
    file_formats: tuple[FileFormat, ...] = (),
    is_dry_run: bool = False,
    callback: Callback = silent,
) -> TrackResult:
    """Follow the objects of a source over time and write tracks, lineage and masks into a new folder.

    Parameters
    ----------
    path : Path
        A label image of any format, masks of the Cell Tracking Challenge, a table of positions, the folder of a run, a
        TrackMate XML or a GEFF.
    output : Path
        New folder; it appears when it is whole.
    settings : TrackingSettings
    options : ReadOptions, optional
        What the user says about a label image.
    structure, item : str, optional
        Which structure and input of a table or run, where it has several.
    edits : Path, optional
        Corrections of links by hand; of a run its own, unless others are given.
    file_formats : tuple of {"ctc", "geff", "trackmate"}
        What to write beside the tables.
    is_dry_run : bool
        Whether everything is read and tracked, and nothing written.
    callback : callable

    Raises
    ------
    InputError
        The source cannot be read or tracked; ``E-TRACK-SOURCE``: several inputs or structures, and none named;
        ``E-TRACK-MASKS``: masks are asked for, and there are none; ``E-EDIT-…``: a correction cannot be applied.
    SettingsError
        ``E-EDIT-FILE``, ``E-EDIT-ITEM``: the corrections cannot be read.
    OutputError
        ``E-EXISTS``, or the disk is full or read-only; nothing half-written stays.
    """
    refuse_existing(output, cure="Choose another name for the folder.")
    source = open_source(path, options, structure=structure, item=item, callback=callback)
    if "ctc" in file_formats:
        source.require_labels()
    source, repairs, repaired = _repaired(source, settings, callback)
    corrected = _link_edits(source, edits)
    if source.given is not None:
        tracks = tracks_of_links(source.given, corrected.changes)
    else:
        tracks = _track(source, settings, callback, corrected.changes).with_flag("repaired", repaired)
    n_frames = int(source.table["frame"].nunique())
    log = corrected.edits.log(tracks.warnings)
    warnings = tuple(text for record in log for text in record.warnings)
    n_repaired = len(repaired)
    result = TrackResult(tracks, len(source.table), n_frames, (), warnings, n_repaired)
    if is_dry_run:
        return result
    part = output.with_name(part_folder(output.name))
    try:
        with writing(output):
            part.mkdir(parents=True)
            _write(source, tracks, part, settings, file_formats, callback)
            if repairs:
                text = edits_as_yaml({source.name: EditList(edits=repairs)})
                write_whole(part / REPAIRS_NAME, text.encode("utf-8"))
            if corrected.given is not None:
                write_corrections(corrected.given, log, source.name, part)
            files = tuple(sorted(entry.name for entry in part.iterdir()))
            sync_tree(part)
            part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(result, files=files)


def _track(
    source: Source, settings: TrackingSettings, callback: Callback, changes: Sequence[LinkChange] = ()
) -> Tracks:
    return track_objects(
        source.table,
        settings,
        labels=None if source.labels is None else source.read,
        voxel_size_um=None if source.labels is None else source.labels.voxel_size_um,
        extent_um=source.extent_um,
        changes=changes,
        callback=callback,
    )


def _repaired(
    source: Source, settings: TrackingSettings, callback: Callback
) -> tuple[Source, tuple[Edit, ...], frozenset[tuple[int, int]]]:
    """Label images with objects cut and joined as the frames before and after show, measured again there.

    Also what was done, and frame and label of the objects concerned. The tables of a run are not measured again: the
    run repairs them itself.
    """
    import pandas as pd

    unchanged = (source, (), frozenset[tuple[int, int]]())
    if not source.is_measured_here or source.given is not None or not settings.has_repairs:
        return unchanged
    labels = source.require_labels()
    size = labels.require_voxel_size()
    repairs = repair_edits(_track(source, settings, callback), source.read, size)
    if not repairs:
        return unchanged
    stack, tables, places = LabelStack(labels.spatial_shape), [], set[tuple[int, int]]()
    frames = {edit.frame for edit in repairs}
    for frame in range(labels.n_frames):
        image = source.read(frame)
        if frame in frames:
            edited = apply_edits({"cell": image}, repairs, size, frame=frame)
            image = edited.labels["cell"]
            places |= {(frame, label) for label in edited.edited["cell"]}
            tables.append(measured(labels, frame, image))
        stack.append(image)
    kept = source.table[~source.table["frame"].isin(frames)]
    table = pd.concat([kept, *tables], ignore_index=True).sort_values(["frame", "label"], ignore_index=True)
    changed = stack.volume(voxel_size_um=size, time_s=labels.time_s)
    return replace(source, table=table, labels=changed), repairs, frozenset(places)


@dataclass(frozen=True)
class _Corrected:
    """Edits of links, and the list that they come from."""

    edits: LinkEdits = field(default_factory=LinkEdits)
    given: EditList | None = None

    @property
    def changes(self) -> tuple[LinkChange, ...]:
        return self.edits.changes


def _link_edits(source: Source, path: Path | None) -> _Corrected:
    """The edits of a file, or of the run that is tracked again."""
    given = source.edits
    if path is not None:
        given = load_edits(path, source.names).get(source.name)
    if given is None:
        return _Corrected()
    own = () if source.edits is None else source.edits.edits
    for number, edit in enumerate(given.edits, start=1):
        if not isinstance(edit, LINK_EDITS) and edit not in own:
            raise InputError(
                "E-EDIT-LABELS",
                f"edit {number} ({edit.do} {edit.structure}, frame {edit.frame}) changes labels.",
                path=path,
                cure="Give it to `tomocyte run`; here only link, unlink, division and death count.",
            )
    if source.labels is not None:
        check_edits(given, source.labels)
        find = in_labels(source.read, source.labels.require_voxel_size(), given.go_by)
    else:
        find = in_table(source.table, given.go_by)
    main = str(source.table["structure"].iloc[0]) if "structure" in source.table and len(source.table) else "cell"
    return _Corrected(find_link_edits(given.edits, find, main=main), given)


def _write(
    source: Source,
    tracks: Tracks,
    folder: Path,
    settings: TrackingSettings,
    file_formats: tuple[FileFormat, ...],
    callback: Callback,
) -> None:
    """Tables with their dictionaries, masks, the other programs' files and the record."""
    added = tracks.objects[["track_id", "parent_id", "generation", "track_flags"]]
    known = {column.name for column in (*LEADING, FLAGS)}
    kept = source.table.drop(columns=list(added), errors="ignore")
    objects = kept.copy()
    for name in added:
        objects[name] = added[name].to_numpy()
    write_csv(objects, folder / "objects.csv")
    moving = measure_tracks(objects[objects["track_id"] > 0].drop(columns=["item", "structure"], errors="ignore"))
    described = tracks.tracks.merge(moving, on="track_id", how="left", validate="one_to_one")
    write_csv(described, folder / "tracks.csv")
    from tomocyte.measurements import measurements

    columns = (*TRACK_COLUMNS, *(one.column for one in measurements("track").values()))
    write_csv(data_dictionary(find_columns(described.columns, columns)), folder / "tracks.dictionary.csv")
    own = [name for name in objects if name in known]
    write_csv(data_dictionary(find_columns(own, (*LEADING, FLAGS))), folder / "objects.dictionary.csv")
    graph = graph_of(source.table, tracks)
    if source.labels is not None:
        _write_masks(source.labels, tracks, folder, callback)
    if "geff" in file_formats:
        write_geff(graph, folder / "tracks.geff")
    if "trackmate" in file_formats:
        write_trackmate(graph, folder / "tracks.xml")
    if "ctc" in file_formats and source.labels is not None:
        _write_ctc(source.labels, tracks, folder, write_ctc_table(graph, folder / "res_track.txt"))
    record = {
        "source": {"name": source.path.name, "sha256": sha256_of_path(source.path) if source.path.is_file() else None},
        "settings": settings.model_dump(mode="json"),
        "made": now_utc(),
        "environment": environment(),
    }
    write_whole(folder / "tracking.json", (json.dumps(record, indent=1) + "\n").encode("utf-8"))


def _write_masks(labels: Volume, tracks: Tracks, folder: Path, callback: Callback) -> None:
    """Label images with the numbers of tracks."""
    relabeller, stack = Relabeller(tracks), LabelStack(labels.spatial_shape)
    for frame in range(labels.n_frames):
        callback(Progress(step="write masks", frame=frame, n_frames=labels.n_frames))
        stack.append(relabeller.frame(frame, refit(labels.planes(frame, 0))))
    size = labels.require_voxel_size()
    write_volume(folder / "masks.ome.tif", stack.volume(voxel_size_um=size, time_s=labels.time_s))


def _write_ctc(labels: Volume, tracks: Tracks, folder: Path, numbers: dict[tuple[int, int], int]) -> None:
    """Masks of the Cell Tracking Challenge, a 16-bit TIFF per frame."""
    import tifffile

    relabeller = Relabeller(tracks)
    for frame in range(labels.n_frames):
        tracked = relabeller.frame(frame, refit(labels.planes(frame, 0)))
        table = np.arange(int(tracked.max(initial=0)) + 1, dtype=np.int64)
        for (other, track), label in numbers.items():
            if other == frame and track < len(table):
                table[track] = label
        image = table[tracked]
        if image.max(initial=0) > np.iinfo(np.uint16).max:
            raise InputError(
                "E-TRACK-MASKS",
                "more than 65535 tracks do not fit the 16-bit masks of the Cell Tracking Challenge.",
                cure="Leave out --format ctc.",
            )
        plane = image.astype(np.uint16)
        data = plane[0] if plane.shape[0] == 1 else plane
        tifffile.imwrite(folder / f"mask{frame:03d}.tif", data, photometric="minisblack", compression="zlib")
