"""Whole data sets of simulated microscopy: measured volumes with exact labels, tracks and truth, item by item.

An item depends on the seed and its index alone, so any number of workers makes the same set in any order. Geometry
stays continuous until a frame is needed, so that a long time-lapse needs the memory of one frame. To add an
instrument, see ``instruments``; a knob, ``dataset_settings.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.simulation.cells.field import simulate_scene
from tomocyte.simulation.cells.motion import simulate_timelapse
from tomocyte.simulation.cells.rendering import Rendered, render_scene
from tomocyte.simulation.cells.scene import Scene
from tomocyte.simulation.cells.truth import truth_table
from tomocyte.simulation.dataset_settings import DatasetSettings
from tomocyte.simulation.imaging import Labels, check_optics, draw_optics, topmost
from tomocyte.simulation.instruments import Channels, Conditions, Instrument, Optics, View, instrument
from tomocyte.simulation.physics.formation import recovered_fraction
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

GEOMETRY_STREAM, OPTICS_STREAM, NOISE_STREAM, STAGE_STREAM = range(4)
"""Independent streams of chance of one item."""
MAX_REDRAWS = 20
"""How often cells that do not fit the field are drawn again."""


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """One time point: what the microscope shows, and the truth on the same grid.

    Parameters
    ----------
    channels : ndarray (C, Z, Y, X), float32
        In the instrument's quantity: refractive index (odt), dry-mass density in pg/µm² with Z = 1 (qpi), linear
        absorption coefficient in 1/µm (sxt) or camera counts (nile_red).
    truth : Rendered
        Labels of the whole height and the true refractive index there, or the coefficient that X-rays see.
    quantity : str
        Of the channels.
    """

    channels: Channels
    truth: Rendered
    quantity: str

    @property
    def measured(self) -> NDArray[np.float32]:
        """The first channel (Z, Y, X); tomographs and phase microscopes have one."""
        first: NDArray[np.float32] = self.channels[0]
        return first

    def labels(self, structure: str) -> Labels:
        """Labels of one structure, of the shape of :attr:`measured`; an image shows the topmost of several objects."""
        labels = self.truth.labels[structure]
        return labels if labels.shape == self.measured.shape else topmost(labels)

    def recovered(self) -> Mapping[int, float]:
        """Fraction of each cell's true Δn that remains in the tomogram, by label.

        Raises
        ------
        SettingsError
            ``E-SIM-MODALITY`` for an image that holds no refractive index.
        """
        if self.quantity != "refractive_index":
            raise SettingsError("E-SIM-MODALITY", f"{self.quantity} is no refractive index.", cure="Use odt.")
        return recovered_fraction(
            self.measured, self.truth.ri, self.truth.labels["cell"], medium_ri=self.truth.medium_ri
        )


@dataclass(frozen=True, eq=False)
class SimulatedItem:
    """One simulated file with its truth; frames are rendered at access.

    Parameters
    ----------
    name : str
        Unique within the set.
    settings : DatasetSettings
    seed, index : int
        What the item was made from.
    scenes : tuple of Scene
        The continuous truth, one per remaining frame.
    origins_um : tuple of (z, y, x)
        Corner of each frame in its scene: the stage's drift.
    tracks : DataFrame
        ``track_id``, ``parent_id`` (0 = unknown), ``frame``, ``label``.
    optics : Optics
        Instrument and degradation drawn for this item.
    """

    name: str
    settings: DatasetSettings
    seed: int
    index: int
    scenes: tuple[Scene, ...]
    origins_um: tuple[VoxelSize, ...]
    tracks: pd.DataFrame
    optics: Optics[Any, Any]

    @property
    def instrument(self) -> Instrument[Any, Any, Any]:
        """What its volumes come from."""
        return instrument(self.settings.modality)

    @property
    def medium_ri(self) -> float:
        """True refractive index of the medium."""
        return self.scenes[0].medium_ri

    @property
    def time_s(self) -> tuple[float, ...]:
        """Time of each frame in seconds after the first."""
        return tuple(scene.time_s - self.scenes[0].time_s for scene in self.scenes)

    def frame(self, frame: int, *, backend: str = "numpy") -> SimulatedFrame:
        """One frame, rendered and measured; the same at every call.

        Parameters
        ----------
        frame : int
            From 0, among the remaining frames.
        backend : str
            See :func:`~tomocyte.simulation.physics.formation.simulate_odt`.
        """
        scene = self.scenes[frame]
        seen = self.instrument.scene(scene, self.optics)
        truth = render_scene(seen, self.settings.voxel_size_um, self.settings.shape, origin_um=self.origins_um[frame])
        # The noise follows the frame's own number, so that a lost frame changes no other.
        rng = _stream(self.seed, self.index, NOISE_STREAM, scene.frame)
        conditions = Conditions(is_multiple_scattering=self.settings.is_multiple_scattering, backend=backend)
        view = View(scene, truth)
        channels = self.instrument.measure(view, self.optics, conditions, rng)
        shown = truth if self.instrument.truth is None else self.instrument.truth(view)
        return SimulatedFrame(channels, shown, self.instrument.quantity)

    def volume(self, *, backend: str = "numpy") -> Volume:
        """All frames as a lazy :class:`~tomocyte.volume.Volume`; the last frame read stays in memory."""
        kind = self.instrument
        n_planes = kind.n_planes or self.settings.shape[0]
        channels = kind.channel_names(self.optics)
        shape = (len(self.scenes), len(channels), n_planes, *self.settings.shape[1:])
        frame_of = lru_cache(maxsize=1)(lambda frame: self.frame(frame, backend=backend).channels)

        def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:
            return frame_of(frame)[channel, z_start:z_stop]

        step_z = self.settings.voxel_size_um[0] if kind.n_planes is None else float("nan")
        recorded = ("voxel_size_um", "quantity", "unit", "time_s", "medium_ri", "instrument")
        return Volume(
            shape=shape,
            dtype=np.dtype(np.float32),
            read_planes=read_planes,
            voxel_size_um=(step_z, *self.settings.voxel_size_um[1:]),
            quantity=kind.quantity,
            unit=kind.unit,
            time_s=self.time_s,
            channel_names=channels,
            medium_ri=self.medium_ri,
            instrument=self.optics.instrument.name,
            origin=dict.fromkeys(recorded, "simulated"),
            metadata=self.card(),
        )

    def truth(self) -> pd.DataFrame:
        """The truth table of every frame, from the continuous shapes; ``frame`` counts the remaining frames.

        Places are those in the frame: the stage's drift is taken off.
        """
        import pandas as pd

        tables = []
        for frame, (scene, origin) in enumerate(zip(self.scenes, self.origins_um, strict=True)):
            seen = self.instrument.scene(scene, self.optics)
            table = truth_table(scene, item=self.name, absorbing=None if seen is scene else seen)
            table = table if self.instrument.truth_rows is None else self.instrument.truth_rows(table)
            table["frame"] = frame
            for axis, offset in zip(("z_um", "y_um", "x_um"), origin, strict=True):
                table[axis] -= offset
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def card(self) -> dict[str, Any]:
        """What this item is and how it was made, ready for JSON."""
        return {
            "name": self.name,
            "is_simulated": True,
            "seed": self.seed,
            "index": self.index,
            "medium_ri": self.medium_ri,
            "settings": self.settings.model_dump(mode="json"),
            **self.instrument.metadata(self.optics),
        }


def simulate_item(settings: DatasetSettings, index: int, *, seed: int) -> SimulatedItem:
    """One item of a set: a pure function of its arguments, so that workers may share the indices as they like.

    Parameters
    ----------
    settings : DatasetSettings
    index : int
        From 0.
    seed : int
        Of the whole set, from 0.

    Raises
    ------
    SettingsError
        ``E-SIM-…`` for cells that cannot be made or do not fit, ``E-OPTICS-…`` for optics that cannot be,
        ``E-INSTRUMENT``, ``E-SEED``.
    """
    if index < 0 or seed < 0:
        raise SettingsError("E-SEED", f"seed {seed} and index {index} must not be negative.")
    optics_rng = _stream(seed, index, OPTICS_STREAM)
    optics = draw_optics(settings, optics_rng)
    scenes, tracks = _draw_scenes(settings, _stream(seed, index, GEOMETRY_STREAM))
    check_optics(settings, scenes[0].medium_ri)
    stage = _stream(seed, index, STAGE_STREAM)
    steps = stage.normal(0, 1, (settings.n_frames, 2)) * settings.stage_drift_um
    steps[0] = 0
    is_lost = stage.random(settings.n_frames) < settings.frame_drop_share
    is_lost[0] = False
    remaining = [frame for frame in range(settings.n_frames) if not is_lost[frame]]
    places = np.cumsum(steps, axis=0)
    tracks = tracks[tracks["frame"].isin(remaining)].reset_index(drop=True)
    tracks["frame"] = tracks["frame"].map({frame: number for number, frame in enumerate(remaining)})
    return SimulatedItem(
        name=f"{settings.modality}-{settings.preset}-seed{seed}-{index:05d}".replace(" ", ""),
        settings=settings,
        seed=seed,
        index=index,
        scenes=tuple(scenes[frame] for frame in remaining),
        origins_um=tuple((0.0, float(places[frame, 0]), float(places[frame, 1])) for frame in remaining),
        tracks=tracks,
        optics=optics,
    )


def simulate_dataset(
    settings: DatasetSettings, n_items: int, *, seed: int, first_index: int = 0
) -> Iterator[SimulatedItem]:
    """A set of items, one after another.

    Parameters
    ----------
    settings : DatasetSettings
    n_items : int
        From 1.
    seed : int
    first_index : int
        Where to start, to make a part of a set.

    Examples
    --------
    >>> settings = DatasetSettings(preset="T cell", n_cells=(1, 2), shape=(24, 80, 72), voxel_size_um=(0.6, 0.3, 0.32))
    >>> item = next(simulate_dataset(settings, 1, seed=1))
    >>> item.volume().shape, item.frame(0).labels("nucleus").shape
    ((1, 1, 24, 80, 72), (24, 80, 72))
    """
    if n_items < 1:
        raise SettingsError("E-SIM-COUNT", f"{n_items} items cannot be simulated.", cure="Give at least 1.")
    for index in range(first_index, first_index + n_items):
        yield simulate_item(settings, index, seed=seed)


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _draw_scenes(settings: DatasetSettings, rng: np.random.Generator) -> tuple[list[Scene], pd.DataFrame]:
    """Scenes and tracks; cells too large for the field are drawn again, fewer of them while the range allows."""
    low, high = settings.n_cells
    if low > high:
        raise SettingsError("E-SIM-COUNT", f"from {low} to {high} cells is no range.", cure="Give low, then high.")
    n_cells = int(rng.integers(low, high + 1))
    for _ in range(MAX_REDRAWS):
        try:
            return _scenes_of(settings, n_cells, rng)
        except SettingsError as error:
            if error.code != "E-SIM-FIT":
                raise
        n_cells = max(low, n_cells - max(1, n_cells // 6))
    return _scenes_of(settings, low, rng)


def _scenes_of(settings: DatasetSettings, n_cells: int, rng: np.random.Generator) -> tuple[list[Scene], pd.DataFrame]:
    import pandas as pd

    extent = [size * step for size, step in zip(settings.shape, settings.voxel_size_um, strict=True)]
    extent_um = (extent[0], extent[1], extent[2])
    if settings.n_frames > 1 and settings.scene.capillary is not None:
        raise SettingsError(
            "E-SIM-FROZEN",
            "cells in a capillary are frozen and do not move.",
            cure="Ask for one frame, or set scene.capillary to null.",
        )
    if settings.n_frames > 1:
        return simulate_timelapse(
            settings.preset,
            settings.n_frames,
            n_cells=n_cells,
            extent_um=extent_um,
            settings=settings.scene,
            motion=settings.motion,
            rng=rng,
        )
    scene = simulate_scene(settings.preset, n_cells, extent_um=extent_um, settings=settings.scene, rng=rng)
    rows = [(cell.track_id, cell.parent_id, 0, cell.label) for cell in scene.cells]
    return [scene], pd.DataFrame(rows, columns=["track_id", "parent_id", "frame", "label"])
