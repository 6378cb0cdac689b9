"""The benchmark: fixed seeds and presets for training, validation, in-domain and shifted test.

The numbers stand in ``recipes/benchmark.yaml``; this module only reads and checks them. To add an experiment, add it
there and raise the version.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.dataset import SimulatedItem, simulate_dataset
from tomocyte.simulation.dataset_settings import DatasetSettings

Split = Literal["train", "validation", "test", "shifted-test"]
Domain = Literal["in-domain", "other-cell-line", "other-laboratory", "other-voxel-size", "other-noise"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "shifted-test")


class BenchmarkSet(Settings):
    """Fields of one kind."""

    domain: Domain = "in-domain"
    """What differs from training."""
    n_items: PositiveInt
    """How many fields."""
    seed: int = Field(ge=0)
    """Of the set; no other set of the benchmark has it."""
    settings: DatasetSettings
    """How its fields are made."""

    def items(self) -> Iterator[SimulatedItem]:
        """Its fields, in order."""
        return simulate_dataset(self.settings, self.n_items, seed=self.seed)


class BenchmarkSize(Settings):
    """One experiment at one size."""

    train: tuple[BenchmarkSet, ...]
    """To learn from."""
    validation: tuple[BenchmarkSet, ...]
    """To stop and choose by."""
    test: tuple[BenchmarkSet, ...]
    """Of the training domain."""
    shifted_test: tuple[BenchmarkSet, ...] = Field(alias="shifted-test")
    """Of other cell lines, another laboratory, another voxel size, other noise."""

    def split(self, name: Split) -> tuple[BenchmarkSet, ...]:
        """The sets of one split.

        Raises
        ------
        SettingsError
            ``E-BENCHMARK`` for another name.
        """
        if name not in SPLITS:
            raise SettingsError("E-BENCHMARK", f"unknown split {name!r}.", cure=f"Known: {', '.join(SPLITS)}.")
        sets: tuple[BenchmarkSet, ...] = getattr(self, name.replace("-", "_"))
        return sets


class BenchmarkExperiment(Settings):
    """One experiment."""

    description: str
    """What it stands for."""
    structures: tuple[str, ...]
    """What is to be segmented."""
    sizes: dict[Literal["small", "full"], BenchmarkSize]
    """``small``: minutes on a CPU; ``full``: as in the paper."""


class Benchmark(Settings):
    """All experiments."""

    name: str
    """Copied into every result."""
    version: PositiveInt
    """Copied into every result."""
    experiments: dict[str, BenchmarkExperiment]
    """By name."""

    def sets(self) -> Iterator[BenchmarkSet]:
        """Every set of every experiment, size and split."""
        for experiment in self.experiments.values():
            for size in experiment.sizes.values():
                for name in SPLITS:
                    yield from size.split(name)

    def size(self, experiment: str, size: str = "small") -> BenchmarkSize:
        """One experiment at one size.

        Raises
        ------
        SettingsError
            ``E-BENCHMARK`` with the valid names.
        """
        names = [f"{name}/{key}" for name, entry in self.experiments.items() for key in entry.sizes]
        if f"{experiment}/{size}" not in names:
            raise SettingsError(
                "E-BENCHMARK",
                f"unknown experiment {experiment!r} or size {size!r}.",
                cure=f"Known: {', '.join(names)}.",
            )
        return dict(self.experiments[experiment].sizes.items())[size]  # type: ignore[index]


def load_benchmark(path: Path | None = None) -> Benchmark:
    """The benchmark that ships, or another in the same form.

    Parameters
    ----------
    path : Path, optional
        A YAML file; ``recipes/benchmark.yaml`` of the package by default.

    Raises
    ------
    SettingsError
        ``E-BENCHMARK`` for an unreadable file, unknown keys, or a seed used twice.

    Examples
    --------
    >>> benchmark = load_benchmark()
    >>> [entry.n_items for entry in benchmark.size("choi", "full").split("train")]
    [105]
    """
    source = path or resources.files("tomocyte") / "recipes" / "benchmark.yaml"
    try:
        benchmark = Benchmark.model_validate(_with_defaults(yaml.safe_load(source.read_text("utf-8"))))
    except (OSError, yaml.YAMLError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError("E-BENCHMARK", f"no benchmark in this file: {error}", path=path) from error
    seeds = [entry.seed for entry in benchmark.sets()]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise SettingsError("E-BENCHMARK", f"seeds {twice} are used more than once.", path=path, cure="Change one.")
    return benchmark


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the ``defaults`` of a size spread over its sets."""
    experiments = {}
    for name, experiment in document["experiments"].items():
        sizes = {}
        for size, splits in experiment["sizes"].items():
            defaults = splits.get("defaults", {})
            sizes[size] = {
                split: [{**entry, "settings": {**defaults, **entry.get("settings", {})}} for entry in entries]
                for split, entries in splits.items()
                if split != "defaults"
            }
        experiments[name] = {**experiment, "sizes": sizes}
    return {**document, "experiments": experiments}
