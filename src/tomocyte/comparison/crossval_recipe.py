"""Recipes of comparisons: several trainings (rows) over the same folds, tested on the same held-out sets.

To add a row to a table, add it to the YAML file; to add a kind of truth or a baseline, add its name here and its code
in ``comparison``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, SettingsError
from tomocyte.training.recipe import Recipe, TaggedRecipe, TestSet, build_recipe

BASELINES = ("edge-based", "otsu", "watershed", "classical")


class CrossvalRecipe(TaggedRecipe):
    """A table: rows of networks and training strategies, compared by cross-validation."""

    kind: Literal["crossval"] = "crossval"
    """A comparison by cross-validation."""
    description: str = ""
    """What it compares."""
    paper: str = ""
    """Paper and table it follows."""
    published: str | None = None
    """Name of the file of published values that the result is compared with."""
    benchmark: str | None = None
    """Simulated data made when no other are given: EXPERIMENT/SIZE."""
    groups: Literal["cell", "image"] = "cell"
    """What the folds never divide: cells (all images whose name gives the same cell by ``data.group_pattern``; the
    cells of one image always stay together), or images."""
    n_folds: int = Field(default=4, ge=2, le=100)
    """Number of folds."""
    fold_seed: int = Field(default=1, ge=0)
    """Of the assignment of groups to folds."""
    splits: tuple[str, ...] = ("train", "validation")
    """Splits of a benchmark that are cross-validated."""
    scores: Literal["pixels", "instances"] = "pixels"
    """Masks pixel by pixel, or objects as well."""
    base: dict[str, Any]
    """A recipe, without the settings of the rows."""
    rows: dict[str, dict[str, Any]] = Field(min_length=1, max_length=64)
    """Name of a row -> what differs from ``base``."""
    tests: dict[str, TestSet] = Field(default_factory=dict)
    """Held-out sets, by name."""
    baselines: tuple[Literal["edge-based", "otsu", "watershed", "classical"], ...] = ()
    """Methods without training, scored on the same images."""

    def recipe(self, row: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of one row.

        Raises
        ------
        SettingsError
            ``E-ROW``: no such row; ``E-SETTINGS``: a wrong field.
        """
        if row not in self.rows:
            raise SettingsError("E-ROW", f"no row {row!r}.", cure=f"Known: {', '.join(self.rows)}.")
        name = f"{self.name}-{row}".lower().replace(" ", "").replace("+", "-")[:60].strip("-")
        content = merged(merged(self.base, self.rows[row]), overrides or {})
        return build_recipe({"name": name, "paper": self.paper, **content})

    def check_parts(self) -> None:
        """Refuse a row that is no recipe."""
        for row in self.rows:
            self.recipe(row)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over`` in place of its own, mapping by mapping.

    A network of another name takes none of the options of the one below.

    Examples
    --------
    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if not (isinstance(value, Mapping) and isinstance(below, Mapping)):
            result[key] = value
        elif key == "network" and value.get("name", below.get("name")) != below.get("name"):
            result[key] = dict(value)
        else:
            result[key] = merged(below, value)
    return result


def grouped_folds(groups: Sequence[str], n_folds: int, *, seed: int) -> list[list[str]]:
    """Groups dealt to folds so that the folds have about the same number of samples.

    Parameters
    ----------
    groups : sequence of str
        Group of every sample.
    n_folds : int
    seed : int
        Of the order among groups of equal size.

    Returns
    -------
    list of list of str
        Groups of each fold; every group in exactly one.

    Raises
    ------
    InputError
        ``E-FOLDS``: fewer groups than folds.

    Examples
    --------
    >>> [sorted(fold) for fold in grouped_folds(["a", "a", "a", "b", "c", "c"], 2, seed=1)]
    [['a'], ['b', 'c']]
    """
    names, counts = np.unique(np.asarray(groups, dtype=object), return_counts=True)
    if len(names) < n_folds:
        raise InputError(
            "E-FOLDS",
            f"{len(names)} groups cannot be dealt to {n_folds} folds.",
            cure=f"Use --folds {max(2, len(names))} or more data.",
        )
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    sizes = np.zeros(n_folds, dtype=np.int64)
    for index in order:
        smallest = int(np.argmin(sizes))
        folds[smallest].append(str(names[index]))
        sizes[smallest] += counts[index]
    return folds


def check_disjoint(folds: Sequence[Sequence[LabelledItem]]) -> None:
    """Refuse folds that share an image or a group.

    Raises
    ------
    InputError
        ``E-FOLDS``.
    """
    fold_of: dict[str, int] = {}
    for index, fold in enumerate(folds):
        for item in fold:
            for key in {f"group {item.group}", f"image {item.image}"}:
                if fold_of.setdefault(key, index) != index:
                    raise InputError(
                        "E-FOLDS",
                        f"{key} is in fold {fold_of[key] + 1} and in fold {index + 1}.",
                        path=item.image,
                        cure="Give each cell's images one group.",
                    )
