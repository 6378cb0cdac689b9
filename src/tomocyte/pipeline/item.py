"""One input from file to staged results: opened, analysed, written.

To add an output file, write it in :func:`_write`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels import INTENSITY
from tomocyte.corrections.edits import EditList
from tomocyte.datasets.channel_files import read_channel_files
from tomocyte.errors import MissingFact, ModalityError
from tomocyte.formats import ReadOptions, read_volume, write_volume
from tomocyte.ledger import writing
from tomocyte.modalities import Modality, modalities, modality
from tomocyte.pipeline.analysis import Analysis, analyse
from tomocyte.pipeline.channels import with_derived
from tomocyte.pipeline.forecast import forecast_run, peak_memory_bytes
from tomocyte.pipeline.masks import open_masks
from tomocyte.pipeline.planning import plan_run, requested_card, requested_cells_card, requested_refinement_card
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, Progress, silent
from tomocyte.volume import Origin, Volume

MASKED = "masked"
"""Folder of an item's images under its masks."""


def open_input(path: Path, settings: RunSettings) -> tuple[Volume, Modality]:
    """Open an input and check everything its header can tell against the modality.

    Raises
    ------
    InputError
        Unreadable, without a voxel size, or not of this modality (unless forced).
    MetadataError
        ``E-CHANNEL``: it has no such channel.
    SettingsError
        Unknown modality or model.
    """
    kind = modality(settings.modality)
    requested_card(settings)
    requested_cells_card(settings)
    requested_refinement_card(settings)
    medium = None if settings.medium_ri == "background" else settings.medium_ri
    options = ReadOptions(
        voxel_size_um=settings.voxel_size_um,
        axes=settings.axes,
        time_step_s=settings.time_step_s,
        medium_ri=medium,
        dataset=settings.dataset,
    )

    def lacks(volume: Volume) -> tuple[MissingFact, ...]:
        facts = (*volume.missing_facts(), *kind.missing_facts(volume, settings.quantity))
        return tuple(fact for fact in facts if fact.name != "medium_ri" or settings.medium_ri is None)

    if settings.channel_files:
        files = {name: path.parent / file for name, file in settings.channel_files.items()}
        return settled(read_channel_files(files, options, lacks=lacks), settings), kind
    return settled(read_volume(path, options, lacks=lacks), settings), kind


def settled(volume: Volume, settings: RunSettings) -> Volume:
    """The volume with channel, quantity and unit checked against the modality; errors as :func:`open_input`."""
    kind = modality(settings.modality)
    if not kind.derived_channels:
        volume.channel_index(settings.channel)
    if settings.is_forced:
        quantity = settings.quantity or kind.quantity
    else:
        kind.check_channels(volume)
        quantity = kind.settle_quantity(volume, settings.quantity)
        kind.check_unit(volume, quantity)
    _check_conversions(volume, kind, quantity, settings)
    is_converted = kind.conversion(quantity, settings) is not None
    # That a voxel is a grey value is no statement of anybody; that it is a refractive index, say, is.
    is_stated = settings.quantity is not None or (quantity != "intensity" and volume.quantity != quantity)
    by_user = is_stated or (is_converted and quantity == "intensity")
    origin: dict[str, Origin] = {"quantity": "user"} if by_user else {}
    return volume.with_properties(quantity=quantity, unit=kind.unit_of(quantity), origin=origin)


