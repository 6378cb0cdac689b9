"""Label images of several annotators in files: pairwise scores, one consensus in several forms, who is how reliable.

What a consensus is stands in ``agreement/``; here is what files need around it. To write another form of consensus, add
it to :data:`FORMS` and to :func:`_forms`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tomocyte.agreement import (
    UNDECIDED,
    Patterns,
    Staple,
    StapleSettings,
    agreed,
    count_patterns,
    group_objects,
    label_values,
    majority,
    reliability,
    staple,
    staple_objects,
)
from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import InputError
from tomocyte.evaluation.counts import MaskCounts
from tomocyte.evaluation.kinds import as_labels
from tomocyte.evaluation.matching import overlap_table, score_overlaps
from tomocyte.evaluation.surface import surface_distances
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.labels.dtypes import label_dtype, refit
from tomocyte.ledger import PublishedFiles, claim_folder
from tomocyte.names import shown_name
from tomocyte.progress import silent
from tomocyte.provenance import environment, now_utc, sha256_of_path
from tomocyte.settings import Settings
from tomocyte.structures import canonical_name
from tomocyte.tables import Column, data_dictionary, table_from_rows, write_csv, write_parquet
from tomocyte.volume import LabelName, Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

FORMS: Final = ("majority", "staple", "agreed")
RECORD: Final = "consensus.json"
_NAMES = (
    Column("label", "1", "Label; objects of all numbers together are label 1.", kind="integer"),
    Column("name", "", "Name of the label, where a file has one.", kind="text"),
)
PAIR_COLUMNS: Final = (
    Column("first", "", "One annotator.", kind="text"),
    Column("second", "", "The other one.", kind="text"),
    *_NAMES,
    Column("n_voxels_first", "1", "Voxels with this label of the first annotator.", kind="integer"),
    Column("n_voxels_second", "1", "Voxels with this label of the second annotator.", kind="integer"),
    Column("dice", "1", "2 |A ∩ B| / (|A| + |B|).", "Neither has the label."),
    Column("jaccard", "1", "|A ∩ B| / |A ∪ B|.", "Neither has the label."),
    Column("hd95_um", "µm", "95th percentile of the distances between the surfaces.", "No voxel size, one is empty."),
    Column("assd_um", "µm", "Mean distance between the surfaces.", "No voxel size, or one is empty."),
    Column("n_objects_first", "1", "Objects of the first annotator.", "Classes are compared."),
    Column("n_objects_second", "1", "Objects of the second annotator.", "Classes are compared."),
    Column("object_f1", "1", "2 TP / (2 TP + FP + FN) of objects that overlap by the least IoU.", "Classes, or none."),
    Column("mean_matched_iou", "1", "Mean IoU of these objects.", "Classes are compared, or none match."),
)
ANNOTATOR_COLUMNS: Final = (
    Column("annotator", "", "Name of the file.", kind="text"),
    *_NAMES,
    Column(
        "sensitivity", "1", "p of STAPLE: share of the voxels that truly have the label that were given it.", "None."
    ),
    Column("specificity", "1", "q of STAPLE: share of the voxels without the label that were not given it.", "None."),
    Column(
        "precision", "1", "Share of the voxels given the label that truly have it, by STAPLE.", "None was given it."
    ),
)


class ConsensusSettings(Settings):
    """How label images of several annotators become one."""

    kind: Literal["classes", "instances"] | None = None
    """Whether a number means the same in all files, or is an object of one file; ``None``: as the files say."""
    min_agreement: float = Field(default=1.0, gt=0.5, le=1.0)
    """Share of the annotators who must agree on a voxel, so that it is not ignored."""
    min_iou: float = Field(default=0.5, ge=0.0, le=1.0)
    """Overlap (IoU) from which objects of two annotators are the same."""
    is_surface_scored: bool = True
    """Whether distances between surfaces are computed."""
    staple: StapleSettings = Field(default_factory=StapleSettings)
    """When STAPLE ends."""


@dataclass(frozen=True)
class Annotation:
    """The labels of one annotator, read plane by plane.

    Parameters
    ----------
    name : str
    volume : Volume
    numbers : mapping, optional
        Label in the file -> common number; as they are where not given.
    """

    name: str
    volume: Volume
    numbers: Mapping[int, int] | None = None

    def plane(self, index: int) -> NDArray[Any]:
        """Labels (Y, X) of one plane in common numbers."""
        plane = as_labels(self.volume.planes(0, 0, index, index + 1)[0], name=str(self.volume.path))
        if self.numbers is None:
            return plane
        lookup = np.zeros(max([0, *self.numbers]) + 1, label_dtype(max([0, *self.numbers.values()])))
        lookup[list(self.numbers)] = list(self.numbers.values())
        found: NDArray[Any] = lookup[plane]
        return found

    def planes(self) -> Iterator[NDArray[Any]]:
        """All planes."""
        return (self.plane(index) for index in range(self.volume.spatial_shape[0]))

    def whole(self) -> NDArray[Any]:
        """All labels (Z, Y, X) in the smallest type that holds them."""
        labels = np.zeros(self.volume.spatial_shape, np.uint32)
        for index, plane in enumerate(self.planes()):
            labels[index] = plane
        return refit(labels)


@dataclass(frozen=True)
class ConsensusPlanes:
    """Planes of a consensus, computed when they are read; picklable."""

    annotations: tuple[Annotation, ...]
    patterns: Patterns
    results: NDArray[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:  # noqa: ARG002
        """Planes (z_stop - z_start, Y, X)."""
        return np.stack(
            [
                self.patterns.look_up([one.plane(index) for one in self.annotations], self.results)
                for index in range(z_start, z_stop)
            ]
        )


@dataclass(frozen=True)
class Consensus:
    """What came out.

    Parameters
    ----------
    kind : str
        ``classes`` or ``instances``.
    names : mapping
        Label -> name, of those that have one.
    pairs, annotators : DataFrame
    n_voxels, n_labelled, n_unanimous, n_ignored : int
        Voxels; those that anybody gave a label; of these, those that all gave the same; and those that are ignored.
    ignore_label : int
    volumes : mapping
        Form -> label image, computed when read.
    is_converged : bool
        Whether STAPLE came to an end.
    notes : tuple of str
    files : tuple of str
        What was written.
    """

    kind: str
    names: Mapping[int, str]
    pairs: pd.DataFrame
    annotators: pd.DataFrame
    n_voxels: int
    n_labelled: int
    n_unanimous: int
    n_ignored: int
    ignore_label: int
    volumes: Mapping[str, Volume]
    is_converged: bool
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def consensus_of_files(
    paths: Sequence[Path],
    output: Path | None = None,
    settings: ConsensusSettings | None = None,
    *,
    options: ReadOptions | None = None,
    callback: Callable[[int, int], None] = silent,
) -> Consensus:
    """Compare the labels of several annotators and make one label image of them.

    Parameters
    ----------
    paths : sequence of Path
        Two label images or more, of one frame and channel each, on the same grid.
    output : Path, optional
        Folder for the label images, tables and the record; nothing is written without it.
    settings : ConsensusSettings, optional
    options : ReadOptions, optional
        What the user says about all files.
    callback : callable
        Called with the number of steps done and of all.

    Raises
    ------
    InputError
        ``E-CONSENSUS-FILES``: fewer than two, or one twice. ``E-CONSENSUS-AXES``, ``E-CONSENSUS-KIND``,
        ``E-CONSENSUS-NAMES``, ``E-SHAPE``, ``E-LABELS-TYPE``.
    OutputError
        ``E-OUT-FOREIGN`` and others: the folder cannot be used.
    """
    rules = settings or ConsensusSettings()
    annotations = _open(paths, options or ReadOptions())
    values = [label_values(one.planes()) for one in annotations]
    kind = rules.kind or _kind(annotations, values)
    n_steps = math.comb(len(paths), 2) + 2
    callback(1, n_steps)
    notes = tuple(f"{one.name}: {note}" for one in annotations for note in one.volume.notes if note.startswith("W-"))
    if len(paths) == 2:
        notes += ("W-CONSENSUS-TWO: of two annotators none outvotes the other; where they differ, nobody decides.",)
    names: tuple[LabelName, ...] = ()
    rows: list[dict[str, Any]] = []
    if kind == "classes":
        annotations, names = _with_common_numbers(annotations, values)
    else:
        annotations, rows = _with_common_objects(annotations, values, rules, partial(_step, callback, n_steps))
    patterns = _patterns(annotations)
    if kind == "classes":
        rows = _class_rows(annotations, patterns, rules, partial(_step, callback, n_steps))
    results, estimate = _forms(patterns, kind, rules)
    ignore_label = _ignore_label(int(patterns.values[-1]))
    texts = {one.value: one.name for one in names}
    is_background = (patterns.places == 0).all(axis=1)
    is_same = (patterns.places == patterns.places[:, :1]).all(axis=1)
    found = Consensus(
        kind=kind,
        names=texts,
        pairs=table_from_rows([{**row, "name": texts.get(row["label"], "")} for row in rows], PAIR_COLUMNS),
        annotators=table_from_rows(_annotator_rows(annotations, patterns, estimate, kind, texts), ANNOTATOR_COLUMNS),
        n_voxels=int(patterns.counts.sum()),
        n_labelled=int(patterns.counts[~is_background].sum()),
        n_unanimous=int(patterns.counts[~is_background & is_same].sum()),
        n_ignored=int(patterns.counts[results["agreed"] == UNDECIDED].sum()),
        ignore_label=ignore_label,
        volumes={form: _volume(annotations, patterns, results[form], ignore_label, names) for form in FORMS},
        is_converged=estimate.is_converged,
        notes=notes,
    )
    if output is not None:
        files, aside = _write(output, found, paths, rules)
        found = replace(found, files=files, notes=(*found.notes, *aside))
    callback(n_steps, n_steps)
    return found


def _step(callback: Callable[[int, int], None], n_steps: int, n_done: int) -> None:
    callback(1 + n_done, n_steps)


def _open(paths: Sequence[Path], options: ReadOptions) -> tuple[Annotation, ...]:
    if len(paths) < 2 or len({path.resolve() for path in paths}) < len(paths):
        raise InputError(
            "E-CONSENSUS-FILES",
            f"{len(paths)} label images are given, {len({path.resolve() for path in paths})} different ones.",
            cure="Give the label images of two annotators or more, each once.",
        )
    opened: list[Volume] = []
    for path in paths:
        volume = read_volume(path, options, is_size_required=False)
        if volume.n_frames > 1 or volume.n_channels > 1:
            raise InputError(
                "E-CONSENSUS-AXES",
                f"contains {volume.n_frames} frames and {volume.n_channels} channels; one of each can be compared.",
                path=path,
                cure="Save one frame of one channel as its own file.",
            )
        first = opened[0] if opened else volume
        turned = oriented_like(volume, first) if opened else volume
        if turned.spatial_shape != first.spatial_shape:
            raise InputError(
                "E-SHAPE",
                f"has {turned.spatial_shape} voxels (z, y, x), {shown_name(paths[0].name)} has {first.spatial_shape}.",
                path=path,
                cure="Give label images of one image, on one grid.",
            )
        opened.append(turned)
    is_clear = len({path.name for path in paths}) == len(paths)
    labels = [shown_name(path.name if is_clear else path) for path in paths]
    return tuple(Annotation(name, volume) for name, volume in zip(labels, opened, strict=True))


def _kind(annotations: Sequence[Annotation], values: Sequence[NDArray[np.int64]]) -> str:
    """Classes where all labels have names, or are one and the same; else nobody but the user knows."""
    own = [{one.value for one in each.volume.label_names} for each in annotations]
    is_named = all(set(found[1:].tolist()) <= named for found, named in zip(values, own, strict=True))
    together = {value for found in values for value in found[1:].tolist()}
    if is_named or len(together) <= 1:
        return "classes"
    raise InputError(
        "E-CONSENSUS-KIND",
        f"the files hold {len(together)} labels up to {max(together)} without names, which may be classes or objects.",
        cure="Add --classes if a number means the same in all files, --instances if each number is one object.",
    )


def _with_common_numbers(
    annotations: Sequence[Annotation], values: Sequence[NDArray[np.int64]]
) -> tuple[tuple[Annotation, ...], tuple[LabelName, ...]]:
    """Classes of one name under one number, and the names; numbers as they are where no file has names."""
    by_name: dict[str, LabelName] = {}
    taken: dict[int, str] = {}
    numbered = []
    for each, found in zip(annotations, values, strict=True):
        names = {one.value: one for one in each.volume.label_names}
        numbers: dict[int, int] = {}
        for value in found[1:].tolist():
            if value not in names:
                if value in taken:
                    raise _ambiguous(each, value, taken[value])
                numbers[value] = value
                continue
            key = canonical_name(names[value].name)
            if key not in by_name:
                number = value if value not in taken else max(taken) + 1
                by_name[key] = LabelName(number, names[value].name, names[value].colour)
                taken[number] = names[value].name
            numbers[value] = by_name[key].value
        numbered.append(Annotation(each.name, each.volume, numbers))
    unnamed = {n for each in numbered for v, n in (each.numbers or {}).items() if n not in taken}
    clash = unnamed & set(taken)
    if by_name and (unnamed or clash):
        raise _ambiguous(annotations[0], min(unnamed), "")
    return tuple(numbered), tuple(sorted(by_name.values(), key=lambda one: one.value))


def _ambiguous(annotation: Annotation, value: int, name: str) -> InputError:
    other = f"which another file calls {name!r}" if name else "and other files have names"
    return InputError(
        "E-CONSENSUS-NAMES",
        f"has no name for label {value}, {other}.",
        path=annotation.volume.path,
        cure="Give names for all files with --label-table, or remove them from all.",
    )


def _with_common_objects(
    annotations: Sequence[Annotation],
    values: Sequence[NDArray[np.int64]],
    rules: ConsensusSettings,
    step: Callable[[int], None],
) -> tuple[tuple[Annotation, ...], list[dict[str, Any]]]:
    """Objects under common numbers, and a row for each pair of annotators; two label images are in memory at a time."""
    tables, rows = {}, []
    for number, (first, second) in enumerate(combinations(range(len(annotations)), 2)):
        one, other = annotations[first].whole(), annotations[second].whole()
        table = tables[first, second] = overlap_table(one, other)
        scores = score_overlaps(table, min_iou=rules.min_iou)
        rows.append(
            {
                "first": annotations[first].name,
                "second": annotations[second].name,
                "label": 1,
                **_mask_row(one > 0, other > 0, annotations[first].volume.voxel_size_um, rules),
                "n_objects_first": scores.n_truth,
                "n_objects_second": scores.n_prediction,
                "object_f1": scores.f1,
                "mean_matched_iou": scores.mean_matched_iou,
            }
        )
        step(number + 1)
    groups = group_objects(tables, [found[1:].tolist() for found in values], min_iou=rules.min_iou)
    return tuple(
        Annotation(each.name, each.volume, numbers) for each, numbers in zip(annotations, groups.numbers, strict=True)
    ), rows


def _mask_row(
    one: NDArray[np.bool_], other: NDArray[np.bool_], size: VoxelSize | None, rules: ConsensusSettings
) -> dict[str, Any]:
    counts = MaskCounts(int((one & other).sum()), int((~one & other).sum()), int((one & ~other).sum()), 0)
    return {
        "n_voxels_first": int(one.sum()),
        "n_voxels_second": int(other.sum()),
        "dice": counts.dice,
        "jaccard": counts.jaccard,
        **_surface_row(one, other, size, rules),
    }


def _surface_row(
    one: NDArray[np.bool_], other: NDArray[np.bool_], size: VoxelSize | None, rules: ConsensusSettings
) -> dict[str, Any]:
    if size is None or not rules.is_surface_scored or not (one.any() and other.any()):
        return {"hd95_um": math.nan, "assd_um": math.nan}
    distances = surface_distances(one, other, voxel_size_um=size)
    return {"hd95_um": distances.hd95_um, "assd_um": distances.assd_um}


def _patterns(annotations: Sequence[Annotation]) -> Patterns:
    values = np.array(
        sorted({0, *(number for one in annotations for number in (one.numbers or {}).values())}), np.int64
    )
    depth = annotations[0].volume.spatial_shape[0]
    return count_patterns(([one.plane(index) for one in annotations] for index in range(depth)), values)


def _class_rows(
    annotations: Sequence[Annotation], patterns: Patterns, rules: ConsensusSettings, step: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Rows for each pair of annotators and label; overlaps are in the table of combinations already."""
    rows = []
    size = annotations[0].volume.voxel_size_um
    is_measured = size is not None and rules.is_surface_scored
    for number, (first, second) in enumerate(combinations(range(len(annotations)), 2)):
        table = patterns.confusion(first, second)
        wholes = [annotations[place].whole() for place in (first, second)] if is_measured else []
        for place in range(1, len(patterns.values)):
            n_both, n_first, n_second = int(table[place, place]), int(table[place].sum()), int(table[:, place].sum())
            counts = MaskCounts(n_both, n_second - n_both, n_first - n_both, 0)
            value = int(patterns.values[place])
            masks = [whole == value for whole in wholes] or [np.zeros(1, np.bool_)] * 2
            rows.append(
                {
                    "first": annotations[first].name,
                    "second": annotations[second].name,
                    "label": value,
                    "n_voxels_first": n_first,
                    "n_voxels_second": n_second,
                    "dice": counts.dice,
                    "jaccard": counts.jaccard,
                    **_surface_row(masks[0], masks[1], size, rules),
                    **dict.fromkeys(("n_objects_first", "n_objects_second", "object_f1", "mean_matched_iou"), math.nan),
                }
            )
        step(number + 1)
    return rows


