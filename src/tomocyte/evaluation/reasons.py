"""Why a cell of a score table may be empty. To add a reason, add its text here."""

from __future__ import annotations

BOTH_EMPTY = "both masks are empty"
ONE_EMPTY = "a mask is empty"
NO_TRUTH = "the truth is empty"
NO_PREDICTION = "the prediction is empty"
NO_OBJECT = "no object in either"
NO_TRUE_OBJECT = "no true object"
NO_PREDICTED_OBJECT = "no predicted object"
NO_MATCH = "no object matches"
NO_PROBABILITY = "no probability was given"
NO_VOXEL_SIZE = "no voxel size is known"
NOT_POOLED = "not defined for pooled images"
