"""Labelled images on disk: which image belongs to which label images, who must not be parted, and how they are read.

Two layouts are read: a data set that tomocyte wrote (``items/<item>/`` with ``labels/<structure>``; see
:mod:`tomocyte.datasets.writer`), and a plain folder of pairs. To read another one, write a function like
:func:`_of_pairs` and add it to ``_LAYOUTS``.

Sparse labels (some slices of a volume, some frames) are label images in which all other voxels carry the item's
``ignore_label``; or, as the user painted them, label images of which slices without any label are not labelled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels import ChannelSettings, channels_of
from tomocyte.datasets.files import ITEMS, LABELS, item_folders, named_images, stem_of
from tomocyte.datasets.orientation import oriented_like
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.labels.named import named_labels, only_labels_of
from tomocyte.names import shown_name
from tomocyte.structures import canonical_name, find_name
from tomocyte.volume import LabelName, Volume, VoxelSize

LABEL_ENDINGS = ("_instances", "_labels", "_mask")
ITEM_CARD = "card.json"
"""In an item's folder: split, domain and how it was made."""
SET_CARD = "labelled.json"
"""In a data set's folder: what holds for the labels of all items."""
UNPAINTED = 2**32 - 1
"""Ignore label of slices that were not painted, where the user gives none."""
TRACKS = "tracks.parquet"
TRUTH = "truth.parquet"


