"""Prompts for a plane and the mask that each true cell gets from them.

To prompt in another manner, name it in ``recipe.Prompts`` and add it to :func:`masks_of_cells`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tomocyte.evaluation import jaccard
from tomocyte.labels.distances import distance_um
from tomocyte.papers.acseg.promptable import CORNERS, Encoded, PromptableModel
from tomocyte.papers.acseg.recipe import PromptableSettings, Prompts

Mask = NDArray[np.bool_]
Plane = NDArray[np.unsignedinteger]


def masks_of_cells(
    model: PromptableModel, plane: NDArray[np.float32], truth: Plane, prompts: Prompts, settings: PromptableSettings
) -> dict[int, Mask]:
    """The mask that each true cell of a plane gets; cells without any are left out.

    Parameters
    ----------
    model : PromptableModel
    plane : ndarray (Y, X), float32
    truth : ndarray (Y, X), unsigned integer
    prompts : {"points", "boxes", "auto"}
    settings : PromptableSettings

    Returns
    -------
    dict of int to ndarray (Y, X), bool
        Label of a true cell -> mask.
    """
    encoded = model.encode(plane)
    names = [int(label) for label in np.unique(truth) if label]
    if prompts == "auto":
        found = automatic_masks(model, encoded, settings)
        chosen = {name: max(found, key=lambda mask: jaccard(truth == name, mask)) for name in names if found}
        return {name: mask for name, mask in chosen.items() if (mask & (truth == name)).any()}
    masks = {}
    for name in names:
        points, labels = box_prompt(truth == name) if prompts == "boxes" else point_prompt(truth == name)
        candidates, scores = model.masks(encoded, points, labels)
        masks[name] = candidates[int(np.argmax(scores))]
    return masks


def point_prompt(mask: Mask) -> tuple[list[tuple[float, float]], list[int]]:
    """The middle of the pixel that lies deepest inside a mask."""
    depth = distance_um(mask[np.newaxis], (math.nan, 1.0, 1.0))[0]
    y, x = np.unravel_index(int(np.argmax(np.where(mask, depth + 1, 0))), mask.shape)
    return [(float(y) + 0.5, float(x) + 0.5)], [1]


def box_prompt(mask: Mask) -> tuple[list[tuple[float, float]], list[int]]:
    """The upper left and the lower right corner of the box around a mask."""
    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    return [(float(rows.start), float(columns.start)), (float(rows.stop), float(columns.stop))], list(CORNERS)


def automatic_masks(model: PromptableModel, encoded: Encoded, settings: PromptableSettings) -> list[Mask]:
    """Masks of a grid of points, the best first; neither empty, nor background, nor nearly the same twice."""
    height, width = encoded.shape
    steps = (np.arange(settings.grid) + 0.5) / settings.grid
    found: list[tuple[float, Mask]] = []
    for y in steps * height:
        for x in steps * width:
            masks, scores = model.masks(encoded, [(float(y), float(x))], [1])
            found += [(float(score), mask) for score, mask in zip(scores, masks, strict=True)]
    kept: list[Mask] = []
    for score, mask in sorted(found, key=lambda one: -one[0]):
        is_usable = score >= settings.min_score and 0 < mask.mean() <= settings.max_share
        if is_usable and all(jaccard(mask, other) <= settings.max_iou for other in kept):
            kept.append(mask)
    return kept
