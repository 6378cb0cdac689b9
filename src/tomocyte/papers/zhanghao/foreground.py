"""Fig. S3: what is in focus in images of a stain, by a network and by thresholds that are tuned on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.channels.foreground import ForegroundMethod, stain_foreground
from tomocyte.comparison.crossval_recipe import merged
from tomocyte.comparison.samples import network_predictor, pixel_fields
from tomocyte.comparison.score import Predictor, score_model
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.figures.canvas import PictureFormat
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.models import load_package
from tomocyte.papers.acseg.claims import claims_markdown
from tomocyte.papers.acseg.trainings.recipe import TrainingCost
from tomocyte.papers.acseg.trainings.train import timed_recipe, trained
from tomocyte.papers.result import ExperimentResult
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.recipe import ForegroundRecipe
from tomocyte.progress import Callback, silent
from tomocyte.runs.simulate.focus import write_focus_images
from tomocyte.settings import build_settings
from tomocyte.statistics import mean_and_sd
from tomocyte.training import split_items
from tomocyte.training.data.samples import Samples
from tomocyte.training.recipe import Recipe, build_recipe, load_recipe

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("dice", "precision", "recall", "moc", "pixel_accuracy")
_TRUTH = "truth"
_N_SHOWN = 3


def foreground_experiment(
    recipe: ForegroundRecipe,
    output: Path,
    *,
    data: Path | None = None,
    file_format: PictureFormat = "png",
    device: str = "cpu",
    callback: Callback = silent,
) -> ExperimentResult:
    """Train the network, tune the thresholds, and score all of them on other images.

    Parameters
    ----------
    recipe : ForegroundRecipe
    output : Path
        Simulated images go to ``data``, the training to ``trainings``; what is there already is not done again.
    data : Path, optional
        Images with masks, of which a share is scored; otherwise images are simulated.
    file_format : {"png", "pdf", "svg"}
    device : str
    callback : callable
        Receives events of the step ``simulate`` and those of the training.

    Returns
    -------
    ExperimentResult
        Tables ``scores`` (a row per method and image), ``thresholds`` (the chosen ones), ``claims``; picture ``masks``.
    """
    import pandas as pd

    training = training_of(recipe)
    learned, held_out = _images(recipe, training, output, data, callback)
    cost = TrainingCost(
        recipe.network.minutes or recipe.minutes, recipe.network.n_steps, recipe.network.n_epochs or recipe.n_epochs
    )
    timed = timed_recipe(training, cost, learned, output, device=device)
    made = trained(timed, learned, output, device=device, callback=callback)
    module = load_package(made.model).build()
    samples = Samples(learned, training.data, n_axes=2)
    foreground = training.data.structures[0]
    chosen = {name: _best(samples, name, settings, foreground) for name, settings in recipe.thresholds.items()}
    methods: dict[str, Predictor[Any]] = {training.name: network_predictor(module, is_softmax=False)}
    methods |= {name: threshold_method(settings, foreground) for name, settings in chosen.items()}
    tested = Samples(held_out, training.data, n_axes=2)
    rows = [
        {"method": name, "item": row["item"], **{metric: row[metric] for metric in METRICS}}
        for name, predict in methods.items()
        for row in score_model(predict, pixel_fields(tested), metrics=METRICS).rows
    ]
    scores = pd.DataFrame(rows).astype(dict.fromkeys(METRICS, "float64"))
    judged = judge_compartments(recipe.claims, scores, (foreground,))
    is_simulated = held_out[0].open_image().is_simulated
    title = f"{recipe.title}{' (simulated)' if is_simulated else ''}"
    pictures = {"masks": _picture(methods, tested, foreground, title, file_format)}
    lines = [
        f"# {title}", "", f"{len(learned)} images to learn from and to tune on, {len(held_out)} others scored.", "",
        *scores_markdown(scores), "", *claims_markdown(judged), "", recipe.notes, "",
    ]  # fmt: skip
    thresholds = pd.DataFrame([one.model_dump(mode="json") for one in chosen.values()])
    return ExperimentResult(
        {"scores": scores, "thresholds": thresholds, "claims": judged}, pictures, "\n".join(lines), file_format
    )


def training_of(recipe: ForegroundRecipe) -> Recipe:
    """The training recipe, as long as its own file says."""
    changes = merged(recipe.network.changes, {"held_out": None, "calibrate": False})
    return build_recipe(merged(load_recipe(recipe.network.recipe), changes))


def describe_foreground(recipe: ForegroundRecipe, data: Path | None) -> list[str]:
    """What would be done, in lines for a screen."""
    training_of(recipe)
    source = f"{2 * recipe.n_images} images simulated for it" if data is None else f"images with masks in {data}"
    minutes = recipe.network.minutes or recipe.minutes
    return [
        f"{recipe.name}: {source}, half of them scored." if data is None else f"{recipe.name}: {source}.",
        f"one training of {minutes:g} core minutes against {', '.join(recipe.thresholds)}.",
    ]


def _images(
    recipe: ForegroundRecipe, training: Recipe, output: Path, data: Path | None, callback: Callback
) -> tuple[list[LabelledItem], list[LabelledItem]]:
    """Images to learn from, and others."""
    if data is not None:
        parts = split_items(find_items(data, training.data), recipe.held_out_share, seed=1, min_held_out=1)
        return parts.train, parts.validation
    learned, held_out = (
        find_items(
            write_focus_images(output / "data" / name, recipe.n_images, seed=seed, callback=callback), training.data
        )
        for name, seed in zip(("learned", "scored"), recipe.seeds, strict=True)
    )
    return learned, held_out


def threshold_method(settings: ForegroundMethod, foreground: str) -> Predictor[Any]:
    """A threshold as a method that is scored like a network.

    Parameters
    ----------
    settings : ForegroundMethod
    foreground : str
        What it finds is called so.
    """

    def predict(sample: Any) -> dict[str, NDArray[np.bool_]]:
        volume = sample.volume
        _, y, x = volume.require_voxel_size()
        return {foreground: stain_foreground(volume.planes(0, 0), (y, x), settings)[0]}

    return predict


def _best(
    samples: Samples, method: str, candidates: tuple[Mapping[str, float], ...], foreground: str
) -> ForegroundMethod:
    """The candidate of the highest mean Dice on the images that are learned from; of equal ones the first."""
    means = []
    for candidate in candidates:
        settings = build_settings(ForegroundMethod, {"method": method, **candidate})
        table = score_model(threshold_method(settings, foreground), pixel_fields(samples), metrics=["dice"])
        means.append((mean_and_sd(table.values("dice"))[0], settings))
    return max(means, key=lambda entry: entry[0])[1]


def scores_markdown(scores: pd.DataFrame) -> list[str]:
    """Means over the images as lines of a Markdown table."""
    lines = ["| method | F1 | precision | recall | MOC | accuracy |", "|---|---:|---:|---:|---:|---:|"]
    for name, own in scores.groupby("method", sort=False):
        lines.append(f"| {name} | {' | '.join(f'{own[metric].mean():.3f}' for metric in METRICS)} |")
    return lines


def _picture(
    methods: Mapping[str, Predictor[Any]], tested: Samples, foreground: str, title: str, file_format: PictureFormat
) -> bytes:
    """Some images with the true outline, and with that of every method."""
    panels = []
    for number, field in enumerate(pixel_fields(tested)):
        if number == _N_SHOWN:
            break
        image = field.source.volume.planes(0, 0)[0]
        image = np.minimum(image, np.percentile(image, 99.8))
        truth = np.asarray(field.truth(foreground)).reshape(image.shape) == 1
        panels.append(ContourPanel(image, {_TRUTH: truth}, field.name))
        for name, predict in methods.items():
            found = np.asarray(predict(field.source)[foreground]).reshape(image.shape) > 0.5
            panels.append(ContourPanel(image, {name: found}, name, {name: "#FFE100"}))
    return contour_figure(
        panels, tested.settings.voxel_size_um[1:] if tested.settings.voxel_size_um else (0.1, 0.1),
        n_columns=1 + len(methods), title=title, quantity="intensity", unit="", file_format=file_format,
    )  # fmt: skip
