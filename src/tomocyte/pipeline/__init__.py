"""One input from file to staged results: read, check, segment, measure, write.

Inside: ``analysis`` (the frames of one volume), ``trained`` (a model's part in it), ``pictures`` (what is drawn). To
add an output file, write it in :func:`process_item`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tomocyte.corrections.edits import EditList
from tomocyte.corrections.files import check_edits, write_corrections
from tomocyte.errors import MetadataError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.ledger import writing
from tomocyte.modalities import Modality, modality
from tomocyte.pipeline.analysis import Analysis, Report, analyse
from tomocyte.pipeline.background import background_level
from tomocyte.pipeline.cells import cells_card
from tomocyte.pipeline.forecast import forecast, peak_memory_bytes
from tomocyte.pipeline.model_costs import model_forecast
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.trained import card_of, card_sha256, channels_of, settled
from tomocyte.volume import Origin, Volume

__all__ = [
    "Analysis",
    "analyse",
    "background_level",
    "card_of",
    "card_sha256",
    "cells_card",
    "open_input",
    "preview",
    "process_item",
]


def open_input(path: Path, settings: RunSettings) -> tuple[Volume, Modality]:
    """Open an input and check everything its header can tell against the modality.

    Raises
    ------
    InputError
        Unreadable, without a voxel size, or not of this modality (unless forced).
    SettingsError
        Unknown modality or model.
    """
    kind = modality(settings.modality)
    card_of(settings)
    cells_card(settings)
    medium = None if settings.medium_ri == "background" else settings.medium_ri
    options = ReadOptions(
        voxel_size_um=settings.voxel_size_um,
        axes=settings.axes,
        time_step_s=settings.time_step_s,
        medium_ri=medium,
        dataset=settings.dataset,
    )
    volume = read_volume(path, options)
    if settings.channel >= volume.n_channels:
        raise MetadataError(
            "E-CHANNEL",
            f"channel {settings.channel} was asked for, the file has {volume.n_channels}.",
            path=path,
            cure="Channels count from 0.",
        )
    if settings.is_forced:
        quantity = settings.quantity or kind.quantity
    else:
        kind.check_channels(volume)
        quantity = kind.settle_quantity(volume, settings.quantity)
    origin: dict[str, Origin] = {} if volume.quantity == quantity else {"quantity": "user"}
    return volume.with_properties(quantity=quantity, unit=kind.unit_of(quantity), origin=origin), kind


def process_item(task: dict[str, Any], report: Report) -> dict[str, Any]:
    """Work of one worker process: one input file into one staged folder.

    Parameters
    ----------
    task : dict
        ``path``, ``staged`` (an existing empty folder), ``settings`` (a RunSettings as JSON), ``item``, and
        ``edits`` (an EditList as JSON) where the item has any.
    report : callable
        Receives progress events.

    Returns
    -------
    dict
        ``warnings``, ``facts``, ``n_rows``, ``seconds`` and ``peak_memory_bytes`` (of this worker so far): what the
        commit record needs.
    """
    start = time.monotonic()
    settings = RunSettings.model_validate(task["settings"])
    staged = Path(task["staged"])
    volume, _ = open_input(Path(task["path"]), settings)
    edits = None if task.get("edits") is None else EditList.model_validate(task["edits"])
    analysis = analyse(volume, settings, edits=edits, report=report)
    with writing(staged):
        _write(analysis, volume.n_frames, staged, task["item"], report)
    return {
        "warnings": list(analysis.warnings),
        "facts": analysis.facts,
        "n_rows": len(analysis.table),
        "seconds": time.monotonic() - start,
        "peak_memory_bytes": float(peak_memory_bytes()),
    }


def _write(analysis: Analysis, n_frames: int, staged: Path, item: str, report: Report) -> None:
    from tomocyte.tables import write_table

    for structure, labels in analysis.labels.items():
        report({"step": f"write: {structure}", "frame": n_frames - 1, "n_frames": n_frames})
        write_volume(staged / f"{structure}.ome.tif", labels)
    for structure, doubt in analysis.maps.items():
        write_volume(staged / f"{structure}_uncertainty.ome.tif", doubt)
    table = analysis.table.copy()
    table.insert(0, "item", item)
    write_table(table, staged / "objects")
    for name, picture in analysis.pictures.items():
        (staged / name).write_bytes(picture)
    if analysis.corrections is not None:
        write_corrections(analysis.corrections, item, staged)
    facts = json.dumps(analysis.facts, indent=1, sort_keys=True, allow_nan=False)
    (staged / "facts.json").write_text(facts, encoding="utf-8")


def preview(path: Path, settings: RunSettings, edits: EditList | None = None) -> dict[str, Any]:
    """What ``--dry-run`` says of an input, from its header; with a trained model, from up to 16 planes too.

    Returns
    -------
    dict
        Shape, voxel size and origin, quantity, medium, notes, and the forecast of memory (bytes) and time (s).

    Raises
    ------
    TomocyteError
        What :func:`open_input` raises, ``E-MODEL-FIT-…`` where the model does not fit, and ``E-EDIT-…`` where edits
        cannot belong to this input.
    """
    volume, kind = open_input(path, settings)
    settings, misfits, _ = settled(settings, volume)
    if edits is not None:
        check_edits(edits, volume)
    peak_bytes, seconds = forecast(volume, settings.segmentation or kind.segmentation)
    notes = volume.notes + misfits
    if (card := card_of(settings)) is not None:
        from tomocyte.models import check_fit

        channels = channels_of(card, volume, settings)
        if volume.quantity == card.quantity or settings.wavelength_um is None:
            notes += check_fit(card, volume, channels=channels, is_forced=settings.is_forced)
        more_bytes, more_seconds = model_forecast(volume, settings, settings.segmentation or kind.segmentation)
        peak_bytes, seconds = peak_bytes + more_bytes, seconds + more_seconds
    return {
        "shape": volume.shape,
        "dtype": str(volume.dtype),
        "voxel_size_um": volume.voxel_size_um,
        "quantity": volume.quantity,
        "unit": volume.unit,
        "medium_ri": settings.medium_ri if settings.medium_ri == "background" else volume.medium_ri,
        "time_step_s": volume.time_step_s,
        "origin": dict(volume.origin),
        "notes": notes,
        "peak_bytes": peak_bytes,
        "seconds": seconds,
    }
