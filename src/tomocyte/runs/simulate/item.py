"""One simulated item, from its plan to the files in a staged folder; runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.writer import write_item
from tomocyte.errors import SettingsError
from tomocyte.figures import overview
from tomocyte.labels.dtypes import refit
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger import writing
from tomocyte.progress import Callback, Progress
from tomocyte.runs.simulate.plan import ItemPlan
from tomocyte.simulation.dataset import SimulatedItem, simulate_item
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.instruments import instrument

NOT_DRAWN = "capillary"
"""Its outline is as plain in the image, and would hide it."""


class _Camera:
    """Simulates each frame once, when it is asked for, and keeps its labels and the first frame's picture."""

    def __init__(
        self, item: SimulatedItem, structures: tuple[str, ...], backend: str, callback: Callable[[int], None]
    ) -> None:
        self._item = item
        self._backend = backend
        self._structures = structures
        self._callback = callback
        self._frame = -1
        self._channels: NDArray[np.float32] = np.empty(0, np.float32)
        self.stacks: dict[str, LabelStack] = {}
        self.picture = b""
        self.recovered: list[dict[str, float]] = []

    def read_planes(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if frame != self._frame:
            self._take(frame)
        return self._channels[channel, z_start:z_stop]

    def labels(self) -> Iterator[tuple[str, LabelStack]]:
        """Structures with their labels, once every frame was taken."""
        yield from self.stacks.items()

    def _take(self, frame: int) -> None:
        self._callback(frame)
        simulated = self._item.frame(frame, backend=self._backend)
        self._frame, self._channels = frame, simulated.channels
        for structure in self._structures:
            stack = self.stacks.setdefault(structure, LabelStack(simulated.measured.shape))
            stack.append(refit(simulated.labels(structure)))
        if simulated.quantity == "refractive_index":
            self.recovered.append({str(label): float(share) for label, share in simulated.recovered().items()})
        if not self.picture:
            volume = self._item.volume()
            drawn = [name for name in self._item.instrument.structures if name != NOT_DRAWN]
            labels = {name: simulated.labels(name) for name in drawn}
            size = volume.require_voxel_size()
            self.picture = overview(
                simulated.measured, labels, size, unit=volume.unit, quantity=volume.quantity or "", title="simulated"
            )


def make_item(task: dict[str, Any], callback: Callback) -> dict[str, Any]:
    """Simulate one item and write its files.

    Parameters
    ----------
    task : dict
        ``item``, ``staged`` (an empty folder), ``request`` (the plan, the file format and the structures).
    callback : callable
        Receives progress events.

    Returns
    -------
    dict
        ``n_rows`` of the truth table and ``facts``.

    Raises
    ------
    SettingsError
        ``E-SIM-FORMAT``: this instrument's volumes have no place in this format.
    """
    request = dict(task["request"])
    file_format, structures = request.pop("file_format"), tuple(request.pop("structures"))
    plan = ItemPlan.model_validate(request)
    settings = DatasetSettings.model_validate(plan.dataset)
    formats = instrument(settings.modality).file_formats
    if file_format not in formats:
        raise SettingsError(
            "E-SIM-FORMAT",
            f"{settings.modality} cannot be written as {file_format}.",
            cure=f"Use --format {' or '.join(formats)}.",
        )
    item = simulate_item(settings, plan.index, seed=plan.seed)
    n_frames = len(item.scenes)

    def on_frame(frame: int) -> None:
        callback(Progress(step="simulate", frame=frame, n_frames=n_frames))

    camera = _Camera(item, structures, plan.backend, on_frame)
    staged = Path(task["staged"])
    truth, tracks = item.truth(), item.tracks.copy()
    truth["item"] = plan.name
    tracks.insert(0, "item", plan.name)
    card = {**item.card(), "name": plan.name, "split": plan.split, "domain": plan.domain}
    card["recovered_fraction_of_delta_n"] = camera.recovered  # filled while the image is written
    with writing(staged):
        image = item.volume().with_properties(read_planes=camera.read_planes)
        write_item(
            staged, plan.name, image, camera.labels(), card=card, tracks=tracks, truth=truth, file_format=file_format
        )
        (staged / "overview.png").write_bytes(camera.picture)
    n_cells = int((truth["structure"] == "cell").sum())
    return {"n_rows": len(truth), "facts": {"n_cells": n_cells, "n_frames": n_frames}}
