"""From a volume to its frames: all channels in physical values, checked, each voxel read once.

One rule for the medium: what the user gives, else what the file says, else, where that is asked for, the mode of the
values outside the cells, measured before anything is segmented. Networks, concentration and dry mass all count from it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, ModalityError
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.volume import Frame, Volume, VoxelSize

SLAB_VOXELS = 8_000_000
BACKGROUND_MARGIN_UM = 1.0
MOST_SAMPLES = 4_000_000
PERHAPS_DARK, SURELY_DARK = 1.2, 1.8
"""Reach below the most frequent value over that above it. Simulated tomograms have up to 0.3, pieces cut out of their
cells up to 1.4, and both the reciprocal with inverted contrast; a real mitochondrion with dark absorption has 2.2."""


def read_frame(volume: Volume, index: int, plan: Plan) -> tuple[Frame, tuple[Notice, ...]]:
    """One frame of a volume, all channels, checked.

    Parameters
    ----------
    volume : Volume
    index : int
    plan : Plan
        Of this volume.

    Returns
    -------
    frame : Frame
    notices : tuple of Notice
        ``W-NAN``, ``W-FLAT``, ``W-CONTRAST``, ``W-CONTRAST-DARK``; ``W-IMPLAUSIBLE-VALUES`` where values that do not
        fit the modality were forced.

    Raises
    ------
    InputError
        ``E-NAN``: NaN or infinite voxels, and the settings refuse them.
    ModalityError
        ``E-MODALITY-RANGE``: the values of the segmented channel do not fit the modality (unless forced);
        ``E-CONTRAST``.
    """
    image = np.empty((volume.n_channels, *volume.spatial_shape), dtype=np.float32)
    outside: NDArray[np.bool_] | None = None
    notices: list[Notice] = []
    # A derived channel is there when its stage has run; until then its place has the channel it is made of first.
    segmented_channel = plan.segmented if plan.segmented < volume.n_channels else plan.checked
    for channel in range(volume.n_channels):
        is_bad, low, high = _read_channel(volume, index, channel, image[channel])
        if is_bad is not None:
            _check_missing(is_bad, index, plan, channel, volume)
            outside = is_bad if outside is None else outside | is_bad
        if channel == segmented_channel and not low < high and not plan.masks:
            notices.append(Notice("W-FLAT", f"frame {index} is constant; nothing can be found in it."))
    if outside is not None:
        n_bad = int(np.count_nonzero(outside))
        notices.insert(0, Notice("W-NAN", f"{n_bad} NaN or infinite voxels of frame {index} were treated as outside."))
    segmented = image[segmented_channel]
    is_empty = outside is not None and bool(outside.all())
    if not is_empty:
        try:
            plan.modality.check_values(segmented[None], volume)
        except ModalityError as error:
            if not plan.settings.is_forced:
                raise
            text = f"frame {index}: {error.problem} --force went on: columns in that unit mean nothing."
            notices.append(Notice("W-IMPLAUSIBLE-VALUES", text))
    if not is_empty and plan.has_contrast:
        notices += with_contrast(segmented, plan, index, volume)
    convert = plan.modality.conversion(volume.quantity, plan.settings)
    if convert is not None:
        image[segmented_channel] = convert(segmented)
    medium_ri = background_mode(segmented) if plan.medium_ri == "background" else plan.medium_ri
    frame = Frame(
        index=index,
        image=image,
        channel_names=tuple(channel.name for channel in plan.channels[: volume.n_channels]),
        quantities=tuple(channel.quantity for channel in plan.channels_as_read[: volume.n_channels]),
        units=tuple(channel.unit for channel in plan.channels_as_read[: volume.n_channels]),
        voxel_size_um=plan.voxel_size_um,
        channel=segmented_channel,
        medium_ri=medium_ri,
        medium_origin=None if medium_ri is None else plan.medium_origin,
        time_s=None if volume.time_s is None else volume.time_s[index],
        outside=outside,
    )
    return frame, tuple(notices)


def with_contrast(image: NDArray[np.float32], plan: Plan, index: int, volume: Volume) -> list[Notice]:
    """Turn the sign of grey values in place where absorbing is dark, by the settings; notices.

    Raises
    ------
    ModalityError
        ``E-CONTRAST``: nobody says how it is, and it looks dark (unless forced).
    """
    from tomocyte.segmentation.contrast import dark_share

    if plan.settings.contrast == "dark":
        np.negative(image, out=image)
        text = "what absorbs is dark in this input: its grey values were turned into their negatives."
        return [Notice("W-CONTRAST-DARK", text)]
    share = dark_share(image, plan.voxel_size_um) if plan.settings.contrast == "auto" else math.nan
    if not share > PERHAPS_DARK:
        return []
    looks = f"frame {index}: values reach {share:.1f} times as far below the most frequent one as above it"
    if share <= SURELY_DARK or plan.settings.is_forced:
        text = f"{looks}; if what absorbs is dark here, give --contrast dark (or bright, if not)."
        return [Notice("W-CONTRAST", text)]
    raise ModalityError(
        "E-CONTRAST",
        f"{looks}: what absorbs seems to be dark.",
        path=volume.path,
        cure="Give --contrast dark if it is, --contrast bright if not.",
    )


def _read_channel(
    volume: Volume, index: int, channel: int, image: NDArray[np.float32]
) -> tuple[NDArray[np.bool_] | None, float, float]:
    """Fill ``image`` (Z, Y, X) slab by slab, NaN where not finite; those voxels, the lowest and the highest value."""
    n_planes, height, width = volume.spatial_shape
    outside: NDArray[np.bool_] | None = None
    low, high = math.inf, -math.inf
    slab = max(1, SLAB_VOXELS // (height * width))
    for start in range(0, n_planes, slab):
        planes = slice(start, min(start + slab, n_planes))
        image[planes] = volume.planes(index, channel, planes.start, planes.stop)
        is_bad = ~np.isfinite(image[planes])
        if is_bad.any():
            outside = np.zeros(image.shape, dtype=bool) if outside is None else outside
            outside[planes] = is_bad
            image[planes][is_bad] = np.nan
        low = min(low, float(np.min(image[planes], where=~is_bad, initial=np.inf)))
        high = max(high, float(np.max(image[planes], where=~is_bad, initial=-np.inf)))
    return outside, low, high


def _check_missing(is_bad: NDArray[np.bool_], index: int, plan: Plan, channel: int, volume: Volume) -> None:
    if plan.settings.nan == "mask":
        return
    of = f" of channel {plan.channels[channel].name}" if volume.n_channels > 1 else ""
    raise InputError(
        "E-NAN",
        f"{int(np.count_nonzero(is_bad))} voxels{of} of frame {index} are NaN or infinite.",
        path=volume.path,
        cure="Use --nan mask to treat them as outside; they are then counted and excluded from all statistics.",
    )


def background_mode(image: NDArray[np.float32]) -> float | None:
    """The mode of the values below the cells' threshold: the medium, where there is medium to see.

    Parameters
    ----------
    image : ndarray (Z, Y, X), float32
        Physical values; NaN are ignored. Of large images an evenly spaced sample is taken.

    Returns
    -------
    float or None
        In the image's unit; ``None`` without a finite value.

    Examples
    --------
    >>> image = np.full((4, 50, 50), 1.337, np.float32)
    >>> image[:, 10:20, 10:20] = 1.36
    >>> round(background_mode(image), 3)
    1.337
    """
    from tomocyte.segmentation.classical.thresholds import Histogram, half_maximum_levels

    values = image.reshape(-1)[:: max(1, image.size // MOST_SAMPLES)]
    values = values[np.isfinite(values)]
    return half_maximum_levels(Histogram.of(values)).background if values.size else None


def has_background(
    cells: NDArray[Any],
    voxel_size_um: VoxelSize,
    *,
    outside: NDArray[np.bool_] | None = None,
    margin_um: float = BACKGROUND_MARGIN_UM,
) -> bool:
    """Whether at least 0.1 % of a frame lies ``margin_um`` or more away from all cells: enough to measure the medium
    in.

    Parameters
    ----------
    cells : unsigned ndarray (Z, Y, X)
    voxel_size_um : tuple of 3 float
    outside : ndarray (Z, Y, X), bool, optional
        Voxels without a value.
    margin_um : float
        Distance in µm that blur may reach.

    Examples
    --------
    >>> cells = np.ones((1, 40, 60), np.uint8)
    >>> has_background(cells, (float("nan"), 0.2, 0.2)), has_background(0 * cells, (float("nan"), 0.2, 0.2))
    (False, True)
    """
    import edt

    step = tuple(max(1, round(size / 256)) for size in cells.shape)
    thinned = tuple(slice(None, None, width) for width in step)
    spacing = [1.0 if math.isnan(size) else size * width for size, width in zip(voxel_size_um, step, strict=True)]
    is_far = edt.edt(cells[thinned] == 0, anisotropy=spacing, parallel=1) >= margin_um
    if outside is not None:
        is_far &= ~outside[thinned]
    return bool(np.count_nonzero(is_far) > 0.001 * is_far.size)


def without_medium(frame: Frame) -> Frame:
    """The frame with its medium unknown."""
    return replace(frame, medium_ri=None, medium_origin=None)
