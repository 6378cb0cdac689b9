"""A labelled item written so that :func:`tomocyte.datasets.labelled.find_items` lists it.

The folder written here becomes an item of a data set once it stands in ``items/`` with its commit record
(:class:`tomocyte.ledger.Ledger`). To write one more file per item, add it to :func:`write_item`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.datasets.files import LABELS
from tomocyte.datasets.labelled import ITEM_CARD, TRACKS, TRUTH
from tomocyte.errors import InputError
from tomocyte.formats import write_volume
from tomocyte.labels.stack import LabelStack
from tomocyte.volume import Origin, Volume

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = {"ome-tiff": ".ome.tif", "tcf": ".TCF"}
"""Formats of the image -> ending of its name; label images are always OME-TIFF."""


def write_item(
    folder: Path,
    name: str,
    image: Volume,
    labels: Iterable[tuple[str, LabelStack]],
    *,
    card: Mapping[str, Any],
    tracks: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
    file_format: str = "ome-tiff",
) -> None:
    """Write one labelled image into a folder of its own.

    Parameters
    ----------
    folder : Path
        Empty.
    name : str
        Of the item.
    image : Volume
        All channels and frames; read frame by frame.
    labels : iterable of (str, LabelStack)
        Structures with their labels, frame by frame on the image's grid. Read after the image, so that both may be
        made together.
    card : mapping
        Fit for JSON, with ``name`` and, of a benchmark, ``split`` and ``domain``. Read last.
    tracks, truth : DataFrame, optional
        As in :class:`tomocyte.datasets.labelled.LabelledItem`.
    file_format : {"ome-tiff", "tcf"}
        Of the image.

    Raises
    ------
    InputError
        ``E-SHAPE``: labels that do not lie on the image's grid.
    """
    from tomocyte.tables import write_parquet

    write_volume(folder / f"{name}{SUFFIXES[file_format]}", image)
    (folder / LABELS).mkdir()
    origin: dict[str, Origin] = {"voxel_size_um": "simulated"} if image.is_simulated else {}
    for structure, stack in labels:
        volume = stack.volume(voxel_size_um=image.voxel_size_um, origin=origin)
        if (volume.n_frames, volume.spatial_shape) != (image.n_frames, image.spatial_shape):
            raise InputError(
                "E-SHAPE",
                f"labels of {structure} have {volume.n_frames} frames of {volume.spatial_shape}, the image "
                f"{image.n_frames} of {image.spatial_shape}.",
                path=folder,
            )
        write_volume(folder / LABELS / f"{structure}.ome.tif", volume.with_properties(time_s=image.time_s))
    for table, file in ((truth, TRUTH), (tracks, TRACKS)):
        if table is not None:
            write_parquet(table, folder / file)
    write_json(folder / ITEM_CARD, card)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, readable by people."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