def _check_conversions(volume: Volume, kind: Modality, quantity: str, settings: RunSettings) -> None:
    """Refuse a number that would convert nothing."""
    used = kind.conversions[quantity].setting if quantity in kind.conversions else None
    if settings.lac_from_beads is not None and used != "lac_per_um":
        raise ModalityError(
            "E-CONVERSION",
            f"the values are {quantity.replace('_', ' ')}; --lac-from-beads converts nothing there.",
            path=volume.path,
            cure="Leave --lac-from-beads out.",
        )
    if settings.contrast != "auto" and not (kind.may_be_dark and used is not None):
        raise ModalityError(
            "E-CONTRAST-NONE",
            f"the values are {quantity.replace('_', ' ')}; --contrast is for grey values of soft X-rays.",
            path=volume.path,
            cure="Leave --contrast out.",
        )
    if settings.contrast == "dark" and settings.lac_per_um is not None:
        raise ModalityError(
            "E-CONVERSION",
            "what absorbs is dark: a factor alone cannot turn grey values into absorption.",
            path=volume.path,
            cure="Leave --lac-per-um out, or give --lac-from-beads and --lac-of-medium.",
        )
    for other in (entry for each in modalities().values() for entry in each.conversions.values()):
        if other.setting != used and getattr(settings, other.setting) is not None:
            raise ModalityError(
                "E-CONVERSION",
                f"the values are {quantity.replace('_', ' ')}; {other.option} converts nothing there.",
                path=volume.path,
                cure=f"Leave {other.option} out.",
            )


def process_item(task: dict[str, Any], callback: Callback) -> dict[str, Any]:
    """Work of one worker process: one input file into one staged folder.

    Parameters
    ----------
    task : dict
        ``path``, ``staged`` (an existing empty folder), ``settings`` (a RunSettings as JSON), ``item``, and
        ``edits`` (an EditList as JSON) and ``masks`` (structure -> path) where the item has any.
    callback : callable
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
    masks = {structure: Path(path) for structure, path in task.get("masks", {}).items()}
    analysis = analyse(volume, settings, edits=edits, masks=masks, callback=callback)
    with writing(staged):
        _write(analysis, volume.n_frames, staged, task["item"], callback)
        if settings.masked_images:
            write_masked(analysis, volume, settings, staged, callback)
    return {
        "warnings": list(analysis.warnings),
        "facts": analysis.facts,
        "n_rows": len(analysis.table),
        "seconds": time.monotonic() - start,
        "peak_memory_bytes": float(peak_memory_bytes()),
    }


def _write(analysis: Analysis, n_frames: int, staged: Path, item: str, callback: Callback) -> None:
    from tomocyte.corrections.files import AS_SEGMENTED, AS_WRITTEN, REPAIRS_NAME, edits_as_yaml, write_corrections
    from tomocyte.tables import write_table

    for structure, labels in analysis.labels.items():
        callback(Progress(step=f"write: {structure}", frame=n_frames - 1, n_frames=n_frames))
        write_volume(staged / f"{structure}.ome.tif", labels)
        # People correct label images where they lie; the copy tells afterwards what they changed.
        (staged / AS_WRITTEN).mkdir(exist_ok=True)
        shutil.copyfile(staged / f"{structure}.ome.tif", staged / AS_WRITTEN / f"{structure}.ome.tif")
    if analysis.plan.settings.mesh is not None:
        _write_meshes(analysis, analysis.plan.settings.mesh, staged, callback)
    for structure, uncertainty in analysis.maps.items():
        write_volume(staged / f"{structure}_uncertainty.ome.tif", uncertainty)
    table = analysis.table.copy()
    table.insert(0, "item", item)
    write_table(table, staged / "objects")
    for name, further in (("pairs", analysis.pairs), ("contacts", analysis.contacts), ("tracks", analysis.tracks)):
        if further is not None:
            named = further.copy()
            named.insert(0, "item", item)
            write_table(named, staged / name)
    for name, picture in analysis.pictures.items():
        (staged / name).write_bytes(picture)
    if analysis.as_segmented is not None:
        repairs = edits_as_yaml({item: EditList(edits=analysis.repairs)})
        (staged / REPAIRS_NAME).write_text(repairs, encoding="utf-8")
        (staged / AS_SEGMENTED).mkdir()
        write_volume(staged / AS_SEGMENTED / f"{analysis.plan.main}.ome.tif", analysis.as_segmented)
    if analysis.plan.edits is not None:
        write_corrections(analysis.plan.edits, analysis.edit_log, item, staged)
    facts = json.dumps(analysis.facts, indent=1, sort_keys=True, allow_nan=False)
    (staged / "facts.json").write_text(facts, encoding="utf-8")


def _write_meshes(analysis: Analysis, ending: str, staged: Path, callback: Callback) -> None:
    """A file per structure and frame; the frame's number stands in its name where there are several."""
    from tomocyte.figures.meshes import WRITERS, mesh_of

    for structure, labels in analysis.labels.items():
        for frame in range(labels.n_frames):
            callback(Progress(step=f"mesh: {structure}", frame=frame, n_frames=labels.n_frames))
            number = f"_{frame:05d}" if labels.n_frames > 1 else ""
            mesh = mesh_of(labels.frame(frame)[0], analysis.plan.voxel_size_um)
            WRITERS[ending](staged / f"{structure}_mesh{number}.{ending}", mesh)


