"""Cells told apart after a model has found all cells and all nuclei: by which network, with which warnings and columns.

What is done to the masks stands in :mod:`tomocyte.segmentation.cells.separate`. To offer another way, add its name to
:data:`WAYS` and to ``CellByCellSettings.method``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.trained import card_of, card_sha256
from tomocyte.structures import CELL, NUCLEUS
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.models import ModelCard
    from tomocyte.segmentation.cells.separate import CellByCellSettings, CellsResult
    from tomocyte.segmentation.prediction.tiled import Predictor

Labels = NDArray[np.unsignedinteger[Any]]
Report = Callable[[int, int], None]

AUTO = "auto"
AS_FOUND = "as-found"
WAYS = ("watershed", "components")
SHIPPED = "odt-cells"
SAID = {
    "n_crumbs": "W-CELLS-CRUMBS: {n} pieces of nuclei of less than {crumb:g} um3 were left out and founded no cell.",
    "n_attached_um3": "W-CELLS-ATTACHED: {n:.1f} um3 that no nucleus claims were given to the cell beside them.",
    "n_lost_um3": "W-CELLS-LOST: {n:.1f} um3 of the cell mask are in no cell: loose pieces.",
    "n_added_um3": "W-CELLS-ADDED: {n:.1f} um3 of nuclei outside the cell mask were added to their cells.",
    "no-nucleus": "W-CELLS-NO-NUCLEUS: {n} cells have no nucleus (column flags).",
    "two-nuclei": "W-CELLS-TWO-NUCLEI: {n} cells have two nuclei or more (column flags).",
    "nucleus-outside": "W-CELLS-NUCLEUS-OUTSIDE: {n} cells have a nucleus that lies mostly outside the cell mask.",
}
"""What is said at the end of a run, and of which count."""
LEAST_ATTACHED = 0.01
"""Parts of the mask that are attached are mentioned from this share of it on; rims always are, a little."""


def cells_card(settings: RunSettings) -> ModelCard | None:
    """The card of the network that tells cells apart in a run; ``None`` where none does. Weights are not read.

    Raises
    ------
    SettingsError
        ``E-CELLS``: asked for, but no model finds cells and nuclei; ``E-MODEL-NAME``; ``E-MODEL-ROLE``: the model
        named finds structures in images.
    """
    from tomocyte.models import find_model, read_card

    if settings.cells == AS_FOUND:
        return None
    if not is_made_for(card_of(settings), any_dimensions=settings.cells in WAYS):
        if settings.cells == AUTO:
            return None
        raise SettingsError(
            "E-CELLS",
            f"cells cannot be told apart by {settings.cells}: no trained model finds cells and nuclei in this run.",
            cure="Use --model with one that does, or --cells auto.",
        )
    if settings.cells in WAYS:
        return None
    card = read_card(find_model(SHIPPED if settings.cells == AUTO else settings.cells))
    if card.role != "cell-by-cell":
        raise SettingsError(
            "E-MODEL-ROLE",
            f"{card.name} finds structures in images and cannot tell cells apart.",
            cure=f"Use --cells {SHIPPED}, watershed, components or {AS_FOUND}; give {card.name} with --model.",
        )
    return card


def is_made_for(card: ModelCard | None, *, any_dimensions: bool = False) -> bool:
    """Whether a model finds what cells are told apart by: cells and nuclei, in volumes (a network needs those)."""
    if card is None or not {CELL, NUCLEUS} <= set(card.structures):
        return False
    return any_dimensions or card.dimensions == 3


class CellSeparation:
    """Cells told apart in every frame of a run, and what came of it.

    Parameters
    ----------
    settings : RunSettings

    Raises
    ------
    SettingsError
        As :func:`cells_card`.
    """

    def __init__(self, settings: RunSettings) -> None:
        self.card = cells_card(settings)
        self.way = "network" if self.card is not None else settings.cells if settings.cells in WAYS else ""
        self.result: CellsResult | None = None
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self._predictor: Predictor | None = None
        self._divisor: tuple[int, ...] = (1, 1, 1)
        self.facts: dict[str, Any] = {"method": self.way or AS_FOUND}
        if not self.way:
            return
        if self.card is not None:
            how = settings.inference
            key = (card_sha256(self.card), how.engine, how.precision, how.device)
            self._predictor, self._divisor = _loaded(_folder(settings), key)
            self.facts |= {"name": self.card.name, "version": self.card.version, "card_sha256": card_sha256(self.card)}
            if self.card.is_trained_on_simulated:
                self.notes.append(f"W-MODEL-SIMULATED: {self.card.name} was trained on simulated data.")

    @property
    def is_on(self) -> bool:
        """Whether cells are told apart at all."""
        return bool(self.way)

    def apply(
        self, found: Mapping[str, Labels], voxel_size_um: VoxelSize, *, report: Report | None = None
    ) -> dict[str, Labels]:
        """The structures of a frame with cells told apart and touching nuclei split.

        Parameters
        ----------
        found : mapping
            Structure -> labels (Z, Y, X); with ``cell`` and ``nucleus``.
        voxel_size_um : tuple of 3 float
        report : callable, optional
            Told the nuclei done and the nuclei in all.
        """
        if not self.is_on:
            return dict(found)
        from tomocyte.labels.dtypes import refit
        from tomocyte.segmentation.cells.separate import separate_cells

        settings = self.chosen()
        self.result = separate_cells(
            found[CELL] != 0, found[NUCLEUS], voxel_size_um, self._predictor, settings, report=report
        )
        self._count(self.result, voxel_size_um, int(np.count_nonzero(found[CELL])))
        return dict(found) | {CELL: refit(self.result.labels), NUCLEUS: refit(self.result.nuclei)}

    def chosen(self) -> CellByCellSettings:
        """How cells are told apart: as the network's card says where there is one."""
        from tomocyte.segmentation.cells.separate import CellByCellSettings
        from tomocyte.settings import build_settings

        if self.card is None:
            return build_settings(CellByCellSettings, {"method": self.way})
        return settings_of(self.card, self._divisor)

    def _count(self, result: CellsResult, voxel_size_um: VoxelSize, n_mask: int) -> None:
        size = math.prod(1.0 if math.isnan(length) else length for length in voxel_size_um)
        counts = result.counts
        self.counts["n_frames"] += 1
        for name in ("n_nuclei", "n_split", "n_crumbs", "n_joined"):
            self.counts[name] += counts[name]
        self.counts["n_predicted_voxels"] += result.n_predicted_voxels
        volumes = {name: counts[f"{name}_voxels"] for name in ("n_attached", "n_lost", "n_added")}
        if volumes["n_attached"] < LEAST_ATTACHED * n_mask:
            volumes["n_attached"] = 0
        for name, n in volumes.items():
            self.counts[f"{name}_um3"] += n * size  # type: ignore[assignment]
        for flags in result.flags.values():
            self.counts.update(flags)
        for note in result.notes:
            said = f"W-CELLS-PLANE: {note}."
            if said not in self.notes:
                self.notes.append(said)

    def columns(self, structure: str, table: pd.DataFrame) -> dict[str, Any]:
        """``flags`` and ``cell_confidence`` of the objects of a structure; nothing where cells were left as found."""
        if self.result is None:
            return {}
        labels = table["label"].tolist()
        if structure != CELL:
            return {"flags": [""] * len(labels), "cell_confidence": np.full(len(labels), np.nan)}
        flags, confidence = self.result.flags, self.result.confidence
        return {
            "flags": [";".join(flags.get(label, ())) for label in labels],
            "cell_confidence": np.asarray([confidence.get(label, math.nan) for label in labels], dtype=np.float64),
        }

    def warnings(self) -> list[str]:
        """What a user must know, with numbers over all frames."""
        if not self.is_on:
            return []
        crumb = self.chosen().min_nucleus_um3
        said = [text.format(n=self.counts[name], crumb=crumb) for name, text in SAID.items() if self.counts[name] > 0]
        return [*self.notes, *said]

    def finished_facts(self) -> dict[str, Any]:
        """For ``run.json``: what told cells apart, and counts over all frames."""
        return self.facts | {"counts": {name: round(count, 3) for name, count in sorted(self.counts.items())}}