@dataclass(frozen=True)
class LabelledItem:
    """One image with its label images.

    Parameters
    ----------
    name : str
        Of the image, without its file type.
    image : Path
    labels : dict
        Structure -> label image; a structure without one is unlabelled in this item and gives no loss.
    group : str
        Items of one group stay in one fold.
    split, domain, cell_line : str
        Of a benchmark or a simulation; empty otherwise.
    tracks, truth : Path, optional
        Tables of a simulated item: ``track_id`` and ``parent_id`` of each cell's label in each frame; one row per
        object and frame with its exact size and mass.
    ignore_label : int, optional
        Label value of unlabelled voxels.
    pixel_size_um : tuple of 2 float, optional
        Pixel size y, x in µm given by the user for all files of the item.
    voxel_size_um : tuple of 3 float, optional
        Voxel size z, y, x in µm given by the user for all files of the item.
    axes : str, optional
        Axes given by the user for files that do not name theirs, as ``CZYX``; labels have the same without C.
    are_empty_slices_unlabelled : bool
        Whether slices without any label have the ignore label when they are read.
    uncertainty : dict
        Structure -> map of how uncertain its labels are, 0 to 1; only where the settings weight by it.
    channels : tuple of str
        Channels that are read, by name; empty: all, as they are stored.
    channel_roles : ChannelSettings
        How derived channels among them are made.
    unions : dict
        Names for several structures together.
    """

    name: str
    image: Path
    labels: dict[str, Path]
    group: str = ""
    split: str = ""
    domain: str = ""
    cell_line: str = ""
    tracks: Path | None = None
    truth: Path | None = None
    ignore_label: int | None = None
    pixel_size_um: tuple[float, float] | None = None
    voxel_size_um: VoxelSize | None = None
    axes: str | None = None
    are_empty_slices_unlabelled: bool = False
    uncertainty: dict[str, Path] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    channel_roles: ChannelSettings = field(default_factory=ChannelSettings)
    unions: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is learned from: image, label images, maps of uncertainty."""
        return (self.image, *self.labels.values(), *self.uncertainty.values())

    def open_image(self) -> Volume:
        """The image, lazily, with a voxel size and the channels that are wanted.

        Raises
        ------
        MetadataError
            ``E-VOXEL-SIZE`` or ``E-AXES``: neither the file nor the user gives it; ``E-CHANNEL``: it lacks a channel.
        """
        image = self._open(self.image, self.axes, is_size_required=True)
        masks = {name: self._labels_required(name, image) for name in self.channels if name in self.unions}
        return channels_of(with_masks(image, masks), self.channels, self.channel_roles) if self.channels else image

    def _labels_required(self, structure: str, image: Volume) -> Volume:
        labels = self.open_labels(structure, image)
        if labels is None:
            raise InputError(
                "E-NO-DATA",
                f"no labels of {', '.join(self.unions[structure])} for {self.name}, of which a channel is to be made.",
                path=self.image,
                cure="Add them, or leave the image out.",
            )
        return labels

    def open_labels(self, structure: str, image: Volume) -> Volume | None:
        """The label image of a structure, lazily; ``None`` where it is not labelled.

        Parameters
        ----------
        structure : str
        image : Volume
            From :meth:`open_image`.

        Raises
        ------
        InputError
            ``E-SHAPE``: not the image's frames and voxels; ``E-LABELS-TYPE``: not integers; ``E-STRUCTURE``: it names
        several labels, none of them so.
        """
        if structure in self.unions:
            parts = [self.open_labels(part, image) for part in self.unions[structure]]
            known = [part for part in parts if part is not None]
            return union_of(known, self.ignore_label) if known and len(known) == len(parts) else None
        path = self.labels.get(structure)
        if path is None:
            return None
        labels = self._open_beside(path, f"labels of {structure} have", image)
        if labels.dtype.kind not in "uib":
            raise InputError("E-LABELS-TYPE", f"labels must be integers, not {labels.dtype}.", path=path)
        kept = () if self.ignore_label is None else (self.ignore_label,)
        chosen = only_labels_of(structure, labels, kept=kept)
        if self.ignore_label is None or not self.are_empty_slices_unlabelled:
            return chosen
        dtype = np.promote_types(chosen.dtype, np.min_scalar_type(self.ignore_label))
        return chosen.with_properties(read_planes=PaintedPlanes(labels, chosen, self.ignore_label, dtype), dtype=dtype)

    def open_uncertainty(self, structure: str, image: Volume) -> Volume | None:
        """How uncertain the labels of a structure are, lazily; ``None`` where no map lies beside them.

        Parameters
        ----------
        structure : str
        image : Volume
            From :meth:`open_image`.

        Raises
        ------
        InputError
            ``E-SHAPE``: not the image's frames and voxels.
        """
        path = self.uncertainty.get(structure)
        return None if path is None else self._open_beside(path, "the map of uncertainty has", image)

    def _open_beside(self, path: Path, subject: str, image: Volume) -> Volume:
        axes = None if self.axes is None else re.sub("[cC]", "", self.axes)
        volume = oriented_like(self._open(path, axes, is_size_required=False), image)
        if (volume.n_frames, volume.spatial_shape) != (image.n_frames, image.spatial_shape):
            raise InputError(
                "E-SHAPE",
                f"{subject} {volume.n_frames} frames of {volume.spatial_shape}, "
                f"the image {self.image.name} has {image.n_frames} of {image.spatial_shape}.",
                path=path,
                cure="Give label images of the same shape as their image.",
            )
        return volume

    def read_labels(self, structure: str, frame: int = 0) -> NDArray[Any]:
        """Labels (Z, Y, X) of one structure in one frame; integers, 0 = background.

        Raises
        ------
        InputError
            ``E-NO-DATA``: the structure is not labelled; and as :meth:`open_labels`.
        """
        labels = self.open_labels(structure, self.open_image())
        if labels is None:
            raise InputError(
                "E-NO-DATA",
                f"no labels of {structure} for {self.name}.",
                path=self.image,
                cure="Add them; simulated data: `tomocyte simulate --structures cell,nucleus`.",
            )
        return np.asarray(labels.planes(frame, 0))

    def read_frame(self, frame: int = 0) -> LabelledFrame:
        """One frame in memory: all channels and the labels of every labelled structure.

        Raises
        ------
        InputError, MetadataError
            As :meth:`open_image` and :meth:`open_labels`.
        """
        image = self.open_image()
        opened = {structure: self.open_labels(structure, image) for structure in self.labels}
        labels = {name: np.asarray(volume.planes(frame, 0)) for name, volume in opened.items() if volume is not None}
        return LabelledFrame(image.frame(frame), labels, image.require_voxel_size(), self.ignore_label)

    def _open(self, path: Path, axes: str | None, *, is_size_required: bool) -> Volume:
        plane = None if self.pixel_size_um is None else (float("nan"), *self.pixel_size_um)
        options = ReadOptions(voxel_size_um=self.voxel_size_um or plane)
        try:
            return read_volume(path, options, is_size_required=is_size_required)
        except InputError as problem:
            if axes is None or "axes" not in {fact.name for fact in problem.missing}:
                raise
        return read_volume(path, replace(options, axes=axes), is_size_required=is_size_required)


@dataclass(frozen=True)
class PaintedPlanes:
    """Planes of a label image in which those without any label have the ignore label throughout; picklable.

    Parameters
    ----------
    labels : Volume
        As they are in the file: a slice with a label of any structure was painted.
    chosen : Volume
        The labels that are read.
    ignore_label : int
    dtype : dtype
        One that holds the ignore label.
    """

    labels: Volume
    chosen: Volume
    ignore_label: int
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Planes (z_stop - z_start, Y, X)."""
        planes = self.labels.planes(frame, channel, z_start, z_stop)
        is_painted = planes.any(axis=(1, 2))
        if self.chosen is not self.labels:
            planes = self.chosen.planes(frame, channel, z_start, z_stop)
        planes = planes.astype(self.dtype)
        planes[~is_painted] = self.ignore_label
        return planes


