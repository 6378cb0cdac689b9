"""Masks of a model for simulated fields, where no second segmentation is given."""

from __future__ import annotations

from pathlib import Path

from tomocyte.datasets.labelled import find_items
from tomocyte.papers.acseg.recipe import SegmentationsRecipe
from tomocyte.papers.analysed import run_all
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, silent
from tomocyte.settings import build_settings


def segment_simulated(
    recipe: SegmentationsRecipe,
    data: Path,
    output: Path,
    *,
    model: str | None = None,
    device: str = "cpu",
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Run every simulated field that is not done yet; the folder is that of a run.

    Raises
    ------
    InputError
        ``E-REPRODUCE-RUN``: a field could not be analysed; the others are kept.
    """
    content = {"modality": recipe.modality, "model": model or recipe.model, "inference": {"device": device}}
    paths = [item.image for item in find_items(data)]
    return run_all(paths, build_settings(RunSettings, content), output, n_workers=n_workers, callback=callback)
