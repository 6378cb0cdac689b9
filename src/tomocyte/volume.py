"""The volume: voxels with their physical meaning, read lazily frame by frame.

Axes are always T, C, Z, Y, X; a 2-D image has Z = 1. Nothing here guesses: a quantity that neither the file nor the
user gave is ``None``, and :attr:`Volume.origin` says where each known one came from. To add a physical property,
add a field here and fill it in the formats that know it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MetadataError, MissingFact

Origin = Literal["file", "user", "measured", "simulated"]
VoxelSize = tuple[float, float, float]
Vector = tuple[float, float, float]
Affine = tuple[Vector, Vector, Vector, Vector]
Shape5 = tuple[int, int, int, int, int]
ReadPlanes = Callable[[int, int, int, int], NDArray[Any]]

SMALLEST_VOXEL_UM = 1e-3
LARGEST_VOXEL_UM = 100.0
CHOICES = "dataset_choices"
"""Where :attr:`Volume.metadata` lists the images, scenes or arrays of a file, as ``--dataset`` takes them."""


class Planes(Protocol):
    """A volume (Z, Y, X), in memory or read plane by plane: what is asked for by index or range along z."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, z: Any, /) -> Any: ...


@dataclass(frozen=True)
class VolumePlanes:
    """One channel of one frame of a volume as an array (Z, Y, X) of which only what is asked for is read.

    Examples
    --------
    >>> planes = VolumePlanes(Volume.from_array(np.arange(12).reshape(3, 2, 2)))
    >>> planes.shape, planes[1].tolist(), planes[1:].shape
    ((3, 2, 2), [[4, 5], [6, 7]], (2, 2, 2))
    """

    volume: Volume
    frame: int = 0
    channel: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Z, Y, X."""
        return self.volume.spatial_shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.volume.dtype

    def __len__(self) -> int:
        return self.volume.shape[2]

    def __getitem__(self, z: Any, /) -> NDArray[Any]:
        if isinstance(z, slice):
            start, stop, step = z.indices(len(self))
            return np.asarray(self.volume.planes(self.frame, self.channel, start, max(start, stop))[::step])
        return np.asarray(self.volume.planes(self.frame, self.channel, int(z), int(z) + 1)[0])


@dataclass(frozen=True)
class LabelName:
    """What one value of a label image stands for.

    Parameters
    ----------
    value : int
        The label, from 1.
    name : str
        As the file gives it.
    colour : str
        ``#RRGGBB``, or empty where the file gives none.
    channel : int
        Where labels lie in several layers, the channel that has this one.
    """

    value: int
    name: str
    colour: str = ""
    channel: int = 0


@dataclass(frozen=True)
class Volume:
    """Voxels (T, C, Z, Y, X), lazy, with their physical meaning.

    Parameters
    ----------
    shape : tuple of 5 int
        T, C, Z, Y, X, each at least 1.
    dtype : numpy dtype
        Type of the voxels as :attr:`read_planes` returns them.
    read_planes : callable
        ``read_planes(frame, channel, z_start, z_stop) -> (z_stop - z_start, Y, X)``; reads only what is asked for
        and returns the voxels in ``unit`` (a format that stores scaled integers undoes the scaling here).
    voxel_size_um : tuple of 3 float, optional
        Voxel size z, y, x in µm. A single plane (Z = 1) whose thickness has no meaning carries NaN for z.
    quantity : str, optional
        What a voxel value means: ``refractive_index``, ``phase``, ``dry_mass_density``,
        ``linear_absorption_coefficient``, ``intensity``, ``labels``, ``probability``; ``None`` when the file does
        not say.
    unit : str
        Unit of the voxel values, ``""`` when unknown, ``"1"`` for a ratio.
    time_s : tuple of float, optional
        Time of each frame in seconds after the first.
    channel_names : tuple of str
        One per channel, empty when unknown.
    label_names : tuple of LabelName
        Names and colours of labels, by channel and value; empty where the file has none.
    medium_ri : float, optional
        Refractive index of the medium around the cells.
    instrument : str
        Name of the microscope, ``""`` when unknown.
    origin : mapping
        For each known property, where it came from: ``file``, ``user``, ``measured`` or ``simulated``.
    sources : mapping
        For known properties, the field of the file or the option that says it, e.g. ``"OME PhysicalSizeZ"``; for
        people, never used in a calculation.
    affine : tuple of 4 tuple of 3 float, optional
        Where the voxels lie in the space of the file (x to the right, y to the front, z up): one step along the stored
        z, y and x, then the position of the first voxel, in ``affine_unit``. ``None`` when the file has no space; used
        only to compare two files with each other, and written again by formats that have a place for it.
    affine_unit : str
        ``"um"``, or ``""`` where the file does not name the unit of its space.
    path : Path, optional
        The file read.
    notes : tuple of str
        Warnings with a code (``W-…: …``) that belong to this input and must reach its status row.
    metadata : mapping
        Whatever else the file says, for provenance; never used in a calculation.
    """

    shape: Shape5
    dtype: np.dtype[Any]
    read_planes: ReadPlanes
    voxel_size_um: VoxelSize | None = None
    quantity: str | None = None
    unit: str = ""
    time_s: tuple[float, ...] | None = None
    channel_names: tuple[str, ...] = ()
    label_names: tuple[LabelName, ...] = ()
    medium_ri: float | None = None
    instrument: str = ""
    origin: Mapping[str, Origin] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    affine: Affine | None = None
    affine_unit: Literal["um", ""] = ""
    path: Path | None = None
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.shape) != 5 or min(self.shape) < 1:
            raise MetadataError("E-SHAPE", f"a volume needs five axes T, C, Z, Y, X of at least 1, not {self.shape}.")
        check_voxel_size(self.voxel_size_um, self.path, is_2d=self.is_2d)
        if self.time_s is not None and len(self.time_s) != self.shape[0]:
            raise MetadataError("E-TIME", f"{len(self.time_s)} times for {self.shape[0]} frames.", path=self.path)
        if self.channel_names and len(self.channel_names) != self.shape[1]:
            raise MetadataError(
                "E-CHANNEL", f"{len(self.channel_names)} channel names for {self.shape[1]} channels.", path=self.path
            )
        dtype = np.dtype(self.dtype)
        if dtype.kind in "biufc":  # one type of two names (int64 as l and as q) is one type
            dtype = np.dtype(dtype.str)
        object.__setattr__(self, "dtype", dtype)
        for name in ("origin", "sources", "metadata"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **{name: dict(getattr(self, name)) for name in ("origin", "sources", "metadata")}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in ("origin", "sources", "metadata"):
            object.__setattr__(self, name, MappingProxyType(state[name]))

    @classmethod
    def from_array(cls, voxels: NDArray[Any], **properties: Any) -> Volume:
        """A volume over an array in memory.

        Parameters
        ----------
        voxels : ndarray, 2-D (Y, X), 3-D (Z, Y, X), 4-D (C, Z, Y, X) or 5-D (T, C, Z, Y, X)
            Missing leading axes get length 1. A time series must be given in 5-D.
        **properties
            Fields of :class:`Volume` other than ``shape``, ``dtype`` and ``read_planes``.

        Examples
        --------
        >>> Volume.from_array(np.zeros((4, 5, 6), np.float32), voxel_size_um=(0.3, 0.2, 0.1)).shape
        (1, 1, 4, 5, 6)
        """
        if not 2 <= voxels.ndim <= 5:
            raise MetadataError("E-AXES", f"an array of 2 to 5 dimensions is needed, not {voxels.ndim}.")
        full = voxels.reshape((1,) * (5 - voxels.ndim) + voxels.shape)
        frames, channels, planes, height, width = full.shape

        def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
            return full[frame, channel, z_start:z_stop]

        return cls(
            shape=(frames, channels, planes, height, width), dtype=full.dtype, read_planes=read_planes, **properties
        )

    @property
    def n_frames(self) -> int:
        """Number of time points, T."""
        return self.shape[0]

    @property
    def n_channels(self) -> int:
        """Number of channels, C."""
        return self.shape[1]

    @property
    def channels(self) -> tuple[str, ...]:
        """A name for each channel, all different: the file's own, else ``channel_0``, ``channel_1``, …

        Examples
        --------
        >>> Volume.from_array(np.zeros((2, 4, 5, 6), np.uint8), channel_names=("DNA", "DNA")).channels
        ('DNA', 'DNA_1')
        """
        names: list[str] = []
        for index, given in enumerate(self.channel_names or ("",) * self.n_channels):
            name = given.strip() or f"channel_{index}"
            while name in names:
                name = f"{name}_{index}"
            names.append(name)
        return tuple(names)

    def channel_index(self, channel: int | str) -> int:
        """The index of a channel that is given by its index or its name.

        Raises
        ------
        MetadataError
            ``E-CHANNEL`` with the channels that there are.
        """
        names = self.channels
        if isinstance(channel, str):
            matches = [index for index, name in enumerate(names) if name == channel]
            matches = matches or [index for index, name in enumerate(names) if name.lower() == channel.lower()]
            if len(matches) == 1:
                return matches[0]
            if channel.isdecimal():
                channel = int(channel)
        if isinstance(channel, int) and 0 <= channel < self.n_channels:
            return channel
        known = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
        raise MetadataError(
            "E-CHANNEL",
            f"there is no channel {channel!r}.",
            path=self.path,
            cure=f"Give --channel with one of: {known}.",
        )

    @property
    def spatial_shape(self) -> tuple[int, int, int]:
        """Z, Y, X."""
        return self.shape[2:]

    @property
    def is_simulated(self) -> bool:
        """Whether anything about the volume comes from a simulation."""
        return "simulated" in self.origin.values()

    @property
    def is_2d(self) -> bool:
        """Whether there is only one plane."""
        return self.shape[2] == 1

    @property
    def frame_nbytes(self) -> int:
        """Bytes of one frame, all channels, as stored."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def time_step_s(self) -> float | None:
        """Seconds between frames when they are regular to 1 %, else ``None`` (use :attr:`time_s`)."""
        if self.time_s is None or self.n_frames < 2:
            return None
        steps = np.diff(np.asarray(self.time_s, dtype=np.float64))
        step = float(np.median(steps))
        return step if step > 0 and bool(np.all(np.abs(steps - step) <= 0.01 * step)) else None

    def planes(self, frame: int, channel: int, z_start: int = 0, z_stop: int | None = None) -> NDArray[Any]:
        """Voxels (z_stop - z_start, Y, X) of one channel of one frame, in :attr:`unit`.

        Raises
        ------
        IndexError
            A frame, channel or plane outside the volume.
        """
        stop = self.shape[2] if z_stop is None else z_stop
        inside = 0 <= frame < self.shape[0] and 0 <= channel < self.shape[1] and 0 <= z_start <= stop <= self.shape[2]
        if not inside:
            raise IndexError(f"frame {frame}, channel {channel}, planes {z_start}:{stop} outside {self.shape}")
        return self.read_planes(frame, channel, z_start, stop)

    def frame(self, frame: int) -> NDArray[Any]:
        """One frame (C, Z, Y, X) in memory, in :attr:`unit` and :attr:`dtype`."""
        if self.n_channels == 1:
            return self.planes(frame, 0)[np.newaxis]
        voxels = np.empty(self.shape[1:], dtype=self.dtype)
        for channel in range(self.n_channels):
            voxels[channel] = self.planes(frame, channel)
        return voxels

    def require_voxel_size(self) -> VoxelSize:
        """The voxel size z, y, x in µm.

        Raises
        ------
        MetadataError
            ``E-VOXEL-SIZE`` when neither the file nor the user gave it.
        """
        if self.voxel_size_um is None:
            label = "W-VOXEL-SIZE: "
            reasons = [note.removeprefix(label) for note in self.notes if note.startswith(label)]
            raise MetadataError(
                "E-VOXEL-SIZE",
                " ".join(reasons) or "the file contains no voxel size.",
                path=self.path,
                missing=self.missing_facts(),
            )
        return self.voxel_size_um

    def missing_facts(self) -> tuple[MissingFact, ...]:
        """What neither the file nor the user says: first the voxel size, which is needed, then what some results need.

        Examples
        --------
        >>> [fact.option for fact in Volume.from_array(np.zeros((3, 1, 1, 5, 6))).missing_facts()]
        ['--pixel-size-um', '--time-step-s']
        """
        facts = []
        if self.voxel_size_um is None:
            plane, solid = MissingFact("pixel_size_um", ("Y X",)), MissingFact("voxel_size_um", ("Z Y X",))
            facts.append(plane if self.is_2d else solid)
        if self.n_frames > 1 and self.time_s is None:
            facts.append(MissingFact("time_step_s", ("SECONDS",), is_needed=False))
        if self.medium_ri is None and self.quantity == "refractive_index":
            facts.append(MissingFact("medium_ri", ("NUMBER",), is_needed=False))
        return tuple(facts)

    def with_properties(self, **properties: Any) -> Volume:
        """A copy with some fields replaced; entries of ``origin`` and ``sources`` are merged, not replaced.

        A property whose origin is new loses the source that it had, unless a new one is given.
        """
        origin, sources = properties.get("origin", {}), properties.get("sources", {})
        kept = {name: source for name, source in self.sources.items() if name not in origin}
        properties["origin"] = {**self.origin, **origin}
        properties["sources"] = {**kept, **sources}
        return replace(self, **properties)


