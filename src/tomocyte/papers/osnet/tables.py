"""The tables of a comparison: in the paper's layout, with the paper's figures and with the claims that hold here.

``tables/`` holds, per set of images, ``<set>.md``, ``.csv``, ``.html`` and a picture of the folds, all scores as
``scores.csv`` and ``images.csv``, ``orderings.md``, and contours of truth and methods in the paper's colours. To add a
file, write it in :func:`write_tables`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.comparison.baselines import baseline_predictor
from tomocyte.comparison.crossval import VALIDATION, CrossvalResult, row_folder
from tomocyte.comparison.crossval_recipe import CrossvalRecipe
from tomocyte.comparison.held_out import held_out_items
from tomocyte.comparison.samples import Sample, network_predictor, truth_of
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation import ScoreTable
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.curves import fold_scores_figure
from tomocyte.ledger.atomic import write_atomic
from tomocyte.papers.score_tables import (
    PaperTable,
    Published,
    PublishedTable,
    judge_orderings,
    load_published,
    orderings_markdown,
)
from tomocyte.training.data.samples import Samples
from tomocyte.training.data.settings import IGNORE

PAPER_TABLES = {
    VALIDATION: "table-1",
    "cross-modality": "table-2-cross-modality",
    "cross-laboratory": "table-2-cross-laboratory",
}
TITLES = {VALIDATION: "Cross-validation: images the network has not seen"}
N_PICTURES = 4
LEFT_OUT = {"pixel_accuracy"}
OTHER_LABORATORY_COLOUR = "#20D020"
"""Green, as in the paper's Fig. 3c."""


def write_tables(
    recipe: CrossvalRecipe, result: CrossvalResult, folder: Path, *, items: Sequence[LabelledItem] = ()
) -> list[str]:
    """Write every table and picture of a comparison into ``folder/tables``.

    Parameters
    ----------
    recipe : CrossvalRecipe
    result : CrossvalResult
    folder : Path
        Of the comparison.
    items : sequence of LabelledItem
        For pictures of the held-out sets; none without.

    Returns
    -------
    list of str
        The tables as Markdown, for a screen.
    """
    from tomocyte.tables import csv_content

    place = folder / "tables"
    place.mkdir(parents=True, exist_ok=True)
    published = load_published(recipe.published) if recipe.published else None
    texts, verdicts = [], []
    for name in result.scores.unique("set"):
        table = paper_table(recipe, result, str(name), published)
        for suffix, text in (("md", table.markdown()), ("csv", table.csv()), ("html", _page(table))):
            write_atomic(place / f"{name}.{suffix}", text.encode("utf-8"))
        write_atomic(place / f"{name}.png", _folds_picture(table, published, str(name)))
        texts.append(table.markdown())
        paper = _paper(published, str(name))
        if paper is not None and published is not None:
            judged = judge_orderings(table.scores, paper, labels=published.labels)
            verdicts.append(f"## {table.title}\n\n{orderings_markdown(judged)}\n")
            n_held = sum(ordering.verdict.startswith("holds") for ordering in judged)
            n_measured = sum(ordering.verdict != "not measured" for ordering in judged)
            texts.append(f"{n_held} of {n_measured} orderings of the paper hold; each one in orderings.md.\n")
    write_atomic(place / "scores.csv", csv_content(result.scores.frame()).encode("utf-8"))
    write_atomic(place / "images.csv", csv_content(result.images.frame()).encode("utf-8"))
    if verdicts:
        write_atomic(place / "orderings.md", "\n".join(verdicts).encode("utf-8"))
    if items and recipe.scores == "pixels":
        for name, picture in contour_pictures(recipe, folder, items).items():
            write_atomic(place / f"{name}-contours.png", picture)
    return texts


