"""The second level: surfaces refined at the image's own voxel size, whatever found them.

The methods are in :mod:`tomocyte.segmentation.refinement`. Structures are refined from the outside in; others that are
neither around nor inside one are walls for it, and so is what lies outside its parent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.dtypes import refit
from tomocyte.labels.watershed import seeded_watershed
from tomocyte.models.card import ModelCard
from tomocyte.models.loaded import LoadedModel, load_model
from tomocyte.models.objects import canonical_structures
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Labels, Stage
from tomocyte.segmentation.refinement.boundary import refine_boundaries
from tomocyte.structures import CELL, ancestors
from tomocyte.volume import Frame, Volume


class RefineStage(Stage):
    """Moves surfaces to where the image, or a second network, says."""

    name = "refine"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """Where it is asked for."""
        return plan.settings.refinement.method != "none"

    def prepare(self, volume: Volume) -> None:
        """Load the second network, if the plan has one."""
        super().prepare(volume)
        self._records: dict[int, dict[str, Any]] = {}
        self._model: LoadedModel | None = None
        card = self.plan.refinement_card
        if card is not None:
            self._model = load_model(self.plan.settings.refinement.model or "", self.plan.settings.inference)
            if card.is_trained_on_simulated:
                self.notify(Notice("W-MODEL-SIMULATED", f"{card.name} was trained on simulated data."))

    def apply(self, state: FrameState) -> FrameState:
        """The frame with refined labels."""
        labels = dict(state.labels)
        if self._model is not None:
            labels |= self._by_network(self._model, state)
        else:
            for name in self._chosen(state):
                self.report(f"refine: {self.plan.name_of(name)}", state.frame)
                labels[name] = refit(
                    refine_boundaries(
                        state.frame.segmented,
                        labels[name],
                        state.frame.voxel_size_um,
                        self.plan.settings.refinement,
                        blocked=_walls(labels, name),
                        first_level_um=first_level_um(self.plan.card, state.frame),
                    )
                )
        for name in labels:
            _keep_contents(labels, state.labels, name)
        self._record(state, labels)
        return replace(state, labels=labels)

    def _chosen(self, state: FrameState) -> list[str]:
        """The structures to refine, those around others first."""
        named = self.plan.settings.refinement.structures
        names = [CELL if name == self.plan.main else name for name in named] or [CELL]
        missing = [name for name in names if name not in state.labels]
        if missing:
            known = ", ".join(map(self.plan.name_of, state.labels))
            text = f"there is no {', '.join(missing)} to refine; this run finds {known}."
            self.notify(Notice("W-REFINE", text))
        return sorted(set(names) & set(state.labels), key=lambda name: (len(ancestors(name)), name))

    def _by_network(self, model: LoadedModel, state: FrameState) -> dict[str, Labels]:
        from tomocyte.segmentation.refinement.patches import refine_patches

        card, frame, settings = model.card, state.frame, self.plan.settings.refinement
        names = {k: self._named(card, one) for k, one in enumerate(card.structures) if one != "background"}
        classes = np.zeros(frame.segmented.shape, np.uint8)
        for number, name in names.items():
            if name in state.labels:
                classes[state.labels[name] != 0] = number
        image = _prepared(card, frame)
        depth, height, width = card.tile_shape
        refined = refine_patches(
            image,
            classes,
            model.predictor,
            n_classes=len(card.structures),
            patch=(depth, height, width),
            stride=settings.stride,
            callback=lambda done, total: self.report(f"refine: {card.name} {done}/{total}", frame),
        )
        if frame.outside is not None:
            refined[frame.outside] = 0
        return {
            name: _regrown(state.labels[name], refined == number)
            for number, name in names.items()
            if name in state.labels
        }

    def _named(self, card: ModelCard, structure: str) -> str:
        name = canonical_structures(card).get(structure, structure)
        return CELL if name == self.plan.main else name

    def _record(self, state: FrameState, labels: Mapping[str, Labels]) -> None:
        """What changed, in µm³ per structure."""
        voxel = math.prod(state.frame.voxel_size_um)
        changed = {
            self.plan.name_of(name): {
                "volume_before_um3": round(voxel * int(np.count_nonzero(before)), 4),
                "volume_um3": round(voxel * int(np.count_nonzero(labels[name])), 4),
                "changed_um3": round(voxel * int(np.count_nonzero(before != labels[name])), 4),
            }
            for name, before in state.labels.items()
            if labels[name] is not before
        }
        record = {"frame": state.frame.index, "method": self.plan.settings.refinement.method, "structures": changed}
        self._records[state.frame.index] = record
        self._facts["refinement"] = tuple(self._records.values())


def _prepared(card: ModelCard, frame: Frame) -> NDArray[np.float32]:
    """The image as a second network sees it, at its own voxel size."""
    from tomocyte.segmentation.prediction.normalization import normalize
    from tomocyte.segmentation.prediction.scaled_frame import scaled_image

    image = normalize(frame.segmented[np.newaxis], card.normalization, medium_ri=frame.medium_ri)
    if card.scaled_frame is not None:
        depth, height, width = image.shape[1:]
        moments = {name: values and values[:1] for name, values in card.scaled_frame if name in ("mean", "sd")}
        image = scaled_image(image, card.scaled_frame.model_copy(update={"shape": (depth, height, width), **moments}))
    first: NDArray[np.float32] = image[0]
    return first


def first_level_um(card: ModelCard | None, frame: Frame) -> float:
    """Largest side of a voxel that the first level saw, in µm; 0 where no network found the objects."""
    if card is None:
        return 0.0
    scaled = card.fixed_frame or card.scaled_frame
    if scaled is not None:
        sides = zip(frame.voxel_size_um, frame.segmented.shape, scaled.shape, strict=True)
        return float(max(size * n / fixed for size, n, fixed in sides))
    return max(size for size in card.voxel_size_um if size is not None)


def _walls(labels: Mapping[str, Labels], name: str) -> NDArray[np.bool_]:
    """Structures that are neither around nor inside one, and what lies outside the innermost one around it."""
    around = ancestors(name)
    walls = np.zeros(labels[name].shape, bool)
    for other, objects in labels.items():
        if other != name and other not in around and name not in ancestors(other):
            walls |= objects != 0
    parent = next((one for one in around if one in labels), None)
    if parent is not None:
        walls |= labels[parent] == 0
    return walls


def _keep_contents(labels: dict[str, Labels], before: Mapping[str, Labels], name: str) -> None:
    """Give an object back what it lost where it holds another structure."""
    inner = [objects for other, objects in labels.items() if name in ancestors(other)]
    lost = (before[name] != 0) & (labels[name] == 0)
    for objects in inner:
        where = lost & (objects != 0)
        if where.any():
            labels[name] = labels[name].copy()
            labels[name][where] = before[name][where]


def _regrown(labels: Labels, mask: NDArray[np.bool_]) -> Labels:
    """Objects of the same numbers that fill a mask; each part of it that no object reaches is a new one's no more."""
    seeds = np.where(mask, labels, labels.dtype.type(0))
    numbers = np.unique(seeds)[1:]
    if len(numbers) == 0:
        return seeds
    if len(numbers) == 1:
        return np.where(mask, numbers[0], labels.dtype.type(0))
    flat = np.zeros(mask.shape, np.float32)
    regions = seeded_watershed(flat, np.searchsorted(np.append(0, numbers), seeds), mask)
    return np.append(0, numbers).astype(labels.dtype)[regions]
