"""Data that a recipe brings along: complete or refused, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError, SettingsError
from tomocyte.progress import Progress
from tomocyte.runs.simulate import dataset_plan
from tomocyte.runs.simulate.benchmark import check_benchmark, labelled_images, simulate_plans
from tomocyte.runs.simulate.plan import with_backend

SMALL = {"preset": "T cell", "n_cells": (1, 1), "shape": (24, 64, 60), "voxel_size_um": (0.6, 0.31, 0.3)}


def test_planned_items_are_made_once_and_found(tmp_path: Path) -> None:
    plans = dataset_plan(SMALL, 2, seed=5)
    events: list[Progress] = []
    folder = simulate_plans(plans, tmp_path / "data", structures=("cell", "cell"), callback=events.append)
    ends = [event for event in events if event.state == "done"]
    assert [(event.step, event.done, event.total) for event in ends] == [("simulate", 1, 2), ("simulate", 2, 2)]
    settings = LabelledSettings(structures=("cell",))
    items = labelled_images(settings, folder, benchmark=None, folder=tmp_path / "unused")
    assert [item.name for item in items] == [plan.name for plan in plans]
    assert not (tmp_path / "unused").exists()
    events.clear()
    simulate_plans(plans, folder, structures=("cell",), callback=events.append)
    assert {event.state for event in events} == {"resumed"}


def test_an_item_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    good = dataset_plan(SMALL, 2, seed=5)
    broken = good[0].model_copy(update={"dataset": {**good[0].dataset, "shape": [1, -3, 64]}})
    with pytest.raises(InputError, match=f"E-SIM-FAILED.*1 of 2.*{broken.name}: E-"):
        simulate_plans([broken, good[1]], tmp_path / "data", structures=("cell",))
    assert (tmp_path / "data" / "items" / f"{good[1].name}.done.json").exists()


def test_no_data_and_no_benchmark_is_refused(tmp_path: Path) -> None:
    settings = LabelledSettings(structures=("cell",))
    with pytest.raises(SettingsError, match=r"E-NO-DATA.*--data"):
        labelled_images(settings, None, benchmark=None, folder=tmp_path)
    with pytest.raises(SettingsError, match="E-BENCHMARK"):
        labelled_images(settings, None, benchmark="no/small", folder=tmp_path)


def test_several_processes_cannot_simulate_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    check_benchmark("odt/small")
    with pytest.raises(SettingsError, match=r"E-NO-DATA.*--data"):
        check_benchmark(None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match=r"E-NO-DATA.*several processes.*odt/small"):
        check_benchmark("odt/small")


@pytest.mark.parametrize("backend", ["numpy", "torch", "torch:cuda:1"])
def test_another_backend_changes_nothing_else(backend: str) -> None:
    (plan,) = dataset_plan(SMALL, 1, seed=5)
    other = with_backend(plan, backend)
    assert {**other.model_dump(), "backend": plan.backend} == plan.model_dump()
    assert other.backend == backend
    for wrong in ("cupy", "torch:", ""):
        with pytest.raises(SettingsError, match="E-SETTINGS"):
            with_backend(plan, wrong)
