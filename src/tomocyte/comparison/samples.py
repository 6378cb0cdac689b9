"""Samples of labelled images scored: as the network sees them, pixel by pixel, or at their own size, object by object.

:func:`score_samples` is what comparisons call. To judge by another kind of truth, add it to :func:`truth_of`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.comparison.score import Field, Predictor, score_model
from tomocyte.evaluation import ScoreSettings, ScoreTable
from tomocyte.modalities import modality
from tomocyte.segmentation.prediction.objects import instances_from_probability
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.structures import structure
from tomocyte.training.data.samples import Place, Samples, Target, resample_pair
from tomocyte.training.data.settings import IGNORE, DataSettings
from tomocyte.training.data.targets import output_names
from tomocyte.training.recipe import TestSet
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import torch

Kind = Literal["pixels", "instances"]
Probability = NDArray[np.float32]
METRICS: dict[Kind, tuple[str, ...]] = {
    "pixels": ("dice", "jaccard", "f05", "f05_as_published", "auc_pr", "precision", "recall", "pixel_accuracy"),
    "instances": (
        "dice", "jaccard", "precision", "recall", "instance_f1_iou50", "hungarian_dice", "instance_pq_iou50",
        "n_true_objects", "n_predicted_objects",
    ),
}  # fmt: skip
STORED_NAMES = {
    "auc_pr": "pr_auc",
    "instance_f1_iou50": "f1",
    "hungarian_dice": "matched_dice",
    "instance_pq_iou50": "panoptic_quality",
    "n_true_objects": "n_truth",
    "n_predicted_objects": "n_prediction",
}
"""Metric -> its name in the tables and files of comparisons and on cards."""
OF_IMAGES: dict[Kind, tuple[str, ...]] = {
    "pixels": ("dice", "jaccard", "precision", "recall"),
    "instances": METRICS["instances"],
}
"""Metrics that stand in a row per image."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample of a set: a section or a volume.

    Parameters
    ----------
    samples : Samples
    index : int
    """

    samples: Samples
    index: int

    @property
    def place(self) -> Place:
        """Item, frame and plane."""
        return self.samples.places[self.index]

    @property
    def volume(self) -> Volume:
        """The image it belongs to."""
        return self.samples.volume(self.place.item)[0]


@dataclass(frozen=True, eq=False)
class Stack:
    """The sections of one frame that are labelled and between labelled ones, as a 2-D network sees them.

    Parameters
    ----------
    samples : Samples
        Sections of stacks.
    indices : tuple of int
        Of the sections, in order of z without a gap.
    """

    samples: Samples
    indices: tuple[int, ...]

    @property
    def place(self) -> Place:
        """Item, frame and first plane."""
        return self.samples.places[self.indices[0]]


def stacks_of(samples: Samples) -> list[Stack]:
    """The frames of which every section between the first and the last that shows an object is a sample.

    Others are labelled here and there, so that it is not known where their objects end.
    """
    frames: dict[tuple[int, int], list[int]] = {}
    for index, place in enumerate(samples.places):
        frames.setdefault((place.item, place.frame), []).append(index)
    stacks = [
        Stack(samples, tuple(sorted(indices, key=lambda index: samples.places[index].z))) for indices in frames.values()
    ]
    return [
        stack
        for stack in stacks
        if samples.places[stack.indices[-1]].z - stack.place.z == len(stack.indices) - 1
        and samples.items[stack.place.item].ignore_label is None
    ]


def score_stacks(stacks: Sequence[Stack], module: torch.nn.Module, *, is_softmax: bool) -> ScoreTable:
    """Compare the objects that a 2-D network finds in whole stacks with the labels."""
    from tomocyte.training.predictions import predict_sample

    def predict(stack: Stack) -> dict[str, NDArray[Any]]:
        parts = [predict_sample(module, stack.samples, index, is_softmax=is_softmax) for index in stack.indices]
        return {stack.samples.settings.structures[0]: objects_of_stack(stack, parts)}

    settings = ScoreSettings(is_curve_exact=False, is_group_pooled=False, min_ious=(0.5,))
    return score_model(predict, map(_stack_field, stacks), settings=settings, metrics=METRICS["instances"])


def _stack_field(stack: Stack) -> Field[Stack]:
    place = stack.place
    image, labels = stack.samples.volume(place.item)
    name = stack.samples.settings.structures[0]
    volume = labels[name]
    planes = (place.z, place.z + len(stack.indices))
    truth = np.zeros((1, 1, 1), np.uint8) if volume is None else volume.planes(place.frame, 0, *planes)
    item = stack.samples.items[place.item]
    frame = f"-t{place.frame:03d}" if image.n_frames > 1 else ""
    return Field(f"{item.name}{frame}", item.group, stack, {name: truth}.__getitem__, is_simulated=image.is_simulated)


def score_samples(
    samples: Samples, predict: Predictor[Sample], *, kind: Kind = "pixels", test: TestSet | None = None
) -> ScoreTable:
    """Compare what a method gives for every sample with its truth.

    Parameters
    ----------
    samples : Samples
    predict : callable
        From a :class:`Sample` to structure -> array (\\*S): with ``pixels`` masks or probabilities at the network's
        pixel size, with ``instances`` labels (Z, Y, X) at the image's own.
    kind : {"pixels", "instances"}
    test : TestSet, optional
        Chooses the truth; by default the labels.
    """
    fields = pixel_fields(samples, test) if kind == "pixels" else object_fields(samples)
    settings = ScoreSettings(is_curve_exact=False, is_group_pooled=False, min_ious=(0.5,))
    return score_model(predict, fields, settings=settings, metrics=METRICS[kind])


def pixel_fields(samples: Samples, test: TestSet | None = None) -> Iterator[Field[Sample]]:
    """Every sample at the network's pixel size, with its outputs as structures."""
    names = output_names(samples.settings)
    for index in range(len(samples)):
        truth = dict(zip(names, truth_of(samples, index, test), strict=True))
        yield _field(samples, index, truth, ignored=IGNORE)


