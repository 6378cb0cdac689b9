"""Forms from settings classes, and a run that is cancelled and goes on; without napari."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from tests.in_process import workers_in_this_process

from tomocyte.errors import SettingsError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Progress
from tomocyte.settings import Settings
from tomocyte.ui.napari.form import form_fields, settings_of
from tomocyte.ui.napari.running import NOT_IN_FORM, RunJob


class Inner(Settings):
    """Of the test."""

    sigma_um: float = Field(default=0.5, ge=0)
    """How wide."""


class Outer(Settings):
    """Of the test."""

    name: str
    """What."""
    method: Literal["fast", "slow"] = "fast"
    """How."""
    is_on: bool = True
    """Whether."""
    sizes: tuple[int, ...] = (1, 2)
    """Several."""
    inner: Inner = Inner()
    """Settings of settings."""
    limit: float | None = None
    """Perhaps."""


def test_every_setting_is_a_field_with_its_meaning() -> None:
    fields = form_fields(Outer(name="a"), without=("name",))
    assert [(one.name, one.kind, one.default) for one in fields] == [
        ("method", "choice", "fast"),
        ("is_on", "flag", "true"),
        ("sizes", "text", "[1, 2]"),
        ("inner.sigma_um", "text", "0.5"),
        ("limit", "text", "null"),
    ]
    assert fields[0].choices == ("fast", "slow")
    assert fields[3].about == "How wide. [µm; at least 0]"


def test_what_the_form_says_is_checked_by_the_class() -> None:
    fields = form_fields(Outer(name="a"), without=("name",))
    values = {one.name: one.default for one in fields}
    assert settings_of(Outer, {"name": "a"}, fields, values) == Outer(name="a")
    changed = values | {"method": "slow", "is_on": "false", "sizes": "[3]", "inner.sigma_um": "2", "limit": "1.5"}
    assert settings_of(Outer, {"name": "a"}, fields, changed) == Outer(
        name="a", method="slow", is_on=False, sizes=(3,), inner=Inner(sigma_um=2), limit=1.5
    )
    with pytest.raises(SettingsError, match=r"inner\.sigma_um"):
        settings_of(Outer, {"name": "a"}, fields, values | {"inner.sigma_um": "-1"})


@pytest.mark.parametrize("modality", ["odt", "nile_red", "sxt", "qpi"])
def test_an_untouched_form_of_a_run_is_the_default(modality: str) -> None:
    settings = RunSettings(modality=modality)
    fields = form_fields(settings, without=NOT_IN_FORM)
    values = {one.name: one.default for one in fields}
    assert settings_of(RunSettings, {"modality": modality}, fields, values) == settings
    # Written out in full it is the same: every default is read back.
    whole = settings_of(
        RunSettings,
        {"modality": modality},
        [type(one)(one.name, one.kind, "?", one.choices, "") for one in fields],
        values,
    )
    assert whole == settings
    assert all(one.about for one in fields)
    assert "model" in values


def test_a_job_runs_is_cancelled_and_goes_on(ball_file, tmp_path: Path) -> None:
    paths = [ball_file("a.ome.tif"), ball_file("b.ome.tif")]
    settings = RunSettings(modality="odt", model="classical")
    job = RunJob(paths, settings, tmp_path / "out")
    note = job._note

    def stop_after_the_first(event: Progress) -> None:
        if event.state == "done":
            job.cancel()
        note(event)

    job._note = stop_after_the_first  # type: ignore[method-assign]
    with workers_in_this_process():
        assert job.run() is None
        finished = [path.name for path in (tmp_path / "out" / "items").glob("*.done.json")]
        assert finished == ["a.done.json"]
        assert not list((tmp_path / "out").rglob("*.part*"))
        again = RunJob(paths, settings, tmp_path / "out")
        result = again.run()
    assert result is not None
    assert (result.n_done, result.n_resumed) == (2, 1)
    assert again.n_ended == 2


def test_an_interruption_that_nobody_asked_for_is_passed_on(ball_file, tmp_path: Path) -> None:
    job = RunJob([ball_file()], RunSettings(modality="odt", model="classical"), tmp_path / "out")

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    job._note = interrupt  # type: ignore[method-assign]
    with workers_in_this_process(), pytest.raises(KeyboardInterrupt):
        job.run()


def test_where_the_work_is_in_words() -> None:
    job = RunJob([], RunSettings(modality="odt"), Path("out"))
    job._note(Progress(item="a", step="measure: cell", frame=1, n_frames=4))
    assert job.words == "a: measure: cell (frame 2 of 4)"
    job._note(Progress(item="a", state="done"))
    assert (job.words, job.n_ended) == ("a: done", 1)
