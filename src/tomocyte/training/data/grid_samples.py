"""Patches on a grid through all volumes stacked along z, as Biomedisa trains: every patch once per epoch.

Every volume is scaled (:mod:`tomocyte.segmentation.prediction.scaled_frame`) and held in memory, 84 MB each at
256 x 256 x 256. Patches a stride apart run through the whole stack, so that some straddle two volumes, as published. To
place them differently, change :func:`grid_starts`.
"""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, SettingsError
from tomocyte.segmentation.prediction.planewise import resized_labels, resized_mask
from tomocyte.segmentation.prediction.scaled_frame import ScaledFrameSettings, scaled_image
from tomocyte.training.data.samples import Image, Place, Samples, Target
from tomocyte.training.data.settings import IGNORE
from tomocyte.training.data.targets import make_targets


class GridSamples(Samples):
    """Scaled volumes to be scored whole, and patches on a grid to learn from.

    Parameters
    ----------
    items : list of LabelledItem
    settings : DataSettings
        With ``scaled_frame`` and ``patch_shape``.
    n_axes : int
        3.

    Raises
    ------
    InputError
        As :class:`Samples`; ``E-NAN`` for missing values.
    """

    @property
    def n_training(self) -> int:
        """Patches of one epoch."""
        return len(self.starts)

    @cached_property
    def starts(self) -> list[tuple[int, int, int]]:
        """First voxel z, y, x of every patch in the stack of all volumes."""
        frame, patch = self._frame, self.settings.patch_shape or ()
        return grid_starts(
            len(self.places), frame.shape, patch, frame.stride, joins_volumes=self.settings.joins_volumes
        )

    @cached_property
    def holds_object(self) -> NDArray[np.bool_]:
        """For every patch, whether it holds a voxel of any structure."""
        inside = (self._stack[1] == 1).any(axis=0)
        return np.array([inside[self._window(start)].any() for start in self.starts])

    def whole(self, index: int) -> tuple[Image, Target]:
        """A whole scaled volume (C, Z, Y, X) with its target."""
        depth = self._frame.shape[0]
        planes = slice(index * depth, (index + 1) * depth)
        image, target = self._stack
        return image[:, planes], target[:, planes]

    def read(self, index: int, rng: np.random.Generator) -> tuple[Image, Target]:  # noqa: ARG002 - nothing is drawn
        """The patch at a place of :attr:`starts`."""
        window = (slice(None), *self._window(self.starts[index]))
        image, target = self._stack
        return image[window], target[window]

    @property
    def _frame(self) -> ScaledFrameSettings:
        frame = self.settings.scaled_frame
        if frame is None or self.settings.patch_shape is None:
            raise SettingsError("E-RECIPE", "these samples need data.scaled_frame and data.patch_shape.")
        return frame

    def _window(self, start: tuple[int, int, int]) -> tuple[slice, ...]:
        patch = self.settings.patch_shape or ()
        return tuple(slice(at, at + length) for at, length in zip(start, patch, strict=True))

    @cached_property
    def _stack(self) -> tuple[Image, Target]:
        """All volumes (C, N * Z, Y, X) and their targets, one after the other along z."""
        z, y, x = self._frame.shape
        images = np.empty((self.n_channels, len(self.places) * z, y, x), dtype=np.float32)
        targets = np.empty((len(self.settings.structures), len(self.places) * z, y, x), dtype=np.uint8)
        for index, place in enumerate(self.places):
            planes = slice(index * z, (index + 1) * z)
            images[:, planes] = scaled_image(self._values(place), self._frame)
            targets[:, planes] = self._target(place)
        return images, targets

    def _values(self, place: Place) -> NDArray[Any]:
        image, _ = self.volume(place.item)
        return frame_values(self.items[place.item], image.n_channels, place.frame)

    def _target(self, place: Place) -> Target:
        """(K, *shape): structures exclude each other, the last one wins; unlabelled where most of a voxel is."""
        image, opened = self.volume(place.item)
        read = {name: None if part is None else part.planes(place.frame, 0) for name, part in opened.items()}
        ignored = self.items[place.item].ignore_label
        target = make_targets(read, self.settings, image.require_voxel_size(), ignore_label=ignored)
        classes = np.zeros(target.shape[1:], dtype=np.uint8)
        for number, part in enumerate(target, 1):
            classes[part == 1] = number
        shape = self._frame.shape
        resized = resized_labels(classes, shape, len(target))
        result = np.stack([resized == number for number in range(1, len(target) + 1)]).astype(np.uint8)
        unknown = (target == IGNORE).any(axis=0)
        if unknown.any():
            result[:, resized_mask(unknown, shape)] = IGNORE
        return result


def grid_starts(
    n_volumes: int, shape: tuple[int, ...], patch: tuple[int, ...], stride: int, *, joins_volumes: bool = True
) -> list[tuple[int, int, int]]:
    """First voxel z, y, x of every patch on the grid, in a stack of volumes along z.

    Parameters
    ----------
    n_volumes : int
    shape, patch : tuple of 3 int
        Of a volume and of a patch.
    stride : int
    joins_volumes : bool
        Whether patches may straddle two volumes.

    Examples
    --------
    >>> len(grid_starts(34, (256, 256, 256), (64, 64, 64), 32))
    13279
    """
    z, y, x = (range(0, side - length + 1, stride) for side, length in zip(shape, patch, strict=True))
    planes = [volume * shape[0] + at for volume in range(n_volumes) for at in z]
    if joins_volumes:
        planes = list(range(0, n_volumes * shape[0] - patch[0] + 1, stride))
    return list(itertools.product(planes, y, x))


def frame_values(item: LabelledItem, n_channels: int, frame: int) -> NDArray[Any]:
    """Values (C, Z, Y, X) of a frame, none missing.

    Raises
    ------
    InputError
        ``E-NAN``.
    """
    image = item.open_image()
    values = np.stack([image.planes(frame, channel) for channel in range(n_channels)])
    if not np.isfinite(values).all():
        raise InputError(
            "E-NAN",
            f"NaN or infinite voxels in frame {frame}.",
            path=item.image,
            cure="Repair or leave out this image; a network must not learn from missing values.",
        )
    return values
