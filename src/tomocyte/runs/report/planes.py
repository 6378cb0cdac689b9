"""The planes of an input to leaf through: a sprite, and what each tile shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tomocyte.runs.report.section import ReportItem, data_uri

MOST_ITEMS = 60
"""Inputs whose planes can be leafed through; with more, the page would be slow to open."""


def planes_view(item: ReportItem) -> dict[str, Any] | None:
    """What the slider of an input needs; None where it has no planes."""
    preview = next(iter(item.previews("planes")), None)
    if preview is None:
        return None
    rows, columns = preview["tile_px"]
    size_um = (item.facts.get("voxel_size_um") or [None])[0]
    n_planes = item.facts["shape_tczyx"][2]
    tiles = []
    for place, z in enumerate(preview["planes"]):
        row, column = divmod(place, preview["n_columns"])
        depth = "" if size_um is None or math.isnan(size_um) else f", z = {z * size_um:.4g} µm"
        tiles.append({"x": -column * columns, "y": -row * rows, "text": f"plane {z + 1} of {n_planes}{depth}"})
    return {
        "uri": data_uri(Path(preview["path"]).read_bytes()),
        "tiles": tiles,
        "rows": rows,
        "columns": columns,
        "middle": len(tiles) // 2,
        "bar": f"{preview['bar_um']:g} µm",
    }