def union_of(parts: Sequence[Volume], ignore_label: int | None) -> Volume:
    """Label images of several structures as one: 1 inside any of them, else the ignore label where one has it."""
    dtype = np.min_scalar_type(1 if ignore_label is None else max(1, ignore_label))

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        planes = [part.planes(frame, channel, z_start, z_stop) for part in parts]
        inside = np.logical_or.reduce([(each != 0) & (each != (ignore_label or 0)) for each in planes])
        result: NDArray[Any] = inside.astype(dtype)
        if ignore_label is not None:
            result[~inside & np.logical_or.reduce([each == ignore_label for each in planes])] = ignore_label
        return result

    return parts[0].with_properties(read_planes=read_planes, dtype=dtype, label_names=())


def with_masks(image: Volume, masks: Mapping[str, Volume]) -> Volume:
    """An image with masks as further channels behind its own; the same image without any."""
    if not masks:
        return image
    n_own, added = image.n_channels, list(masks.values())

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if channel < n_own:
            return image.planes(frame, channel, z_start, z_stop)
        mask: NDArray[Any] = added[channel - n_own].planes(frame, 0, z_start, z_stop) == 1
        return mask.astype(image.dtype)

    return image.with_properties(
        shape=(image.n_frames, n_own + len(added), *image.spatial_shape),
        read_planes=read_planes,
        channel_names=(*image.channels, *masks),
    )


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """One frame of a labelled item.

    Parameters
    ----------
    image : ndarray (C, Z, Y, X)
        Physical values.
    labels : dict of str to ndarray (Z, Y, X), integer
        Per labelled structure, 0 = background.
    voxel_size_um : tuple of 3 float
        z is NaN for a single plane without a thickness.
    ignore_label : int, optional
        Label value of unlabelled voxels.
    """

    image: NDArray[Any]
    labels: dict[str, NDArray[Any]]
    voxel_size_um: VoxelSize
    ignore_label: int | None = None

    def is_labelled(self, structure: str) -> NDArray[np.bool_]:
        """Voxels (Z, Y, X) that are labelled, background included.

        Examples
        --------
        >>> labels = {"cell": np.array([[[0, 1, 255]]], np.uint8)}
        >>> LabelledFrame(np.zeros((1, 1, 1, 3)), labels, (1.0, 1.0, 1.0), 255).is_labelled("cell").tolist()
        [[[True, True, False]]]
        """
        labels = self.labels[structure]
        return np.ones(labels.shape, np.bool_) if self.ignore_label is None else np.asarray(labels != self.ignore_label)


