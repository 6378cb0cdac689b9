"""Methods without training, to compare networks with: masks at the network's pixel size, objects at the image's own.

To add a method, write a function of a frame (:class:`Frame`) and add it to ``_MASKS`` or ``_OBJECTS``, and its name to
:data:`tomocyte.comparison.crossval_recipe.BASELINES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.comparison.samples import Kind, Sample, at_network_size
from tomocyte.comparison.score import Predictor
from tomocyte.errors import SettingsError
from tomocyte.labels.components import connected_components
from tomocyte.labels.settings import CleanSettings, SplitSettings, required
from tomocyte.modalities import modality
from tomocyte.segmentation.classical.nucleus import edge_based_nucleus
from tomocyte.segmentation.classical.steps import segment
from tomocyte.segmentation.classical.thresholds import Histogram, otsu_threshold
from tomocyte.segmentation.settings import ForegroundSettings, NucleusSettings, SegmentationSettings
from tomocyte.training.data.targets import output_names
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
Labels = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Frame:
    """One whole frame of an image.

    Parameters
    ----------
    image : ndarray (Z, Y, X)
        In its physical unit.
    voxel_size_um : tuple of 3 float
    modality : str
    structure : str
        What is looked for.
    """

    image: NDArray[Any]
    voxel_size_um: VoxelSize
    modality: str
    structure: str


def baseline_predictor(name: str, kind: Kind = "pixels") -> Predictor[Sample]:
    """The method of a name, as :func:`tomocyte.comparison.samples.score_samples` takes it.

    Parameters
    ----------
    name : str
    kind : {"pixels", "instances"}

    Raises
    ------
    SettingsError
        ``E-BASELINE`` with the valid names.
    """
    names = [*_MASKS, *_NETWORK_MASKS] if kind == "pixels" else [*_OBJECTS]
    if name not in names:
        raise SettingsError("E-BASELINE", f"{name!r} does not give {kind}.", cure=f"These do: {', '.join(names)}.")
    if kind == "instances":
        return _objects(_OBJECTS[name])
    return _NETWORK_MASKS[name] if name in _NETWORK_MASKS else _masks(_MASKS[name])


def _frame(sample: Sample) -> Frame:
    volume, settings = sample.volume, sample.samples.settings
    image = volume.planes(sample.place.frame, 0)
    return Frame(image, volume.require_voxel_size(), settings.modality, settings.structures[0])


def _masks(method: Callable[[Frame], Mask]) -> Predictor[Sample]:
    """A method on whole frames, each looked at once, at the network's pixel size; the same for every output."""
    masks: dict[tuple[int, int], Mask] = {}

    def predict(sample: Sample) -> Mapping[str, Mask]:
        key = (sample.place.item, sample.place.frame)
        if key not in masks:
            masks[key] = method(_frame(sample))
        mask = at_network_size(sample.samples, sample.index, masks[key])[0] == 1
        return dict.fromkeys(output_names(sample.samples.settings), mask)

    return predict


def _objects(method: Callable[[Frame], Labels]) -> Predictor[Sample]:
    def predict(sample: Sample) -> Mapping[str, Labels]:
        frame = _frame(sample)
        single = Frame(frame.image.astype(np.float32), frame.voxel_size_um, frame.modality, frame.structure)
        return {frame.structure: method(single)}

    return predict


def _edge_based_nuclei(frame: Frame) -> Mask:
    """Sobel edges inside the cell that the classical engine finds, section by section."""
    kind = modality(frame.modality)
    engine = kind.segmentation.model_copy(update={"nucleus": NucleusSettings(method="none")})
    cells = segment(frame.image, frame.voxel_size_um, engine)["cell"]
    nuclei = np.zeros(frame.image.shape, dtype=bool)
    for label in range(1, int(cells.max()) + 1):
        nuclei |= edge_based_nucleus(frame.image, cells == label, frame.voxel_size_um, NucleusSettings(method="edge"))
    return nuclei


def _classical_mask(frame: Frame) -> Mask:
    """The classical engine with the modality's own settings."""
    labels = segment(frame.image, frame.voxel_size_um, modality(frame.modality).segmentation)
    if frame.structure not in labels:
        return np.zeros(frame.image.shape, dtype=bool)
    return np.asarray(labels[frame.structure] > 0)


def _otsu_mask(sample: Sample) -> Mapping[str, Mask]:
    """Otsu's threshold on the image as the network sees it."""
    image, _ = sample.samples.whole(sample.index)
    mask = image[0] > otsu_threshold(Histogram.of(image[0]))
    return dict.fromkeys(output_names(sample.samples.settings), mask)


def _classical(frame: Frame) -> Labels:
    """The classical engine with its modality's own settings."""
    return segment(frame.image, frame.voxel_size_um, modality(frame.modality).segmentation)["cell"]


def _otsu(frame: Frame) -> Labels:
    """Otsu's threshold and connected components."""
    components = connected_components(frame.image > otsu_threshold(Histogram.of(frame.image)))
    return np.asarray(components.paint())


def _watershed(frame: Frame) -> Labels:
    """Otsu's threshold, and a watershed on the distance to the border."""
    clean: CleanSettings = modality(frame.modality).segmentation.clean
    engine = SegmentationSettings(
        foreground=ForegroundSettings(method="otsu"), split=SplitSettings(method="distance"), clean=clean
    )
    return segment(frame.image, frame.voxel_size_um, engine)["cell"]


def _edge_based(frame: Frame) -> Labels:
    """Sobel's gradient over Otsu's threshold, closed over one pixel, filled, opened by one pixel; components."""
    clean: CleanSettings = modality(frame.modality).segmentation.clean
    pixel = frame.voxel_size_um[1:]
    square = np.ones((3, 3), dtype=bool)
    masks = []
    for plane in frame.image:
        smooth = ndimage.gaussian_filter(plane, 1.0)
        gradient = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))
        edges = gradient > otsu_threshold(Histogram.of(gradient))
        closed = ndimage.binary_closing(np.pad(edges, 2), square)[2:-2, 2:-2]
        masks.append(ndimage.binary_opening(ndimage.binary_fill_holes(closed), square))
    labels = connected_components(np.stack(masks)).paint()
    smallest = required(clean.min_area_um2) / (pixel[0] * pixel[1])
    sizes = np.bincount(labels.ravel())
    return np.where(sizes[labels] >= smallest, labels, 0)


_MASKS: dict[str, Callable[[Frame], Mask]] = {"edge-based": _edge_based_nuclei, "classical": _classical_mask}
_NETWORK_MASKS: dict[str, Predictor[Sample]] = {"otsu": _otsu_mask}
_OBJECTS: dict[str, Callable[[Frame], Labels]] = {
    "classical": _classical,
    "otsu": _otsu,
    "watershed": _watershed,
    "edge-based": _edge_based,
}
