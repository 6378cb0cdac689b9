"""Labels of some voxels of a frame as runs along x: small enough to stand in a YAML file, exact when replayed.

A run is a start in raster order, a length and a label. Runs are stored as gaps, lengths and labels, little-endian
32-bit, compressed and written in base64. Nothing else lives here; another encoding would be another class beside it.
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from tomocyte.settings import Settings

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
LARGEST_LABEL = 2**24 - 1
"""Largest label that corrections may use: whole numbers up to here are exact in a 32-bit float image."""
MOST_RUNS = 50_000_000
BYTES_PER_RUN = 12


class Voxels(Settings):
    """Some voxels of one frame, each with its label; 0 is background."""

    shape: tuple[int, int, int]
    """Z, Y, X of the frame that the voxels belong to."""
    n_runs: int = Field(ge=0, le=MOST_RUNS)
    """Number of runs."""
    runs: str
    """Gaps, lengths and labels of the runs: uint32, little-endian, zlib, base64."""

    @field_validator("shape")
    @classmethod
    def _is_a_frame(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(shape) < 1 or math.prod(shape) > 2**40:
            raise ValueError(f"{shape} is not the shape of a frame")
        return shape

    @model_validator(mode="after")
    def _can_be_read(self) -> Voxels:
        gaps, lengths, labels = self._columns()
        stops = np.cumsum(gaps.astype(np.uint64) + lengths)
        if self.n_runs and (int(stops[-1]) > math.prod(self.shape) or int(lengths.min()) == 0):
            raise ValueError("runs reach beyond the frame or are empty")
        if self.n_runs and int(labels.max()) > LARGEST_LABEL:
            raise ValueError(f"labels must be at most {LARGEST_LABEL}")
        return self

    def _columns(self) -> NDArray[np.uint32]:
        try:
            packed = base64.b64decode(self.runs.encode("ascii"), validate=True)
            opened = zlib.decompressobj()
            # One byte more than expected, so that excess is noticed but never unpacked without limit.
            content = opened.decompress(packed, self.n_runs * BYTES_PER_RUN + 1)
        except (UnicodeEncodeError, binascii.Error, zlib.error) as problem:
            raise ValueError(f"the runs are damaged: {problem}") from problem
        if len(content) != self.n_runs * BYTES_PER_RUN or (self.n_runs and not opened.eof):
            raise ValueError(f"the content is not that of {self.n_runs} runs")
        return np.frombuffer(content, dtype="<u4").reshape(3, self.n_runs)

    def unpack(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
        """Start (in raster order), length and label of each run."""
        gaps, lengths, labels = self._columns()
        stops = np.cumsum(gaps.astype(np.int64) + lengths.astype(np.int64))
        return stops - lengths.astype(np.int64), lengths.astype(np.int64), labels

    def paint(self) -> tuple[tuple[slice, slice, slice], Mask, Labels]:
        """The box of whole planes that holds the voxels, which of its voxels they are, and their labels.

        Returns
        -------
        tuple
            The box, bool and uint32 arrays of its shape.
        """
        starts, lengths, labels = self.unpack()
        plane = self.shape[1] * self.shape[2]
        first = int(starts[0]) // plane if self.n_runs else 0
        last = (int(starts[-1] + lengths[-1]) - 1) // plane if self.n_runs else -1
        shape = (last - first + 1, *self.shape[1:])
        mask, painted = np.zeros(math.prod(shape), dtype=bool), np.zeros(math.prod(shape), dtype=np.uint32)
        for start, stop, label in zip(
            (starts - first * plane).tolist(), (starts + lengths - first * plane).tolist(), labels.tolist(), strict=True
        ):
            mask[start:stop] = True
            painted[start:stop] = label
        box = (slice(first, last + 1), slice(0, self.shape[1]), slice(0, self.shape[2]))
        return box, mask.reshape(shape), painted.reshape(shape)


def pack_voxels(labels: NDArray[Any], mask: Mask, *, corner: int = 0, n_planes: int | None = None) -> Voxels:
    """Some voxels of a label image as runs.

    Parameters
    ----------
    labels : ndarray (Z, Y, X), integer >= 0
        Whole planes.
    mask : ndarray (Z, Y, X), bool
        The voxels to keep; background may be among them.
    corner : int
        Index of the first plane given in the frame.
    n_planes : int, optional
        Planes of the frame; those of ``labels`` by default.

    Examples
    --------
    >>> labels = np.array([[[0, 7, 7, 3]]], dtype=np.uint8)
    >>> packed = pack_voxels(labels, labels > 0)
    >>> [column.tolist() for column in packed.unpack()]
    [[1, 3], [2, 1], [7, 3]]
    """
    height, width = labels.shape[1:]
    starts, stops, numbers = [], [], []
    for z in range(labels.shape[0]):
        if not mask[z].any():
            continue
        key = np.where(mask[z], labels[z].astype(np.int64) + 1, 0).ravel()
        edges = np.flatnonzero(np.diff(key, prepend=0, append=0))
        begins = edges[:-1]
        is_run = key[begins] > 0
        offset = (corner + z) * height * width
        starts.append(begins[is_run] + offset)
        stops.append(edges[1:][is_run] + offset)
        numbers.append(key[begins[is_run]] - 1)
    start = np.concatenate(starts) if starts else np.zeros(0, np.int64)
    stop = np.concatenate(stops) if stops else np.zeros(0, np.int64)
    label = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    gap = start - np.concatenate([np.zeros(1, np.int64), stop[:-1]]) if len(start) else start
    columns = np.stack([gap, stop - start, label]).astype("<u4")
    runs = base64.b64encode(zlib.compress(columns.tobytes(), 9)).decode("ascii")
    shape = (labels.shape[0] + corner if n_planes is None else n_planes, height, width)
    return Voxels(shape=shape, n_runs=len(start), runs=runs)
