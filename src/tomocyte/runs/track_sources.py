"""What can be tracked: label images, tables of positions, a run's folder, tracks of other programs.

To read another source, add a function that gives :class:`Source` and name it in :func:`open_source`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import EditList
from tomocyte.corrections.files import COPY_NAME, load_edits
from tomocyte.errors import InputError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.formats.ctc import track_table
from tomocyte.labels.dtypes import refit
from tomocyte.measurements import measure
from tomocyte.progress import Callback, Progress, silent
from tomocyte.tracking.files import TrackedObjects, read_ctc, read_geff, read_trackmate
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

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
    given : TrackedObjects, optional
        Where the source has links already, they are kept.
    extent_um : tuple of float, optional
        Size of the field.
    name : str
        Of the input, as edits call it.
    edits : EditList, optional
        What a run was corrected with.
    others : tuple of str
        Further inputs of the run, which edits may name.
    is_measured_here : bool
        Whether the table was measured from the labels.
    """

    path: Path
    table: pd.DataFrame
    labels: Volume | None = None
    given: TrackedObjects | None = None
    extent_um: tuple[float, ...] | None = None
    name: str = ""
    edits: EditList | None = None
    others: tuple[str, ...] = ()
    is_measured_here: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs that edits may name."""
        return (self.name, *self.others)

    def read(self, frame: int) -> NDArray[Any]:
        """Labels (Z, Y, X) of a frame, unsigned."""
        return refit(self.require_labels().planes(frame, 0))

    def require_labels(self) -> Volume:
        """The label images.

        Raises
        ------
        InputError
            ``E-TRACK-MASKS``: there are none.
        """
        if self.labels is None:
            raise InputError(
                "E-TRACK-MASKS",
                "has no masks, which the format of the Cell Tracking Challenge needs.",
                path=self.path,
                cure="Give label images, or leave out --format ctc.",
            )
        return self.labels


def open_source(
    path: Path,
    options: ReadOptions | None = None,
    *,
    structure: str | None = None,
    item: str | None = None,
    callback: Callback = silent,
) -> Source:
    """Read what is to be tracked; errors as :func:`tomocyte.runs.track.track_file`."""
    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    if path.is_dir() and (path / "objects.csv").exists():
        return _of_run(path, structure, item)
    if path.suffix.lower() == ".xml":
        objects = read_trackmate(path)
        return Source(path, objects.table, given=objects, name=path.stem)
    if path.is_dir() and (path / "nodes").is_dir() and (path / "edges").is_dir():
        objects = read_geff(path)
        return Source(path, objects.table, given=objects, name=path.stem)
    if path.suffix.lower() in TABLES:
        return Source(path, _chosen(_read_table(path), path, structure, item), name=path.stem)
    return _of_labels(path, options, callback)


def _of_labels(path: Path, options: ReadOptions | None, callback: Callback) -> Source:
    """A label image, measured frame by frame; masks of the challenge with the tracks that belong to them."""
    import pandas as pd

    volume = read_volume(path, options)
    size = volume.require_voxel_size()
    parts = []
    for frame in range(volume.n_frames):
        callback(Progress(step="measure", frame=frame, n_frames=volume.n_frames))
        parts.append(measured(volume, frame, refit(volume.planes(frame, 0))))
    extent = tuple(n * step for n, step in zip(volume.spatial_shape, size, strict=True))
    table, name = pd.concat(parts, ignore_index=True), path.name.split(".")[0]
    lineage = track_table(path) if path.is_dir() else None
    given = None if lineage is None else read_ctc(lineage, table)
    return Source(path, table, labels=volume, given=given, extent_um=extent, name=name, is_measured_here=True)


def measured(volume: Volume, frame: int, labels: NDArray[Any]) -> pd.DataFrame:
    """The objects of a frame of labels: place and size."""
    size = volume.require_voxel_size()
    name = "area_um2" if bool(np.isnan(size[0])) else "volume_um3"
    table = measure(labels, None, size, structure="cell", names=[name])
    table.insert(0, "frame", frame)
    if volume.time_s is not None:
        table.insert(1, "time_s", volume.time_s[frame])
    return table


def _of_run(path: Path, structure: str | None, item: str | None) -> Source:
    """The objects of one input of a run, with its label images and corrections."""
    every = _read_table(path / "objects.csv")
    table = _chosen(every, path, structure, item)
    table = table.drop(columns=["track_id", "parent_id", "generation", "track_flags"], errors="ignore")
    if not len(table) or "item" not in table:
        return Source(path, table, name=path.name)
    name, kind = str(table["item"].iloc[0]), str(table["structure"].iloc[0])
    folder = path / "items" / name
    edits = load_edits(folder / COPY_NAME, [name]).get(name) if (folder / COPY_NAME).exists() else None
    others = tuple(sorted(set(every["item"].astype(str)) - {name}))
    source = Source(path, table, name=name, edits=edits, others=others)
    labels = folder / f"{kind}.ome.tif"
    if not labels.exists():
        return source
    volume = read_volume(labels)
    size = volume.require_voxel_size()
    extent = tuple(n * step for n, step in zip(volume.spatial_shape, size, strict=True))
    return replace(source, labels=volume, extent_um=extent)


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
