"""Sparse labels in a file, dense labels in another: read, propagated, written whole, with a record of how.

What a method does stands in ``propagation/``; here is what a file needs around it. To write another result, add its
field to :class:`tomocyte.runs.propagation_plan.Outputs` and write it in :func:`_write`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.orientation import oriented_like
from tomocyte.errors import InputError, MetadataError, SettingsError
from tomocyte.formats import ReadOptions, read_volume
from tomocyte.ledger.atomic import write_atomic, writing
from tomocyte.progress import silent
from tomocyte.propagation import AXES, DenseLabels, check_known_is_used, default_method, method_of, propagate
from tomocyte.propagation.finishing import FinishingSettings, finish_labels
from tomocyte.propagation.next_slice import ErrorProfile, profile_errors
from tomocyte.runs.convert import refuse_existing, write_whole_volume
from tomocyte.runs.films_as_volumes import as_volume, is_film
from tomocyte.runs.large_arrays import LargeArrays
from tomocyte.runs.next_page import NextPage, write_next_page
from tomocyte.runs.next_slices import PropagatedVolume, points_csv, suggestions
from tomocyte.runs.propagation_plan import (
    Outputs,
    PropagateSettings,
    PropagationPlan,
    known_voxels,
    outputs_of,
    plan_of,
)
from tomocyte.runs.propagation_record import n_refilled, read_earlier, record_content
from tomocyte.settings import Settings, build_settings
from tomocyte.volume import Planes, Volume

__all__ = ["PropagateSettings", "PropagationPlan", "propagate_file"]


def propagate_file(
    labels: Path,
    output: Path,
    settings: PropagateSettings,
    *,
    image: Path | None = None,
    previous: Path | None = None,
    options: ReadOptions | None = None,
    is_dry_run: bool = False,
    callback: Callable[[int, int], None] = silent,
) -> PropagationPlan:
    """Propagate the labels of a file to all its slices and write the result beside a record of how.

    Parameters
    ----------
    labels : Path
        A label image of one channel, of one frame or a film of single planes, whose frames are the slices; it is not
        changed. Of large files only some slices are held in memory at a time.
    output : Path
        File to write; its ending chooses the format.
    settings : PropagateSettings
    image : Path, optional
        The image that was labelled, for methods that follow it.
    previous : Path, optional
        What this function wrote before some labels changed, with its record beside it: only what the changed labels
        concern is filled again. Method, settings, axis and image must be the same.
    options : ReadOptions, optional
        What the user says about the label image.
    is_dry_run : bool
        Whether everything is checked and nothing computed or written.
    callback : callable
        Called with the number of slices done and of all.

    Raises
    ------
    InputError
        A file cannot be read; ``E-PROPAGATION-AXES``: channels, or frames of several planes; ``E-LABELS-TYPE``;
        ``E-PROPAGATION-UNLABELLED``: no voxel has the value of unlabelled ones, or a labelled slice has some;
        ``E-PROPAGATION-PREVIOUS``: an earlier result that does not fit or lacks its record.
    MetadataError
        ``E-ORIENTATION``: image and labels are rotated against each other.
    SettingsError
        As :func:`tomocyte.propagation.propagate`.
    OutputError
        ``E-EXISTS``: something of that name exists.
    """
    outputs = outputs_of(output, settings)
    refuse_existing(*(path for path in astuple(outputs) if path is not None))
    arrays = LargeArrays(output)
    inputs = _read(labels, image, settings, outputs, options, arrays)
    earlier = None
    if previous is not None:
        is_map_read = settings.is_map_written or settings.n_next > 0
        earlier = read_earlier(
            previous, image, is_map_read=is_map_read, read=lambda path: arrays.array(_slices_of(read_volume(path)))
        )
    if is_dry_run:
        return inputs.plan

    def released(n_done: int, n_slices: int) -> None:
        arrays.release()
        callback(n_done, n_slices)

    dense = propagate(
        inputs.sparse,
        voxel_size_um=inputs.plan.voxel_size_um,
        slices=inputs.plan.slices,
        image=inputs.image,
        known=inputs.known,
        axis=inputs.settings.array_axis,
        method=inputs.plan.method,
        settings=inputs.plan.method_settings,
        previous=earlier,
        zeros=arrays.zeros,
        callback=released,
    )
    plan = replace(inputs.plan, test=dense.test, n_refilled=None if earlier is None else n_refilled(earlier, dense))
    inputs = replace(inputs, plan=plan)
    return _write(inputs, _finished(inputs, dense, arrays), labels, image, arrays)


@dataclass(frozen=True)
class _Inputs:
    """What was read of the files, and what is to be done with it; arrays are (Z, Y, X), of films (T, Y, X)."""

    volume: Volume
    settings: PropagateSettings
    plan: PropagationPlan
    sparse: NDArray[np.unsignedinteger[Any]]
    known: NDArray[np.bool_] | None
    image: Planes | None
    quantity: str = ""
    unit: str = ""


def _read(
    labels: Path,
    image: Path | None,
    settings: PropagateSettings,
    outputs: Outputs,
    options: ReadOptions | None,
    arrays: LargeArrays,
) -> _Inputs:
    method = settings.method or default_method(has_image=image is not None)
    method_settings = build_settings(method_of(method).settings, settings.method_settings)
    _check_uncertainty(settings, method_settings)
    volume = read_volume(labels, options)
    settings = _with_axis(settings, volume)
    slices_of_it = _slices_of(volume)
    sparse = arrays.labels(slices_of_it)
    slices, known = known_voxels(sparse, settings, arrays.zeros)
    plan = plan_of(slices_of_it, sparse, known, slices, settings, method, method_settings, outputs)
    if plan.n_known:
        check_known_is_used(method_of(method))
    if image is None:
        return _Inputs(volume, settings, plan, sparse, known, None)
    pixel_volume = _read_image(image, settings, options)
    turned = oriented_like(pixel_volume, volume)
    plan = replace(plan, notes=(*turned.notes[len(pixel_volume.notes) :], *_size_notes(volume, turned)))
    turned = _slices_of(turned, size_of=volume)
    pixels = arrays.planes(turned) if settings.array_axis == "z" else arrays.array(turned)
    return _Inputs(volume, settings, plan, sparse, known, pixels, turned.quantity or "intensity", turned.unit)


def _size_notes(labels: Volume, image: Volume) -> tuple[str, ...]:
    """A note where labels and image say that their voxels differ by more than a hundredth; NaN says nothing."""
    sizes = [np.array(one.voxel_size_um, dtype=float) for one in (labels, image)]
    if not (np.abs(sizes[0] - sizes[1]) > 0.01 * sizes[0]).any():
        return ()
    words = [" x ".join(f"{side:g}" for side in size) for size in sizes]
    return (f"the image has voxels of {words[1]} um (z, y, x), the labels of {words[0]} um, which were taken.",)


def _read_image(image: Path, settings: PropagateSettings, options: ReadOptions | None) -> Volume:
    """The image; where it does not say what its axes are, those that were given for the labels."""
    own = ReadOptions(dataset=settings.image_dataset)
    try:
        return read_volume(image, own, is_size_required=False)
    except MetadataError as error:
        if error.code != "E-AXES" or options is None or options.axes is None:
            raise
        return read_volume(image, replace(own, axes=options.axes), is_size_required=False)
    except InputError as error:
        if not error.code.endswith("-DATASET") or settings.image_dataset is not None:
            raise
        cure = str(error.cure).replace("--dataset", "--image-dataset")
        raise InputError(error.code, error.problem, path=image, cure=cure) from error


def _finished(inputs: _Inputs, dense: DenseLabels, arrays: LargeArrays) -> DenseLabels:
    settings, plan = inputs.settings, inputs.plan
    if settings.finishing == FinishingSettings():
        return dense
    is_given = arrays.zeros(inputs.sparse.shape, bool)
    if inputs.known is not None:
        is_given[:] = inputs.known
    np.moveaxis(is_given, AXES.index(settings.array_axis), 0)[list(plan.slices)] = True
    return replace(dense, labels=finish_labels(dense.labels, is_given, settings.finishing))


def _write(
    inputs: _Inputs, dense: DenseLabels, labels: Path, image: Path | None, arrays: LargeArrays
) -> PropagationPlan:
    """Write all files, the labels last; the plan with what was learned."""
    plan, outputs = inputs.plan, inputs.plan.outputs
    with writing(outputs.labels):
        outputs.labels.parent.mkdir(parents=True, exist_ok=True)
    profile = None
    if not np.isnan(dense.uncertainty[0, 0, 0]):
        axis = inputs.settings.array_axis
        profile = profile_errors(dense, plan.slices, axis, callback=lambda _done, _all: arrays.release())
    if profile is not None:
        plan = _name_next(inputs, dense, profile, labels.name)
    if outputs.uncertainty is not None:
        uncertainty = _volume_of(dense.uncertainty, inputs.volume, quantity="uncertainty", unit="1")
        write_whole_volume(outputs.uncertainty, uncertainty, on_planes=lambda _done: arrays.release())
    write_atomic(outputs.record, record_content(labels, image, plan, inputs.settings, dense, profile))
    about = {"quantity": "labels", "unit": "1", "label_names": inputs.volume.label_names}
    found = _volume_of(dense.labels, inputs.volume, **about)
    write_whole_volume(outputs.labels, found, on_planes=lambda _done: arrays.release())
    return plan


def _name_next(inputs: _Inputs, dense: DenseLabels, profile: ErrorProfile, name: str) -> PropagationPlan:
    """Write which slices to label next, as points and as a page, where they are asked for."""
    plan, outputs = inputs.plan, inputs.plan.outputs
    if outputs.next_slices is None or outputs.next_page is None:
        return plan
    named = PropagatedVolume(name, plan.axis, profile, is_measured=dense.test is not None)
    suggested = tuple(suggestions([named], inputs.settings.n_next))
    write_atomic(outputs.next_slices, points_csv(suggested))
    page = NextPage(
        name=name,
        method=plan.method,
        axis=plan.axis,
        voxel_size_um=plan.voxel_size_um,
        profile=profile,
        suggested=suggested,
        test=dense.test,
        labels=dense.labels,
        uncertainty=dense.uncertainty,
        image=inputs.image,
        quantity=inputs.quantity,
        unit=inputs.unit,
    )
    with writing(outputs.next_page):
        write_next_page(outputs.next_page, page)
    return replace(plan, suggested=suggested)


def _volume_of(array: NDArray[Any], like: Volume, **about: Any) -> Volume:
    """An array in the place, and of a film at the times, of the labels that were read."""
    if is_film(like):
        array = array[:, None, None]
        about["time_s"] = like.time_s
    same = {name: getattr(like, name) for name in ("voxel_size_um", "origin", "affine", "affine_unit")}
    return Volume.from_array(array, **about, **same)


def _with_axis(settings: PropagateSettings, volume: Volume) -> PropagateSettings:
    """Along time for a film, whatever axis is the default."""
    named = [name for name in (settings.axis, *settings.other_slices) if name not in {"z", "t"}]
    if is_film(volume):
        if named or "z" in settings.other_slices:
            problem = f"is a film of single planes: its slices lie along t, not {(named or ['z'])[0]}."
            cure = "Name frames alone, as in --labelled-slices t=0:20:5, and leave --axis out."
            raise InputError("E-PROPAGATION-AXES", problem, path=volume.path, cure=cure)
        return settings.model_copy(update={"axis": "t"})
    if settings.axis == "t" or "t" in settings.other_slices:
        problem = "is no film of single planes: it has no slices along t."
        cure = "Name slices along z, y or x."
        raise InputError("E-PROPAGATION-AXES", problem, path=volume.path, cure=cure)
    return settings


def _slices_of(volume: Volume, size_of: Volume | None = None) -> Volume:
    """A volume of one frame and one channel; a film as the volume whose planes are its frames."""
    if volume.n_channels > 1 or (volume.n_frames > 1 and not volume.is_2d):
        raise InputError(
            "E-PROPAGATION-AXES",
            f"contains {volume.n_frames} frames of {volume.shape[2]} planes and {volume.n_channels} channels; one "
            "frame, or a film of single planes, of one channel can be propagated.",
            path=volume.path,
            cure="Save one frame of one channel as its own file.",
        )
    return as_volume(volume, size_of or volume) if is_film(volume) else volume


def _check_uncertainty(settings: PropagateSettings, method_settings: Settings) -> None:
    options = {"--uncertainty-map": settings.is_map_written, "--next": settings.n_next > 0}
    asked = [option for option, is_given in options.items() if is_given]
    if asked and not getattr(method_settings, "is_uncertainty_measured", True):
        raise SettingsError(
            "E-PROPAGATION-SETTINGS",
            "the uncertainty is asked for, and is_uncertainty_measured=false leaves it out.",
            cure=f"Leave {' and '.join(asked)} or --set is_uncertainty_measured=false out.",
        )
