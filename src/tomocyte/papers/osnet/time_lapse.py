"""Frame-wise segmentation in four dimensions: OS-Net's Fig. 4, with fringe noise that grows during the time-lapse.

Every frame is segmented alone, once with the fringes and once without, which shows what the fringes cost. To
disturb the frames differently, change :func:`_disturbed`; pictures are in ``pictures``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import MetadataError, MissingFact
from tomocyte.evaluation.counts import dice
from tomocyte.figures.canvas import PictureFormat
from tomocyte.models.loaded import LoadedModel
from tomocyte.models.prediction import ModelInput, predict_structure
from tomocyte.papers.osnet.objects import compare_objects
from tomocyte.papers.osnet.pictures import Moment, course_pictures, moment_box, moment_pictures, track_of
from tomocyte.papers.osnet.recipe import TimeLapseSettings
from tomocyte.papers.result import ExperimentResult, method_name, origin_words
from tomocyte.progress import Callback, Progress, silent
from tomocyte.simulation.instruments.odt import INSTRUMENT as ODT
from tomocyte.simulation.physics.degradation import OdtDegradation
from tomocyte.simulation.physics.fringe_noise import add_fringes
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

MIN_VOLUME_UM3 = 10.0


@dataclass(frozen=True, eq=False)
class _Followed:
    """One time-lapse after segmentation; moments only where it is to be drawn."""

    frames: list[dict[str, Any]]
    objects: list[pd.DataFrame]
    moments: list[Moment]
    is_simulated: bool


def time_lapse_experiment(
    model: LoadedModel,
    items: Sequence[LabelledItem],
    settings: TimeLapseSettings,
    *,
    title: str,
    file_format: PictureFormat = "png",
    callback: Callback = silent,
) -> ExperimentResult:
    """Segment time-lapses frame by frame while fringes grow from zero to the amplitude in the settings.

    Parameters
    ----------
    model : LoadedModel
    items : sequence of LabelledItem
        Tomograms of refractive index with at least two frames.
    settings : TimeLapseSettings
    title : str
        Of the pictures; what the data are is added.
    file_format : {"png", "pdf", "svg"}
    callback : callable
        Receives an event of the step ``experiment`` after each time-lapse.

    Returns
    -------
    ExperimentResult
        Tables ``frames`` and ``objects``; pictures ``sections-…`` (Fig. 4a), ``bodies-…`` (4b), ``outlines-…`` (4d) of
        some time-lapses, and ``course`` of all.

    Raises
    ------
    MetadataError
        ``E-TIME``: no time-lapse; ``E-MEDIUM``: the medium's refractive index is missing.
    ModalityError
        ``E-MODEL-FIT-…``: a volume that the model was not made for.
    InputError, SettingsError
        ``E-NO-DATA``, ``E-MODEL-STRUCTURE``.
    """
    import pandas as pd

    followed = []
    for index, item in enumerate(items):
        followed.append(_follow(model, item, index, settings))
        callback(Progress(item.name, "experiment", state="done", done=index + 1, total=len(items)))
    is_simulated = any(series.is_simulated for series in followed)
    words = f"{title}, {origin_words(list(items), is_simulated=is_simulated)}"
    frames = pd.DataFrame([row for series in followed for row in series.frames])
    objects = pd.concat([table for series in followed for table in series.objects], ignore_index=True)
    pictures: dict[str, bytes] = {}
    for item, series in zip(items, followed, strict=True):
        if series.moments:
            name = method_name(model.card, item)
            pictures |= moment_pictures(series.moments, item.name, name, title=words, file_format=file_format)
    pictures["course"] = course_pictures(frames, title=words, file_format=file_format)
    return ExperimentResult({"frames": frames, "objects": objects}, pictures, _summary(words, frames), file_format)


def _follow(model: LoadedModel, item: LabelledItem, index: int, settings: TimeLapseSettings) -> _Followed:
    from tomocyte.models import check_fit

    volume = item.open_image()
    _check_time_lapse(volume)
    check_fit(model.card, volume)
    size = volume.require_voxel_size()
    voxel_um3 = math.prod(size)
    threshold = model.card.threshold_of(settings.structure)
    tracks = _tracks(item)
    is_drawn = index < settings.n_shown
    box = moment_box(item, volume, tracks, settings) if is_drawn else None
    frames, objects, moments = [], [], []
    for frame in range(volume.n_frames):
        clean = np.asarray(volume.planes(frame, 0), np.float32)
        degradation = _degradation(frame, volume.n_frames, settings)
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(index, frame)))
        image = _disturbed(clean, volume, degradation, settings, rng)
        truth, around = item.read_labels(settings.structure, frame), item.read_labels(settings.around, frame)
        inside, alone = (
            predict_structure(model, ModelInput(channel[np.newaxis], size, volume.medium_ri), settings.structure)
            > threshold
            for channel in (image, clean)
        )
        time_s = volume.time_s[frame] if volume.time_s is not None else math.nan
        keys: dict[str, Any] = {"item": item.name, "frame": frame, "time_s": time_s}
        frames.append(
            {
                **keys,
                "is_simulated": volume.is_simulated,
                "n_fringes": degradation.n_fringes,
                "fringe_ri_amplitude": degradation.fringe_ri_amplitude if degradation.n_fringes else 0.0,
                "dice": dice(truth, inside),
                "dice_without_fringes": dice(truth, alone),
                "volume_truth_um3": np.count_nonzero(truth) * voxel_um3,
                "volume_prediction_um3": np.count_nonzero(inside) * voxel_um3,
                "volume_without_fringes_um3": np.count_nonzero(alone) * voxel_um3,
            }
        )
        table, _ = compare_objects(truth, inside, size, structure=settings.structure, min_volume_um3=MIN_VOLUME_UM3)
        table.insert(0, "track_id", [track_of(tracks, frame, truth == label, around) for label in table["label"]])
        for place, (key, value) in enumerate(keys.items()):
            table.insert(place, key, value)
        objects.append(table)
        if box is not None:
            moments.append(Moment(time_s, image[box], truth[box], inside[box], around[box], size))
    return _Followed(frames, objects, moments, volume.is_simulated)


def _check_time_lapse(volume: Volume) -> None:
    if volume.n_frames < 2:
        raise MetadataError("E-TIME", "there is only one frame.", path=volume.path, cure="Give a time-lapse.")
    if volume.medium_ri is None:
        raise MetadataError(
            "E-MEDIUM",
            "the medium's RI is missing.",
            path=volume.path,
            missing=(MissingFact("medium_ri", ("NUMBER",)),),
        )


def _degradation(frame: int, n_frames: int, settings: TimeLapseSettings) -> OdtDegradation:
    """None in the first frame, that of the settings in the last, linear in between."""
    share = frame / (n_frames - 1)
    return OdtDegradation(
        n_fringes=round(share * settings.n_fringes), fringe_ri_amplitude=share * settings.fringe_ri_amplitude
    )


def _disturbed(
    clean: NDArray[np.float32],
    volume: Volume,
    degradation: OdtDegradation,
    settings: TimeLapseSettings,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    return add_fringes(
        clean,
        float(volume.medium_ri or 0.0),
        voxel_size_um=volume.require_voxel_size(),
        instrument=ODT.variant(settings.instrument),
        degradation=degradation,
        rng=rng,
    )


def _tracks(item: LabelledItem) -> dict[tuple[int, int], int]:
    """(frame, label of the cell) -> track; empty without tracks."""
    if item.tracks is None:
        return {}
    import pandas as pd

    table = pd.read_parquet(item.tracks, columns=["frame", "label", "track_id"])
    return {(int(frame), int(label)): int(track) for frame, label, track in table.itertuples(index=False)}


def _summary(title: str, frames: pd.DataFrame) -> str:
    lines = [
        f"# {title}",
        "",
        f"{frames['item'].nunique()} time-lapses, {len(frames)} frames, each segmented alone. Fringes were added "
        "to the tomograms: none in the first frame, growing evenly.",
        "",
        "| Time (min) | Fringe systems | Peak of one (RI) | Dice | Dice without fringes | Volume, true (µm³) | found |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    columns = ["time_s", "n_fringes", "fringe_ri_amplitude", "dice", "dice_without_fringes"]
    columns += ["volume_truth_um3", "volume_prediction_um3"]
    for _, row in frames.groupby("frame")[columns].mean().iterrows():
        time = "" if math.isnan(row["time_s"]) else f"{row['time_s'] / 60:.0f}"
        lines.append(
            f"| {time} | {row['n_fringes']:.0f} | {row['fringe_ri_amplitude']:.4f} | {row['dice']:.4f} | "
            f"{row['dice_without_fringes']:.4f} | {row['volume_truth_um3']:.1f} | {row['volume_prediction_um3']:.1f} |"
        )
    return "\n".join(lines) + "\n"
