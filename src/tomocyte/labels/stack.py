"""Label images of a whole time series, kept compressed until they are written.

A frame of labels compresses about a hundredfold, so a hundred frames fit where one would not. Nothing else lives here.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.volume import Volume


class LabelStack:
    """Append frame after frame, then read it as a lazy volume of labels.

    Parameters
    ----------
    shape : tuple of 3 int
        Z, Y, X of every frame.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self._frames: list[tuple[bytes, np.dtype[Any]]] = []
        self._opened: tuple[int, NDArray[Any]] | None = None

    def append(self, labels: NDArray[Any]) -> None:
        """Add the next frame: (Z, Y, X), any unsigned integer type.

        Raises
        ------
        ValueError
            Another shape, or not unsigned integers.
        """
        self._frames.append(self._packed(labels))

    def replace(self, frame: int, labels: NDArray[Any]) -> None:
        """Put other labels in the place of a frame's; errors as :meth:`append`."""
        self._frames[frame] = self._packed(labels)
        self._opened = None

    def copy(self) -> LabelStack:
        """The frames so far, which later changes of this stack leave as they are."""
        other = LabelStack(self._shape)
        other._frames = list(self._frames)
        return other

    def _packed(self, labels: NDArray[Any]) -> tuple[bytes, np.dtype[Any]]:
        if labels.shape != self._shape or labels.dtype.kind != "u":
            raise ValueError(f"labels must be unsigned {self._shape}, not {labels.dtype} {labels.shape}")
        compressor = zlib.compressobj(level=1)
        chunks = [compressor.compress(np.ascontiguousarray(plane).data) for plane in labels]
        return b"".join(chunks) + compressor.flush(), labels.dtype

    def _open(self, frame: int) -> NDArray[Any]:
        if self._opened is None or self._opened[0] != frame:
            self._opened = None
            packed, dtype = self._frames[frame]
            self._opened = (frame, np.frombuffer(zlib.decompress(packed), dtype=dtype).reshape(self._shape))
        return self._opened[1]

    def volume(self, **properties: Any) -> Volume:
        """The frames so far as a volume (T, 1, Z, Y, X) of uint32 labels, with the properties given."""

        def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:  # noqa: ARG001
            return self._open(frame)[z_start:z_stop].astype(np.uint32)

        return Volume(
            shape=(len(self._frames), 1, *self._shape),
            dtype=np.dtype(np.uint32),
            read_planes=read_planes,
            quantity="labels",
            unit="1",
            **properties,
        )