def _forms(patterns: Patterns, kind: str, rules: ConsensusSettings) -> tuple[dict[str, NDArray[np.int64]], Staple]:
    """Labels of each combination by form, and what STAPLE estimated."""
    if kind == "instances":
        labels, estimate = staple_objects(patterns, rules.staple)
    else:
        estimate = staple(patterns, rules.staple)
        labels = estimate.labels(patterns)
    votes = {"majority": majority(patterns), "agreed": agreed(patterns, min_agreement=rules.min_agreement)}
    return {**votes, "staple": labels}, estimate


def _annotator_rows(
    annotations: Sequence[Annotation], patterns: Patterns, estimate: Staple, kind: str, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    values = [0, 1] if kind == "instances" else patterns.values.tolist()
    rows = []
    for annotator, one in enumerate(annotations):
        for place, value in enumerate(values[1:], 1):
            sensitivity, specificity, precision = reliability(estimate, annotator, place)
            numbers = {"sensitivity": sensitivity, "specificity": specificity, "precision": precision}
            rows.append({"annotator": one.name, "label": value, "name": names.get(value, ""), **numbers})
    return rows


def _ignore_label(largest: int) -> int:
    """A value above all labels: 255, else 65,535, else the next one."""
    return next((value for value in (255, 65_535) if largest < value), largest + 1)


def _volume(
    annotations: tuple[Annotation, ...],
    patterns: Patterns,
    results: NDArray[np.int64],
    ignore_label: int,
    names: tuple[LabelName, ...],
) -> Volume:
    first = annotations[0].volume
    dtype = np.dtype(label_dtype(ignore_label))
    planes = ConsensusPlanes(annotations, patterns, np.where(results == UNDECIDED, ignore_label, results).astype(dtype))
    ignored = (LabelName(ignore_label, "ignored", "#808080"),) if names and (results == UNDECIDED).any() else ()
    return Volume(
        shape=(1, 1, *first.spatial_shape),
        dtype=dtype,
        read_planes=planes,
        voxel_size_um=first.voxel_size_um,
        quantity="labels",
        unit="1",
        label_names=(*names, *ignored),
        origin={name: origin for name, origin in first.origin.items() if name == "voxel_size_um"},
        affine=first.affine,
        affine_unit=first.affine_unit,
    )


def _write(
    output: Path, found: Consensus, paths: Sequence[Path], rules: ConsensusSettings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Label images, tables with their dictionary and the record, each whole or not at all; and what was put aside."""
    claim_folder(output, "consensus", own=(RECORD,))
    published = PublishedFiles(output)
    names = [f"{form}.ome.tif" for form in FORMS]
    for form, name in zip(FORMS, names, strict=True):
        volume = found.volumes[form]
        published.publish(name, partial(write_volume, volume=volume, format_name="tiff"))
    for name, table in (("pairs", found.pairs), ("annotators", found.annotators)):
        published.publish(f"{name}.csv", partial(write_csv, table))
        published.publish(f"{name}.parquet", partial(write_parquet, table))
    columns = dict.fromkeys((*PAIR_COLUMNS, *ANNOTATOR_COLUMNS))
    published.publish("consensus.dictionary.csv", partial(write_csv, data_dictionary(columns)))
    record = {
        "annotators": [{"name": shown_name(path.name), "sha256": sha256_of_path(path)} for path in paths],
        "kind": found.kind,
        "settings": rules.model_dump(mode="json"),
        "ignore_label": found.ignore_label,
        "n_voxels": found.n_voxels,
        "n_labelled": found.n_labelled,
        "n_unanimous": found.n_unanimous,
        "n_ignored": found.n_ignored,
        "is_staple_converged": found.is_converged,
        "notes": list(found.notes),
        "made": now_utc(),
        "environment": environment(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    published.publish(RECORD, lambda path: path.write_text(text, encoding="utf-8"))
    aside = [f"{name} was changed or added by somebody; that file is now {kept}." for name, kept in published.kept]
    return (*names, "pairs.csv", "annotators.csv", RECORD), tuple(aside)
