"""Segment and measure every frame of one volume: the order of the steps, and nothing else.

To add a step, call its room's public function in :func:`analyse`; loops over voxels belong into the rooms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.edits import EditList
from tomocyte.corrections.files import Corrections
from tomocyte.errors import InputError
from tomocyte.labels.stack import LabelStack
from tomocyte.modalities import Modality, modality
from tomocyte.modalities.qpi import phase_to_dry_mass_density
from tomocyte.pipeline.background import background_level
from tomocyte.pipeline.cells import CellSeparation
from tomocyte.pipeline.confidence import Uncertainty, map_volume
from tomocyte.pipeline.pictures import frame_pictures, time_course_pictures
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.structures import Found, FrameInput
from tomocyte.pipeline.trained import channels_of, check_frame, medium_for, open_model, settled
from tomocyte.segmentation.settings import InclusionSettings, SegmentationSettings
from tomocyte.volume import Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

Report = Callable[[dict[str, Any]], None]
SLAB_VOXELS = 8_000_000


@dataclass(frozen=True)
class Analysis:
    """What came out of one volume.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame.
    labels : mapping
        Structure -> label volume (T, 1, Z, Y, X) uint32.
    facts : dict
        JSON-able: shape, voxel size, medium, origins, counts, histogram.
    warnings : tuple of str
        ``W-…: …``.
    pictures : mapping
        File name -> PNG bytes.
    maps : mapping
        Structure -> where the model doubts, (T, 1, Z, Y, X) uint8, 255 = 1 bit; only where asked for.
    corrections : Corrections, optional
        The edits that were applied, with their log.
    """

    table: pd.DataFrame
    labels: Mapping[str, Volume]
    facts: dict[str, Any]
    warnings: tuple[str, ...]
    pictures: Mapping[str, bytes]
    maps: Mapping[str, Volume] = field(default_factory=dict)
    corrections: Corrections | None = None


def analyse(
    volume: Volume, settings: RunSettings, *, edits: EditList | None = None, report: Report | None = None
) -> Analysis:
    """Segment and measure every frame of a volume.

    Parameters
    ----------
    volume : Volume
        With voxel size and quantity settled, as :func:`open_input` returns it.
    settings : RunSettings
        Its ``edits`` must have been read.
    edits : EditList, optional
        Corrections of this volume, from :func:`tomocyte.corrections.files.load_edits`.
    report : callable, optional
        Receives ``{"step": str, "frame": int, "n_frames": int}`` as the work goes on.

    Returns
    -------
    Analysis

    Raises
    ------
    ModalityError
        ``E-MODALITY-RANGE``, ``E-MODEL-FIT-…``: the values do not fit the modality or the model (unless forced).
    InputError
        ``E-NAN``: NaN or infinite voxels and ``nan="refuse"``. ``E-EDIT-…``: an edit that cannot be applied.
    SettingsError
        ``E-EDIT-FILE``: the settings name a file of edits that was not read.
    """
    from tomocyte.figures import histogram

    kind = modality(settings.modality)
    work = _Work(volume, kind, settings, report or _ignore, edits)
    for frame in range(volume.n_frames):
        image = work.read(frame)
        labels = work.corrections.apply(frame, work.segment(frame, image), image)
        medium_ri = work.settle_medium(image, labels)
        work.measure(frame, image, labels, medium_ri)
        if frame == 0:
            work.facts["histogram"] = histogram(image, labels)
        work.draw(frame, image, labels)
        work.keep(labels)
    return work.finish()


@dataclass(frozen=True, eq=False)
class Look:
    """A frame as a run sees it, before anything is measured.

    Parameters
    ----------
    image : ndarray (Z, Y, X), float32
    labels : dict of str to ndarray (Z, Y, X), unsigned integer
        By the names of the run; the main structure under ``primary``.
    medium_ri : float or None
    uncertainty : Uncertainty
        Which has seen the frame.
    primary : str
    """

    image: NDArray[np.float32]
    labels: dict[str, NDArray[Any]]
    medium_ri: float | None
    uncertainty: Uncertainty
    primary: str


def look(volume: Volume, settings: RunSettings, *, frame: int = 0) -> Look:
    """Read and segment one frame exactly as :func:`analyse` does; errors as there."""
    work = _Work(volume, modality(settings.modality), settings, _ignore)
    image = work.read(frame)
    labels = work.segment(frame, image)
    return Look(image, labels, work.settle_medium(image, labels), work.uncertainty, work.primary)


def _ignore(event: dict[str, Any]) -> None:
    """For callers that want no events."""


class _Work:
    """The state of :func:`analyse`: what the frames so far have given."""

    def __init__(
        self, volume: Volume, kind: Modality, settings: RunSettings, report: Report, edits: EditList | None = None
    ) -> None:
        settings, notes, left_out = settled(settings, volume)
        self.volume = volume
        self.kind = kind
        self.settings = settings
        self.engine: SegmentationSettings = settings.segmentation or kind.segmentation
        self.report = report
        self.voxel_size_um: VoxelSize = volume.require_voxel_size()
        self.quantity, self.unit = volume.quantity or kind.quantity, volume.unit
        self.warnings: list[str] = [*volume.notes, *notes]
        self.tables: list[pd.DataFrame] = []
        self.stacks: dict[str, LabelStack] = {}
        self.maps: dict[str, LabelStack] = {}
        self.media: list[float | None] = []
        self.pictures: dict[str, bytes] = {}
        self.facts: dict[str, Any] = {
            "n_masked_voxels": 0,
            **({} if left_out is None else {"left_out_model": left_out}),
        }
        self.primary = settings.structure or kind.structures[0].name
        self.corrections = Corrections(edits, volume, self.primary, named=settings.edits)
        self.converts_phase = self.quantity == "phase" and settings.wavelength_um is not None
        if self.converts_phase:
            self.quantity, self.unit = kind.quantity, kind.unit
        if volume.n_channels > 1:
            used = f"channel {settings.channel} of {volume.n_channels}"
            self.warnings.append(f"W-CHANNEL: only {used} is segmented and measured; choose with --channel.")
        if volume.is_simulated:
            self.warnings.append("W-SIMULATED: this input is simulated, not measured.")
        if settings.is_forced:
            self.warnings.append("W-FORCED: the checks of the modality were overridden with --force.")
        self.model = open_model(settings)
        self.cells = CellSeparation(settings)
        self.uncertainty = Uncertainty(self.model, settings)
        self.warnings += self.uncertainty.notes
        if self.model is not None:
            # Droplets and nucleoli told apart are a finer account of what the classical engine calls inclusions.
            if settings.segmentation is None and "lipid_droplet" in self.model.card.structures:
                self.engine = self.engine.model_copy(update={"inclusion": InclusionSettings()})
            self.facts["trained_model"] = self.model.facts
            self.warnings += self.model.notes
            if self.model.card.is_trained_on_simulated:
                self.warn(f"W-MODEL-SIMULATED: {self.model.card.name} was trained on simulated data.")

    def tell(self, step: str, frame: int) -> None:
        self.report({"step": step, "frame": frame, "n_frames": self.volume.n_frames})

    def warn(self, warning: str) -> None:
        """Once, although it may hold for every frame."""
        if warning not in self.warnings:
            self.warnings.append(warning)

    def read(self, frame: int) -> NDArray[np.float32]:
        """The physical image (Z, Y, X) of the chosen channel, NaN outside when masked."""
        self.tell("read", frame)
        n_planes, height, width = self.volume.spatial_shape
        image = np.empty((n_planes, height, width), dtype=np.float32)
        n_bad, low, high = 0, math.inf, -math.inf
        slab = max(1, SLAB_VOXELS // (height * width))
        for start in range(0, n_planes, slab):
            stop = min(start + slab, n_planes)
            image[start:stop] = self.volume.planes(frame, self.settings.channel, start, stop)
            is_bad = ~np.isfinite(image[start:stop])
            if bad := int(np.count_nonzero(is_bad)):
                n_bad += bad
                image[start:stop][is_bad] = np.nan
            low = min(low, float(np.min(image[start:stop], where=~is_bad, initial=np.inf)))
            high = max(high, float(np.max(image[start:stop], where=~is_bad, initial=-np.inf)))
        self._settle_nan(n_bad, frame)
        if not low < high:
            self.warnings.append(f"W-FLAT: frame {frame} is constant; nothing can be found in it.")
        if not self.settings.is_forced and n_bad < image.size:
            self.kind.check_values(image[None], self.volume)
        if self.converts_phase and self.settings.wavelength_um is not None:
            image = phase_to_dry_mass_density(image, self.settings.wavelength_um)
        return image

    def _settle_nan(self, n_bad: int, frame: int) -> None:
        if n_bad == 0:
            return
        if self.settings.nan == "refuse":
            raise InputError(
                "E-NAN",
                f"{n_bad} voxels of frame {frame} are NaN or infinite.",
                path=self.volume.path,
                cure="Use --nan mask to treat them as outside; they are then counted and excluded from all statistics.",
            )
        self.facts["n_masked_voxels"] += n_bad
        self.warnings.append(f"W-NAN: {n_bad} NaN or infinite voxels of frame {frame} were treated as outside.")

    def segment(self, frame: int, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        from tomocyte.segmentation.classical.steps import segment

        known = self.cells.apply(
            self.find_with_model(frame, image).labels,
            self.voxel_size_um,
            report=lambda done, total: self.tell(f"cells: {done}/{total}", frame),
        )
        found = segment(
            image,
            self.voxel_size_um,
            self.engine,
            known=known,
            on_step=lambda step: self.tell(f"segment: {step}", frame),
        )
        return {self.primary if structure == "cell" else structure: labels for structure, labels in found.items()}

    def find_with_model(self, frame: int, image: NDArray[np.float32]) -> Found:
        """What the trained model finds in the frame; nothing without one."""
        model = self.model
        if model is None:
            return Found({})
        name = model.card.name
        volume = self.volume.with_properties(quantity=self.quantity, unit=self.unit)
        for note in check_frame(model, volume, image, self.settings, frame=frame):
            self.warn(note)
        medium = medium_for(model.card, self.volume, self.settings, image)
        if medium is None and model.card.normalization.kind == "medium":
            assumed = model.card.normalization.offset
            self.warn(f"W-MODEL-MEDIUM: the medium's RI is unknown; {name} was told {assumed:g}. Give --medium-ri.")
        channels = channels_of(model.card, self.volume, self.settings)
        stack = image[None]
        if len(channels) > 1:
            stack = np.stack([self.volume.planes(frame, channel) for channel in channels]).astype(np.float32)
        found = self.uncertainty.find(
            FrameInput(stack, self.voxel_size_um, medium, self.primary),
            self.engine,
            report=lambda done, total: self.tell(f"predict: {name} {done}/{total}", frame),
        )
        for note in self.uncertainty.judge(frame, self.facts):
            self.warn(note)
        return found

    def settle_medium(self, image: NDArray[np.float32], labels: Mapping[str, NDArray[Any]]) -> float | None:
        """The medium's RI for this frame: given, read, or measured outside the cells."""
        medium = self.volume.medium_ri
        if self.settings.medium_ri == "background" and self.quantity == "refractive_index":
            medium = background_level(image, labels[self.primary], self.voxel_size_um)
            if medium is None:
                self.warnings.append("W-MEDIUM: no background outside the cells to measure the medium in.")
        self.media.append(medium)
        return medium

    def measure(
        self, frame: int, image: NDArray[np.float32], labels: Mapping[str, NDArray[Any]], medium_ri: float | None
    ) -> None:
        from tomocyte.labels.parents import assign_parents
        from tomocyte.measurements import measure

        names = self.kind.columns(self.quantity, is_planar=math.isnan(self.voxel_size_um[0]))
        for structure, objects in labels.items():
            self.tell(f"measure: {structure}", frame)
            table = measure(
                objects,
                image[None],
                self.voxel_size_um,
                structure=structure,
                names=names,
                medium_ri=medium_ri,
                refraction_increment_ml_per_g=self.kind.structure(structure).refraction_increment_ml_per_g,
            )
            known_as = "cell" if structure == self.primary else structure
            doubts = self.uncertainty.columns(known_as, objects, image, table, medium=medium_ri)
            table = table.assign(**doubts, **self.cells.columns(known_as, self.corrections.as_found(structure, table)))
            parents = None if structure == self.primary else assign_parents(objects, labels[self.primary])
            cells = table["label"] if parents is None else table["label"].map(parents).fillna(0)
            table.insert(0, "frame", frame)
            table.insert(1, "time_s", math.nan if self.volume.time_s is None else self.volume.time_s[frame])
            table.insert(2, "structure", structure)
            table.insert(list(table.columns).index("label") + 1, "cell_id", cells.astype("int64"))
            table["medium_ri"] = math.nan if medium_ri is None else medium_ri
            self.corrections.complete(structure, table)
            self.tables.append(table)

    def draw(self, frame: int, image: NDArray[np.float32], labels: Mapping[str, NDArray[Any]]) -> None:
        last = self.volume.n_frames - 1
        if frame not in {0, last // 2, last}:
            return
        self.tell("draw", frame)
        title = f"frame {frame}" if last else ""
        drawn = frame_pictures(image, labels, self.voxel_size_um, what=(self.quantity, self.unit), title=title)
        self.pictures |= {f"{name}_{frame:05d}.png": picture for name, picture in drawn.items()}

    def keep(self, labels: Mapping[str, NDArray[Any]]) -> None:
        for structure, objects in labels.items():
            self.stacks.setdefault(structure, LabelStack(self.volume.spatial_shape)).append(objects)
            doubt = self.uncertainty.map_of("cell" if structure == self.primary else structure)
            if doubt is not None:
                self.maps.setdefault(structure, LabelStack(self.volume.spatial_shape)).append(doubt)

    def finish(self) -> Analysis:
        import pandas as pd

        table = pd.concat(self.tables, ignore_index=True)
        if self.quantity == "refractive_index" and all(medium is None for medium in self.media):
            self.warnings.append(
                "W-NO-MEDIUM: the medium's RI is unknown, so concentration and dry mass are empty; "
                "give --medium-ri N or --medium-ri background."
            )
        if (table["structure"] == self.primary).sum() == 0:
            smallest = self.engine.clean
            self.warnings.append(
                f"W-NO-OBJECT: no {self.primary} of at least {smallest.min_volume_um3:g} um3 (2-D: "
                f"{smallest.min_area_um2:g} um2) was found; see segmentation.clean and segmentation.foreground."
            )
        self.warnings += self.cells.warnings()
        volume = self.volume
        if volume.n_frames > 1:
            self.pictures |= time_course_pictures(table, self.primary)
        labels = {
            structure: stack.volume(voxel_size_um=self.voxel_size_um, time_s=volume.time_s)
            for structure, stack in self.stacks.items()
        }
        counts = table.groupby("structure").size().reindex(list(self.stacks), fill_value=0)
        is_measured = self.settings.medium_ri == "background" and self.quantity == "refractive_index"
        if self.cells.is_on:
            self.facts["cells"] = self.cells.finished_facts()
        self.facts |= {
            "shape_tczyx": list(volume.shape),
            "dtype": str(volume.dtype),
            "voxel_size_um": [None if math.isnan(size) else size for size in self.voxel_size_um],
            "quantity": self.quantity,
            "unit": self.unit,
            "time_s": None if volume.time_s is None else list(volume.time_s),
            "medium_ri": self.media,
            "origin": {**volume.origin, **({"medium_ri": "measured"} if is_measured else {})},
            "modality": self.kind.name,
            "model": self.settings.model if self.model is None else self.model.card.name,
            "primary": self.primary,
            "channel": self.settings.channel,
            "is_simulated": volume.is_simulated,
            "n_objects": {str(name): int(count) for name, count in counts.items()},
            **self.corrections.facts,
        }
        maps = {
            structure: map_volume(stack, structure, voxel_size_um=self.voxel_size_um, time_s=volume.time_s)
            for structure, stack in self.maps.items()
        }
        warnings = (*self.warnings, *self.corrections.warnings)
        return Analysis(table, labels, self.facts, warnings, self.pictures, maps, self.corrections)
