"""A network that tells cells apart: how it is applied, from its card."""

from __future__ import annotations

from typing import Any

from tomocyte.models.card import ModelCard
from tomocyte.segmentation.cells.windows import CellByCellSettings
from tomocyte.settings import build_settings


def cells_settings(card: ModelCard, divisor: tuple[int, ...]) -> CellByCellSettings:
    """How a network tells cells apart, from its card: its voxel size, or the published frame if it learned in that.

    Parameters
    ----------
    card : ModelCard
        With the role ``cell-by-cell``.
    divisor : tuple of 3 int
        What each size of a window must be a multiple of.
    """
    data: Any = card.recipe.get("data")
    cells: Any = data.get("cells") if isinstance(data, dict) else None
    is_published = isinstance(cells, dict) and cells.get("frame") == "as-published"
    content = {
        "voxel_size_um": card.voxel_size_um,
        "frame": "as-published" if is_published else "windows",
        "input": "regions" if isinstance(cells, dict) and cells.get("input") == "regions" else "masks",
        "unclaimed": "background" if is_published else "attach",
        "divisor": divisor,
        "threshold": card.threshold_of(card.structures[0]),
    }
    return build_settings(CellByCellSettings, content)
