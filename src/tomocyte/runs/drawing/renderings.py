"""Objects in 3-D: the surfaces of one frame of an input, from one side, with a scale bar."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.figures.movies import time_stamp
from tomocyte.figures.rendering import Body, BodyPanel, turning_pictures
from tomocyte.structures import structure, structure_colour
from tomocyte.tables import write_csv

if TYPE_CHECKING:
    from tomocyte.runs.drawing.view import ItemView

OUTER_OPACITY = 0.15
"""Of the main objects, so that what they hold shows through."""
INNER_OPACITY = 0.45
"""Of other structures that hold one that is there, such as nuclei with nucleoli."""
LARGEST_SIDE = 800
"""Pixels of a rendering."""


def bodies_of(view: ItemView, frame: int) -> dict[str, Body]:
    """The structures of one frame that are there, by name; what holds others is transparent."""
    masks = {name: labels.planes(frame, 0) > 0 for name, labels in view.labels.items()}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    holders = {structure(name).parent for name in masks if name != view.main}
    opacities = {view.main: OUTER_OPACITY if len(masks) > 1 else 1.0}
    opacities |= {name: INNER_OPACITY if name in holders else 1.0 for name in masks if name != view.main}
    return {name: Body(mask, structure_colour(name), opacities[name]) for name, mask in masks.items()}


def body_panel(view: ItemView, frame: int, bodies: dict[str, Body]) -> BodyPanel:
    """The bodies with the name of the input and the time below them."""
    return BodyPanel(tuple(bodies.values()), f"{view.name}, {time_stamp(view.time_s(frame), frame, view.longest_s)}")


def rendering_files(view: ItemView, stem: Path) -> Iterator[Path]:
    """Write the first frame of an input as a PNG, and what it shows as CSV; nothing of a plane, or without objects.

    Parameters
    ----------
    view : ItemView
    stem : Path
        Of the files.

    Yields
    ------
    Path
    """
    import pandas as pd
    from PIL import Image

    bodies = bodies_of(view, 0) if view.volume.spatial_shape[0] > 1 else {}
    if not bodies:
        return
    (picture,) = turning_pictures(body_panel(view, 0, bodies), view.voxel_size_um, n_views=1, largest_side=LARGEST_SIDE)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    stem.parent.mkdir(parents=True, exist_ok=True)
    path = stem.with_name(f"{stem.name}.png")
    path.write_bytes(buffer.getvalue())
    yield path
    rows = [
        {"title": view.name, "quantity": "surfaces in 3-D", "item": view.name, "frame": 0, "structure": name,
         "colour": body.colour, "opacity": body.opacity, "n_voxels": int(body.mask.sum())}
        for name, body in bodies.items()
    ]  # fmt: skip
    table = stem.with_name(f"{stem.name}.csv")
    write_csv(pd.DataFrame(rows), table)
    yield table
