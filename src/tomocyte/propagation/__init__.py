"""Door 6: a method that propagates labels from a few slices to all is a file in this folder.

To add one, put ``propagation/<name>.py`` here with a module constant ``METHOD = PropagationMethod(...)``: a frozen
settings class and one function; it is discovered automatically under the name ``<name>`` with dashes. The function sees
the labelled axis first, whatever axis the user labelled. Libraries that take long to load are imported inside it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, SettingsError
from tomocyte.progress import silent
from tomocyte.propagation.method import DenseLabels, PropagationMethod, SelfTest, SparseLabels, Zeros
from tomocyte.settings import Settings
from tomocyte.volume import Planes, VoxelSize, check_voxel_size

__all__ = [
    "DenseLabels",
    "PropagationMethod",
    "SelfTest",
    "SparseLabels",
    "Zeros",
    "check_known_is_used",
    "default_method",
    "labelled_slices",
    "method_of",
    "methods",
    "propagate",
]

Axis = Literal["z", "y", "x"]
AXES: tuple[Axis, ...] = ("z", "y", "x")
WITH_IMAGE, WITHOUT_IMAGE = "image-guided", "signed-distance"
"""Methods that are taken when none is named."""


def methods() -> dict[str, PropagationMethod]:
    """Every propagation method, by name.

    Examples
    --------
    >>> "signed-distance" in methods()
    True
    """
    return _methods_in(tuple(__path__))


@cache
def _methods_in(folders: tuple[str, ...]) -> dict[str, PropagationMethod]:
    names = sorted(module.name for module in pkgutil.iter_modules(folders))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    entries: list[PropagationMethod] = [module.METHOD for module in modules if hasattr(module, "METHOD")]
    return {entry.name: entry for entry in entries}


def method_of(name: str) -> PropagationMethod:
    """The method of that name.

    Raises
    ------
    SettingsError
        ``E-PROPAGATION-METHOD`` with the list of those that exist.
    """
    if name not in methods():
        names = ", ".join(sorted(methods()))
        raise SettingsError("E-PROPAGATION-METHOD", f"there is no method {name!r}.", cure=f"Methods: {names}.")
    return methods()[name]


def check_known_is_used(entry: PropagationMethod) -> None:
    """Refuse voxels that are known beside the labelled slices where the method cannot use them.

    Raises
    ------
    InputError
        ``E-PROPAGATION-KNOWN`` with the methods that can.
    """
    if not entry.uses_known:
        names = " or ".join(sorted(name for name, other in methods().items() if other.uses_known))
        problem = f"{entry.name} cannot use labels beside the labelled slices: scribbles, or slices along another axis."
        cure = f"Give the image with --image and take --method {names}, or name slices along one axis only."
        raise InputError("E-PROPAGATION-KNOWN", problem, cure=cure)


def default_method(*, has_image: bool) -> str:
    """The method that is taken when none is named: one that follows the image where there is one.

    Examples
    --------
    >>> default_method(has_image=False)
    'signed-distance'
    """
    return WITH_IMAGE if has_image else WITHOUT_IMAGE


def labelled_slices(labels: NDArray[Any], axis: Axis = "z") -> tuple[int, ...]:
    """Slices that hold any label, by index along the axis.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
    axis : {"z", "y", "x"}

    Examples
    --------
    >>> labelled_slices(np.array([[[0, 0]], [[0, 5]], [[1, 0]]], dtype=np.uint8))
    (1, 2)
    """
    along = np.moveaxis(labels, _axis_index(axis), 0)
    return tuple(index for index in range(along.shape[0]) if along[index].any())


def propagate(
    labels: NDArray[np.unsignedinteger[Any]],
    *,
    voxel_size_um: VoxelSize,
    slices: Iterable[int] | None = None,
    image: Planes | None = None,
    known: NDArray[np.bool_] | None = None,
    axis: Axis = "z",
    method: str | None = None,
    settings: Settings | None = None,
    previous: DenseLabels | None = None,
    zeros: Zeros = np.zeros,
    callback: Callable[[int, int], None] = silent,
) -> DenseLabels:
    """Labels on every slice from labels on a few.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), unsigned integer
        0 is background on the labelled slices; other slices are not read.
    voxel_size_um : tuple of 3 float
        Z, y, x in µm.
    slices : iterable of int, optional
        The labelled slices, by index along the axis; by default those that hold any label. Give them to declare a
        slice without any label as background, or to hold slices back. With ``known`` voxels they may be none.
    image : Planes (Z, Y, X), real, optional
        For methods that follow an image: an array or, along z, :class:`tomocyte.volume.VolumePlanes`, of which
        ``image-guided`` reads a few slices at a time.
    known : ndarray (Z, Y, X), bool, optional
        Voxels beside the labelled slices whose label is given, 0 = background included: scribbles, or slices along
        other axes. They keep their label.
    axis : {"z", "y", "x"}
        Axis along which slices were labelled.
    method : str, optional
        One of :func:`methods`; when not given, ``image-guided`` with an image and ``signed-distance`` without.
    settings : Settings, optional
        Of the method's own class; its defaults when not given.
    previous : DenseLabels, optional
        The result of the same call before some labels changed: only what the changed ones concern is filled again, by
        what was learned then. The image must be the same.
    zeros : callable, optional
        ``(shape, dtype)`` -> array of zeros, for arrays as large as the volume; e.g. in files, where memory is short.
    callback : callable, optional
        Called with the number of slices done and of all.

    Returns
    -------
    DenseLabels
        ``labels`` in the type of the input and ``uncertainty`` (float32, 0 to 1, or NaN where the settings leave it
        out), both (Z, Y, X). Labelled slices and known voxels are unchanged, with uncertainty 0.

    Raises
    ------
    SettingsError
        ``E-PROPAGATION-METHOD``, ``E-PROPAGATION-AXIS``, ``E-PROPAGATION-SETTINGS``, or ``E-PROPAGATION-SLICES``: none,
        or outside the volume.
    InputError
        ``E-LABELS-TYPE``, ``E-SHAPE``, ``E-PROPAGATION-PREVIOUS``: an earlier result that does not fit, or
        ``E-PROPAGATION-IMAGE``: the method needs an image, or does not use the one given; ``E-PROPAGATION-KNOWN``: it
        does not use known voxels.
    MetadataError
        ``E-VOXEL-SIZE``.

    Examples
    --------
    >>> sparse = np.zeros((3, 1, 7), np.uint8)
    >>> sparse[0, 0, :2] = sparse[2, 0, :4] = 9
    >>> propagate(sparse, voxel_size_um=(1.0, 0.5, 0.5)).labels[1].tolist()
    [[9, 9, 9, 0, 0, 0, 0]]
    """
    entry = method_of(method or default_method(has_image=image is not None))
    if labels.ndim != 3 or labels.dtype.kind != "u":
        raise InputError("E-LABELS-TYPE", f"labels must be unsigned (Z, Y, X), not {labels.dtype} {labels.shape}.")
    if image is not None and image.shape != labels.shape:
        raise InputError("E-SHAPE", f"labels {labels.shape} and image {image.shape} differ in shape.")
    if image is None and entry.image == "required":
        raise InputError("E-PROPAGATION-IMAGE", f"{entry.name} needs the image.", cure="Give it with --image.")
    if image is not None and entry.image == "none":
        problem = f"{entry.name} does not use an image, but one was given."
        raise InputError("E-PROPAGATION-IMAGE", problem, cure="Leave --image out, or choose another --method.")
    if known is not None and (known.shape != labels.shape or known.dtype != bool):
        raise InputError("E-SHAPE", f"known must be bool {labels.shape}, not {known.dtype} {known.shape}.")
    check_voxel_size(voxel_size_um)
    options = entry.settings() if settings is None else settings
    if not isinstance(options, entry.settings):
        problem = f"{entry.name} takes {entry.settings.__name__}, not {type(options).__name__}."
        raise SettingsError("E-PROPAGATION-SETTINGS", problem)
    index = _axis_index(axis)
    order = (index, *(other_axis for other_axis in range(3) if other_axis != index))
    is_any_known = known is not None and entry.uses_known and bool(known.any())
    given = labelled_slices(labels, axis) if slices is None else slices
    checked = _checked_slices(given, labels.shape[index], is_any_known=is_any_known)
    origin = _origin(entry, options, axis, voxel_size_um, labels.shape)
    if previous is not None:
        _check_previous(previous, labels.shape, origin)
        turned = previous.labels.transpose(order), previous.uncertainty.transpose(order)
        previous = replace(previous, labels=turned[0], uncertainty=turned[1])
    sparse = SparseLabels(
        labels=labels.transpose(order),
        slices=checked,
        voxel_size_um=(voxel_size_um[order[0]], voxel_size_um[order[1]], voxel_size_um[order[2]]),
        image=image if image is None or index == 0 else np.asarray(image[:]).transpose(order),
        known=None if known is None else _beside(known.transpose(order), checked, entry),
        previous=previous,
        zeros=zeros,
    )
    dense = entry.propagate(sparse, options, callback)
    back = tuple(np.argsort(order).tolist())
    memory = None if dense.memory is None else {"origin": origin, **dense.memory}
    labels, uncertainty = dense.labels.transpose(back), dense.uncertainty.transpose(back)
    return replace(dense, labels=labels, uncertainty=uncertainty, memory=memory)


def _origin(
    entry: PropagationMethod, settings: Settings, axis: Axis, voxel_size_um: VoxelSize, shape: tuple[int, ...]
) -> dict[str, Any]:
    """What must be the same for an earlier result to be gone on from."""
    return {
        "method": entry.name,
        "settings": settings.model_dump(mode="json", exclude={"n_threads"}),
        "axis": axis,
        "voxel_size_um": list(voxel_size_um),
        "shape": list(shape),
    }


def _check_previous(previous: DenseLabels, shape: tuple[int, ...], origin: dict[str, Any]) -> None:
    if previous.memory is None:
        problem = "the earlier result holds nothing to go on from; image-guided leaves it."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, cure="Leave --update out.")
    before = previous.memory.get("origin", {})
    differing = [name for name in origin if before.get(name) != origin[name]]
    if differing or previous.labels.shape != shape or previous.uncertainty.shape != shape:
        words = ", ".join(name.replace("_um", "").replace("_", " ") for name in differing) or "shape"
        problem = f"the earlier result was made differently: {words}."
        cure = "Give the options that it was made with, or leave --update out."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, cure=cure)


def _axis_index(axis: str) -> int:
    if axis not in AXES:
        raise SettingsError("E-PROPAGATION-AXIS", f"there is no axis {axis!r}.", cure=f"Axes: {', '.join(AXES)}.")
    return AXES.index(axis)


def _beside(known: NDArray[np.bool_], slices: tuple[int, ...], entry: PropagationMethod) -> NDArray[np.bool_] | None:
    """Known voxels that do not lie on labelled slices."""
    if not any(known[index].any() for index in set(range(len(known))) - set(slices)):
        return None
    if not slices:
        check_known_is_used(entry)
        return known
    beside = known.copy()
    beside[list(slices)] = False
    check_known_is_used(entry)
    return beside


def _checked_slices(slices: Iterable[int], n_slices: int, *, is_any_known: bool) -> tuple[int, ...]:
    checked = tuple(sorted(set(slices)))
    if not checked and is_any_known:
        return checked
    if not checked:
        raise SettingsError(
            "E-PROPAGATION-SLICES",
            "no slice is labelled.",
            cure="Label one slice or more with --image, two or more without.",
        )
    if checked[0] < 0 or checked[-1] >= n_slices:
        problem = f"slices {checked[0]} to {checked[-1]} are not within 0 to {n_slices - 1}."
        raise SettingsError("E-PROPAGATION-SLICES", problem, cure="Count slices from 0; check the axis.")
    return checked
