"""Whole test volumes scored: Dice, volume, surface to volume, and the distance of the surfaces.

All of a structure in a volume counts as one body, as in the paper's Dice; touching cells are not told apart here.
To add a figure, add it to :func:`score_mask`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation import Case, ScoreTable
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal
from tomocyte.measurements import measure
from tomocyte.models import ModelPackage, load_package
from tomocyte.models.loaded import LoadedModel, load_from_package
from tomocyte.models.prediction import ModelInput, predict_structure
from tomocyte.models.settings import InferenceSettings
from tomocyte.papers.acseg.trainings.records import stored
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.volume import VoxelSize

Mask = NDArray[np.bool_]
FIGURES = (
    "dice", "volume_um3", "volume_error_percent", "surface_to_volume_per_um", "surface_to_volume_error_percent",
    "assd_um", "hd95_um", "uncertainty",
)  # fmt: skip


class VolumeScorer:
    """A finished model applied to test volumes; each is scored once and the figures are kept.

    Parameters
    ----------
    model : Path
        A package.
    structure : str
    inference : InferenceSettings
    folder : Path
        Of the experiment; figures are kept in ``scores``.
    device : str
    """

    def __init__(
        self, model: Path, structure: str, inference: InferenceSettings, folder: Path, *, device: str = "cpu"
    ) -> None:
        self.package: ModelPackage = load_package(model)
        self.structure, self.inference, self.device = structure, inference, device
        self.folder = folder / "scores"
        self._loaded: LoadedModel | None = None

    def score(self, item: LabelledItem, callback: Callback = silent) -> dict[str, float]:
        """The figures of one volume, by the names of :data:`FIGURES`; NaN where there is none."""
        key = sha256_of_json(
            {
                "weights": self.package.card.weights_sha256,
                "inference": self.inference.model_dump(mode="json"),
                "structure": self.structure,
                "item": [item.name, str(item.image), str(item.labels[self.structure])],
            }
        )
        path = self.folder / item.name / f"{key[:16]}.json"
        record = stored(path, key)
        if record is None:
            callback(Progress(item.name, "score"))
            mask, uncertainty = self.predict(item)
            truth = item.read_labels(self.structure) > 0
            figures = {
                **score_mask(truth, mask, item.open_image().require_voxel_size()),
                "uncertainty": uncertainty,
            }
            kept = {name: None if math.isnan(value) else value for name, value in figures.items()}
            record = {"key": key, "figures": kept}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, seal(record))
        values = {name: record["figures"][name] for name in FIGURES}
        return {name: math.nan if value is None else float(value) for name, value in values.items()}

    def predict(self, item: LabelledItem) -> tuple[Mask, float]:
        """What the model finds in a volume, (Z, Y, X), and how uncertain it is.

        The uncertainty is the mean of 4 p (1 - p) of what it finds; NaN where it finds nothing.
        """
        self._loaded = self._loaded or load_from_package(self.package, engine=self.inference.engine, device=self.device)
        volume = item.open_image()
        frame = ModelInput(volume.frame(0), volume.require_voxel_size(), volume.medium_ri)
        card = self.package.card
        options = self.inference if card.fixed_frame is None and card.scaled_frame is None else None
        probability = predict_structure(self._loaded, frame, self.structure, options)
        threshold = 0.5 if self.inference.vote == "majority" else card.threshold_of(self.structure)
        mask = np.asarray(probability > threshold)
        inside = probability[mask].astype(np.float64)
        return mask, float(np.mean(4 * inside * (1 - inside))) if inside.size else math.nan


def score_mask(truth: Mask, mask: Mask, voxel_size_um: VoxelSize) -> dict[str, float]:
    """Figures of one volume, by the names of :data:`FIGURES`, without the uncertainty.

    Parameters
    ----------
    truth, mask : ndarray (Z, Y, X), bool
    voxel_size_um : tuple of 3 float

    Returns
    -------
    dict of str to float
        Errors are in percent of the truth; NaN where either is empty.
    """
    table = ScoreTable(metrics=("dice", "assd_um", "hd95_um"))
    table.add_all([Case("volume", "volume", truth, mask, None, voxel_size_um)])
    sizes = [_size(one, voxel_size_um) for one in (truth, mask)]
    (true_volume, true_ratio), (volume, ratio) = sizes
    return {
        "dice": table.values("dice")[0],
        "volume_um3": volume,
        "volume_error_percent": _percent(volume, true_volume),
        "surface_to_volume_per_um": ratio,
        "surface_to_volume_error_percent": _percent(ratio, true_ratio),
        "assd_um": table.values("assd_um")[0],
        "hd95_um": table.values("hd95_um")[0],
    }


def _size(mask: Mask, voxel_size_um: VoxelSize) -> tuple[float, float]:
    """Volume in µm³, and surface to volume per µm (NaN of nothing)."""
    if not mask.any():
        return 0.0, math.nan
    names = ("volume_um3", "surface_to_volume_per_um")
    row: Any = measure(mask.astype(np.uint8), None, voxel_size_um, structure="cell", names=names).iloc[0]
    return float(row["volume_um3"]), float(row["surface_to_volume_per_um"])


def _percent(value: float, truth: float) -> float:
    return 100 * (value / truth - 1) if truth else math.nan