def object_fields(samples: Samples) -> Iterator[Field[Sample]]:
    """Every sample's whole frame at its own size, with the labels of the first structure."""
    name = samples.settings.structures[0]
    for index, place in enumerate(samples.places):
        labels = samples.volume(place.item)[1][name]
        truth = np.zeros((1, 1, 1), np.uint8) if labels is None else labels.planes(place.frame, 0)
        yield _field(samples, index, {name: truth}, ignored=None)


def _field(samples: Samples, index: int, truth: dict[str, NDArray[Any]], *, ignored: int | None) -> Field[Sample]:
    sample = Sample(samples, index)
    is_simulated = sample.volume.is_simulated
    return Field(
        samples.name(index),
        samples.groups[index],
        sample,
        truth.__getitem__,
        ignored=ignored,
        is_simulated=is_simulated,
    )


def summary_of(table: ScoreTable, kind: Kind) -> dict[str, float]:
    """The scores of one method on one set of samples, by the names that comparisons store.

    With ``pixels``, ``dice`` is the mean over images and outputs, as the paper's, and the others are of all their
    pixels pooled; with ``instances`` all are means over images. Means leave out images without a value.
    """
    n_images = float(len(table.unique("item")))
    if kind == "instances":
        names = [name for name in METRICS[kind] if not name.startswith("n_")]
        return {**{_stored(name): _mean(table.values(name)) for name in names}, "n_images": n_images}
    pooled = table.pooled()
    scores = {_stored(name): float(pooled[name]) for name in METRICS[kind] if name in pooled}
    return {**scores, "dice": _mean(table.values("dice")), "n_images": n_images}


def image_rows(table: ScoreTable, kind: Kind) -> list[dict[str, Any]]:
    """A row per sample and output, by the names that comparisons store."""
    return [
        {
            "image": row["item"],
            "group": row["group"],
            "output": row["structure"],
            **{_stored(name): row[name] for name in OF_IMAGES[kind]},
        }
        for row in table.rows
    ]


def _stored(name: str) -> str:
    return STORED_NAMES.get(name, name)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def network_predictor(module: torch.nn.Module, *, is_softmax: bool, kind: Kind = "pixels") -> Predictor[Sample]:
    """The method of a network: its probabilities at its own pixel size, or objects at the image's.

    Parameters
    ----------
    module : torch.nn.Module
    is_softmax : bool
        Whether its first output is the background.
    kind : {"pixels", "instances"}
        Objects come from its mask and core, or its mask alone.
    """
    from tomocyte.training.predictions import predict_sample

    def predict(sample: Sample) -> dict[str, NDArray[Any]]:
        probability = predict_sample(module, sample.samples, sample.index, is_softmax=is_softmax)
        if kind == "instances":
            return {sample.samples.settings.structures[0]: objects_of(sample, probability)}
        return dict(zip(output_names(sample.samples.settings), probability, strict=True))

    return predict


