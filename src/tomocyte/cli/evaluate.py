"""``tomocyte evaluate``: predictions compared with the truth, as a table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli.options import (
    DebugOption,
    PixelSizeOption,
    VoxelSizeOption,
    voxel_size,
)
from tomocyte.cli.recording import remark
from tomocyte.names import shown_name

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.datasets.pairs import OpenPair, Pair, Pairs
    from tomocyte.evaluation import Metric, ScoreSettings, ScoreTable

N_NAMES_SHOWN = 5


def evaluate(
    prediction: Annotated[
        Path, typer.Argument(help="Masks, labels or probabilities: a file or a folder.", metavar="PREDICTION")
    ],
    truth: Annotated[
        Path,
        typer.Argument(help="True masks or labels: a file, or a folder with files of the same names.", metavar="TRUTH"),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the tables.")] = None,
    structure: Annotated[
        str | None, typer.Option("--structure", "-s", help="What was segmented, e.g. nucleus.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0.0, max=1.0, help="Probability from which a voxel belongs to the mask. Default: 0.5."
        ),
    ] = None,
    tolerance_um: Annotated[
        float | None,
        typer.Option("--tolerance-um", min=0.0, help="Also compute the surface Dice with this tolerance, in um."),
    ] = None,
    instances: Annotated[
        bool,
        typer.Option(
            "--instances/--masks", help="Compare object by object as well, or only the masks of all objects together."
        ),
    ] = False,
    min_iou: Annotated[
        list[float] | None,
        typer.Option(
            "--min-iou",
            help="Overlap (IoU) from which two objects match, 0 to 1; may be repeated. Default: 0.5 and 0.75.",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes",
            metavar="A,B,C",
            help="Structures that exclude each other: print which is called which (confusion matrix) instead of the "
            "scores of one; may be repeated.",
        ),
    ] = None,
    channel: Annotated[int | None, typer.Option("--channel", min=0, help="Channel to compare, from 0.")] = None,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: Annotated[
        str | None,
        typer.Option(
            "--axes", help="The axes of the stored arrays, one letter of TCZYX each, where they are not known."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help="Which array to read in files with several; a file with one image is read as it is."
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=100, help="Number of bootstrap resamples for the intervals.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random numbers of the bootstrap.")] = 1,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with all scores; all else on stderr.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Compare masks, labels or probabilities with the truth.

    Scores: overlap, ROC and precision-recall curves, surface distances in um and matched objects; for each image and
    for all, with 95 % intervals. Two files are compared frame by frame; of two folders, the files of the same name.
    Decimal numbers between 0 and 1 are read as probabilities, whole numbers as masks or labels. Distances need a voxel
    size; without one they are left empty.
    """
    import numpy as np

    from tomocyte.datasets.pairs import find_pairs
    from tomocyte.errors import SettingsError
    from tomocyte.evaluation import ScoreSettings, ScoreTable
    from tomocyte.formats import ReadOptions
    from tomocyte.statistics.bootstrap import BootstrapSettings
    from tomocyte.structures import canonical_name

    if min_iou and not instances:
        raise SettingsError(
            "E-USAGE", "--min-iou needs objects to match, but only masks are compared.", cure="Add --instances."
        )
    if classes:
        _check_alone(structure, tolerance_um, instances=instances, channel=channel, as_json=as_json)
        options = ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, None, None, dataset)
        _evaluate_classes(prediction, truth, classes, options, threshold, output)
        return
    settings = ScoreSettings(
        structure=canonical_name(structure) if structure else "mask",
        threshold=0.5 if threshold is None else threshold,
        tolerance_um=tolerance_um,
        is_instance_scored=instances,
        min_ious=tuple(min_iou) if min_iou else (0.5, 0.75),
    )
    options = ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, None, None, dataset)
    pairs = find_pairs(prediction, truth, structure)
    scores = ScoreTable(settings)
    failures, kinds = _score_all(pairs, options, scores, channel=channel, structure=structure, is_debugging=debug)
    _print_unmatched("no truth for", pairs.without_truth)
    _print_unmatched("no prediction for", pairs.without_prediction)
    if len(scores) == 0:
        raise typer.Exit(4)
    if threshold is not None and "probability" not in kinds:
        raise SettingsError(
            "E-USAGE", "--threshold is given, but no prediction contains probabilities.", cure="Leave it out."
        )
    bootstrap = BootstrapSettings(n_resamples=resamples)
    tables = {
        "scores": scores.table(),
        "intervals": scores.intervals(rng=np.random.default_rng(seed), settings=bootstrap),
    }
    if instances:
        tables["objects"] = scores.objects()
    if output is not None:
        about = {"bootstrap": {**bootstrap.model_dump(mode="json"), "seed": seed}, "failures": failures}
        _write(output, tables, _provenance(pairs, settings, options, about))
    if as_json:
        left_out = {"without_truth": list(pairs.without_truth), "without_prediction": list(pairs.without_prediction)}
        summary = _as_json(scores, tables["scores"], tables["intervals"]) | left_out | {"failures": failures}
        typer.echo(json.dumps(summary, indent=1, ensure_ascii=False))
    else:
        _show(scores, tables["scores"], tables["intervals"])
    if output is not None:
        typer.echo(f"wrote {output / 'scores.csv'}", err=as_json)
    if failures or pairs.without_prediction:
        raise typer.Exit(3)


