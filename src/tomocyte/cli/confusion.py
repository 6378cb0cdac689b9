"""``tomocyte evaluate --classes``: which of several structures was called which, as matrices."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.evaluation import ConfusionTable
    from tomocyte.formats import ReadOptions

CLASS_SCORES = ("precision", "recall", "dice", "moc", "pixel_accuracy")
LONGEST_NAME = 21


def confusion_tables(
    prediction: Path, truth: Path, groups: list[str], options: ReadOptions, *, threshold: float
) -> tuple[dict[str, pd.DataFrame], list[dict[str, str]]]:
    """Print a matrix per group of classes; the tables for files, and the items that could not be compared."""
    import pandas as pd

    from tomocyte.cli.progress import count_progress
    from tomocyte.datasets.class_pairs import class_cases, class_pairs
    from tomocyte.errors import TomocyteError
    from tomocyte.evaluation import ConfusionTable
    from tomocyte.structures import canonical_name

    matrices, scores, failures = [], [], []
    for group in groups:
        structures = [canonical_name(name.strip()) for name in group.split(",") if name.strip()]
        items = class_pairs(prediction, truth, structures)
        confusion, n_in_several = ConfusionTable(structures), [0, 0]
        with count_progress("evaluate", len(items)) as bar:
            for item, pairs in items.items():
                try:
                    for case in class_cases(pairs, structures, options, threshold=threshold):
                        confusion.add(case.item, case.truth, case.prediction, frame=case.frame)
                        n_in_several = [total + own for total, own in zip(n_in_several, case.n_in_several, strict=True)]
                except TomocyteError as problem:
                    if len(items) == 1:
                        raise
                    failures.append({"item": item, "code": problem.code, "message": str(problem)})
                    typer.echo(f"failed: {item}: {problem}", err=True)
                bar.advance()
        if len(confusion):
            _show(confusion, n_in_several)
            matrices.append(confusion.table())
            scores += _class_scores(confusion)
    if not matrices:
        raise typer.Exit(4)
    return {"confusion": pd.concat(matrices, ignore_index=True), "class_scores": pd.DataFrame(scores)}, failures


def _show(confusion: ConfusionTable, n_in_several: list[int]) -> None:
    """Shares of every true class, and the scores of each class against all others."""
    names = [name[: LONGEST_NAME - 1] for name in confusion.classes]
    typer.echo(f"{len(confusion)} images; rows: truth, columns: prediction, in shares of the row")
    typer.echo(f"{'':<{LONGEST_NAME}}" + "".join(f"{name:>{LONGEST_NAME}}" for name in names) + f"{'true voxels':>14}")
    for name, row in zip(names, confusion.matrix, strict=True):
        n_true = int(row.sum())
        cells = [f"{n / n_true:.4f}" if n_true else "-" for n in row.tolist()]
        typer.echo(f"{name:<{LONGEST_NAME}}" + "".join(f"{cell:>{LONGEST_NAME}}" for cell in cells) + f"{n_true:>14}")
    typer.echo(f"{'':<{LONGEST_NAME}}" + "".join(f"{score:>15}" for score in CLASS_SCORES))
    for row in _class_scores(confusion):
        cells = ["-" if math.isnan(row[score]) else f"{row[score]:.4f}" for score in CLASS_SCORES]
        typer.echo(f"{row['structure'][: LONGEST_NAME - 1]:<{LONGEST_NAME}}" + "".join(f"{cell:>15}" for cell in cells))
    for side, count in zip(("truth", "prediction"), n_in_several, strict=True):
        if count:
            typer.echo(f"{count} voxels of the {side} are in several of them and count for the one named first.")


def _class_scores(confusion: ConfusionTable) -> list[dict[str, Any]]:
    return [
        {
            "classes": "+".join(confusion.structures),
            "structure": name,
            "n_images": len(confusion),
            **{score: getattr(counts, score) for score in CLASS_SCORES},
        }
        for name, counts in confusion.counts().items()
    ]
