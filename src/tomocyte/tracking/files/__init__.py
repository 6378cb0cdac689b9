"""Tracks in the files of other programs: Cell Tracking Challenge, GEFF, TrackMate.

Each file holds objects (``frame``, ``label``, places in µm) and links between them. :class:`TrackedObjects` is what
they have in common; :func:`tracks_of_links` numbers its tracks. To add a format, write a file here with ``read`` and
``write`` of it.
"""

from __future__ import annotations

from tomocyte.tracking.files.ctc import read_ctc, write_ctc_table
from tomocyte.tracking.files.geff import read_geff, write_geff
from tomocyte.tracking.files.graph import TrackedObjects, graph_of, tracks_of_links
from tomocyte.tracking.files.trackmate import read_trackmate, write_trackmate

__all__ = [
    "TrackedObjects",
    "graph_of",
    "read_ctc",
    "read_geff",
    "read_trackmate",
    "tracks_of_links",
    "write_ctc_table",
    "write_geff",
    "write_trackmate",
]
