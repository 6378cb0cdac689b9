"""Results of a search: the table of probabilities, the curves, the recipe of the training that follows.

To add a file, write a function here and call it in ``search.search_architecture``.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.ledger.atomic import write_atomic
from tomocyte.networks.scnas.genotype import CELL_KINDS, N_INPUTS, Genotype, operations_for
from tomocyte.networks.scnas.supernet import Architecture
from tomocyte.training.search.recipe import NETWORK, SearchRecipe


def training_recipe(recipe: SearchRecipe, genotype: Genotype) -> str:
    """The text of a recipe that trains a genotype on the same data with the same loop."""
    import yaml

    content = {"kind": "train", **recipe.model_dump(mode="json", exclude_defaults=True, exclude={"search", "kind"})}
    content["name"] = f"{recipe.name}-found"[:60]
    cells = genotype.model_dump(mode="json", exclude_defaults=True)
    options = {**recipe.network.options, "genotype": cells}
    content["network"] = {"name": NETWORK, "options": options}
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def probability_rows(architecture: Architecture) -> list[dict[str, Any]]:
    """One row per source and operation: how probable they are, and whether the genotype has them."""
    genotype = architecture.genotype()
    rows = []
    for kind in CELL_KINDS:
        for node in range(architecture.n_nodes):
            sources = architecture.source_probabilities(kind, node)
            for source in range(N_INPUTS + node):
                shares = architecture.operation_probabilities(kind, node, source)
                for name, share in zip(operations_for(kind, source), shares, strict=True):
                    rows.append(
                        {
                            "cell": kind,
                            "node": node,
                            "source": source,
                            "source_probability": round(float(sources[source]), 6),
                            "operation": name,
                            "operation_probability": round(float(share), 6),
                            "is_chosen": (source, name) in genotype.cell(kind)[node],
                        }
                    )
    return rows


def probability_table(architecture: Architecture) -> str:
    """The rows of :func:`probability_rows` as CSV."""
    rows = probability_rows(architecture)
    return _csv(rows, list(rows[0]))


def _csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def write_search_curves(folder: Path, history: list[dict[str, Any]]) -> None:
    """``curves.csv`` and ``curves.png``: losses, temperature and entropies of every epoch."""
    from tomocyte.figures.curves import training_figure

    rows = [
        {**{key: value for key, value in entry.items() if key != "entropy"}}
        | {f"entropy_{kind}": value for kind, value in entry["entropy"].items()}
        for entry in history
    ]
    write_atomic(folder / "curves.csv", _csv(rows, list(rows[0])).encode("utf-8"))
    losses = {
        name: [np.nan if entry[key] is None else entry[key] for entry in history]
        for name, key in (("weights, training", "loss"), ("choice, held out", "choice_loss"))
        if any(entry[key] is not None for entry in history)
    }
    entropies = {kind.replace("_", "-"): [entry["entropy"][kind] for entry in history] for kind in CELL_KINDS}
    figure = training_figure({"loss": losses, "entropy / entropy of no preference": entropies})
    write_atomic(folder / "curves.png", figure)
