"""Films are read back with other programs: Pillow, and ffmpeg where it is there."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.errors import OutputError, SettingsError
from tomocyte.figures import movies
from tomocyte.figures.movies import check_movie, write_movie
from tomocyte.figures.rendering import Body, BodyPanel, turning_pictures

GREYS = (0, 80, 160, 240)


def pictures(rows: int = 31, columns: int = 45) -> Iterator[NDArray[Any]]:
    for grey in GREYS:
        yield np.full((rows, columns, 3), grey, np.uint8)


def test_a_gif_has_every_picture_at_its_time(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "new" / "a.b", pictures(), "gif", frames_per_second=4)
    assert path.name == "a.b.gif"
    film: Any
    with Image.open(path) as film:
        assert film.size == (45, 31)
        assert film.n_frames == 4
        for number, grey in enumerate(GREYS):
            film.seek(number)
            assert abs(int(np.asarray(film.convert("RGB")).mean()) - grey) <= 2
            assert film.info["duration"] == 250
    assert [entry.name for entry in path.parent.iterdir()] == ["a.b.gif"]


def test_frames_are_files_of_their_own(tmp_path: Path) -> None:
    path = write_movie(tmp_path / "a", pictures(), "frames")
    write_movie(tmp_path / "a", itertools.islice(pictures(), 2), "frames")
    assert sorted(entry.name for entry in path.iterdir()) == ["frame_00000.png", "frame_00001.png"]
    assert np.asarray(Image.open(path / "frame_00001.png")).max() == 80


def test_an_mp4_has_even_sides_and_every_picture(tmp_path: Path) -> None:
    check_movie("mp4")
    path = write_movie(tmp_path / "a", pictures(), "mp4", frames_per_second=2)
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run([movies._ffmpeg(), "-loglevel", "error", "-i", str(path), *raw], capture_output=True)
    films = np.frombuffer(done.stdout, np.uint8).reshape(-1, 32, 46, 3)
    assert films.mean(axis=(1, 2, 3)) == pytest.approx(GREYS, abs=4)


def test_a_film_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[Any]]:
        yield from itertools.islice(pictures(), 2)
        raise RuntimeError

    (tmp_path / "a.gif").write_bytes(b"old")
    with pytest.raises(RuntimeError):
        write_movie(tmp_path / "a", broken(), "gif")
    assert (tmp_path / "a.gif").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.gif"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="Known: mp4, gif, frames"):
        check_movie("avi")


def test_without_ffmpeg_the_cure_names_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(SettingsError, match=r"tomocyte\[movie\].*--movie gif") as error:
        check_movie("mp4")
    assert error.value.code == "E-MOVIE-EXTRA"


def test_what_ffmpeg_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    large = (np.zeros((500, 500, 3), np.uint8) for _ in range(20))
    with pytest.raises(OutputError, match="no such codec"):
        write_movie(tmp_path / "a", large, "mp4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["ffmpeg"]


def test_a_turn_ends_where_it_began() -> None:
    """Seen from opposite sides, a body that is the same on both is the same picture in the middle."""
    mask = np.zeros((8, 16, 16), bool)
    mask[2:6, 4:12, 6:10] = True
    views = list(
        turning_pictures(BodyPanel((Body(mask, "#D55E00"),), "a"), (0.5, 0.25, 0.25), n_views=4, largest_side=200)
    )
    assert [view.shape for view in views] == [(200, 200, 3)] * 4
    n_coloured = [int((view[..., 0].astype(int) - view[..., 2] > 40).sum()) for view in views]
    assert n_coloured[0] == pytest.approx(n_coloured[2], rel=0.02)
    assert n_coloured[1] == pytest.approx(n_coloured[3], rel=0.02)
    assert abs(n_coloured[0] - n_coloured[1]) > 0.02 * n_coloured[0], "the body is not round"
