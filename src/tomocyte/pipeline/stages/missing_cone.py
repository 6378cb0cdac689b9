"""Refractive index and dry mass of the objects rather than of their limited-angle tomogram.

The estimators are in :mod:`tomocyte.missing_cone`. With known optics of limited angles it is the geometric transfer
matrix; with unknown optics, and a tomogram that lacks frequencies along z, the columns above the cells; else the masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.cleaning import touches_border
from tomocyte.labels.extents import label_extents
from tomocyte.labels.parents import without_contents
from tomocyte.missing_cone import Estimator
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.pipeline.stage import FrameState, Labels, Stage
from tomocyte.structures import CELL, CYTOPLASM, ancestors, contains, structure
from tomocyte.volume import Frame, Volume, VoxelSize

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.missing_cone.closure import Closure, Weighed
    from tomocyte.missing_cone.columns import Columns
    from tomocyte.missing_cone.transfer import Support
    from tomocyte.simulation.physics.optics import OdtInstrument

Float = NDArray[np.float64]
CORRECTED = ("mean_ri", "concentration_mg_per_ml", "dry_mass_pg")
"""Columns that are corrected; what the mask alone gives stands beside each as ``…_in_mask``."""
NO_VALUES = (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
HOW_TO_NAME_IT = (
    "Name the instrument with --instrument; where it is not known, but its beams reach an aperture of 0.8, give "
    "--instrument limited-angle."
)


class MissingConeStage(Stage):
    """Corrects tables for what the instrument did not measure."""

    name = "missing_cone"

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:
        """For tomograms of refractive index whose main objects lie in the medium (nuclei alone lie in cells)."""
        is_tomogram = plan.channel.quantity == "refractive_index" and math.isfinite(plan.voxel_size_um[0])
        is_outermost = structure(plan.main).parent is None
        return is_tomogram and is_outermost and "mean_ri" in plan.measurements

    def prepare(self, volume: Volume) -> None:
        """Start with no frame recorded."""
        super().prepare(volume)
        self._records: dict[int, dict[str, Any]] = {}
        self._facts["missing_cone"] = []

    def apply(self, state: FrameState) -> FrameState:
        """The frame with corrected tables, where it has one channel of refractive index and a known medium."""
        if not all("mean_ri" in table for table in state.tables.values()):
            return state
        frame = state.frame
        self.report("missing cone", frame)
        is_missing, recovery = self._is_missing(state)
        columns = self._columns(state)
        method, values = self._values(state, is_missing, columns)
        tables = {
            name: self._corrected(table, name, values.get(name), method, frame) for name, table in state.tables.items()
        }
        optics = self.plan.optics
        self._records[frame.index] = {
            "frame": frame.index,
            "instrument": None if optics is None else optics.name,
            "is_missing": is_missing,
            "recovery_along_z": recovery,
            "estimator": method,
            "medium_ri": frame.medium_ri,
            "closure": self._closure(state, tables, columns),
        }
        self._facts["missing_cone"] = list(self._records.values())
        return replace(state, tables=tables, is_cone_missing=is_missing)

    def _is_missing(self, state: FrameState) -> tuple[bool | None, float | None]:
        """Whether frequencies along z are missing, as the optics say or, without them, the tomogram itself."""
        if self.plan.optics is not None:
            return self.plan.optics.geometry == "limited-angle", None
        frame = state.frame
        if frame.medium_ri is None or not state.labels["cell"].any():
            return None, None
        from tomocyte.missing_cone.evidence import LEAST_COMPLETE, cone_recovery

        contrast = np.subtract(frame.segmented, frame.medium_ri, dtype=np.float32)
        recovery = cone_recovery(contrast, state.labels["cell"], frame.voxel_size_um)
        is_missing = math.isfinite(recovery) and recovery < LEAST_COMPLETE
        if is_missing:
            text = (
                "the tomogram lacks frequencies along z and its optics are unknown: cells are weighed by the columns "
                f"above them, organelles in their masks alone, where too little is left. {HOW_TO_NAME_IT}"
            )
            self.notify(Notice("W-OPTICS", text))
        return is_missing, round(recovery, 3) if math.isfinite(recovery) else None

    def _values(
        self, state: FrameState, is_missing: bool | None, columns: Columns | None
    ) -> tuple[Estimator, Mapping[str, tuple[NDArray[np.int64], Float, Float]]]:
        """The estimator, and per structure labels, contrasts and dry masses."""
        frame, labels = state.frame, state.labels
        if not is_missing or frame.medium_ri is None or columns is None:
            return "in-mask", {}
        increments = {name: self._increment(name) for name in labels}
        if self.plan.optics is not None:
            from tomocyte.missing_cone.objects import recover

            found = recover(
                frame.segmented,
                labels,
                frame.voxel_size_um,
                medium_ri=frame.medium_ri,
                support=_support(self.plan.optics, frame.medium_ri),
                increments_ml_per_g=increments,
                cytoplasm=_cytoplasm(state),
            )
            return "matrix", {name: (one.label, one.contrast, one.dry_mass_pg) for name, one in found.items()}
        volume_um3 = np.bincount(labels["cell"].ravel())[columns.label] * math.prod(frame.voxel_size_um)
        mass = columns.contrast_um3 / (increments["cell"] or math.nan)
        return "column", {"cell": (columns.label, columns.contrast_um3 / volume_um3, mass)}

    @staticmethod
    def _columns(state: FrameState) -> Columns | None:
        """What lies above and below the cells; ``None`` without cells or a medium."""
        frame = state.frame
        if frame.medium_ri is None or not state.labels["cell"].any():
            return None
        from tomocyte.missing_cone.columns import column_contrasts

        contrast = np.subtract(frame.segmented, frame.medium_ri, dtype=np.float32)
        return column_contrasts(contrast, state.labels["cell"], frame.voxel_size_um)

    def _closure(
        self, state: FrameState, tables: Mapping[str, pd.DataFrame], columns: Columns | None
    ) -> dict[str, Any] | None:
        """Whether the masses add up, and a notice where they do not."""
        if columns is None or "dry_mass_pg" not in tables[CELL] or self._increment(CELL) is None:
            return None
        from tomocyte.missing_cone.closure import closure

        names = [name for name in state.labels if name != CELL and contains(CELL, name)]
        outermost = [name for name in names if not set(ancestors(name)) & set(names)]
        weighed = {name: self._weighed(tables[name], name) for name in {CELL, CYTOPLASM, *outermost} & set(tables)}
        extents, cells = label_extents(state.labels[CELL]), weighed[CELL]
        is_cut = touches_border(extents.lower, extents.upper, state.labels[CELL].shape)
        rest = None if CYTOPLASM in names else weighed.get(CYTOPLASM)
        inside = [weighed[name] for name in outermost]
        result = closure(cells, inside, rest, columns, ~is_cut[cells.cell])
        if result.is_open:
            text = (
                f"dry masses do not add up, they differ: {_what_is_open(result)}. Check the masks, the medium, the "
                "instrument and whether the background beside the cells is even."
            )
            self.notify(Notice("W-CLOSURE", text))
        return asdict(result)

    def _weighed(self, table: pd.DataFrame, name: str) -> Weighed:
        from tomocyte.missing_cone.closure import Weighed

        columns = (table["cell_id"], table["dry_mass_pg"], table["dry_mass_pg_estimator"])
        cell, mass, estimator = (column.to_numpy() for column in columns)
        return Weighed(cell, mass.astype(np.float64), estimator.astype(str), self._increment(name) or math.nan)

    def _increment(self, name: str) -> float | None:
        return self.plan.modality.structure(self.plan.name_of(name)).refraction_increment_ml_per_g

    def _corrected(
        self,
        table: pd.DataFrame,
        name: str,
        values: tuple[NDArray[np.int64], Float, Float] | None,
        method: Estimator,
        frame: Frame,
    ) -> pd.DataFrame:
        """The table with corrected columns, those of the mask beside them, and how each value was found."""
        import pandas as pd

        names = [name for name in CORRECTED if name in table]
        beside = {f"{name}_in_mask": table[name].to_numpy(np.float64) for name in names}
        label, contrast, mass = NO_VALUES if values is None else values
        contrast_of, mass_of = (pd.Series(one, index=label).reindex(table["label"]) for one in (contrast, mass))
        alpha = self._increment(name) or math.nan
        medium = math.nan if frame.medium_ri is None else frame.medium_ri
        new = {
            "mean_ri": medium + contrast_of.to_numpy(np.float64),
            "concentration_mg_per_ml": 1000 / alpha * contrast_of.to_numpy(np.float64),
            "dry_mass_pg": mass_of.to_numpy(np.float64),
        }
        is_new = {name: np.isfinite(new[name]) for name in names}
        columns = {name: np.where(is_new[name], new[name], beside[f"{name}_in_mask"]) for name in names}
        estimators = {
            f"{name}_estimator": np.where(is_new[name], method, "in-mask").astype(object)
            for name in ("mean_ri", "dry_mass_pg")
            if name in names
        }
        return table.assign(**columns, **beside, **estimators)


def _what_is_open(result: Closure) -> str:
    """Which masses do not add up, and by how much."""
    from tomocyte.missing_cone.closure import MOST_COLUMNS_PERCENT, MOST_PARTS_PERCENT

    parts, columns = result.parts_percent or 0, result.columns_median_percent or 0
    differences = [f"organelles and cytoplasm from their cell by up to {parts:.1f} %"] * (parts > MOST_PARTS_PERCENT)
    differences += [f"cells from their columns (phase) by {columns:.0f} % (median)"] * (columns > MOST_COLUMNS_PERCENT)
    return ", ".join(differences)


def _cytoplasm(state: FrameState) -> Labels | None:
    """The cells without their organelles, where they were measured as such."""
    if CYTOPLASM not in state.tables or CYTOPLASM in state.labels:
        return None
    organelles = [objects for name, objects in state.labels.items() if name != CELL and contains(CELL, name)]
    return without_contents(state.labels[CELL], organelles)


def _support(optics: OdtInstrument, medium_ri: float) -> Support:
    """Which frequencies the instrument measures, for the shapes and voxel sizes that the estimators ask for."""
    from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, fourier_coverage

    def measured(shape: tuple[int, int, int], voxel_size_um: VoxelSize) -> NDArray[np.bool_]:
        coverage = fourier_coverage(shape, medium_ri, voxel_size_um=voxel_size_um, instrument=optics)
        return np.asarray(coverage >= MIN_COVERAGE)

    return measured