def find_items(
    folder: Path,
    settings: LabelledSettings | None = None,
    *,
    splits: Sequence[str] = (),
    domains: Sequence[str] = (),
) -> list[LabelledItem]:
    """The labelled images of a folder, by name.

    Parameters
    ----------
    folder : Path
        What ``tomocyte simulate`` or ``tomocyte edits export`` wrote, or a folder of pairs.
    settings : LabelledSettings, optional
        How files are named and read. Its structures decide which items are listed: those with at least one of them.
    splits, domains : sequence of str
        Only items of these; empty: of all.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no such folder, or no image of that kind with a label image in it.
    """
    if not folder.is_dir():
        raise InputError("E-NO-DATA", "no such folder.", path=folder, cure="Give the folder of the labelled images.")
    rules = settings or LabelledSettings()
    listed = next(items for layout in _LAYOUTS if (items := layout(folder, rules)) is not None)
    items = [
        item for item in listed if (not splits or item.split in splits) and (not domains or item.domain in domains)
    ]
    if not items:
        kind = " ".join(("", *splits, *domains))
        raise InputError(
            "E-NO-DATA",
            f"no image{f' of{kind}' if kind else ''} with a label image of "
            f"{', '.join(rules.structures) or 'any structure'}.",
            path=folder,
            cure="Name pairs NAME.tif and NAME_instances.tif (or NAME_STRUCTURE.tif), or set data.label_suffix; or "
            "simulate a data set, e.g. `tomocyte simulate odt --benchmark osnet/small -o FOLDER`.",
        )
    return items


def _of_data_set(folder: Path, settings: LabelledSettings) -> list[LabelledItem] | None:
    """Items that are complete, in ``items/``; ``None`` without that folder."""
    if not (folder / ITEMS).is_dir():
        return None
    rules = settings.model_copy(update=folder_settings(folder)) if settings.ignore_label is None else settings
    items = []
    for entry in item_folders(folder):
        image = named_images(entry).get(entry.name)
        labels = named_images(entry / LABELS)
        if rules.structures:
            names = {structure: find_name(structure, labels) for structure in rules.stored_structures}
            labels = {structure: labels[name] for structure, name in names.items() if name is not None}
        if image is None or not labels or not (folder / ITEMS / f"{entry.name}.done.json").exists():
            continue
        card = _item_card(entry / ITEM_CARD)
        tables = {name: entry / file for name, file in (("tracks", TRACKS), ("truth", TRUTH))}
        tables = {name: path for name, path in tables.items() if path.is_file()}
        items.append(_item(entry.name, image, labels, rules, **card, **tables))
    return items


def _of_pairs(folder: Path, settings: LabelledSettings) -> list[LabelledItem]:
    """Images with label images of the same name next to them, or in ``labels/`` or ``masks/``."""
    images = named_images(folder)
    label_files = {stem: path for name in (LABELS, "masks") for stem, path in named_images(folder / name).items()}
    items = []
    for stem, path in sorted(images.items()):
        if not stem.endswith(settings.image_suffix):
            continue
        name = stem[: len(stem) - len(settings.image_suffix)]
        labels = {}
        for structure in settings.stored_structures:
            endings = (f"_{structure}",) + (LABEL_ENDINGS if len(settings.structures) == 1 else ())
            if settings.label_suffix is not None:
                endings = (settings.label_suffix,)
            candidates = [images[f"{name}{end}"] for end in endings if f"{name}{end}" in images.keys() - {stem}]
            keys = (stem, *(f"{name}{end}" for end in endings))
            candidates += [label_files[key] for key in keys if key in label_files]
            if settings.label_suffix is None:
                candidates += _by_other_names(name, structure, images, label_files)
            if not candidates and settings.label_suffix is None:
                candidates += _by_label_names(name, structure, images, label_files)
            if candidates:
                labels[structure] = candidates[0]
        if labels:
            items.append(_item(name, path, labels, settings))
    return items