def objects_of(sample: Sample, probability: Probability) -> NDArray[Any]:
    """Objects (Z, Y, X) of one sample at the image's own size, from its mask and core (or its mask alone)."""
    full = probability[:, np.newaxis] if sample.samples.n_axes == 2 else probability
    return _objects(_at_shape(full, sample.volume.spatial_shape), sample.volume, sample.samples.settings)


def objects_of_stack(stack: Stack, probabilities: Sequence[Probability]) -> NDArray[Any]:
    """Objects (Z, Y, X) of the sections of one frame together, as a run of a 2-D network on a stack finds them.

    Parameters
    ----------
    stack : Stack
    probabilities : sequence of ndarray (K, Y, X), float32
        Of its sections, at the network's pixel size.
    """
    volume = stack.samples.volume(stack.place.item)[0]
    shape = (1, *volume.spatial_shape[1:])
    full = [_at_shape(probability[:, np.newaxis], shape) for probability in probabilities]
    return _objects(np.concatenate(full, axis=1), volume, stack.samples.settings)


def _at_shape(probability: Probability, shape: tuple[int, ...]) -> Probability:
    from skimage.transform import resize

    back = [resize(head, shape, order=1, mode="edge", anti_aliasing=False) for head in probability]
    return np.stack(back).astype(np.float32)


def _objects(probability: Probability, volume: Volume, settings: DataSettings) -> NDArray[Any]:
    clean = modality(settings.modality).segmentation.clean
    entry = structure(settings.structures[0])
    instances = InstanceSettings(
        min_area_um2=entry.smallest_um2 if clean.min_area_um2 is None else clean.min_area_um2,
        min_volume_um3=entry.smallest_um3 if clean.min_volume_um3 is None else clean.min_volume_um3,
    )
    return instances_from_probability(probability, volume.require_voxel_size(), instances)


def truth_of(samples: Samples, index: int, test: TestSet | None) -> Target:
    """The truth (K, \\*S) of a sample: its labels, or the thresholded mask of a simulated stain of its nuclei."""
    if test is None or test.truth == "labels":
        return samples.whole(index)[1]
    place = samples.places[index]
    masks = _stain_masks_of(samples, place.item, test)
    return at_network_size(samples, index, masks[place.frame])


def at_network_size(samples: Samples, index: int, mask: NDArray[np.bool_]) -> Target:
    """A mask (Z, Y, X) of a sample's frame, (1, \\*S) uint8 as the network would see it."""
    place = samples.places[index]
    plane = mask[place.z] if samples.n_axes == 2 else mask
    stored = samples.volume(place.item)[0].require_voxel_size()[3 - samples.n_axes :]
    blank = np.zeros((1, *plane.shape), dtype=np.float32)
    return resample_pair(blank, plane[np.newaxis].astype(np.uint8), stored, samples.pixel_size_um(index))[1]


def _stain_masks_of(samples: Samples, item: int, test: TestSet) -> NDArray[np.bool_]:
    """The mask (T, Z, Y, X) that a laboratory gets from the stain of one item."""
    entry = samples.items[item]
    nuclei = entry.labels.get(samples.settings.structures[0])
    if nuclei is None:
        image, _ = samples.volume(item)
        return np.zeros((image.n_frames, *image.spatial_shape), dtype=bool)
    cells = nuclei.with_name(nuclei.name.replace(samples.settings.structures[0], "cell", 1))
    return _stain_masks(entry.name, nuclei, cells if cells.exists() else nuclei, test.truth, test.seed)


@lru_cache(maxsize=256)
def _stain_masks(name: str, nucleus_path: Path, cell_path: Path, stain_name: str, seed: int) -> NDArray[np.bool_]:
    from tomocyte.formats import read_volume
    from tomocyte.simulation.physics.stain import STAINS, simulate_stain, stain_mask

    nuclei, cells = read_volume(nucleus_path), read_volume(cell_path)
    size = nuclei.require_voxel_size()
    masks = []
    for frame in range(nuclei.n_frames):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode("utf-8")), frame])
        stain = simulate_stain(
            nuclei.planes(frame, 0), cells.planes(frame, 0), size, settings=STAINS[stain_name], rng=rng
        )
        masks.append(stain_mask(stain, size))
    return np.stack(masks)