def _check_alone(
    structure: str | None, tolerance_um: float | None, *, instances: bool, channel: int | None, as_json: bool
) -> None:
    """Refuse options that mean nothing for matrices."""
    from tomocyte.errors import SettingsError

    given = {
        "--structure": structure is not None,
        "--tolerance-um": tolerance_um is not None,
        "--instances": instances,
        "--channel": channel is not None,
        "--json": as_json,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise SettingsError(
            "E-USAGE", f"{', '.join(names)} means nothing with --classes.", cure="Leave it out, or use two commands."
        )


def _evaluate_classes(
    prediction: Path, truth: Path, classes: list[str], options: Any, threshold: float | None, output: Path | None
) -> None:
    """The matrices of ``--classes``, printed and, with an output folder, written."""
    from tomocyte.cli.confusion import confusion_tables
    from tomocyte.datasets.class_pairs import class_pairs
    from tomocyte.datasets.pairs import Pairs
    from tomocyte.evaluation import ScoreSettings

    settings = ScoreSettings(threshold=0.5 if threshold is None else threshold)
    tables, failures = confusion_tables(prediction, truth, classes, options, threshold=settings.threshold)
    if output is not None:
        groups = [[name.strip() for name in group.split(",") if name.strip()] for group in classes]
        pairs = [
            pair for group in groups for of_item in class_pairs(prediction, truth, group).values() for pair in of_item
        ]
        _write(output, tables, _provenance(Pairs(tuple(pairs)), settings, options, {"failures": failures}))
        typer.echo(f"wrote {output / 'confusion.csv'}")
    if failures:
        raise typer.Exit(3)


def _print_unmatched(what: str, names: tuple[str, ...]) -> None:
    """Name the files without a partner; a long list is complete in evaluation.json."""
    if names:
        shown = ", ".join(names[:N_NAMES_SHOWN]) + (", …" if len(names) > N_NAMES_SHOWN else "")
        typer.echo(f"{what} {len(names)}, left out: {shown}", err=True)


def _score_all(
    pairs: Pairs, options: Any, scores: ScoreTable, *, channel: int | None, structure: str | None, is_debugging: bool
) -> tuple[list[dict[str, str]], set[str]]:
    """Score every pair; of several, one that cannot be compared does not stop the others. Failures and kinds seen."""
    from tomocyte.cli.progress import count_progress
    from tomocyte.datasets.pairs import open_pair
    from tomocyte.errors import TomocyteError

    failures: list[dict[str, str]] = []
    kinds: set[str] = set()
    with count_progress("evaluate", len(pairs.pairs)) as bar:
        for pair in pairs.pairs:
            try:
                opened = open_pair(pair, options, channel=channel, structure=structure)
                _check_instances(opened, scores.settings)
                scores.add_all(opened.cases())
                kinds.add(opened.kind)
                for note in opened.notes:
                    remark(f"note: {pair.name}: {note}")
            except TomocyteError as problem:
                if len(pairs.pairs) == 1 or is_debugging:
                    raise
                failures.append({"item": pair.name, "code": problem.code, "message": str(problem)})
                typer.echo(f"failed: {pair.name}: {problem}", err=True)
            bar.advance()
    return failures, kinds


def _check_instances(opened: OpenPair, settings: ScoreSettings) -> None:
    from tomocyte.errors import InputError

    if settings.is_instance_scored and opened.kind == "probability":
        raise InputError(
            "E-LABELS-TYPE",
            "contains probabilities, which have no objects to match.",
            path=opened.pair.prediction,
            cure="Give the label image, or compare the masks with --masks.",
        )


def _show(scores: ScoreTable, table: pd.DataFrame, intervals: pd.DataFrame) -> None:
    """A small table: mean, deviation, interval, pooled."""
    settings = scores.settings
    rows: dict[str, Any] = {row["level"]: row for row in table.to_dict("records")}
    means: dict[str, Any] = {row["metric"]: row for row in intervals.to_dict("records") if row["statistic"] == "mean"}
    n_images = int(rows["mean"]["n_images"])
    groups = int(table.loc[table["level"] == "image", "group"].nunique())
    n_simulated = int(table.loc[table["level"] == "image", "is_simulated"].sum())
    simulated = f", {n_simulated} of them simulated" if n_simulated else ""
    typer.echo(f"{settings.structure}: {n_images} images of {groups} files{simulated}")
    typer.echo(f"{'':<20}{'mean':>10}{'sd':>10}{'95 % interval':>22}{'pooled':>10}")
    for name in _shown(scores.metrics, table):
        ends = means.get(name, {"low": math.nan, "high": math.nan})
        low, high = float(ends["low"]), float(ends["high"])
        interval = "-" if math.isnan(low) else f"{low:.4f} to {high:.4f}"
        cells = [_number(float(rows[level][name])) for level in ("mean", "sd", "pooled")]
        typer.echo(f"{name:<20}{cells[0]:>10}{cells[1]:>10}{interval:>22}{cells[2]:>10}")
    images = table[table["level"] == "image"]
    for reason in sorted({part for text in images["reason"] for part in text.split("; ") if part}):
        typer.echo(f"empty because {reason}")
    if not settings.is_instance_scored and n_images and int(images["n_true_positive"].sum()) == 0:
        typer.echo("Prediction and truth overlap nowhere: check that the files belong together.", err=True)


def _as_json(scores: ScoreTable, table: pd.DataFrame, intervals: pd.DataFrame) -> dict[str, Any]:
    """What ``--json`` prints; documented with the command line. A score without a value is null."""
    rows: dict[str, Any] = {row["level"]: row for row in table.to_dict("records")}
    means: dict[str, Any] = {row["metric"]: row for row in intervals.to_dict("records") if row["statistic"] == "mean"}
    images = table[table["level"] == "image"]

    def of(name: str) -> dict[str, float | None]:
        ends = means.get(name, {"low": math.nan, "high": math.nan})
        values = {level: float(rows[level][name]) for level in ("mean", "sd", "pooled")}
        values |= {"low": float(ends["low"]), "high": float(ends["high"])}
        return {key: value if math.isfinite(value) else None for key, value in values.items()}

    return {
        "structure": scores.settings.structure,
        "n_images": int(rows["mean"]["n_images"]),
        "n_files": int(images["group"].nunique()),
        "n_simulated": int(images["is_simulated"].sum()),
        "scores": {metric.name: of(metric.name) for metric in scores.metrics if metric.name in table.columns},
        "empty_because": sorted({part for text in images["reason"] for part in text.split("; ") if part}),
    }


def _shown(metrics: Sequence[Metric], table: pd.DataFrame) -> list[str]:
    """The columns for the screen: those of one threshold of intersection over union last."""
    shown = [metric for metric in metrics if metric.is_shown and metric.name in table.columns]
    return [metric.name for metric in sorted(shown, key=lambda metric: metric.min_iou is not None)]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _provenance(pairs: Pairs, settings: ScoreSettings, options: Any, about: dict[str, Any]) -> dict[str, Any]:
    """What was compared with what, and how; hashes instead of promises."""
    from tomocyte.provenance import environment, now_utc, sha256_of_path

    def entry(pair: Pair) -> dict[str, str]:
        return {
            "item": pair.name,
            "prediction": shown_name(pair.prediction),
            "prediction_sha256": sha256_of_path(pair.prediction),
            "truth": shown_name(pair.truth),
            "truth_sha256": sha256_of_path(pair.truth),
        }

    size = options.voxel_size_um
    return {
        "settings": settings.model_dump(mode="json"),
        "voxel_size_um_given": None if size is None else [None if math.isnan(part) else part for part in size],
        "axes_given": options.axes,
        "dataset_given": options.dataset,
        **about,
        "pairs": [entry(pair) for pair in pairs.pairs],
        "without_truth": list(pairs.without_truth),
        "without_prediction": list(pairs.without_prediction),
        "environment": environment(),
        "finished": now_utc(),
    }


def _write(folder: Path, tables: dict[str, pd.DataFrame], about: dict[str, Any]) -> None:
    """CSV, Parquet and the meaning of the columns, each file whole or not at all; files that users changed are kept."""
    from functools import partial

    from tomocyte.evaluation.columns import describe_columns
    from tomocyte.ledger import PublishedFiles, claim_folder
    from tomocyte.tables import data_dictionary, write_csv, write_parquet

    claim_folder(folder, "evaluate", own=("evaluation.json",))
    published = PublishedFiles(folder)
    names = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    meanings = data_dictionary(describe_columns(names))
    for name, table in tables.items():
        published.publish(f"{name}.csv", partial(write_csv, table))
        published.publish(f"{name}.parquet", partial(write_parquet, table))
    published.publish("scores.dictionary.csv", partial(write_csv, meanings))
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    published.publish("evaluation.json", lambda path: path.write_text(text, encoding="utf-8"))
    for name, kept in published.kept:
        typer.echo(f"note: {name} was changed or added by somebody; that file is now {kept}.", err=True)