def _by_other_names(name: str, structure: str, *folders: Mapping[str, Path]) -> list[Path]:
    """Label images that end in another name of a structure, as ``x_membrane`` or ``x_nuclei``."""
    canonical, start = canonical_name(structure), f"{name}_"
    return [
        path
        for files in folders
        for stem, path in files.items()
        if stem.startswith(start) and canonical_name(stem.removeprefix(start)) == canonical
    ]


def _by_label_names(
    name: str, structure: str, images: Mapping[str, Path], label_files: Mapping[str, Path]
) -> list[Path]:
    """Label images of several structures (``x_labels``) that name one of their labels like the structure."""
    paths = [images[f"{name}{end}"] for end in LABEL_ENDINGS if f"{name}{end}" in images]
    paths += [label_files[f"{name}{end}"] for end in ("", *LABEL_ENDINGS) if f"{name}{end}" in label_files]
    return [path for path in paths if named_labels(structure, _label_names(path))]


def _label_names(path: Path) -> tuple[LabelName, ...]:
    try:
        return read_volume(path, is_size_required=False).label_names
    except TomocyteError:
        return ()  # said when it is read


_LAYOUTS: tuple[Callable[[Path, LabelledSettings], list[LabelledItem] | None], ...] = (_of_data_set, _of_pairs)
"""Tried in this order; ``None`` means that the folder has another layout."""


def _item(name: str, image: Path, labels: dict[str, Path], settings: LabelledSettings, **more: Any) -> LabelledItem:
    has_unlabelled = settings.slices_without_labels == "unlabelled"
    maps = {structure: _map_beside(path) for structure, path in labels.items() if settings.weights == "certainty"}
    return LabelledItem(
        shown_name(name),
        image,
        labels,
        settings.group_of(name),
        ignore_label=UNPAINTED if has_unlabelled and settings.ignore_label is None else settings.ignore_label,
        are_empty_slices_unlabelled=has_unlabelled,
        uncertainty={structure: path for structure, path in maps.items() if path.is_file()},
        pixel_size_um=settings.stored_pixel_size_um,
        voxel_size_um=settings.stored_voxel_size_um,
        axes=settings.stored_axes,
        channels=settings.channels,
        channel_roles=settings.channel_roles,
        unions=settings.unions,
        **more,
    )


def _map_beside(labels: Path) -> Path:
    """Where the map of uncertainty of a label image lies, if there is one."""
    stem = stem_of(labels)
    return labels.with_name(f"{stem}_uncertainty{labels.name[len(stem) :]}")


def _item_card(path: Path) -> dict[str, str]:
    """Split, domain and cell line from an item's card; empty where it does not give them."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    content = content if isinstance(content, dict) else {}
    simulation = content.get("settings")
    cell_line = simulation.get("preset", "") if isinstance(simulation, dict) else ""
    return {
        "split": str(content.get("split", "")),
        "domain": str(content.get("domain", "")),
        "cell_line": str(cell_line),
    }


def folder_settings(folder: Path) -> dict[str, Any]:
    """Fields of :class:`LabelledSettings` that a folder of labelled images gives itself, in ``labelled.json``.

    Raises
    ------
    InputError
        ``E-NO-DATA``: the file is damaged or holds something else.
    """
    path = folder / SET_CARD
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        is_good = set(content) <= {"ignore_label"} and all(type(value) is int for value in content.values())
    except (OSError, ValueError, TypeError, AttributeError):
        is_good = False
    if not is_good:
        raise InputError("E-NO-DATA", "is not what `tomocyte edits export` writes.", path=path, cure="Export again.")
    return dict(content)


def describe_items(items: Sequence[LabelledItem], hashes: dict[str, str]) -> list[dict[str, Any]]:
    """Content of ``data.json`` of a run folder: every file with its SHA-256."""
    return [
        {
            "name": item.name,
            "group": item.group,
            "split": item.split,
            "domain": item.domain,
            "files": {shown_name(path.name): hashes[str(path)] for path in item.files},
        }
        for item in items
    ]