def write_masked(
    analysis: Analysis, volume: Volume, settings: RunSettings, staged: Path, callback: Callback = silent
) -> None:
    """Write ``masked/<structure>.ome.tif``: the image as it was read where the structure is, 0 elsewhere.

    Parameters
    ----------
    analysis : Analysis
    volume : Volume
        What was analysed.
    settings : RunSettings
        Of the run.
    staged : Path
        Existing folder.
    callback : callable
        Receives an event as each structure begins.
    """
    source = with_derived(volume, settings)
    name = INTENSITY if INTENSITY in source.channels else analysis.plan.channel.name
    channel = source.channels.index(name)
    (staged / MASKED).mkdir(exist_ok=True)
    for structure, labels in analysis.labels.items():
        callback(Progress(step=f"write: {structure}, masked", frame=volume.n_frames - 1, n_frames=volume.n_frames))

        def read_planes(frame: int, _: int, z_start: int, z_stop: int, labels: Volume = labels) -> NDArray[Any]:
            image = source.planes(frame, channel, z_start, z_stop)
            return np.where(labels.planes(frame, 0, z_start, z_stop) != 0, image, image.dtype.type(0))

        masked = source.with_properties(
            shape=(source.n_frames, 1, *source.spatial_shape), read_planes=read_planes, channel_names=(name,),
            voxel_size_um=analysis.plan.voxel_size_um,
        )  # fmt: skip
        write_volume(staged / MASKED / f"{structure}.ome.tif", masked)


def preview(
    path: Path, settings: RunSettings, edits: EditList | None = None, masks: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """What ``--dry-run`` says of an input, from its header; with a trained model, from up to 16 planes too.

    Returns
    -------
    dict
        Shape, voxel size and origin, quantity, medium, notes, the plan, and the forecast of memory (bytes) and time
        (s).

    Raises
    ------
    TomocyteError
        What :func:`open_input` raises, ``E-MODEL-FIT-…`` where the model does not fit, and ``E-EDIT-…`` where edits
        cannot belong to this input.
    """
    from tomocyte.models import check_fit

    volume, _ = open_input(path, settings)
    plan = plan_run(volume, settings.model_copy(update={"edits": None}), edits=edits, masks=masks)
    open_masks(plan.masks, volume, settings.mask_dataset)
    notes = tuple(str(notice) for notice in plan.notices)
    if plan.card is not None and not plan.converts:
        seen = with_derived(volume, plan.settings)
        notes += check_fit(plan.card, seen, channels=plan.model_channels, is_forced=settings.is_forced)
    peak_bytes, seconds = forecast_run(plan, volume)
    return {
        "shape": volume.shape,
        "dtype": str(volume.dtype),
        "voxel_size_um": volume.voxel_size_um,
        "quantity": plan.channel.quantity,
        "unit": plan.channel.unit,
        "channels": volume.channels,
        "medium_ri": plan.medium_ri,
        "time_step_s": volume.time_step_s,
        "origin": dict(volume.origin),
        "notes": notes,
        "plan": plan.describe(),
        "peak_bytes": peak_bytes,
        "seconds": seconds,
    }