@dataclass(frozen=True, eq=False)
class Frame:
    """One time point in memory: all channels in physical values, with all that is known about them.

    The network sees a normalised copy, measurements see :attr:`image` itself.

    Parameters
    ----------
    index : int
        Which frame of its volume.
    image : ndarray (C, Z, Y, X), float32
        Physical values, NaN outside; every channel of the volume.
    channel_names : tuple of str
        One per channel, never empty and all different.
    quantities, units : tuple of str
        One per channel, as :attr:`Volume.quantity` and :attr:`Volume.unit`.
    voxel_size_um : tuple of 3 float
        z, y, x in µm; z is NaN for a plane without thickness.
    channel : int
        The channel that is segmented.
    medium_ri : float, optional
        Refractive index of the medium: the one that networks, concentration and dry mass all count from.
    medium_origin : str, optional
        Where it came from.
    time_s : float, optional
        Seconds after the first frame.
    outside : ndarray (Z, Y, X), bool, optional
        Voxels that are NaN in a channel; ``None`` where there are none.
    """

    index: int
    image: NDArray[np.float32]
    channel_names: tuple[str, ...]
    quantities: tuple[str, ...]
    units: tuple[str, ...]
    voxel_size_um: VoxelSize
    channel: int = 0
    medium_ri: float | None = None
    medium_origin: Origin | None = None
    time_s: float | None = None
    outside: NDArray[np.bool_] | None = None

    @property
    def segmented(self) -> NDArray[np.float32]:
        """The channel that is segmented, (Z, Y, X)."""
        segmented: NDArray[np.float32] = self.image[self.channel]
        return segmented

    @property
    def quantity(self) -> str:
        """What a voxel of the segmented channel means."""
        return self.quantities[self.channel]

    @property
    def unit(self) -> str:
        """Its unit."""
        return self.units[self.channel]


def check_voxel_size(voxel_size_um: VoxelSize | None, path: Path | None = None, *, is_2d: bool = False) -> None:
    """Raise ``E-VOXEL-SIZE`` unless the size is ``None`` or three numbers between 1 nm and 100 µm.

    With ``is_2d`` the first (z) may be NaN: the thickness of a single plane has no meaning.
    """
    if voxel_size_um is None:
        return
    checked = voxel_size_um[1:] if is_2d and len(voxel_size_um) == 3 and math.isnan(voxel_size_um[0]) else voxel_size_um
    usable = len(voxel_size_um) == 3 and all(
        math.isfinite(size) and SMALLEST_VOXEL_UM <= size <= LARGEST_VOXEL_UM for size in checked
    )
    if not usable:
        raise MetadataError(
            "E-VOXEL-SIZE",
            f"voxel size {voxel_size_um} µm is not three numbers from {SMALLEST_VOXEL_UM} to {LARGEST_VOXEL_UM} µm.",
            path=path,
            missing=(MissingFact("voxel_size_um", ("Z Y X",)),),
        )
