"""Corrected results as labelled images to learn from: images with their labels, in the layout that training reads.

Items are written by :func:`tomocyte.datasets.writer.write_item`; what is exported of each is :class:`_Plan`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from tomocyte import __version__
from tomocyte.corrections.files import LOG_NAME
from tomocyte.corrections.from_labels import FinishedItem
from tomocyte.datasets.labelled import SET_CARD
from tomocyte.datasets.writer import write_item, write_json
from tomocyte.errors import SettingsError
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger import CommitRecord, Ledger, writing
from tomocyte.pipeline.planning import model_channels, requested_card
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import silent
from tomocyte.provenance import sha256_of_json
from tomocyte.runs.finished import finished_run
from tomocyte.settings import Settings
from tomocyte.structures import find_name
from tomocyte.volume import Volume

IGNORE_LABEL = 255
"""Value of voxels that were not checked."""


class ExportSettings(Settings):
    """What is exported."""

    is_all: bool = False
    """Whether items and frames without corrections are exported too, as if they were right."""
    structures: tuple[str, ...] = ()
    """Only these; empty: all, so that a network of several does not forget those that were right."""
    margin_um: float | None = Field(default=None, ge=0, le=1000)
    """Only so far around the objects that an edit concerned are labels trusted; beyond, they are 255. Empty: all."""

    @model_validator(mode="after")
    def _margin_needs_edits(self) -> ExportSettings:
        if self.is_all and self.margin_um is not None:
            raise ValueError("'margin_um' is a distance from corrections, but 'is_all' exports items without any")
        return self


@dataclass
class ExportResult:
    """What was exported.

    Parameters
    ----------
    items : list of str
        Written now or before.
    n_frames : int
    structures : dict
        Structure -> number of items that have its labels.
    skipped : list of str
        Items without corrections.
    """

    items: list[str] = field(default_factory=list)
    n_frames: int = 0
    structures: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def export_corrected(
    run: Path,
    output: Path,
    settings: ExportSettings | None = None,
    *,
    inputs: Path | None = None,
    on_item: Callable[[str], None] = silent,
) -> ExportResult:
    """Write the corrected items of a run as a folder that ``tomocyte fine-tune --data`` takes.

    Parameters
    ----------
    run : Path
        Folder of a finished ``tomocyte run --edits``.
    output : Path
        Made if missing; items of earlier exports stay.
    settings : ExportSettings, optional
    inputs : Path, optional
        Folder where the inputs lie now; empty: where the run found them.
    on_item : callable
        Receives the name of each item that is done.

    Returns
    -------
    ExportResult

    Raises
    ------
    SettingsError
        ``E-RUN-FOLDER``: no run folder. ``E-EDIT-NONE``: nothing in it was corrected.
    InputError
        ``E-NOT-FOUND``, ``E-INPUT-CHANGED``: an input is gone or no longer what was segmented.
    OutputError
        The output folder cannot be used.
    """
    options = settings or ExportSettings()
    finished = finished_run(run)
    result = ExportResult()
    plans = []
    for name in finished.names:
        item = finished.item(name)
        plan = _plan(item, options)
        if plan is None:
            result.skipped.append(name)
        else:
            plans.append((item, plan))
    if not plans:
        raise SettingsError(
            "E-EDIT-NONE", "contains no corrections.", path=run, cure="Run with --edits, or export --all."
        )
    with Ledger(output, "edits export") as ledger:
        for item, plan in plans:
            _export_item(ledger, item, finished.input_of(item, inputs), plan, finished.settings)
            result.items.append(item.name)
            result.n_frames += len(plan.frames)
            for structure in plan.structures:
                result.structures[structure] = result.structures.get(structure, 0) + 1
            on_item(item.name)
        ledger.publish(SET_CARD, lambda path: write_json(path, {"ignore_label": IGNORE_LABEL}))
    return result


@dataclass(frozen=True)
class _Plan:
    """What is exported of one item; ``boxes`` are, per frame, those around the objects that edits concerned."""

    frames: tuple[int, ...]
    structures: tuple[str, ...]
    margin_um: float | None
    boxes: dict[str, list[list[list[int]]]]


def _plan(item: FinishedItem, settings: ExportSettings) -> _Plan | None:
    facts: dict[str, Any] = dict(item.record.facts)
    frames = facts.get("edits", {"edited_frames": []})["edited_frames"]
    if settings.is_all:
        frames = range(facts["shape_tczyx"][0])
    named = [find_name(name, item.structures) for name in settings.structures or item.structures]
    structures = dict.fromkeys(name for name in named if name is not None)
    if not len(frames) or not structures:
        return None
    boxes: dict[str, list[list[list[int]]]] = {}
    if settings.margin_um is not None:
        for entry in json.loads((item.folder / f"{LOG_NAME}.json").read_text(encoding="utf-8")):
            if entry["box"]:
                boxes.setdefault(str(entry["frame"]), []).append(entry["box"])
    return _Plan(tuple(frames), tuple(structures), settings.margin_um, boxes)


def _export_item(ledger: Ledger, item: FinishedItem, path: Path, plan: _Plan, settings: RunSettings) -> None:
    request = sha256_of_json({"made_from": item.record.sha256(), "plan": asdict(plan), **_several_channels(item)})
    content = item.record.input_sha256
    before, changes = ledger.record(item.name), ledger.changes(item.name)
    made_so = None if before is None else (before.input_sha256, before.request_sha256, before.code_version)
    if made_so == (content, request, __version__) and not changes.missing:
        return  # also where labels were corrected after the export: that is what they are exported for
    ledger.refuse_changed(item.name)
    staged = ledger.stage(item.name)
    try:
        with writing(staged):
            _write_item(staged, item, path, plan, settings)
    except BaseException:
        ledger.discard(staged)
        raise
    record = CommitRecord(
        item=item.name,
        source=item.record.source,
        input_sha256=content,
        request_sha256=request,
        code_version=__version__,
        facts={"frames": list(plan.frames), "structures": list(plan.structures), "margin_um": plan.margin_um},
    )
    ledger.commit(item.name, staged, record)


def _several_channels(item: FinishedItem) -> dict[str, str]:
    """What the request of an item of several channels says too: earlier exports have only the segmented one."""
    shape: Any = item.record.facts["shape_tczyx"]
    return {"channels": "model"} if shape[1] > 1 else {}


def _write_item(staged: Path, item: FinishedItem, path: Path, plan: _Plan, settings: RunSettings) -> None:
    from tomocyte.pipeline import open_input
    from tomocyte.pipeline.channels import with_derived

    volume = with_derived(open_input(path, settings)[0], settings)
    image = _frames_of(volume, plan.frames, _channels_of(volume, settings), item)
    card = {"name": item.name, "frames": list(plan.frames)}
    write_item(staged, item.name, image, _labels_of(item, plan), card=card)


def _labels_of(item: FinishedItem, plan: _Plan) -> Iterator[tuple[str, LabelStack]]:
    for structure in plan.structures:
        labels = item.labels(structure)
        stack = LabelStack(labels.spatial_shape)
        for frame in plan.frames:
            stack.append(_trusted(labels.planes(frame, 0), plan, frame, labels.require_voxel_size()))
        yield structure, stack


def _channels_of(volume: Volume, settings: RunSettings) -> tuple[int, ...]:
    """The channels that the run's model takes, in its order; those that were only measured are left out."""
    segmented = volume.channel_index(settings.channel)
    if volume.n_channels == 1:
        return (segmented,)
    card = requested_card(settings)
    return (segmented,) if card is None else model_channels(card, volume, segmented)


