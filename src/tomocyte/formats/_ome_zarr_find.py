"""Which array of a Zarr store is read, and what the groups around it say of it.

A store is one image with several resolutions, a collection of images (a plate, a well, labels, a series), or arrays
that nobody describes. To know another kind of collection, add it to :data:`COLLECTIONS` and its images to
:func:`images_in`.

References
----------
https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tomocyte.errors import InputError, MissingFact, TomocyteError
from tomocyte.formats._hostile import parsing
from tomocyte.formats._zarr_store import StoredArray, attributes_of, inside, kind_of_node, stored_array
from tomocyte.names import is_hidden, natural_key

COLLECTIONS: Final = {
    "bioformats2raw.layout": "a collection of images",
    "plate": "a plate",
    "well": "a well of a plate",
    "labels": "a group of label images",
}
"""What a group with one of these attributes is."""
MOST_SHOWN: Final = 20
DEEPEST: Final = 3
"""Levels of groups that are searched for images and arrays where no metadata lists them."""
RATIOS: Final = (0.6, 2.0)
"""How far voxels of a coarser level may be from what its number of voxels says, by rounding of odd sizes alone."""


@dataclass(frozen=True)
class FoundArray:
    """An array and what is said of it.

    Parameters
    ----------
    array : StoredArray
        Its own metadata, checked.
    name : str
        Its path from the group that describes it.
    ome, attributes : mapping
        OME metadata of that group, and all of its attributes; empty for an array that nobody describes.
    image, level : mapping
        The entry of ``multiscales``, and in it the entry of ``datasets``.
    choices : tuple of str
        What else ``--dataset`` can name: resolutions and label images.
    levels : tuple of str
        Of these, the resolutions.
    notes : tuple of str
        Contradictions between the levels.
    """

    array: StoredArray
    name: str
    ome: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    image: Mapping[str, Any] = field(default_factory=dict)
    level: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_array(path: Path, dataset: str | None) -> FoundArray:
    """The array that ``dataset`` names, or the only image or array of a store at its finest level.

    Parameters
    ----------
    path : Path
        Folder of a group or of an array.
    dataset : str, optional
        Path of an image, of one of its levels, or of an array, from ``path``.

    Raises
    ------
    InputError
        ``E-ZARR-DATASET`` with what there is, ``E-ZARR-METADATA``, ``E-ZARR-PATH``.
    """
    node = path if dataset is None else inside(path, dataset)
    kind = kind_of_node(node)
    if dataset is not None and not kind:
        raise _which(f"has no image {dataset!r}.", path, path)
    if kind == "array":
        return _as_level(node, path) or FoundArray(stored_array(node), node.name)
    ome, attributes = ome_of(node)
    if "multiscales" in ome:
        return _finest(node, ome, attributes)
    is_listed = any(key in ome for key in ("plate", "well", "labels"))
    names = [] if is_listed else [name for name, _ in itertools.islice(images_in(node), 2)]
    if len(names) == 1:
        return find_array(node, names[0])
    what = next((what for key, what in COLLECTIONS.items() if key in ome), "a group")
    raise _which(f"is {what} and no image itself.", node, path)


def ome_of(group: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """OME metadata of a group, and all of its attributes."""
    attributes, version = attributes_of(group)
    ome = attributes.get("ome", {}) if version == 3 else attributes
    return (ome if isinstance(ome, dict) else {}), attributes


def images_in(root: Path) -> Iterator[tuple[str, bool]]:
    """Paths of what can be read below a group, those that exist, and whether each is an image with metadata.

    Of a plate, a well or a group of labels their images; else images, or arrays where there are no images.
    """
    try:
        ome, _ = ome_of(root)
    except InputError:
        return
    if "plate" in ome:
        for well in _paths(ome["plate"], "wells"):
            yield from ((f"{well}/{name}", True) for name, _ in images_in(inside(root, well)))
        return
    if "well" in ome or isinstance(ome.get("labels"), list):
        listed = _paths(ome["well"], "images") if "well" in ome else [str(name) for name in ome["labels"]]
        yield from ((name, True) for name in listed if kind_of_node(inside(root, name)) == "group")
        return
    nodes = list(itertools.islice(_nodes_in(root, DEEPEST), 10 * MOST_SHOWN))
    images = [(name, is_image) for name, is_image in nodes if is_image]
    yield from images or nodes


def _nodes_in(root: Path, depth: int) -> Iterator[tuple[str, bool]]:
    """Images (``True``) and arrays (``False``) below a group; links and what lies inside an image are left out."""
    for child in sorted(root.iterdir(), key=natural_key):
        if is_hidden(child.name) or child.is_symlink() or not child.is_dir():
            continue
        kind = kind_of_node(child)
        if kind == "array":
            yield child.name, False
        elif kind and _is_image(child):
            yield child.name, True
        elif kind and depth > 1:
            yield from ((f"{child.name}/{name}", is_image) for name, is_image in _nodes_in(child, depth - 1))


def _is_image(group: Path) -> bool:
    try:
        return "multiscales" in ome_of(group)[0]
    except InputError:
        return False


def _paths(owner: Any, key: str) -> list[str]:
    """The ``path`` of each entry of a list in the metadata; what is no such list has none."""
    entries = owner.get(key) if isinstance(owner, dict) else None
    return [str(entry["path"]) for entry in entries or [] if isinstance(entry, dict) and "path" in entry]


def _which(problem: str, root: Path, path: Path) -> InputError:
    """The refusal that lists what lies below ``root`` as ``--dataset`` takes it."""
    prefix = "" if root == path else f"{root.relative_to(path.resolve()).as_posix()}/"
    is_image = _is_group(root) and _is_image(root)
    below = find_array(root, None).choices if is_image else [name for name, _ in images_in(root)]
    names = [f"{prefix}{name}" for name in itertools.islice(below, MOST_SHOWN + 1)]
    shown = ", ".join(f'"{name}"' if " " in name else name for name in names[:MOST_SHOWN])
    more = ", …" if len(names) > MOST_SHOWN else ""
    if names:
        missing = MissingFact("dataset", tuple(names), f"with one of: {shown}{more}")
        return InputError("E-ZARR-DATASET", problem, path=path, missing=(missing,))
    cure = "It is one image: leave --dataset out." if is_image else "No image lies in it: export it again."
    return InputError("E-ZARR-DATASET", problem, path=path, cure=cure)


def _as_level(node: Path, path: Path) -> FoundArray | None:
    """An array as the level of the image that lists it; a folder that is an array may lie inside its image."""
    target = node.resolve()
    top = path.resolve() if target != path.resolve() else None
    for parent in list(target.parents)[:DEEPEST]:
        if top is not None and not parent.is_relative_to(top):
            break
        if kind_of_node(parent) != "group" or not _is_image(parent):
            continue
        ome, attributes = ome_of(parent)
        with parsing(parent, "E-ZARR-METADATA", what="its multiscales"):
            for image in ome["multiscales"]:
                for level in image["datasets"]:
                    if inside(parent, str(level["path"])) == target:
                        found = stored_array(target)
                        listed = _choices(parent, image)
                        return FoundArray(found, str(level["path"]), ome, attributes, image, level, *listed)
    return None


def _finest(root: Path, ome: Mapping[str, Any], attributes: Mapping[str, Any]) -> FoundArray:
    """The level with the most voxels of the first image of a group."""
    with parsing(root, "E-ZARR-METADATA", what="its multiscales"):
        images = list(ome["multiscales"])
        image = images[0]
        first = image["datasets"][0]
        levels = [(first, stored_array(inside(root, str(first["path"]))))]
        for level in image["datasets"][1:]:
            try:
                levels.append((level, stored_array(inside(root, str(level["path"])))))
            except TomocyteError:  # a coarser level that is damaged or left out is not needed
                continue
        level, array = max(levels, key=lambda pair: math.prod(pair[1].shape))
        notes = [*_other_images(images), *_level_notes(levels)]
        if level is not first:
            notes.append(
                f"W-ZARR-LEVELS: {level['path']} has more voxels than {first['path']}, which is listed first as the "
                "finest level; it is read."
            )
        listed = _choices(root, image)
        return FoundArray(array, str(level["path"]), ome, attributes, image, level, *listed, tuple(notes))


def _choices(root: Path, image: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What can be named beside the image, if anything, and its levels."""
    levels = [str(level["path"]) for level in image["datasets"]]
    try:
        labels = [f"labels/{name}" for name, _ in images_in(root / "labels")] if _is_group(root / "labels") else []
    except InputError:  # labels that point elsewhere do not keep the image from being read
        labels = []
    return tuple([*levels, *labels] if len(levels) + len(labels) > 1 else []), tuple(levels)


