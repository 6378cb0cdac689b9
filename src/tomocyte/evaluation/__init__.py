"""Comparison with the truth: label images in, numbers out.

To add a kind of score, add a file here and name its functions below.
"""

from __future__ import annotations

from tomocyte.evaluation.matching import (
    InstanceScores,
    OverlapTable,
    hungarian_mean_dice,
    match_instances,
    overlap_table,
    score_instances,
)
from tomocyte.evaluation.overlap import dice, jaccard

__all__ = [
    "InstanceScores",
    "OverlapTable",
    "dice",
    "hungarian_mean_dice",
    "jaccard",
    "match_instances",
    "overlap_table",
    "score_instances",
]
