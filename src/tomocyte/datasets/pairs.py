"""Which prediction belongs to which truth, and how a pair is read; serves ``tomocyte evaluate``.

To match folders by another rule, change :func:`find_pairs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.datasets.files import ITEMS, LABELS, item_folders, named_images, stem_of
from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import InputError, MetadataError, TomocyteError
from tomocyte.labels.named import named_labels, only_labels_of
from tomocyte.names import natural_key, shown_name
from tomocyte.structures import find_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tomocyte.evaluation.case import Case
    from tomocyte.evaluation.kinds import Kind
    from tomocyte.formats import ReadOptions
    from tomocyte.volume import Volume, VoxelSize

SIZE_TOLERANCE = 0.01
SEVERAL = ("W-SERIES", "W-TIFF-SERIES")
"""Notes of files with several images, of which one would be chosen silently."""


@dataclass(frozen=True)
class Pair:
    """Two files to compare, and the name they share."""

    name: str
    prediction: Path
    truth: Path


@dataclass(frozen=True)
class Pairs:
    """What was found: pairs, and names that only one side has."""

    pairs: tuple[Pair, ...]
    without_truth: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()


def find_pairs(prediction: Path, truth: Path, structure: str | None) -> Pairs:
    """Two files are a pair; in two folders, files of the same name (without the format's ending) are.

    A folder written by ``tomocyte run`` or ``tomocyte simulate`` is matched item by item, by the label image of
    ``structure``.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``, ``E-PAIR`` (a file and a folder, no name in common, or one name twice), ``E-STRUCTURE``.
    """
    sides = [_files(path, structure) for path in (prediction, truth)]
    predictions, truths = sides
    if isinstance(predictions, Path) and isinstance(truths, Path):
        return Pairs((Pair(shown_name(stem_of(truths)), predictions, truths),))
    if isinstance(predictions, Path) or isinstance(truths, Path):
        raise InputError(
            "E-PAIR", f"{prediction} and {truth} are one image and several.", cure="Give two files or two folders."
        )
    common = sorted(predictions.keys() & truths.keys(), key=natural_key)
    if not common:
        examples = f"{', '.join(sorted(predictions)[:3])} against {', '.join(sorted(truths)[:3])}"
        raise InputError(
            "E-PAIR",
            f"no file in {prediction} has the name of one in {truth}: {examples}.",
            cure="Give the files of a pair the same name; the format's ending does not count.",
        )
    return Pairs(
        tuple(Pair(name, predictions[name], truths[name]) for name in common),
        tuple(sorted(predictions.keys() - truths.keys(), key=natural_key)),
        tuple(sorted(truths.keys() - predictions.keys(), key=natural_key)),
    )


def label_images(path: Path, structure: str | None) -> dict[str, Path]:
    """The label images of a folder by name, those of a run or of simulated data by item; of a file itself.

    Parameters
    ----------
    path : Path
    structure : str or None
        Which label image of each item.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``, ``E-STRUCTURE``, ``E-PAIR`` (one name twice).
    """
    files = _files(path, structure)
    return {shown_name(stem_of(files)): files} if isinstance(files, Path) else files


def _files(path: Path, structure: str | None) -> Path | dict[str, Path]:
    """The path itself when it is one volume, else its files by name."""
    from tomocyte.datasets.inputs import find_inputs

    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    if path.is_dir() and (path / ITEMS).is_dir():
        return _of_items(path, structure)
    inputs = find_inputs([str(path)])
    if inputs == [path]:
        return path
    files: dict[str, Path] = {}
    for file in inputs:
        name = shown_name(stem_of(file))
        if name in files:
            raise InputError(
                "E-PAIR", f"{files[name].name} and {file.name} have the same name.", path=path, cure="Keep one of them."
            )
        files[name] = file
    return files


def _of_items(folder: Path, structure: str | None) -> dict[str, Path]:
    """The label image of one structure in each item of a result folder or a simulated data set."""
    paths: dict[str, Path] = {}
    structures: set[str] = set()
    for item in item_folders(folder):
        files = named_images(item / LABELS if (item / LABELS).is_dir() else item)
        files.pop(item.name, None)
        structures |= files.keys()
        name = None if structure is None else find_name(structure, files)
        if name is not None:
            paths[item.name] = files[name]
    if structure is None or not paths:
        names = ", ".join(sorted(structures)) or "none"
        problem = "no structure to compare was given" if structure is None else f"no item holds {structure!r}"
        raise InputError("E-STRUCTURE", f"{problem}.", path=folder, cure=f"Give --structure; there are: {names}.")
    return paths


@dataclass(frozen=True)
class OpenPair:
    """A pair, opened and checked; frames are read when they are needed."""

    pair: Pair
    prediction: Volume
    truth: Volume
    kind: Kind
    channels: tuple[int, int]
    voxel_size_um: VoxelSize | None

    @property
    def n_frames(self) -> int:
        """Time points."""
        return self.truth.n_frames

    @property
    def is_simulated(self) -> bool:
        """Whether either file comes from a simulation."""
        return self.truth.is_simulated or self.prediction.is_simulated

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to compare the two: ``W-ORIENTATION``, ``W-POSITION``, ``W-PAIR-OPTION``, ``W-PAIR-LABELS``."""
        codes = ("W-ORIENTATION", "W-POSITION", "W-PAIR-OPTION", "W-PAIR-LABELS")
        return tuple(note for note in self.prediction.notes if note.startswith(codes))

    def cases(self) -> Iterator[Case]:
        """One case per frame."""
        from tomocyte.evaluation.case import Case
        from tomocyte.evaluation.kinds import as_labels

        for frame in range(self.n_frames):
            truth = as_labels(self.truth.planes(frame, self.channels[1]), name=str(self.pair.truth))
            values = self.prediction.planes(frame, self.channels[0])
            is_probability = self.kind == "probability"
            yield Case(
                self.pair.name,
                self.pair.name,
                truth,
                None if is_probability else as_labels(values, name=str(self.pair.prediction)),
                _checked(values, str(self.pair.prediction)) if is_probability else None,
                self.voxel_size_um,
                frame,
                self.is_simulated,
            )


def open_pair(pair: Pair, options: ReadOptions, *, channel: int | None, structure: str | None) -> OpenPair:
    """Open both files and see that they can be compared.

    Raises
    ------
    InputError
        ``E-SHAPE``, ``E-CHANNEL``, ``E-NAN``, ``E-LABELS-TYPE``.
    MetadataError
        ``E-VOXEL-SIZE``: the two files disagree; ``E-ORIENTATION``: one is rotated against the other.
    """
    prediction, truth = _open_both(pair, options)
    prediction = oriented_like(prediction, truth)
    ours, theirs = (prediction.n_frames, *prediction.spatial_shape), (truth.n_frames, *truth.spatial_shape)
    if ours != theirs:
        raise InputError(
            "E-SHAPE",
            f"prediction (T, Z, Y, X) = {ours} and truth {theirs} ({pair.truth}) differ in shape.",
            path=pair.prediction,
            cure="Resample one to the grid of the other, or name the axes with --axes if they were read wrongly.",
        )
    channels = (channel_of(prediction, channel, structure), channel_of(truth, channel, structure))
    if structure is not None:
        prediction, truth = _only_labels_of(structure, (prediction, truth), channels)
    kind = _kind(prediction, channels[0], str(pair.prediction))
    return OpenPair(pair, prediction, truth, kind, channels, _voxel_size(prediction, truth))


def _only_labels_of(structure: str, volumes: tuple[Volume, Volume], channels: tuple[int, int]) -> tuple[Volume, Volume]:
    """Of files that name their labels only those of the structure; a note where only one file names them."""
    ours, theirs = (
        only_labels_of(structure, volume, channel=channel) for volume, channel in zip(volumes, channels, strict=True)
    )
    is_selected = [one is not volume for one, volume in zip((ours, theirs), volumes, strict=True)]
    if any(is_selected) and not all(is_selected):
        named, other = (theirs, ours) if is_selected[1] else (ours, theirs)
        names = ", ".join(one.name for one in named.label_names)
        paths = [shown_name(one.path.name) if one.path is not None else "the array" for one in (named, other)]
        note = f"W-PAIR-LABELS: of {paths[0]} only {names} is compared, of {paths[1]}, which names none, all labels."
        ours = ours.with_properties(notes=(*ours.notes, note))
    return ours, theirs


def _open_both(pair: Pair, options: ReadOptions) -> tuple[Volume, Volume]:
    """Both files; a name of an image, or axes, that only one of them can have are used for that one, with a note."""
    (prediction, without, refusal), (truth, truth_without, _) = (
        _open_as_far_as_it_fits(path, options) for path in (pair.prediction, pair.truth)
    )
    if refusal is not None and without & truth_without:  # fits neither
        raise refusal
    notes = [
        f"W-PAIR-OPTION: --{name} is not used for {shown_name(path.name)}, which has one image and its own axes."
        for path, names in ((pair.prediction, without), (pair.truth, truth_without))
        for name in sorted(names)
    ]
    return prediction.with_properties(notes=(*prediction.notes, *notes)), truth


def _open_as_far_as_it_fits(
    path: Path, options: ReadOptions
) -> tuple[Volume, frozenset[str], InputError | MetadataError | None]:
    """A file, the options that were left out because it has another image or axes, and its refusal of them."""
    from tomocyte.formats import read_volume

    try:
        return read_volume(path, options, is_size_required=False), frozenset(), None
    except (InputError, MetadataError) as problem:
        if not problem.code.endswith(("DATASET", "E-AXES")):
            raise
        given = [name for name in ("dataset", "axes") if getattr(options, name) is not None]
        for names in ([[name] for name in given] + [given])[: 2 * len(given) - 1]:
            try:
                volume = read_volume(path, replace(options, **dict.fromkeys(names)), is_size_required=False)
            except TomocyteError:
                continue
            if not any(note.startswith(SEVERAL) for note in volume.notes):
                return volume, frozenset(names), problem
        raise


def channel_of(volume: Volume, channel: int | None, structure: str | None) -> int:
    """The channel of a file of masks: the only one, the one given, or the one named like the structure.

    Raises
    ------
    InputError
        ``E-CHANNEL`` with those that there are.
    """
    if volume.n_channels == 1:
        return 0
    if channel is not None and channel < volume.n_channels:
        return channel
    layers = set() if structure is None else {one.channel for one in named_labels(structure, volume.label_names)}
    if channel is None and len(layers) == 1:
        return layers.pop()
    name = None if structure is None else find_name(structure, volume.channel_names)
    if channel is None and name is not None and volume.channel_names.count(name) == 1:
        return volume.channel_names.index(name)
    names = ", ".join(volume.channel_names) or f"0 to {volume.n_channels - 1}"
    raise InputError(
        "E-CHANNEL",
        f"{volume.n_channels} channels, and it is not clear which to take.",
        path=volume.path,
        cure=f"Give --channel N, or --structure with a channel's name; there are: {names}.",
    )


def _kind(volume: Volume, channel: int, name: str) -> Kind:
    """Labels or probabilities, from the first frame that decides."""
    from tomocyte.evaluation.kinds import kind_of

    kind: Kind = "labels"
    for frame in range(volume.n_frames):
        kind = kind_of(volume.planes(frame, channel), volume.quantity, name=name)
        if kind != "whole numbers":
            break
    return kind


def _checked(values: NDArray[Any], name: str) -> NDArray[Any]:
    """A frame of probabilities, checked."""
    from tomocyte.evaluation.kinds import kind_of

    kind_of(values, "probability", name=name)
    return values


def _voxel_size(prediction: Volume, truth: Volume) -> VoxelSize | None:
    """The size both files agree on, or the only one given."""
    ours, theirs = prediction.voxel_size_um, truth.voxel_size_um
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    for size, true_size in zip(ours, theirs, strict=True):
        is_comparable = not (math.isnan(size) or math.isnan(true_size))
        if is_comparable and abs(size - true_size) > SIZE_TOLERANCE * true_size:
            raise MetadataError(
                "E-VOXEL-SIZE",
                f"prediction {ours} and truth {theirs} differ in voxel size (z, y, x in um).",
                path=prediction.path,
                cure="Give the right one for both with --voxel-size-um Z Y X (2-D: --pixel-size-um Y X).",
            )
    z, y, x = theirs
    return (ours[0] if math.isnan(z) else z), y, x