def _frames_of(volume: Volume, frames: Sequence[int], channels: Sequence[int], item: FinishedItem) -> Volume:
    """Some frames of some channels, with the medium that was measured where the file has none."""

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
        return volume.planes(frames[frame], channels[channel], z_start, z_stop)

    measured: Any = item.record.facts.get("medium_ri", [])
    media = [measured[frame] for frame in frames if frame < len(measured) and measured[frame] is not None]
    return volume.with_properties(
        shape=(len(frames), len(channels), *volume.spatial_shape),
        read_planes=read_planes,
        time_s=None if volume.time_s is None else tuple(volume.time_s[frame] for frame in frames),
        channel_names=tuple(volume.channel_names[channel] for channel in channels) if volume.channel_names else (),
        medium_ri=float(np.mean(media)) if volume.medium_ri is None and media else volume.medium_ri,
    )


def _trusted(
    labels: NDArray[Any], plan: _Plan, frame: int, voxel_size_um: tuple[float, float, float]
) -> NDArray[np.uint32]:
    """Labels with 255 where nothing was checked; an object that has this number gets another."""
    result = labels.astype(np.uint32)
    result[result == IGNORE_LABEL] = int(result.max(initial=0)) + 1
    if plan.margin_um is None:
        return result
    is_trusted = np.zeros(labels.shape, dtype=bool)
    for box in plan.boxes.get(str(frame), []):
        grown = []
        for (low, high), size, length in zip(box, voxel_size_um, labels.shape, strict=True):
            width = 0 if math.isnan(size) else math.ceil(plan.margin_um / size)
            grown.append(slice(max(low - width, 0), min(high + width, length)))
        is_trusted[tuple(grown)] = True
    result[~is_trusted] = IGNORE_LABEL
    return result