def _is_group(folder: Path) -> bool:
    return not folder.is_symlink() and kind_of_node(folder) == "group"


def _other_images(images: list[Any]) -> Iterator[str]:
    if len(images) > 1:
        names = ", ".join(str(image["datasets"][0]["path"]) for image in images)
        yield (
            f"W-SERIES: the group describes {len(images)} images; the first is read and the others are not. Give "
            f"--dataset with one of: {names}."
        )


def _level_notes(levels: list[tuple[Mapping[str, Any], StoredArray]]) -> Iterator[str]:
    """A note where the voxels of a level are not as much larger as there are fewer of them."""
    (first, finest), *others = levels
    scale = _scale(first, len(finest.shape))
    for level, array in others:
        coarser = _scale(level, len(finest.shape))
        if scale is None or coarser is None or len(array.shape) != len(finest.shape):
            continue
        for size, few, before, after in zip(finest.shape, array.shape, scale, coarser, strict=True):
            is_odd = few > 1 and size != few and not RATIOS[0] < (after / before) / (size / few) < RATIOS[1]
            if is_odd:
                yield (
                    f"W-ZARR-LEVELS: level {level['path']} has {few} voxels where {first['path']} has {size}, but by "
                    f"their scales its voxels are {after / before:.4g} times as long. Check the voxel size."
                )
                break


def _scale(level: Mapping[str, Any], n_axes: int) -> list[float] | None:
    for step in level.get("coordinateTransformations") or []:
        numbers = step.get("scale")
        if isinstance(numbers, list) and len(numbers) == n_axes and all(float(number) > 0 for number in numbers):
            return [float(number) for number in numbers]
    return None
