"""Metrics of surfaces in µm: functions of distances summed up (:class:`~tomocyte.evaluation.tally.SurfaceTally`)."""

from __future__ import annotations

from operator import attrgetter

from tomocyte.evaluation.metric import Metric
from tomocyte.evaluation.reasons import BOTH_EMPTY, ONE_EMPTY

METRICS = (
    Metric(
        "hausdorff_um",
        "µm",
        "Largest distance of the surfaces; largest of all where pooled.",
        "surfaces",
        attrgetter("largest_um"),
        is_higher_better=False,
        when_empty=ONE_EMPTY,
        is_shown=True,
    ),
    Metric(
        "hd95_um",
        "µm",
        "Larger of the two directed 95th percentiles of the surface distance.",
        "surfaces",
        attrgetter("hd95_um"),
        is_higher_better=False,
        when_empty=ONE_EMPTY,
        is_shown=True,
        is_pooled=False,
    ),
    Metric(
        "assd_um",
        "µm",
        "Mean distance of the surface voxels of both.",
        "surfaces",
        attrgetter("mean_um"),
        is_higher_better=False,
        when_empty=ONE_EMPTY,
        is_shown=True,
    ),
    Metric(
        "surface_dice",
        "1",
        "Share of the surface voxels within the tolerance of the other surface (NSD).",
        "surfaces",
        attrgetter("share_within"),
        when_empty=BOTH_EMPTY,
        reference="doi:10.2196/26151",
        is_shown=True,
    ),
)
