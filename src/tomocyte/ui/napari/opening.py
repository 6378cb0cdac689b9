"""Files and runs as layers: which arrays, where they lie, in which colours. napari itself is not needed here.

To show another result of a run, add its layers in :func:`item_layers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.from_labels import FinishedItem
from tomocyte.errors import SettingsError, TomocyteError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.pipeline import open_input
from tomocyte.runs.finished import FinishedRun, finished_run
from tomocyte.structures import in_drawing_order
from tomocyte.ui.napari.colours import channel_colours, shades
from tomocyte.ui.napari.frames import LazyFrames
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["image", "labels", "tracks"]
LARGEST_LABELS_BYTES = 4 << 30
"""Label images up to here are held in memory, where they can be corrected; larger ones can be looked at."""
SAMPLED_PIXELS = 1_000_000


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as napari takes it.

    Parameters
    ----------
    kind : {"image", "labels", "tracks"}
    data : array-like
        Voxels without time and z axes of length 1; of tracks (n, 1 + axes): number, then place in voxels.
    options : mapping
        Arguments of napari's layer, ``name`` and ``scale`` (µm; frames along time) among them.
    colours : ndarray (n, 4), optional
        Of labels, the first for background.
    """

    kind: Kind
    data: Any
    options: Mapping[str, Any]
    colours: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """What was opened.

    Parameters
    ----------
    layers : tuple of Layer
        From the bottom up.
    notes : tuple of str
        What a person must know, e.g. that an image is missing.
    """

    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = field(default=())


def run_of(path: Path) -> tuple[Path, str | None] | None:
    """The folder of a finished run that a path is or lies in, and the item that it names; None for anything else.

    Parameters
    ----------
    path : Path
        ``out`` (no item is named) or ``out/items/ITEM``.
    """
    if (path / "run.json").is_file() and (path / "items").is_dir():
        return path, None
    folder = path.parent.parent
    if path.parent.name == "items" and path.is_dir() and (folder / "run.json").is_file():
        return folder, path.name
    return None


def open_path(path: Path) -> Opened:
    """The layers of any file that can be read, of a run's folder, or of one of its items.

    Parameters
    ----------
    path : Path
        Of a run's folder the first item is opened.

    Raises
    ------
    TomocyteError
        As :func:`tomocyte.formats.read_volume` and :func:`item_layers`.
    """
    place = run_of(path)
    if place is None:
        return volume_layers(read_volume(path, is_size_required=False))
    run, names = finished_run(place[0]), finished_run(place[0]).names
    if not names:
        raise SettingsError("E-EDIT-ITEM", "has no finished item.", path=path, cure="Run again first.")
    opened = item_layers(run, place[1] or names[0])
    if place[1] is None and len(names) > 1:
        text = f"{names[0]} of {len(names)} items is shown; open {path / 'items' / names[1]} for the next."
        return Opened(opened.layers, (*opened.notes, text))
    return opened


def volume_layers(volume: Volume, *, name: str = "") -> Opened:
    """The layers of a volume: one per channel, and the fluorescence channels of the same file.

    Parameters
    ----------
    volume : Volume
    name : str
        What the layers are called; empty: by the file.
    """
    stem = name or (volume.path.name if volume.path is not None else "image")
    notes = tuple(note for note in volume.notes if note.startswith("W-"))
    if volume.voxel_size_um is None:
        notes += (f"W-VOXEL-SIZE: {stem} contains no voxel size; its axes are in voxels.",)
    if volume.quantity == "labels":
        layers = [
            _labels_layer(volume, stem if volume.n_channels == 1 else f"{stem} {channel}", index)
            for index, channel in enumerate(volume.channels)
        ]
        return Opened(tuple(layers), notes)
    further = [
        read_volume(volume.path, ReadOptions(dataset=dataset), is_size_required=False)
        for dataset in volume.metadata.get("fluorescence", ())
        if volume.path is not None and volume.quantity == "refractive_index"
    ]
    names = [*volume.channels, *(channel for other in further for channel in other.channels)]
    sources = [(volume, index) for index in range(volume.n_channels)]
    sources += [(other, index) for other in further for index in range(other.n_channels)]
    colours_of = channel_colours(names, volume.quantity)
    layers = [
        _image_layer(source, index, stem if len(names) == 1 else f"{stem} {channel}", colour)
        for (source, index), channel, colour in zip(sources, names, colours_of, strict=True)
    ]
    return Opened(tuple(layers), notes)


def item_layers(run: FinishedRun, name: str) -> Opened:
    """The layers of an item of a run: image, uncertainty where it was kept, labels, tracks.

    Parameters
    ----------
    run : FinishedRun
    name : str
        Of the item.

    Raises
    ------
    SettingsError
        ``E-EDIT-ITEM``.
    InputError
        ``E-EDIT-BASE``: a label image is not the one that the run wrote, and there is no copy.
    """
    item = run.item(name)
    layers: list[Layer] = []
    notes: list[str] = []
    try:
        volume, _ = open_input(run.place_of(item), run.settings)
        layers += volume_layers(volume, name=name).layers
    except TomocyteError as problem:  # the results can be looked at without
        notes.append(f"W-NO-IMAGE: the image of {name} cannot be opened: {problem}")
    for structure in in_drawing_order(item.structures):
        uncertainty = item.folder / f"{structure}_uncertainty.ome.tif"
        if uncertainty.is_file():
            title = f"uncertainty of {structure}"
            layers.append(
                _image_layer(read_volume(uncertainty), 0, title, "inferno", contrast_limits=(0, 255), visible=False)
            )
    for structure in in_drawing_order(item.structures):
        labels = item.labels_as_written(structure)
        place = {"run": str(run.folder), "item": name, "structure": structure}
        layers.append(_labels_layer(labels, structure, metadata=place))
    tracks = tracks_layer(run, item)
    return Opened((*layers, *(() if tracks is None else (tracks,))), tuple(notes))


