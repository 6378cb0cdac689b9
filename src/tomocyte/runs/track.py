"""``tomocyte track``: labels, a table, a run's folder or another program's tracks become tracks in files.

What tracking does stands in ``tracking/``; here is what files need around it. To read another source, add a function
that gives :class:`Source` and name it in :func:`open_source`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.labels.dtypes import refit
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger.atomic import part_folder, sync_tree, write_whole, writing
from tomocyte.measurements import measure, measure_tracks
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import environment, now_utc, sha256_of_path
from tomocyte.runs.convert import refuse_existing
from tomocyte.tables import LEADING, data_dictionary, find_columns, write_csv
from tomocyte.tracking import FLAGS, TRACK_COLUMNS, Relabeller, TrackingSettings, Tracks, track_objects
from tomocyte.tracking.files import (
    graph_of,
    read_geff,
    read_trackmate,
    tracks_of_links,
    write_ctc_table,
    write_geff,
    write_trackmate,
)
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

FileFormat = Literal["ctc", "geff", "trackmate"]
TABLES = (".csv", ".tsv", ".parquet")
SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, eq=False)
class Source:
    """What is tracked.

    Parameters
    ----------
    path : Path
        That was read.
    table : DataFrame
        One row per object and frame.
    labels : Volume, optional
        The label images.
    tracks : Tracks, optional
        Where the source has tracks already, they are kept.
    extent_um : tuple of float, optional
        Size of the field.
    """

    path: Path
    table: pd.DataFrame
    labels: Volume | None = None
    tracks: Tracks | None = None
    extent_um: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class TrackResult:
    """What came out.

    Parameters
    ----------
    tracks : Tracks
    n_objects, n_frames : int
    files : tuple of str
        Names in the folder.
    """

    tracks: Tracks
    n_objects: int
    n_frames: int
    files: tuple[str, ...]


def track_file(
    path: Path,
    output: Path,
    settings: TrackingSettings,
    *,
    options: ReadOptions | None = None,
    structure: str | None = None,
    item: str | None = None,
    file_formats: tuple[FileFormat, ...] = (),
    is_dry_run: bool = False,
    callback: Callback = silent,
) -> TrackResult:
    """Follow the objects of a source over time and write tracks, lineage and masks into a new folder.

    Parameters
    ----------
    path : Path
        A label image of any format, a table of positions, the folder of a run, a TrackMate XML or a GEFF.
    output : Path
        New folder; it appears when it is whole.
    settings : TrackingSettings
    options : ReadOptions, optional
        What the user says about a label image.
    structure, item : str, optional
        Which structure and input of a table or run, where it has several.
    file_formats : tuple of {"ctc", "geff", "trackmate"}
        What to write beside the tables.
    is_dry_run : bool
        Whether everything is read and tracked, and nothing written.
    callback : callable

    Raises
    ------
    InputError
        The source cannot be read or tracked; ``E-TRACK-SOURCE``: several inputs or structures, and none named;
        ``E-TRACK-MASKS``: masks are asked for, and there are none.
    OutputError
        ``E-EXISTS``, or the disk is full or read-only; nothing half-written stays.
    """
    refuse_existing(output, cure="Choose another name for the folder.")
    source = open_source(path, options, structure=structure, item=item, callback=callback)
    if "ctc" in file_formats and source.labels is None:
        raise InputError(
            "E-TRACK-MASKS",
            "has no masks, which the format of the Cell Tracking Challenge needs.",
            path=path,
            cure="Give label images, or leave out --format ctc.",
        )
    tracks = source.tracks or track_objects(
        source.table,
        settings,
        labels=None if source.labels is None else _reader(source.labels),
        voxel_size_um=None if source.labels is None else source.labels.voxel_size_um,
        extent_um=source.extent_um,
        callback=callback,
    )
    n_frames = int(source.table["frame"].nunique())
    result = TrackResult(tracks, len(source.table), n_frames, ())
    if is_dry_run:
        return result
    part = output.with_name(part_folder(output.name))
    try:
        with writing(output):
            part.mkdir(parents=True)
            _write(source, tracks, part, settings, file_formats, callback)
            files = tuple(sorted(entry.name for entry in part.iterdir()))
            sync_tree(part)
            part.rename(output)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return replace(result, files=files)


def open_source(
    path: Path,
    options: ReadOptions | None = None,
    *,
    structure: str | None = None,
    item: str | None = None,
    callback: Callback = silent,
) -> Source:
    """Read what is to be tracked; errors as :func:`track_file`."""
    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    if path.is_dir() and (path / "objects.csv").exists():
        return _of_run(path, structure, item)
    if path.suffix.lower() == ".xml":
        objects = read_trackmate(path)
        return Source(path, objects.table, tracks=tracks_of_links(objects))
    if path.is_dir() and (path / "nodes").is_dir() and (path / "edges").is_dir():
        objects = read_geff(path)
        return Source(path, objects.table, tracks=tracks_of_links(objects))
    if path.suffix.lower() in TABLES:
        return Source(path, _chosen(_read_table(path), path, structure, item))
    return _of_labels(path, options, callback)


def _of_labels(path: Path, options: ReadOptions | None, callback: Callback) -> Source:
    """A label image, measured frame by frame."""
    import pandas as pd

    volume = read_volume(path, options)
    size = volume.require_voxel_size()
    parts = []
    for frame in range(volume.n_frames):
        callback(Progress(step="measure", frame=frame, n_frames=volume.n_frames))
        labels = refit(volume.planes(frame, 0))
        is_planar = bool(np.isnan(size[0]))
        table = measure(labels, None, size, structure="cell", names=["area_um2" if is_planar else "volume_um3"])
        table.insert(0, "frame", frame)
        if volume.time_s is not None:
            table.insert(1, "time_s", volume.time_s[frame])
        parts.append(table)
    extent = tuple(n * step for n, step in zip(volume.spatial_shape, size, strict=True))
    return Source(path, pd.concat(parts, ignore_index=True), labels=volume, extent_um=extent)


def _of_run(path: Path, structure: str | None, item: str | None) -> Source:
    """The objects of one input of a run, with its label images."""
    table = _chosen(_read_table(path / "objects.csv"), path, structure, item)
    table = table.drop(columns=["track_id", "parent_id", "generation", "track_flags"], errors="ignore")
    if not len(table):
        return Source(path, table)
    name, kind = str(table["item"].iloc[0]), str(table["structure"].iloc[0])
    labels = path / "items" / name / f"{kind}.ome.tif"
    if not labels.exists():
        return Source(path, table)
    volume = read_volume(labels)
    size = volume.require_voxel_size()
    extent = tuple(n * step for n, step in zip(volume.spatial_shape, size, strict=True))
    return Source(path, table, labels=volume, extent_um=extent)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    suffix = path.suffix.lower()
    try:
        return pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, sep=SEPARATORS[suffix])
    except (OSError, ValueError) as problem:  # the latter includes what pandas and pyarrow raise
        raise InputError(
            "E-TRACK-TABLE", f"cannot be read: {problem}.", path=path, cure="Give CSV, TSV or Parquet."
        ) from problem


def _chosen(table: pd.DataFrame, path: Path, structure: str | None, item: str | None) -> pd.DataFrame:
    """The rows of one input and one structure."""
    for column, wanted, option in (("item", item, "--item"), ("structure", structure, "--structure")):
        if column not in table:
            continue
        names = sorted(map(str, table[column].dropna().unique()))
        if wanted is None and column == "structure" and "cell" in names:
            wanted = "cell"
        if wanted is None and len(names) > 1:
            raise InputError(
                "E-TRACK-SOURCE",
                f"holds several of {column}: {', '.join(names[:6])}.",
                path=path,
                cure=f"Name one with {option}.",
            )
        if wanted is not None and wanted not in names:
            raise InputError(
                "E-TRACK-SOURCE",
                f"has no {column} {wanted!r}: {', '.join(names[:6]) or 'none'}.",
                path=path,
                cure=f"Name another with {option}.",
            )
        if wanted is not None:
            table = table[table[column] == wanted]
    return table.reset_index(drop=True)


def _reader(labels: Volume) -> Callable[[int], NDArray[Any]]:
    def read(frame: int) -> NDArray[Any]:
        return refit(labels.planes(frame, 0))

    return read


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
    measured = measure_tracks(objects[objects["track_id"] > 0].drop(columns=["item", "structure"], errors="ignore"))
    described = tracks.tracks.merge(measured, on="track_id", how="left", validate="one_to_one")
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
