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
from tomocyte.figures.rendering import Body, BodyPanel, film_mesh, turning_pictures

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


def test_the_scale_bar_of_a_turn_is_true() -> None:
    """A ball of 10 µm is twice as wide as the bar of 5 µm, from every side."""
    grid = np.indices((34, 68, 68)).transpose(1, 2, 3, 0) * (0.4, 0.2, 0.2)
    mask = ((grid - (6.8, 6.8, 6.8)) ** 2).sum(axis=-1) < 25
    panel = BodyPanel((Body(mask, "#D55E00"),), "")
    for view in turning_pictures(panel, (0.4, 0.2, 0.2), n_views=3, largest_side=400):
        dark = view[-24:, :200].max(axis=-1) < 60
        bar = dark.sum(axis=1).max()
        is_ball = view[..., 0].astype(int) - view[..., 2] > 40
        assert is_ball.any(axis=0).sum() / bar == pytest.approx(2, rel=0.04)


def test_small_objects_of_a_film_keep_their_size() -> None:
    """Two droplets of 1.2 µm in a field of 60 µm: from the volume of their mesh, their radius within 0.1 µm; round."""
    grid = np.indices((20, 300, 300)).transpose(1, 2, 3, 0) * (0.2, 0.2, 0.2)
    mask = np.zeros(grid.shape[:3], bool)
    for centre in ((2, 5, 5), (2, 55, 55)):
        mask |= ((grid - centre) ** 2).sum(axis=-1) < 0.6**2
    vertices, faces = film_mesh(mask, (0.2, 0.2, 0.2))
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6
    voxel_um = 0.1  # a mesh begins at the corner of the first voxel
    apart = [np.linalg.norm(vertices - voxel_um - centre, axis=1) for centre in ((2, 5, 5), (2, 55, 55))]
    assert np.ptp(np.minimum(*apart)) < 0.12
    assert (volume / 2 * 3 / 4 / np.pi) ** (1 / 3) == pytest.approx(0.6, abs=0.1)


def test_a_film_of_many_triangles_has_coarser_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((40, 60, 60), bool)
    mask[4:-4, 4:-4, 4:-4] = True
    n_fine = len(film_mesh(mask, (0.2, 0.1, 0.1))[1])
    monkeypatch.setattr("tomocyte.figures.rendering._TRIANGLES_OF_A_FILM", n_fine - 1)
    monkeypatch.setattr("tomocyte.figures.rendering._TURNING_SIDE", 16)
    assert len(film_mesh(mask, (0.2, 0.1, 0.1))[1]) < n_fine
