"""Progress events and the callback that wants none."""

from __future__ import annotations

import pytest

from tomocyte.progress import Progress, silent


def test_an_event_is_a_value() -> None:
    """Equal by what it says, usable as a key, and not to be changed."""
    event = Progress(step="measure: nucleus", frame=2, n_frames=3)
    assert {event, Progress("", "measure: nucleus", 2, 3, "at-work")} == {event}
    with pytest.raises(AttributeError):
        event.frame = 1  # type: ignore[misc]


@pytest.mark.parametrize("arguments", [(), (Progress(),), ("cell", 1, 2)])
def test_silent_fits_every_callback_and_prints_nothing(
    arguments: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    silent(*arguments)
    assert capsys.readouterr() == ("", "")
