"""What a data set consists of: one plan per item, each made from its own seed and index alone."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings


class ItemPlan(Settings):
    """One simulated file to be made."""

    name: str
    """Name of the item and of its files."""
    dataset: dict[str, Any]
    """A :class:`tomocyte.simulation.dataset.DatasetSettings`, as a mapping."""
    seed: int = Field(ge=0)
    """Of the set the item belongs to."""
    index: int = Field(ge=0)
    """Place in that set."""
    backend: str = Field(default="numpy", pattern=r"^(numpy|torch|torch:.+)$")
    """What computes the optics: ``numpy``, ``torch`` (CPU) or ``torch:cuda``; equal to float tolerance."""
    split: str = ""
    """Of a benchmark: train, validation, test, shifted-test."""
    domain: str = ""
    """Of a benchmark: in which respect the item differs from training."""


def dataset_plan(settings: dict[str, Any], n_items: int, *, seed: int) -> list[ItemPlan]:
    """A set of ``n_items`` items of one kind.

    Parameters
    ----------
    settings : dict
        Fields of :class:`tomocyte.simulation.dataset.DatasetSettings`.
    n_items : int
    seed : int

    Raises
    ------
    SettingsError
        ``E-SETTINGS`` naming the wrong field; ``E-SIM-…`` and ``E-OPTICS-…`` for what cannot be simulated.
    """
    from tomocyte.simulation.cells.presets import cell_line
    from tomocyte.simulation.dataset_settings import DatasetSettings
    from tomocyte.simulation.imaging import check_optics

    if n_items < 1 or seed < 0:
        raise SettingsError(
            "E-SIM-COUNT", f"{n_items} items with seed {seed}.", cure="Ask for at least 1 and seed ≥ 0."
        )
    checked = build_settings(DatasetSettings, settings)
    line = cell_line(checked.preset)
    check_optics(checked, sum(checked.scene.medium_ri) / 2)
    content = checked.model_copy(update={"preset": line.name}).model_dump(mode="json")
    stem = f"{checked.modality}-{_plain(line.name)}-seed{seed}"
    return [ItemPlan(name=f"{stem}-{index:05d}", dataset=content, seed=seed, index=index) for index in range(n_items)]


def benchmark_plan(experiment: str, size: str, splits: tuple[str, ...]) -> list[ItemPlan]:
    """The items of the benchmark that ships.

    Raises
    ------
    SettingsError
        ``E-BENCHMARK`` with the known names.
    """
    from tomocyte.simulation.benchmark import load_benchmark

    sets = load_benchmark().size(experiment, size)
    plans = []
    for split in splits:
        for entry in sets.split(split):  # type: ignore[arg-type]
            for plan in dataset_plan(entry.settings.model_dump(mode="json"), entry.n_items, seed=entry.seed):
                name = f"{split}-{plan.name}"
                plans.append(plan.model_copy(update={"name": name, "split": split, "domain": entry.domain}))
    return plans


def with_backend(plan: ItemPlan, backend: str) -> ItemPlan:
    """The plan computed by another backend.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: no such backend.
    """
    return build_settings(ItemPlan, {**plan.model_dump(), "backend": backend})


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "", name.replace("β", "beta"))
