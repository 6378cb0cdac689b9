"""GEFF, the Graph Exchange File Format: a Zarr group of nodes and edges.

Written through zarr, by its specification (https://live-image-tracking-tools.github.io/geff/specification): node ids,
edge ids, and a property ``values`` per column, in Zarr format 2, which the specification names as its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.errors import InputError
from tomocyte.tracking.files.graph import TrackedObjects

if TYPE_CHECKING:
    import pandas as pd

VERSION = "1.1.0"
AXES = (("t", "time_s", "time", "second"), ("z", "z_um", "space", "micrometer"), ("y", "y_um", "space", "micrometer"),
        ("x", "x_um", "space", "micrometer"))  # fmt: skip
"""Name of an axis, its column, type and unit."""
LENGTHS = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}
NODE_PROPERTIES = {"frame": "frame", "label": "seg_id", "track_id": "tracklet_id"}


def write_geff(objects: TrackedObjects, path: Path) -> None:
    """Write objects and links.

    Parameters
    ----------
    objects : TrackedObjects
        Its other numeric columns become properties of the nodes; unknown values are marked as missing.
    path : Path
        New folder.
    """
    import zarr

    table = objects.table
    root = zarr.open_group(path, mode="w-", zarr_format=2)
    nodes, edges = root.create_group("nodes"), root.create_group("edges")
    nodes.create_array("ids", data=np.arange(len(table), dtype=np.uint64))
    edges.create_array("ids", data=objects.links.astype(np.uint64).reshape(-1, 2))
    edges.create_group("props")
    properties = nodes.create_group("props")
    axes, described = [], {}
    has_time = "time_s" in table and table["time_s"].notna().all() and len(table) > 0
    columns: dict[str, Any] = {}
    for name, column, kind, unit in AXES:
        if name == "t":
            columns["t"] = table["time_s" if has_time else "frame"].to_numpy(dtype=np.float64)
            axes.append({"name": "t", "type": kind, "unit": unit if has_time else "frame"})
        elif column in table and table[column].notna().all():
            columns[name] = table[column].to_numpy(dtype=np.float64)
            axes.append({"name": name, "type": kind, "unit": unit})
    taken = {column for _, column, _, _ in AXES}
    for name in table.select_dtypes("number").columns:
        if name not in taken:
            columns[NODE_PROPERTIES.get(name, name)] = table[name].to_numpy()
    for name, values in columns.items():
        group = properties.create_group(name)
        missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
        group.create_array("values", data=np.where(missing, 0, values))
        if missing.any():
            group.create_array("missing", data=missing)
        described[name] = {"identifier": name, "dtype": str(values.dtype)}
    root.attrs["geff"] = {
        "geff_version": VERSION,
        "directed": True,
        "axes": axes,
        "node_props_metadata": described,
        "edge_props_metadata": {},
        "track_node_props": {"tracklet": "tracklet_id"} if "tracklet_id" in described else None,
    }


def read_geff(path: Path) -> TrackedObjects:
    """Read objects and links; places in µm.

    Raises
    ------
    InputError
        ``E-TRACK-GEFF``: not a GEFF, or one without time, y and x, or in a unit that is no length.
    """
    import pandas as pd
    import zarr

    try:
        root = zarr.open_group(path, mode="r")
        about: dict[str, Any] = dict(root.attrs["geff"])
        ids = np.asarray(root["nodes/ids"])
        links = np.asarray(root["edges/ids"]).reshape(-1, 2)
        properties: Any = root["nodes/props"]
        values = {name: np.asarray(properties[f"{name}/values"]) for name in properties.group_keys()}
    except (KeyError, ValueError, OSError) as problem:
        raise InputError(
            "E-TRACK-GEFF", f"is no GEFF: {problem}.", path=path, cure="Give the Zarr group that has the key geff."
        ) from problem
    table = pd.DataFrame({"id": ids})
    axes = _axes(about.get("axes") or ())
    if not {"y", "x"} <= axes.keys() or not ("frame" in values or "t" in axes):
        raise InputError(
            "E-TRACK-GEFF", f"has the axes {', '.join(axes) or 'none'}.", path=path, cure="It needs t, y and x."
        )
    for name in ("z", "y", "x"):
        if name in axes:
            unit = str(axes[name].get("unit"))
            if unit not in LENGTHS:
                raise InputError(
                    "E-TRACK-GEFF",
                    f"gives {name} in {unit}.",
                    path=path,
                    cure=f"Scale the axes to one of {', '.join(LENGTHS)}.",
                )
            table[f"{name}_um"] = values[axes[name]["name"]].astype(np.float64) * LENGTHS[unit]
    times = values[axes["t"]["name"]] if "t" in axes else values["frame"]
    table["frame"] = values["frame"] if "frame" in values else np.unique(times, return_inverse=True)[1]
    if "t" in axes and axes["t"].get("unit") == "second":
        table["time_s"] = times.astype(np.float64)
    number = values.get("seg_id")
    table["label"] = table.groupby("frame").cumcount() + 1 if number is None else number
    place = {node: row for row, node in enumerate(ids.tolist())}
    rows = [(place[a], place[b]) for a, b in links.tolist()]
    return TrackedObjects(_plain(table), np.array(rows, dtype=np.int64).reshape(-1, 2))


def _axes(axes: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The axes as t, z, y, x: by name where they are called so, else by type; the last of space is x."""
    named = {axis["name"]: axis for axis in axes if axis["name"] in ("t", "z", "y", "x")}
    time = [axis for axis in axes if axis.get("type") == "time"][:1]
    space = [axis for axis in axes if axis.get("type") == "space"][-3:]
    if not {axis["name"] for axis in space} <= set("zyx"):
        named |= dict(zip("zyx"[3 - len(space) :], space, strict=True))
    return {**named, **dict(zip("t", time, strict=False))}


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers for frames and labels, without the ids of the file."""
    return table.drop(columns="id").astype({"frame": "int64", "label": "int64"})
