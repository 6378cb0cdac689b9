"""Which slice of which volume to label next, from the records that ``tomocyte propagate`` leaves.

A record keeps how many voxels of each slice are expected to be wrong, so that any number of volumes is ranked without
reading a voxel. To show more of a slice, add a column in :func:`points_csv`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.errors import InputError
from tomocyte.propagation.next_slice import ErrorProfile, NextSlice, next_slices


@dataclass(frozen=True)
class PropagatedVolume:
    """What a record says about a volume.

    Parameters
    ----------
    name : str
        Of the file of sparse labels.
    axis : str
        Along which slices were labelled.
    profile : ErrorProfile
    is_measured : bool
        Whether errors were measured on slices left out, or only rank slices.
    """

    name: str
    axis: str
    profile: ErrorProfile
    is_measured: bool


@dataclass(frozen=True)
class Suggestion:
    """A slice of a volume that is worth labelling."""

    volume: PropagatedVolume
    slice: NextSlice

    @property
    def place(self) -> tuple[int, int, int]:
        """Z (in a film the frame), y and x of where most errors are expected on the slice."""
        place = list(self.slice.place)
        place.insert("tyx".index(self.volume.axis.replace("z", "t")), self.slice.index)
        return place[0], place[1], place[2]


def suggestions(volumes: Sequence[PropagatedVolume], n_next: int) -> list[Suggestion]:
    """The slices of all volumes to label next, those that remove most wrong voxels first.

    Parameters
    ----------
    volumes : sequence of PropagatedVolume
    n_next : int
        How many, of all volumes together; fewer where no more errors are expected.
    """
    waiting = [[Suggestion(volume, one) for one in next_slices(volume.profile, n_next)] for volume in volumes]
    ranked: list[Suggestion] = []
    while len(ranked) < n_next and any(waiting):
        best = max((queue for queue in waiting if queue), key=lambda queue: queue[0].slice.gain_voxels)
        ranked.append(best.pop(0))
    return ranked


def points_csv(ranked: Sequence[Suggestion]) -> bytes:
    """The ranking as a table that napari opens as a layer of points, with gain and volume as their properties."""
    import pandas as pd

    from tomocyte.tables import csv_content

    rows: dict[str, list[Any]] = {"index": list(range(len(ranked)))}
    rows |= {f"axis-{axis}": [one.place[axis] for one in ranked] for axis in range(3)}
    rows["gain_voxels"] = [round(one.slice.gain_voxels, 1) for one in ranked]
    rows["volume"] = [one.volume.name for one in ranked]
    return csv_content(pd.DataFrame(rows)).encode("utf-8")


def profile_content(profile: ErrorProfile) -> dict[str, Any]:
    """A profile as it stands in a record; :func:`read_record` reads it."""
    return {
        "errors_voxels": profile.errors.tolist(),
        "is_filled": profile.is_filled.tolist(),
        "places": profile.places.tolist(),
    }


def read_record(path: Path) -> PropagatedVolume:
    """A volume from its ``NAME.propagation.json``.

    Raises
    ------
    InputError
        ``E-PROPAGATION-RECORD``: another file, or without expected errors.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        expected: Mapping[str, Any] = content["expected"]
        profile = ErrorProfile(
            slices=tuple(int(index) for index in content["slices"]),
            errors=np.array(expected["errors_voxels"], np.float64),
            is_filled=np.array(expected["is_filled"], bool),
            places=np.array(expected["places"], np.int64).reshape(-1, 2),
        )
        name, axis, is_measured = content["labels"]["name"], content["axis"], content["test"] is not None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise InputError(
            "E-PROPAGATION-RECORD",
            "is not the record of propagated labels with their uncertainty.",
            path=path,
            cure="Give NAME.propagation.json of `tomocyte propagate`, run without is_uncertainty_measured=false.",
        ) from problem
    return PropagatedVolume(name, axis, profile, is_measured)
