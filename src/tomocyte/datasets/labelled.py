"""Labelled images on disk: which image belongs to which label images, and who must not be parted.

Two layouts are read: a data set that tomocyte wrote (``items/<item>/`` with ``labels/<structure>``), and a plain folder
of pairs. To read another layout, add a function that returns :class:`LabelledItem` and call it in :func:`find_items`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomocyte.datasets.settings import DataSettings
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, formats, read_volume
from tomocyte.volume import Volume

LABEL_ENDINGS = ("_instances", "_labels", "_mask")


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
    split, domain : str
        Of a benchmark; empty otherwise.
    """

    name: str
    image: Path
    labels: dict[str, Path]
    group: str
    split: str = ""
    domain: str = ""


def find_items(folder: Path, settings: DataSettings) -> list[LabelledItem]:
    """The labelled images of a folder, by name.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no such folder, or no image with a label image in it.
    """
    if not folder.is_dir():
        raise InputError("E-NO-DATA", "no such folder.", path=folder, cure="Give the folder of the labelled images.")
    items = _of_data_set(folder, settings) if (folder / "items").is_dir() else _of_pairs(folder, settings)
    if not items:
        raise InputError(
            "E-NO-DATA",
            f"no image with a label image of {', '.join(settings.structures)} found.",
            path=folder,
            cure="Name pairs NAME.tif and NAME_instances.tif (or NAME_STRUCTURE.tif), or set data.label_suffix.",
        )
    return items


def _of_data_set(folder: Path, settings: DataSettings) -> list[LabelledItem]:
    items = []
    for entry in sorted(path for path in (folder / "items").iterdir() if path.is_dir()):
        image = next((path for path in _images(entry) if path.name.startswith(f"{entry.name}.")), None)
        labels = {}
        for structure in settings.structures:
            path = next((p for p in _images(entry / "labels") if p.name.split(".")[0] == structure), None)
            if path is not None:
                labels[structure] = path
        if image is None or not labels or not (folder / "items" / f"{entry.name}.done.json").exists():
            continue
        card = _card(entry / "card.json")
        group = _group(entry.name, settings)
        items.append(LabelledItem(entry.name, image, labels, group, card["split"], card["domain"]))
    return items


def _group(name: str, settings: DataSettings) -> str:
    found = re.search(settings.group_pattern, name) if settings.group_pattern else None
    return name if found is None else found.group(1 if found.re.groups else 0)


def _card(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: str(content.get(key, "")) for key in ("split", "domain")}
    except (OSError, ValueError, AttributeError):
        return {"split": "", "domain": ""}


def _of_pairs(folder: Path, settings: DataSettings) -> list[LabelledItem]:
    images = {_stem(path): path for path in _images(folder)}
    beside = {_stem(path): path for name in ("labels", "masks") for path in _images(folder / name)}
    items = []
    for stem, path in sorted(images.items()):
        if not stem.endswith(settings.image_suffix):
            continue
        name = stem[: len(stem) - len(settings.image_suffix)]
        labels = {}
        for structure in settings.structures:
            endings = (f"_{structure}",) + (LABEL_ENDINGS if len(settings.structures) == 1 else ())
            if settings.label_suffix is not None:
                endings = (settings.label_suffix,)
            found = [images[f"{name}{end}"] for end in endings if f"{name}{end}" in images and f"{name}{end}" != stem]
            found += [beside[key] for key in (stem, *(f"{name}{end}" for end in endings)) if key in beside]
            if found:
                labels[structure] = found[0]
        if labels:
            items.append(LabelledItem(name, path, labels, _group(name, settings)))
    return items


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    suffixes = (*_suffixes(), ".png")
    return sorted(
        entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name.lower().endswith(suffixes)
    )


def _suffixes() -> tuple[str, ...]:
    return tuple(suffix for entry in formats().values() for suffix in entry.suffixes)


def _stem(path: Path) -> str:
    low = path.name.lower()
    ending = max((s for s in (*_suffixes(), ".png") if low.endswith(s)), key=len)
    return path.name[: len(path.name) - len(ending)]


def open_image(item: LabelledItem, settings: DataSettings) -> Volume:
    """The image of an item, lazily, with a voxel size.

    Raises
    ------
    MetadataError
        ``E-VOXEL-SIZE``: the file carries none and the recipe gives none.
    """
    volume = _open(item.image, settings)
    if volume.voxel_size_um is None:
        raise MetadataError(
            "E-VOXEL-SIZE",
            "the image carries no voxel size.",
            path=item.image,
            cure="Give data.stored_pixel_size_um: [Y, X] in the recipe, or --pixel-size-um.",
        )
    return volume


def open_labels(item: LabelledItem, structure: str, image: Volume, settings: DataSettings) -> Volume | None:
    """The label image of a structure, lazily; ``None`` where nobody labelled it.

    Raises
    ------
    InputError
        ``E-SHAPE``: not the image's frames and voxels; ``E-LABELS-TYPE``: not integers.
    """
    path = item.labels.get(structure)
    if path is None:
        return None
    labels = _open(path, settings)
    if (labels.n_frames, labels.spatial_shape) != (image.n_frames, image.spatial_shape):
        raise InputError(
            "E-SHAPE",
            f"labels of {structure} have {labels.n_frames} frames of {labels.spatial_shape}, "
            f"the image {item.image.name} has {image.n_frames} of {image.spatial_shape}.",
            path=path,
            cure="Give label images of the same shape as their image.",
        )
    if labels.dtype.kind not in "uib":
        raise InputError("E-LABELS-TYPE", f"labels must be integers, not {labels.dtype}.", path=path)
    return labels


def _open(path: Path, settings: DataSettings) -> Volume:
    size = settings.stored_pixel_size_um
    options = ReadOptions(voxel_size_um=None if size is None else (float("nan"), *size))
    return read_volume(path, options)


def said_by_folder(folder: Path) -> dict[str, Any]:
    """What a folder of labelled images says of all of them: fields of :class:`DataSettings`, from ``labelled.json``.

    Raises
    ------
    InputError
        ``E-NO-DATA``: the file is damaged or says something else.
    """
    path = folder / "labelled.json"
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


def describe_items(items: list[LabelledItem], hashes: dict[str, str]) -> list[dict[str, Any]]:
    """What ``data.json`` of a run folder says: every file with its SHA-256."""
    return [
        {
            "name": item.name,
            "group": item.group,
            "split": item.split,
            "domain": item.domain,
            "files": {path.name: hashes[str(path)] for path in (item.image, *item.labels.values())},
        }
        for item in items
    ]
