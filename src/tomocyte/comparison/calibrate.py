"""A model calibrated on labelled images, as a run sees them: card, reliability plots, figures.

The fit itself is in :mod:`tomocyte.confidence.calibration`. To write another file about a calibration, add it to
:func:`_write`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.confidence.settings import UncertaintySettings
from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError, SettingsError
from tomocyte.labels.stack import LabelStack
from tomocyte.ledger import kind_of, refuse_other_kind
from tomocyte.models import ModelCard, load_package
from tomocyte.models.package import write_package
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.comparison.own_truth import Tables
    from tomocyte.confidence.assessment import Assessment, Examined
    from tomocyte.confidence.settings import StructureCalibration

DIGITS = 4
N_TRAINING = 60


@dataclass(frozen=True)
class CalibrationData:
    """Which images serve for what.

    Parameters
    ----------
    validation : sequence of LabelledItem
        Calibrated on; never trained on.
    training : sequence of LabelledItem
        What the model was trained on, or some of it: how such images look.
    test : dict of str to sequence of LabelledItem
        Where the result is checked; by name.
    """

    validation: Sequence[LabelledItem]
    training: Sequence[LabelledItem]
    test: dict[str, Sequence[LabelledItem]]


def calibration_data(
    folders: Sequence[Path],
    card: ModelCard,
    *,
    split: str = "validation",
    n_training: int = N_TRAINING,
    test: Sequence[str] = (),
    test_folder: Path | None = None,
) -> CalibrationData:
    """The images of folders by their split; without splits, all of them are for calibration.

    Parameters
    ----------
    folders : sequence of Path
        As :func:`tomocyte.datasets.labelled.find_items` reads them; training images are those of the first one.
    card : ModelCard
    split : str
        To calibrate on.
    n_training : int
        At most so many training images are looked at, evenly spaced.
    test : sequence of str
        Splits to check the result on; each domain of a split is checked by itself.
    test_folder : Path, optional
        Where those splits are; the first of ``folders`` by default.

    Raises
    ------
    InputError
        ``E-NO-DATA``.
    """
    settings = labelled_settings(card)
    sets = [find_items(folder, settings) for folder in folders]
    validation = []
    for folder, items in zip(folders, sets, strict=True):
        fitting = [item for item in items if item.split in ("", split)]
        if not fitting:
            splits = ", ".join(sorted({item.split for item in items}))
            raise InputError("E-NO-DATA", f"no image of split {split!r}.", path=folder, cure=f"It has: {splits}.")
        validation += fitting
    training = [item for item in sets[0] if item.split == "train" and split != "train"]
    checked: dict[str, list[LabelledItem]] = {}
    for item in sets[0] if test_folder is None else find_items(test_folder, settings):
        if item.split in test and item.split:
            checked.setdefault(" ".join(filter(None, (item.split, item.domain))), []).append(item)
    return CalibrationData(validation, spaced(training, n_training), dict(checked))


def spaced(items: Sequence[LabelledItem], n: int = N_TRAINING) -> list[LabelledItem]:
    """At most n items, evenly spaced."""
    if len(items) <= n:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, n).astype(int)]


def labelled_settings(card: ModelCard) -> LabelledSettings:
    """How labelled images of a model are read."""
    return LabelledSettings(structures=tuple(name for name in card.structures if name != "background"))


class Examiner:
    """Looks at labelled images with a model, each once: results are stored, packed, for the next time.

    Parameters
    ----------
    folder : Path
        Of the model's package.
    card : ModelCard
    cells : str
        How touching cells are separated, as in ``RunSettings.cells``.
    """

    def __init__(self, folder: Path, card: ModelCard, *, cells: str = "auto") -> None:
        self.folder = folder
        self.cells = cells
        self.card = card
        self.structures = labelled_settings(card).structures
        self._results: dict[Path, _PackedResult] = {}

    def examine(self, item: LabelledItem) -> Examined:
        """The model's prediction in the first frame of a labelled image, with the truth.

        Raises
        ------
        SettingsError
            ``E-UNCERTAINTY``: a model whose probabilities cannot be stored.
        InputError
            ``E-LABELS-PARTIAL``: only some of the voxels are labelled.
        """
        from tomocyte.confidence.assessment import Examined

        result = self._result(item)
        frame = item.read_frame(0)
        partial = [name for name in frame.labels if not frame.is_labelled(name).all()]
        if item.uncertainty:
            raise InputError(
                "E-LABELS-PARTIAL",
                "labels have a map of uncertainty: they are no truth.",
                path=item.image,
                cure="Calibrate on images that are labelled throughout by hand; trainings: --set calibrate=false.",
            )
        if partial:
            raise InputError(
                "E-LABELS-PARTIAL",
                f"labels of {', '.join(partial)} do not cover the whole frame.",
                path=item.image,
                cure="Calibrate on images that are labelled throughout.",
            )
        truth = {name: frame.labels[name].astype(np.uint32) for name in self.structures if name in frame.labels}
        return Examined(
            name=item.name,
            image=frame.image[0].astype(np.float32),
            voxel_size_um=frame.voxel_size_um,
            medium=result.medium,
            probability=_unpacked(result.probability).astype(np.uint8),
            labels={name: _unpacked(result.labels[name])[0] for name in truth},
            truth=truth,
            outputs={name: self.card.structures.index(name) for name in truth},
            figures=result.figures,
        )

    def own_numbers(self, item: LabelledItem, calibration: Mapping[str, StructureCalibration]) -> pd.DataFrame:
        """The numbers of a simulated image's objects beside their exact truth.

        Parameters
        ----------
        item : LabelledItem
            Of :func:`with_truth`.
        calibration : mapping
            It corrects the probabilities.
        """
        import pandas as pd

        from tomocyte.comparison.own_truth import compare_with_truth

        truth = pd.read_parquet(item.truth or "")
        return compare_with_truth(
            self.examine(item), self._result(item).tables, truth[truth["frame"] == 0], calibration
        )

    def predict_all(self, items: Sequence[LabelledItem], *, n_workers: int, callback: Callback = silent) -> None:
        """Predict images in several processes, so that :meth:`examine` finds them done.

        Parameters
        ----------
        items : sequence of LabelledItem
        n_workers : int
        callback : callable
            Receives an event of the step ``calibrate: predictions`` after each image.

        Raises
        ------
        TomocyteError
            Of the first image that fails.
        """
        from tomocyte.batch import run_items

        todo = list({item.image: item for item in items if item.image not in self._results}.values())
        tasks = ({"item": item, "folder": self.folder, "card": self.card, "cells": self.cells} for item in todo)
        for done, outcome in enumerate(run_items(tasks, predict_item, n_workers=n_workers), 1):
            if outcome.error is not None:
                raise outcome.error
            item = todo[outcome.index]
            self._results[item.image] = outcome.result
            callback(Progress(item.name, "calibrate: predictions", done=done, total=len(todo)))

    def _result(self, item: LabelledItem) -> _PackedResult:
        if item.image not in self._results:
            self._results[item.image] = self._predict(item)
        return self._results[item.image]

    def _predict(self, item: LabelledItem) -> _PackedResult:
        from tomocyte.comparison.own_truth import measured_tables
        from tomocyte.models.prediction import ModelInput
        from tomocyte.models.resemblance import describe_frame
        from tomocyte.pipeline.analysis import segment_frame

        volume = item.open_image()

        settings = RunSettings(
            modality=self.card.modality,
            model=str(self.folder),
            cells=self.cells,
            uncertainty=UncertaintySettings(method="single"),
            medium_ri="background" if volume.medium_ri is None else None,
        )
        volume = volume.with_properties(quantity=volume.quantity or self.card.quantity)
        has_truth = bool(with_truth([item], self.card))
        plan, state = segment_frame(volume, settings, is_measured=has_truth)
        prediction = state.prediction
        if prediction is None or prediction.masks is None or prediction.masks.probability is None:
            raise SettingsError("E-UNCERTAINTY", f"{self.card.name} keeps no probabilities.", cure="Give a 3-D model.")
        names = {output: name for name, output in prediction.outputs.items()}
        places = {name: self.card.structures.index(name) for name in self.structures}
        labels = {name: _packed([state.labels[names[place]]]) for name, place in places.items()}
        frame = state.frame
        medium = frame.medium_ri if self.card.normalization.kind == "medium" else None
        image = frame.image[plan.model_channels[0]][np.newaxis]
        figures = describe_frame(self.card, ModelInput(image, frame.voxel_size_um, medium), prediction)
        tables = [
            {name: corrected[names[place]] for name, place in places.items()}
            for corrected in (measured_tables(plan, state, volume) if has_truth else ())
        ]
        return _PackedResult(_packed(prediction.masks.probability), labels, frame.medium_ri, figures, tables)


@dataclass(frozen=True)
class _PackedResult:
    probability: LabelStack
    labels: dict[str, LabelStack]
    medium: float | None
    figures: dict[str, float] | None
    tables: Tables = ()


def predict_item(task: dict[str, Any], callback: Callback) -> Any:  # noqa: ARG001 - the signature of a worker
    """The packed prediction of one image; runs in a worker process.

    Parameters
    ----------
    task : dict
        ``item``, ``folder``, ``card``, ``cells``.
    callback : callable
        Not used.
    """
    return Examiner(task["folder"], task["card"], cells=task["cells"])._predict(task["item"])


def _packed(arrays: Sequence[NDArray[Any]] | NDArray[Any]) -> LabelStack:
    stack = LabelStack(arrays[0].shape)
    for array in arrays:
        stack.append(array)
    return stack


def _unpacked(stack: LabelStack) -> NDArray[Any]:
    volume = stack.volume()
    return np.stack([volume.planes(frame, 0) for frame in range(volume.n_frames)])


def calibrate(
    folder: Path,
    data: CalibrationData,
    output: Path,
    *,
    cells: str = "auto",
    n_workers: int = 1,
    is_overwriting: bool = False,
    callback: Callback = silent,
) -> dict[str, Any]:
    """Calibrate a model and write ``model/``, ``calibration.json``, ``objects.csv`` and reliability plots.

    Parameters
    ----------
    folder : Path
        A model package; it is left as it is unless ``output / "model"`` is that folder.
    data : CalibrationData
    output : Path
    cells : str
        How touching cells are separated, as in ``RunSettings.cells``.
    n_workers : int
        Images predicted at the same time.
    is_overwriting : bool
        Whether a model in ``output / "model"`` is replaced.
    callback : callable
        Receives an event of the step ``calibrate: PURPOSE`` before each image.

    Returns
    -------
    dict
        Content of ``calibration.json``: for ``validation`` (fitted on) and each test set (not seen), the figures of
        :meth:`tomocyte.confidence.assessment.Assessment.figures`, and the share of images out of distribution.
    """
    from tomocyte.comparison.own_truth import with_own_ends
    from tomocyte.confidence.assessment import assess
    from tomocyte.confidence.calibration import Calibration, fit_calibration

    package = load_package(folder)
    examiner = Examiner(folder, package.card.model_copy(update={"calibration": {}, "domain": None}), cells=cells)

    def examined(items: Sequence[LabelledItem], purpose: str) -> Iterator[Examined]:
        for number, item in enumerate(items):
            callback(Progress(item.name, f"calibrate: {purpose}", done=number, total=len(items)))
            yield examiner.examine(item)

    if n_workers > 1:
        everything = [*data.training, *data.validation, *(item for items in data.test.values() for item in items)]
        examiner.predict_all(everything, n_workers=n_workers, callback=callback)
    described = [image.figures for image in examined(data.training, "usual look")]
    fitted = fit_calibration(
        lambda: examined(data.validation, "calibration"), [figures for figures in described if figures is not None]
    )
    exact = with_truth(data.validation, package.card)
    rows = [examiner.own_numbers(item, fitted.structures) for item in exact]
    fitted = Calibration(with_own_ends(fitted.structures, rows), fitted.distribution)
    sets = {"validation (fitted on)": data.validation, **data.test}
    results = {
        name: assess(examined(items, name), fitted.structures, fitted.distribution) for name, items in sets.items()
    }
    figures = {name: _figures(results[name], data_is_simulated(items)) for name, items in sets.items()}
    card = package.card.model_copy(
        update={
            "calibration": dict(fitted.structures),
            "domain": fitted.distribution,
            "figures": {**package.card.figures, "calibration": figures},
        }
    )
    if kind_of(output)[0] != "train":  # a training calibrates its own model
        refuse_other_kind(output, "models calibrate")
    output.mkdir(parents=True, exist_ok=True)
    saved = write_package(output / "model", card, package.state, dict(package.selftest), is_overwriting=is_overwriting)
    _write(output, saved, figures, results)
    return figures


def with_truth(items: Sequence[LabelledItem], card: ModelCard) -> list[LabelledItem]:
    """The items with exact truth of what a tomogram of this model shows."""
    is_tomogram = card.quantity == "refractive_index" and card.dimensions == 3
    return [item for item in items if is_tomogram and item.truth is not None]


def data_is_simulated(items: Sequence[LabelledItem]) -> bool:
    """Whether any of the images is simulated."""
    return any(item.open_image().is_simulated for item in items)


def _figures(assessment: Assessment, is_simulated: bool) -> dict[str, Any]:
    rounded = {
        structure: {name: _short(value) for name, value in values.items()}
        for structure, values in assessment.figures().items()
    }
    finite = [value for value in assessment.distances.values() if math.isfinite(value)]
    share = sum(value > 1 for value in finite) / len(finite) if finite else math.nan
    return {
        "n_images": len(assessment.distances),
        "is_simulated": is_simulated,
        "share_outside_domain": _short(share),
        **rounded,
    }


def _short(value: float) -> float | None:
    return round(value, DIGITS) if math.isfinite(value) else None


def _write(output: Path, card: ModelCard, figures: dict[str, Any], results: dict[str, Assessment]) -> None:
    import pandas as pd

    from tomocyte.figures.curves import reliability_figure
    from tomocyte.ledger.atomic import write_atomic
    from tomocyte.tables import csv_content

    learned = {name: entry.model_dump(mode="json") for name, entry in card.calibration.items()}
    content = {
        "model": card.name,
        "learned": learned,
        "sets": figures,
        "distances": {
            name: {item: _short(value) for item, value in result.distances.items()} for name, result in results.items()
        },
    }
    write_atomic(output / "calibration.json", json.dumps(content, indent=1).encode("utf-8"))
    tables = [result.objects.assign(set=name) for name, result in results.items() if len(result.objects)]
    if tables:
        write_atomic(output / "objects.csv", csv_content(pd.concat(tables, ignore_index=True)).encode("utf-8"))
    last = list(results)[-1]
    for structure, before in results[last].before.items():
        curves = {"network": before, "calibrated": results[last].after[structure]}
        title = f"{structure.replace('_', ' ')}, {last}"
        write_atomic(output / f"reliability_{structure}.png", reliability_figure(curves, title=title))