def settings_of(card: ModelCard, divisor: tuple[int, ...]) -> CellByCellSettings:
    """How a network tells cells apart, from its card: its voxel size, or the published frame if it learned in that."""
    from tomocyte.segmentation.cells.separate import CellByCellSettings
    from tomocyte.settings import build_settings

    learned: Any = card.recipe.get("data")
    cells: Any = learned.get("cells") if isinstance(learned, dict) else None
    is_published = isinstance(cells, dict) and cells.get("frame") == "as-published"
    content = {
        "voxel_size_um": card.voxel_size_um,
        "frame": "as-published" if is_published else "windows",
        "input": "regions" if isinstance(cells, dict) and cells.get("input") == "regions" else "masks",
        "unclaimed": "background" if is_published else "attach",
        "divisor": divisor,
        "threshold": card.threshold_of(card.structures[0]),
    }
    return build_settings(CellByCellSettings, content)


def _folder(settings: RunSettings) -> Path:
    from tomocyte.models import find_model

    return find_model(SHIPPED if settings.cells == AUTO else settings.cells)


@lru_cache(maxsize=1)
def _loaded(folder: Path, key: tuple[str, str, str, str]) -> tuple[Predictor, tuple[int, ...]]:
    """A network ready to be applied, by its card's hash and engine, precision and device."""
    from tomocyte.models import load_package
    from tomocyte.networks.engine import make_predictor

    _, engine, precision, device = key
    package = load_package(folder)
    module: Any = package.build()
    # Windows have many shapes, each of which other engines would compile anew.
    chosen = "torch" if engine == "auto" else engine
    predictor = make_predictor(module, activation="sigmoid", engine=chosen, device=device, precision=precision)
    return predictor, tuple(module.divisor)
