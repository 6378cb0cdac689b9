"""Whether it could have been known which cell type to label next: distance and quality of images against the scores.

Distances and qualities come from the images alone (:mod:`tomocyte.confidence.image_sets`). To try another figure that
might foretell scores, add it to :func:`_of_volumes` or :func:`_of_sets`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tomocyte.confidence.image_sets import ImageSet, describe_volume
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal
from tomocyte.papers.acseg.trainings.records import stored
from tomocyte.papers.acseg.transfer.recipe import TransferRecipe
from tomocyte.papers.acseg.transfer.volumes import TypeVolumes
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.statistics import correlate_ranks

if TYPE_CHECKING:
    import pandas as pd

QUALITY = ("noise", "resolution", "edge")
OF_VOLUMES = {
    "distance": "distance from the images learned from",
    "uncertainty": "the network's own uncertainty",
    "noise": "noise",
    "resolution": "resolution by Fourier shells",
    "edge": "width of edges",
}
"""What might foretell the error of a volume before it is labelled, and its name."""
OF_SETS = {
    "approach": "how much nearer the added images bring the training set",
    "distance_between": "distance of the added images from the tested ones",
    "noise_added": "noise of the added images",
    "resolution_added": "resolution of the added images",
    "edge_added": "width of edges of the added images",
}
"""What might foretell the gain from an added cell type, and its name."""


@dataclass(frozen=True, eq=False)
class PredictionTables:
    """What distance and quality say.

    Parameters
    ----------
    volumes : DataFrame
        One row per test volume: ``cell_type``, ``item``, ``dice`` of the first network after the first training set,
        ``distance`` from it, the network's ``uncertainty``, and all figures of the image.
    pairs : DataFrame
        One row per added cell type and tested one: ``gain`` in Dice, ``distance_before``, ``distance_after``,
        ``approach`` (their difference), ``distance_between``, and the added images' qualities.
    correlations : DataFrame
        One row per outcome and figure: Spearman's correlation with interval, p and the number of pairs.
    """

    volumes: pd.DataFrame
    pairs: pd.DataFrame
    correlations: pd.DataFrame


def prediction_tables(
    recipe: TransferRecipe,
    fields: pd.DataFrame,
    volumes: Mapping[str, TypeVolumes],
    output: Path,
    *,
    callback: Callback = silent,
) -> PredictionTables:
    """Distances and qualities of all volumes against the scores of the first network.

    Parameters
    ----------
    recipe : TransferRecipe
    fields : DataFrame
        One row per training and test volume, see :func:`tomocyte.papers.acseg.transfer.report.transfer_result`.
    volumes : mapping of str to TypeVolumes
    output : Path
        Of the experiment; figures of images are kept in ``images``.
    callback : callable
        Receives events of the step ``describe``.
    """
    first_set, base = next(iter(recipe.training_sets.items()))
    used = {
        name: one.train[: max(parts.get(name, 0) for parts in recipe.training_sets.values())]
        for name, one in volumes.items()
    }
    items = [item for name, one in volumes.items() for item in (*used[name], *one.test)]
    described: dict[str, dict[str, float]] = {}
    for number, item in enumerate(items, 1):
        described[_key(item)] = _described(item, output / "images")
        callback(Progress(item.name, "describe", state="done", done=number, total=len(items)))

    def of(chosen: Sequence[LabelledItem]) -> list[dict[str, float]]:
        return [described[_key(item)] for item in chosen]

    learned = ImageSet.of(of([item for name, n in base.items() for item in used[name][:n]]))
    network = next(iter(recipe.networks))
    own = fields[fields["network"] == network]
    scores = {
        (name, cell_type): part.groupby("item")[["dice", "uncertainty"]].mean()
        for (name, cell_type), part in own.groupby(["training_set", "cell_type"], sort=False)
    }
    table = _of_volumes(first_set, learned, volumes, of, scores)
    pairs = _of_sets(recipe, first_set, learned, used, volumes, of, scores)
    return PredictionTables(table, pairs, _correlations(table, pairs, seed=recipe.order_seed))


def _key(item: LabelledItem) -> str:
    return str(item.image)


def _described(item: LabelledItem, folder: Path) -> dict[str, float]:
    """Figures of an item's image, kept in a file."""
    key = sha256_of_json({"image": _key(item)})
    path = folder / f"{item.name}-{key[:8]}.json"
    record = stored(path, key)
    if record is None:
        image = item.open_image()
        record = {"key": key, "figures": describe_volume(image.frame(0)[0], image.require_voxel_size())}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, seal(record))
    return dict(record["figures"])


