"""Objects followed over time: links, divisions, tracks, lineage.

:func:`track_objects` is the whole of it. A table of objects becomes arrays (``objects``), overlaps of label images
are counted (``overlaps``), all frames are linked with costs that the series itself sets (``motion``, ``scales``,
``hypotheses``, ``link``), errors of single frames are put right (``repair``), what was said by hand is applied
(``changes``), parts that are never seen apart are joined (``inseparable``), tracks are numbered (``lineage``) and
masks renumbered (``relabel``). To let something else speak for a link, add its cost in ``scales`` and use it in
``hypotheses``.
"""

from __future__ import annotations

from tomocyte.tracking.changes import LinkChange
from tomocyte.tracking.inseparable import join_inseparable
from tomocyte.tracking.lineage import FLAGS, TRACK_COLUMNS, Tracks
from tomocyte.tracking.relabel import Relabeller
from tomocyte.tracking.settings import TrackingSettings
from tomocyte.tracking.track import track_objects

__all__ = [
    "FLAGS",
    "TRACK_COLUMNS",
    "LinkChange",
    "Relabeller",
    "TrackingSettings",
    "Tracks",
    "join_inseparable",
    "track_objects",
]
