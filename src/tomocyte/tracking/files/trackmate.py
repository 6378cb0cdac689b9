"""TrackMate's XML: spots by frame, and edges between them in tracks that hold a whole lineage.

After the structure that TrackMate writes (doi:10.1016/j.ymeth.2016.09.016): spots in ``AllSpots``, edges in
``AllTracks``. A document type or entity in the XML is refused before anything is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tomocyte.errors import InputError
from tomocyte.tracking.files.graph import TrackedObjects

UNITS = {"micron": 1.0, "µm": 1.0, "um": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3}
"""Unit of length -> µm."""
TIMES = {"sec": 1.0, "s": 1.0, "second": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0}
MOST_BYTES = 2**30


def write_trackmate(objects: TrackedObjects, path: Path) -> None:
    """Write spots and edges.

    Parameters
    ----------
    objects : TrackedObjects
    path : Path
        New file.
    """
    table = objects.table
    has_time = "time_s" in table and bool(table["time_s"].notna().all())
    root = ElementTree.Element("TrackMate", version="7.11.1")
    model = ElementTree.SubElement(root, "Model", spatialunits="micron", timeunits="sec" if has_time else "frame")
    features = ElementTree.SubElement(model, "FeatureDeclarations")
    for name in ("SpotFeatures", "EdgeFeatures", "TrackFeatures"):
        ElementTree.SubElement(features, name)
    spots = ElementTree.SubElement(model, "AllSpots", nspots=str(len(table)))
    volume = table["volume_um3"].to_numpy() if "volume_um3" in table else np.full(len(table), np.nan)
    radius = (3.0 * volume / (4.0 * np.pi)) ** (1 / 3)
    for frame, rows in table.groupby("frame"):
        group = ElementTree.SubElement(spots, "SpotsInFrame", frame=str(frame))
        for row in rows.index.tolist():
            at = {axis: float(table[column].iloc[row]) if column in table else 0.0
                  for axis, column in (("X", "x_um"), ("Y", "y_um"), ("Z", "z_um"))}  # fmt: skip
            ElementTree.SubElement(
                group,
                "Spot",
                ID=str(row),
                name=f"ID{row}",
                QUALITY="1.0",
                VISIBILITY="1",
                FRAME=str(frame),
                LABEL=str(int(table["label"].iloc[row])),
                POSITION_T=repr(float(table["time_s" if has_time else "frame"].iloc[row])),
                RADIUS=repr(float(radius[row]) if np.isfinite(radius[row]) else 1.0),
                attrib={f"POSITION_{axis}": repr(value if np.isfinite(value) else 0.0) for axis, value in at.items()},
            )
    _write_tracks(model, objects)
    ElementTree.indent(root)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _write_tracks(model: ElementTree.Element, objects: TrackedObjects) -> None:
    """Every lineage with at least one edge is a track of TrackMate's."""
    n, links = len(objects.table), objects.links
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(n, n))
    lineage = connected_components(graph, directed=False)[1] if n else np.zeros(0, np.int64)
    every = ElementTree.SubElement(model, "AllTracks")
    kept = ElementTree.SubElement(model, "FilteredTracks")
    for number, which in enumerate(np.unique(lineage[links[:, 0]]).tolist()):
        track = ElementTree.SubElement(every, "Track", name=f"Track_{number}", TRACK_ID=str(number))
        for a, b in links[lineage[links[:, 0]] == which].tolist():
            ElementTree.SubElement(track, "Edge", SPOT_SOURCE_ID=str(a), SPOT_TARGET_ID=str(b), LINK_COST="-1.0")
        ElementTree.SubElement(kept, "TrackID", TRACK_ID=str(number))


def read_trackmate(path: Path) -> TrackedObjects:
    """Read visible spots and the edges of the tracks that were kept; places in µm.

    Raises
    ------
    InputError
        ``E-TRACK-XML``: not TrackMate's, declares a document type, lacks what it needs, or has an unknown unit.
    """
    import pandas as pd

    model = _model(path)
    unit, time_unit = model.get("spatialunits", ""), model.get("timeunits", "")
    if unit not in UNITS:
        raise InputError(
            "E-TRACK-XML",
            f"its places are in {unit or 'no unit'}.",
            path=path,
            cure="Calibrate the image in TrackMate (units of µm), and save again.",
        )
    try:
        spots = [spot for spot in model.iter("Spot") if spot.get("VISIBILITY", "1") != "0"]
        ids = [int(spot.attrib["ID"]) for spot in spots]
        table = pd.DataFrame({"frame": [int(float(spot.attrib["FRAME"])) for spot in spots]}, dtype=np.int64)
        for axis in ("z", "y", "x"):
            places = [float(spot.attrib[f"POSITION_{axis.upper()}"]) for spot in spots]
            table[f"{axis}_um"] = np.array(places, dtype=np.float64) * UNITS[unit]
        if time_unit in TIMES:
            table["time_s"] = [float(spot.attrib["POSITION_T"]) * TIMES[time_unit] for spot in spots]
        labels = [spot.get("LABEL") for spot in spots]
        has_labels = all(label is not None for label in labels)
        numbers = [int(float(label or 0)) for label in labels]
        table["label"] = numbers if has_labels else table.groupby("frame").cumcount() + 1
        kept = {entry.attrib["TRACK_ID"] for entry in model.iter("TrackID")}
        edges = [
            (int(edge.attrib["SPOT_SOURCE_ID"]), int(edge.attrib["SPOT_TARGET_ID"]))
            for track in model.iter("Track")
            if track.get("TRACK_ID") in kept
            for edge in track.iter("Edge")
        ]
    except (KeyError, ValueError) as problem:
        raise InputError("E-TRACK-XML", f"lacks {problem}.", path=path, cure="Save it again in TrackMate.") from problem
    if table["z_um"].eq(0).all():
        table = table.drop(columns="z_um")
    row = {spot: place for place, spot in enumerate(ids)}
    frames = table["frame"].tolist()
    links = [(row[a], row[b]) for a, b in edges if a in row and b in row]
    links = [(a, b) if frames[a] < frames[b] else (b, a) for a, b in links]
    return TrackedObjects(table, np.array(links, dtype=np.int64).reshape(-1, 2))


def _model(path: Path) -> ElementTree.Element:
    cure = "Give the XML file that TrackMate's Save wrote."

    class Builder(ElementTree.TreeBuilder):
        def doctype(self, *_: object) -> NoReturn:
            text = "its XML declares a document type, which is not read."
            raise InputError("E-TRACK-XML", text, path=path, cure=cure)

    parser = ElementTree.XMLParser(target=Builder())
    if path.stat().st_size > MOST_BYTES:
        raise InputError("E-TRACK-XML", "is larger than 1 GiB.", path=path, cure="Save fewer spots.")
    try:
        root = ElementTree.parse(path, parser).getroot()
    except ElementTree.ParseError as problem:
        raise InputError("E-TRACK-XML", f"is no XML: {problem}.", path=path, cure=cure) from problem
    model = root.find("Model") if root.tag == "TrackMate" else None
    if model is None:
        raise InputError("E-TRACK-XML", "is not a file of TrackMate.", path=path, cure=cure)
    return model
