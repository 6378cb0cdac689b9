"""Simulated data that a recipe brings along: made where they are not there yet, complete or refused.

What an item consists of stands in ``item``; to take labelled images from another source, add it to
:func:`labelled_images`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError, SettingsError
from tomocyte.progress import ENDED, Callback, Progress, silent
from tomocyte.runs.simulate import write_dataset
from tomocyte.runs.simulate.focus import EXPERIMENT, SIZES, write_focus_images
from tomocyte.runs.simulate.plan import ItemPlan, benchmark_plan


def labelled_images(
    settings: LabelledSettings,
    data: Path | None,
    *,
    benchmark: str | None,
    folder: Path,
    callback: Callback = silent,
) -> list[LabelledItem]:
    """The user's labelled images, or those that a recipe names, simulated where they are not there yet.

    Parameters
    ----------
    settings : LabelledSettings
        Which structures are read, and how.
    data : Path or None
        Folder of the user's images; ``None``: the benchmark is simulated.
    benchmark : str or None
        EXPERIMENT/SIZE.
    folder : Path
        Where it is simulated.
    callback : callable
        Receives events of the step ``simulate``, counting the items that ended.

    Raises
    ------
    SettingsError
        ``E-NO-DATA``: neither data nor a benchmark, or several processes at once; ``E-BENCHMARK``.
    InputError
        ``E-NO-DATA``: no labelled image; ``E-SIM-FAILED``.
    """
    if data is None:
        check_benchmark(benchmark)
        experiment, _, size = str(benchmark).partition("/")
        if experiment == EXPERIMENT and size in SIZES:
            return find_items(write_focus_images(folder, SIZES[size], callback=callback), settings)
        plans = benchmark_plan(experiment, size or "small", ("train", "validation", "test", "shifted-test"))
        data = simulate_plans(plans, folder, structures=("cell", *settings.structures), callback=callback)
    return find_items(data, settings)


def check_benchmark(benchmark: str | None) -> None:
    """Refuse to simulate nothing, or with several processes at once.

    Raises
    ------
    SettingsError
        ``E-NO-DATA``.
    """
    if benchmark is None:
        raise SettingsError("E-NO-DATA", "this recipe has no data of its own.", cure="Give --data FOLDER.")
    if "WORLD_SIZE" in os.environ:
        raise SettingsError(
            "E-NO-DATA",
            f"several processes cannot simulate {benchmark} together.",
            cure="Simulate it first with `tomocyte simulate odt --benchmark`, then give --data or --held-out FOLDER.",
        )


def simulate_plans(
    plans: list[ItemPlan],
    folder: Path,
    *,
    structures: tuple[str, ...],
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Make every planned item that is not there yet, all of them or none counts.

    Parameters
    ----------
    plans : list of ItemPlan
    folder : Path
    structures : tuple of str
        Which label images are written; repeated names count once.
    n_workers : int
        Items simulated at the same time.
    callback : callable
        Receives events of the step ``simulate``, counting the items that ended.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        ``E-SIM-FAILED``: an item could not be made; the others are kept.
    """
    ended: set[str] = set()

    def report(event: Progress) -> None:
        if event.state in ENDED:
            ended.add(event.item)
        callback(replace(event, step=event.step or "simulate", done=len(ended), total=len(plans)))

    names = tuple(dict.fromkeys(structures))
    result = write_dataset(plans, folder, structures=names, n_workers=n_workers, callback=report)
    if result.failures:
        first = result.failures[0]
        raise InputError(
            "E-SIM-FAILED",
            f"{len(result.failures)} of {len(plans)} items could not be simulated; the first, {first.item}: "
            f"{first.code}: {first.message}",
            path=folder,
            cure="The others are kept; the same command tries again.",
        )
    return folder