def _of_volumes(
    first_set: str, learned: ImageSet, volumes: Mapping[str, TypeVolumes], of: Any, scores: Mapping[Any, pd.DataFrame]
) -> pd.DataFrame:
    """A row per test volume that was scored after the first training set."""
    import pandas as pd

    rows = []
    for cell_type, one in volumes.items():
        scored = scores.get((first_set, cell_type))
        if scored is None:
            continue
        distances = learned.distances(of(one.test))
        for item, figures, distance in zip(one.test, of(one.test), distances, strict=True):
            row = scored.loc[item.name].to_dict()
            rows.append(
                {
                    "cell_type": cell_type, "item": item.name, "dice": float(row["dice"]), "distance": float(distance),
                    "uncertainty": float(row["uncertainty"]), "differs_in": learned.farthest_figure(figures), **figures,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _of_sets(
    recipe: TransferRecipe,
    first_set: str,
    learned: ImageSet,
    used: Mapping[str, list[LabelledItem]],
    volumes: Mapping[str, TypeVolumes],
    of: Any,
    scores: Mapping[Any, pd.DataFrame],
) -> pd.DataFrame:
    """A row per training set with one added cell type, and tested cell type."""
    import pandas as pd

    base, rows = recipe.training_sets[first_set], []
    for name, parts in recipe.training_sets.items():
        added = [one for one in parts if one not in base]
        if len(added) != 1 or any(parts.get(one) != n for one, n in base.items()):
            continue
        figures = of(used[added[0]][: parts[added[0]]])
        grown = learned.with_images(figures)
        quality = {f"{one}_added": float(np.mean([entry[one] for entry in figures])) for one in QUALITY}
        for cell_type, one in volumes.items():
            before, after = scores.get((first_set, cell_type)), scores.get((name, cell_type))
            if before is None or after is None:
                continue
            tested = of(one.test)
            far, near = (float(known.distances(tested).mean()) for known in (learned, grown))
            alone = ImageSet(learned.names, grown.figures[len(learned.figures) :], learned.spread)
            rows.append(
                {
                    "added": added[0], "cell_type": cell_type, "n_added": parts[added[0]],
                    "gain": float((after["dice"] - before["dice"]).mean()), "distance_before": far,
                    "distance_after": near, "approach": far - near,
                    "distance_between": float(alone.distances(tested).mean()), **quality,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _correlations(table: pd.DataFrame, pairs: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Of the error of volumes, over all and within cell types, and of the gain from added cell types."""
    import pandas as pd

    rows = []
    outcomes = []
    if len(table):
        within = table.copy()
        numbers = ["dice", *OF_VOLUMES]
        within[numbers] -= within.groupby("cell_type")[numbers].transform("mean")
        outcomes += [
            ("error of a volume", table.assign(error=1 - table["dice"]), "error", OF_VOLUMES),
            ("error of a volume, within cell types", within.assign(error=-within["dice"]), "error", OF_VOLUMES),
        ]
    if len(pairs):
        outcomes.append(("gain from an added cell type", pairs, "gain", OF_SETS))
    for outcome, rows_of, column, names in outcomes:
        for name, words in names.items():
            rng = np.random.default_rng(seed)
            made = correlate_ranks(rows_of[name].to_numpy(float), rows_of[column].to_numpy(float), rng=rng)
            rows.append((outcome, name, words, made.value, made.low, made.high, made.p, made.n_pairs))
    columns = ["outcome", "figure", "words", "rank_correlation", "low", "high", "p", "n_pairs"]
    return pd.DataFrame(rows, columns=columns)


def verdict(row: Mapping[Any, Any]) -> str:
    """What a correlation says, in words; a figure predicts where its interval excludes 0."""
    if math.isnan(row["rank_correlation"]):
        return "cannot be said"
    if row["low"] <= 0 <= row["high"]:
        return "not shown"
    return "predicts: the larger, the larger" if row["rank_correlation"] > 0 else "predicts: the larger, the smaller"
