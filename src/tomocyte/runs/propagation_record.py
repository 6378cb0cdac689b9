"""The record beside propagated labels: who made them, from what and how; and going on from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.labels.dtypes import refit
from tomocyte.propagation import DenseLabels, SelfTest
from tomocyte.propagation.next_slice import ErrorProfile
from tomocyte.provenance import environment, now_utc, sha256_of_path
from tomocyte.runs.next_slices import profile_content
from tomocyte.runs.propagation_plan import PropagateSettings, PropagationPlan, outputs_of


def read_earlier(
    previous: Path, image: Path | None, *, is_map_read: bool, read: Callable[[Path], NDArray[Any]]
) -> DenseLabels:
    """What was written before; its uncertainty is NaN where it is not asked for.

    Parameters
    ----------
    previous : Path
        The dense labels, with their record beside them.
    image : Path, optional
        The image now.
    is_map_read : bool
        Whether the uncertainty is needed.
    read : callable
        From a file to voxels (Z, Y, X).

    Raises
    ------
    InputError
        ``E-PROPAGATION-PREVIOUS``: it lacks a file, or was made from another image.
    """
    outputs = outputs_of(previous, PropagateSettings(is_map_written=is_map_read))
    cure = "Give the dense labels that tomocyte propagate wrote, with their files beside them, or leave --update out."
    missing = [path for path in (outputs.labels, outputs.record, outputs.uncertainty) if path and not path.exists()]
    if missing:
        raise InputError("E-PROPAGATION-PREVIOUS", "the earlier result lacks this file.", path=missing[0], cure=cure)
    try:
        record = json.loads(outputs.record.read_text(encoding="utf-8"))
        before, memory, test = record["image"], record["memory"], record["test"]
        self_test = None if test is None else SelfTest(**{**test, "slices": tuple(test["slices"])})
    except (ValueError, KeyError, TypeError) as error:
        problem = f"is not a record of a propagation that can be gone on from ({type(error).__name__}: {error})."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, path=outputs.record, cure=cure) from error
    if image is not None and before is not None and before["sha256"] != sha256_of_path(image):
        problem = "the earlier result was made from another image."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, path=image, cure="Leave --update out.")
    labels = refit(read(previous))
    uncertainty = np.broadcast_to(np.float32(np.nan), labels.shape)
    if outputs.uncertainty is not None:
        uncertainty = read(outputs.uncertainty)
    return DenseLabels(labels, uncertainty, self_test, memory)


def n_refilled(earlier: DenseLabels, dense: DenseLabels) -> tuple[int, int]:
    """Slabs that were filled from other labels than before, and all."""
    before, after = (result.memory["slabs"] if result.memory else [] for result in (earlier, dense))
    return sum(slab not in before for slab in after), len(after)


def record_content(
    labels: Path,
    image: Path | None,
    plan: PropagationPlan,
    settings: PropagateSettings,
    dense: DenseLabels,
    profile: ErrorProfile | None,
) -> bytes:
    """Who made the labels, from what and how; paths are left out, hashes name the files."""
    content = {
        "labels": {"name": labels.name, "sha256": sha256_of_path(labels)},
        "image": None if image is None else {"name": image.name, "sha256": sha256_of_path(image)},
        "method": plan.method,
        "settings": plan.method_settings.model_dump(mode="json"),
        "finishing": settings.finishing.model_dump(mode="json"),
        "axis": plan.axis,
        "slices": list(plan.slices),
        "other_slices": {axis: list(slices) for axis, slices in settings.other_slices.items()},
        "unlabelled": settings.unlabelled,
        "voxel_size_um": list(plan.voxel_size_um),
        "test": None if plan.test is None else asdict(plan.test),
        "memory": dense.memory,
        "expected": None if profile is None else profile_content(profile),
        "made": now_utc(),
        "environment": environment(),
    }
    return (json.dumps(content, indent=1) + "\n").encode("utf-8")