def tracks_layer(run: FinishedRun, item: FinishedItem) -> Layer | None:
    """The tracks of an item with their lineage; None where nothing was tracked."""
    table = run.objects()
    main = str(item.record.facts.get("primary", "cell"))
    rows = table[(table["item"] == item.name) & (table["structure"] == main)]
    if "track_id" not in rows or not (rows["track_id"] > 0).any():
        return None
    labels = item.labels_as_written(main)
    data, graph, properties = track_points(rows, labels.require_voxel_size())
    options = _placed(labels, LazyFrames(labels).axes) | {
        "name": f"tracks of {main}", "graph": graph, "properties": properties, "color_by": "generation",
    }  # fmt: skip
    return Layer("tracks", data, options)


def track_points(
    rows: pd.DataFrame, voxel_size_um: VoxelSize
) -> tuple[NDArray[np.float64], dict[int, list[int]], dict[str, NDArray[np.int64]]]:
    """Tracks as napari takes them.

    Parameters
    ----------
    rows : DataFrame
        ``frame``, ``track_id``, ``parent_id``, ``generation``, ``label``, ``z_um``, ``y_um``, ``x_um``; of one
        structure.
    voxel_size_um : tuple of 3 float
        z is NaN for planes without thickness.

    Returns
    -------
    points : ndarray (n, 4 or 5), float64
        Track, frame, then z (not in planes), y, x in voxels; by track and frame.
    graph : dict
        Track -> the track that it comes from, where both are there.
    properties : dict of ndarray (n,), int64
        ``generation`` and ``label``.
    """
    tracked = rows[rows["track_id"] > 0].drop_duplicates(["track_id", "frame"]).sort_values(["track_id", "frame"])
    axes = [(name, size) for name, size in zip(("z_um", "y_um", "x_um"), voxel_size_um, strict=True)]
    places = [tracked[name] / size for name, size in axes if not (math.isnan(size) or tracked[name].isna().all())]
    points = np.column_stack([tracked["track_id"], tracked["frame"], *places]).astype(np.float64)
    known = set(tracked["track_id"])
    parents = tracked.drop_duplicates("track_id")[["track_id", "parent_id"]].astype(int).to_numpy().tolist()
    graph = {track: [parent] for track, parent in parents if parent in known and parent != track}
    properties = {name: tracked[name].to_numpy(np.int64) for name in ("generation", "label")}
    return points, graph, properties


def _placed(volume: Volume, axes: str) -> dict[str, Any]:
    """Scale, unit and name of each axis: µm in space, frames in time."""
    size = dict(zip("ZYX", volume.voxel_size_um or (1.0, 1.0, 1.0), strict=True))
    unit = "pixel" if volume.voxel_size_um is None else "um"
    scale = [1.0 if axis == "T" or math.isnan(size[axis]) else size[axis] for axis in axes]
    units = ["pixel" if axis == "T" else unit for axis in axes]
    return {"scale": scale, "units": units, "axis_labels": list(axes.lower())}


def _image_layer(volume: Volume, channel: int, name: str, colormap: str = "gray", **options: Any) -> Layer:
    frames = LazyFrames(volume, channel)
    given = {"contrast_limits": window(volume, channel)} | options
    placed = _placed(volume, frames.axes)
    blending = "translucent_no_depth" if colormap == "gray" else "additive"
    metadata = {"quantity": volume.quantity, "unit": volume.unit, "path": str(volume.path or "")}
    named = {"name": name, "colormap": colormap, "blending": blending, "metadata": metadata, "multiscale": False}
    return Layer("image", frames, named | placed | given | {"rgb": False})


def _labels_layer(volume: Volume, name: str, channel: int = 0, *, metadata: Mapping[str, Any] | None = None) -> Layer:
    frames = LazyFrames(volume, channel)
    data: Any = frames
    if frames.nbytes <= LARGEST_LABELS_BYTES:
        data = np.ascontiguousarray(np.asarray(frames))
        data = data if data.dtype.kind in "ui" else data.astype(np.uint32)
    named = {label.value: label.colour for label in volume.label_names if label.channel == channel and label.colour}
    colours = shades(name)
    if named:
        colours = np.zeros((max(named) + 1, 4), np.float32)
        for value, colour in named.items():
            colours[value] = [*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0]
    options = {"name": name, "opacity": 0.5, "metadata": dict(metadata or {}), "multiscale": False}
    return Layer("labels", data, options | _placed(volume, frames.axes), colours)


def window(volume: Volume, channel: int = 0) -> tuple[float, float]:
    """The range of values to show, from the middle plane of the middle frame: all but its darkest and brightest.

    Returns
    -------
    tuple of 2 float
        In the unit of the values, the second above the first.
    """
    z = volume.shape[2] // 2
    plane = np.asarray(volume.planes(volume.n_frames // 2, channel, z, z + 1))[0]
    values = plane.reshape(-1)[:: max(1, plane.size // SAMPLED_PIXELS)].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (0.1, 99.9)))
    return (low, high) if high > low else (low, low + 1.0)