def paper_table(recipe: CrossvalRecipe, result: CrossvalResult, name: str, published: Published | None) -> PaperTable:
    """The table of one set of images, baselines first, then the rows in the recipe's order."""
    keys = {"method", "set", "fold", "n_images"}
    columns = [score for row in result.scores.rows for score in row if score not in keys | LEFT_OUT]
    scores = ScoreTable()
    for method in (*recipe.baselines, *recipe.rows):
        rows = [row for row in result.scores.rows if row["set"] == name and row["method"] == method]
        shown = [score for score in dict.fromkeys(columns) if any(row.get(score) is not None for row in rows)]
        for row in sorted(rows, key=lambda row: int(row["fold"])):
            values = {score: row.get(score) for score in shown}
            scores.add_row({"method": method, "fold": row["fold"], **values})
    paper = _paper(published, name)
    kind = "simulated data" if result.is_simulated else "real data"
    title = f"{recipe.name}, {TITLES.get(name, name)} ({kind})"
    return PaperTable(
        scores,
        title=title,
        labels=published.labels if published is not None else {},
        n_parameters=result.n_parameters,
        published=paper.rows if paper is not None else {},
    )


def _paper(published: Published | None, name: str) -> PublishedTable | None:
    key = PAPER_TABLES.get(name)
    return published.table(key) if published is not None and key is not None else None


def _page(table: PaperTable) -> str:
    head = f'<meta charset="utf-8"><title>{table.title}</title>'
    return f'<!doctype html>\n<html lang="en">{head}\n{table.html()}</html>\n'


def _folds_picture(table: PaperTable, published: Published | None, name: str) -> bytes:
    labels = published.labels if published is not None else {}
    paper = _paper(published, name)
    printed = None
    if paper is not None:
        printed = {labels.get(row, row): entry.mean("dice") for row, entry in paper.rows.items()}
    methods = [str(row) for row in table.scores.unique("method")]
    values = {labels.get(row, row): table.scores.values("dice", method=row) for row in methods}
    values = {row: dices for row, dices in values.items() if dices}
    return fold_scores_figure(values, name="Dice", published=printed, title=table.title)


def contour_pictures(recipe: CrossvalRecipe, folder: Path, items: Sequence[LabelledItem]) -> dict[str, bytes]:
    """Truth, the last row (the proposed network, first fold) and the edge-based method on each held-out set."""
    row = list(recipe.rows)[-1]
    model = row_folder(folder, row, 0) / "model"
    if not (model / "card.json").exists():
        return {}
    from tomocyte.models import load_package

    package = load_package(model)
    module = package.build()
    network, pictures = "OS-Net", {}
    for name, test in recipe.tests.items():
        samples = Samples(held_out_items(items, name, test), recipe.recipe(row).data, n_axes=package.card.dimensions)
        truths = [truth_of(samples, index, test) for index in range(len(samples))]
        methods = {network: network_predictor(module, is_softmax=package.card.activation == "softmax")}
        if "edge-based" in recipe.baselines:
            methods["edge-based"] = baseline_predictor("edge-based")
        indices = _spread(samples, truths)
        colours = {network: OTHER_LABORATORY_COLOUR} if name == "cross-laboratory" else {}
        panels: list[ContourPanel] = []
        for index in indices:
            image, _ = samples.whole(index)
            first = {key: next(iter(predict(Sample(samples, index)).values())) for key, predict in methods.items()}
            contours = {"edge-based": first["edge-based"] >= 0.5} if "edge-based" in first else {}
            contours |= {"truth": truths[index][0] == 1, network: first[network] >= 0.5}
            panels.append(ContourPanel(image[0], contours, caption=samples.name(index), colours=colours))
        pixel: Any = samples.pixel_size_um(indices[0])
        title = f"{name}: {'simulated' if samples.volume(0)[0].is_simulated else 'real'} data, as the network sees it"
        pictures[name] = contour_figure(panels, pixel, n_columns=N_PICTURES, title=title, quantity="", unit="")
    return pictures


def _spread(samples: Samples, truths: list[Any]) -> list[int]:
    """A few samples of different images, each with the largest section of its image, evenly spread."""
    best: dict[int, tuple[int, int]] = {}
    for index, truth in enumerate(truths):
        area = int(np.count_nonzero((truth[0] == 1) & (truth[0] != IGNORE)))
        item = samples.places[index].item
        if area > best.get(item, (-1, 0))[0]:
            best[item] = (area, index)
    order = [index for _, (_, index) in sorted(best.items())]
    picks = np.linspace(0, len(order) - 1, min(N_PICTURES, len(order))).round().astype(int)
    return [order[pick] for pick in picks]
