"""Metrics of probabilities: functions of counts per bin (:class:`~tomocyte.evaluation.tally.ProbabilityTally`)."""

from __future__ import annotations

from operator import attrgetter

from tomocyte.evaluation.metric import Metric
from tomocyte.evaluation.reasons import NO_PROBABILITY, NO_TRUTH

METRICS = (
    Metric(
        "auc_pr",
        "1",
        "Area under precision against recall, trapezoids.",
        "probabilities",
        attrgetter("auc"),
        when_empty=NO_TRUTH,
        heading="PR (AUC)",
        aliases=("pr_auc",),
        is_shown=True,
    ),
    Metric(
        "average_precision",
        "1",
        "Area under precision against recall, steps.",
        "probabilities",
        attrgetter("average_precision"),
        when_empty=NO_TRUTH,
        is_shown=True,
    ),
    Metric(
        "ece",
        "1",
        "Expected calibration error.",
        "probabilities",
        attrgetter("reliability.ece"),
        is_higher_better=False,
        when_empty=NO_PROBABILITY,
        reference="arXiv:1706.04599",
        is_shown=True,
    ),
    Metric(
        "brier",
        "1",
        "Mean squared difference of probability and truth.",
        "probabilities",
        attrgetter("reliability.brier"),
        is_higher_better=False,
        when_empty=NO_PROBABILITY,
        reference="doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
        is_shown=True,
    ),
)
