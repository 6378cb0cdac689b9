"""One item of a run to look at: planes of its image with the labels that were found in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.figures.planes import DISPLAY_PERCENTILES
from tomocyte.runs.finished import FinishedRun
from tomocyte.structures import in_drawing_order
from tomocyte.volume import Volume, VolumePlanes, VoxelSize


@dataclass(frozen=True, eq=False)
class ItemView:
    """What can be looked at of one item.

    Parameters
    ----------
    name : str
    volume : Volume
        Its input.
    channel : int
        The channel that was segmented.
    labels : mapping of str to Volume
        Structure -> labels, in drawing order.
    main : str
        What its main objects are called.
    """

    name: str
    volume: Volume
    channel: int
    labels: Mapping[str, Volume]
    main: str

    @property
    def voxel_size_um(self) -> VoxelSize:
        """z, y, x; z is NaN in a single plane."""
        return self.volume.require_voxel_size()

    @property
    def pixel_um(self) -> tuple[float, float]:
        """y, x."""
        return self.voxel_size_um[1], self.voxel_size_um[2]

    def time_s(self, frame: int) -> float | None:
        """When a frame was taken; None where that is not known."""
        return None if self.volume.time_s is None else self.volume.time_s[frame]

    @property
    def longest_s(self) -> float:
        """How long the series lasts; 0 where that is not known."""
        return 0.0 if not self.volume.time_s else max(map(abs, self.volume.time_s))

    def image(self, frame: int) -> VolumePlanes:
        """The planes of a frame."""
        return VolumePlanes(self.volume, frame, self.channel)

    def outlines(self, frame: int) -> dict[str, VolumePlanes]:
        """The labels of a frame, structure by structure."""
        return {name: VolumePlanes(labels, frame, 0) for name, labels in self.labels.items()}

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Values that become black and white: percentiles of planes of the first, the middle and the last frame."""
        last = self.volume.n_frames - 1
        planes = [self.image(frame)[self.middle_plane] for frame in sorted({0, last // 2, last})]
        values = np.concatenate([plane[np.isfinite(plane)].astype(np.float64) for plane in planes])
        if not values.size:
            return 0.0, 1.0
        low, high = (float(value) for value in np.percentile(values, DISPLAY_PERCENTILES))
        return (low, high) if high > low else (low, low + max(1e-6, abs(low) * 1e-3))

    @cached_property
    def middle_plane(self) -> int:
        """The plane through the middle of the main objects of the first frame; of the volume where there are none."""
        n_planes = self.volume.spatial_shape[0]
        if self.main not in self.labels:
            return n_planes // 2
        covered = (self.labels[self.main].planes(0, 0) > 0).sum(axis=(1, 2), dtype=np.float64)
        return round(float(np.average(np.arange(n_planes), weights=covered))) if covered.any() else n_planes // 2

    def index_of(self, place_um: tuple[float, float, float]) -> tuple[int, int, int]:
        """The voxel at a place of the tables, where the centre of voxel 0 lies at 0; z is 0 in a single plane."""
        z, y, x = (
            0 if not math.isfinite(size) or not math.isfinite(place) else round(place / size)
            for place, size in zip(place_um, self.voxel_size_um, strict=True)
        )
        return z, y, x


def view_item(run: FinishedRun, name: str, inputs: Path | None = None) -> ItemView:
    """An item with its input and its labels.

    Raises
    ------
    InputError
        ``E-NOT-FOUND``, ``E-INPUT-CHANGED``: the input is gone or another one; ``E-EDIT-BASE``: labels were changed.
    """
    from tomocyte.pipeline import open_input
    from tomocyte.pipeline.channels import with_derived

    item = run.item(name)
    volume = with_derived(open_input(run.input_of(item, inputs), run.settings)[0], run.settings)
    facts: dict[str, Any] = dict(item.record.facts)
    labels = {structure: item.labels(structure) for structure in in_drawing_order(item.structures)}
    return ItemView(name, volume, int(facts["channel"]), labels, str(facts["primary"]))
