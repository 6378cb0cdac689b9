"""Films: pictures of one size, one after the other, as a GIF, an MP4, or a folder of PNG.

MP4 needs ffmpeg. To write another kind, add a function to :data:`WRITERS`.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, cast, get_args

import numpy as np

from tomocyte.errors import OutputError, SettingsError
from tomocyte.figures.axes import time_scale
from tomocyte.figures.raster import Picture

MovieKind = Literal["mp4", "gif", "frames"]
MOVIE_KINDS: tuple[MovieKind, ...] = get_args(MovieKind)
INSTALL = "pip install 'tomocyte[movie]'"


def movie_path(stem: Path, kind: MovieKind) -> Path:
    """Where the film of a name is written: a file, or a folder of frames."""
    return stem.with_name(f"{stem.name}_frames" if kind == "frames" else f"{stem.name}.{kind}")


def write_movie(stem: Path, pictures: Iterable[Picture], kind: MovieKind, *, frames_per_second: float = 6.0) -> Path:
    """Write pictures as a film; it appears whole or not at all.

    Parameters
    ----------
    stem : Path
        Without ending; the folder is made if missing.
    pictures : iterable of uint8 ndarray (rows, columns, 3)
        All of one size; taken one by one.
    kind : {"mp4", "gif", "frames"}
    frames_per_second : float

    Returns
    -------
    Path
        See :func:`movie_path`.

    Raises
    ------
    SettingsError
        ``E-MOVIE``: no such kind; ``E-MOVIE-EXTRA``: MP4 without ffmpeg.
    OutputError
        ``E-MOVIE-WRITE``: ffmpeg failed.
    """
    check_movie(kind)
    path = movie_path(stem, kind)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(part)
    try:
        WRITERS[kind](part, pictures, frames_per_second)
        if path.is_dir():
            _remove(path)
        part.replace(path)
    finally:
        _remove(part)
    return path


def check_movie(kind: str) -> None:
    """Refuse a kind of film that cannot be written here, before anything is drawn; errors as :func:`write_movie`."""
    if kind not in MOVIE_KINDS:
        raise SettingsError("E-MOVIE", f"{kind!r} is no kind of film.", cure=f"Known: {', '.join(MOVIE_KINDS)}.")
    if kind == "mp4":
        _ffmpeg()


def time_stamp(time_s: float | None, frame: int, longest_s: float) -> str:
    """When a frame was taken, in the unit that suits the whole film; its number where times are not known.

    Examples
    --------
    >>> time_stamp(5400.0, 3, 28800.0), time_stamp(None, 3, 0.0), time_stamp(12.5, 1, 60.0)
    ('1.50 h', 'frame 3', '12.5 s')
    """
    if time_s is None:
        return f"frame {frame}"
    divisor, name = time_scale(longest_s)
    return f"{time_s / divisor:.{2 if name == 'h' else 1}f} {name}"


def _write_gif(path: Path, pictures: Iterable[Picture], frames_per_second: float) -> None:
    from PIL import Image

    images = (Image.fromarray(picture).quantize(256) for picture in pictures)
    first = next(images)
    # In hundredths of a second, which is what a GIF can say.
    milliseconds = max(20, round(100 / frames_per_second) * 10)
    first.save(path, format="GIF", save_all=True, append_images=images, duration=milliseconds, loop=0)


def _write_frames(path: Path, pictures: Iterable[Picture], frames_per_second: float) -> None:  # noqa: ARG001
    from PIL import Image

    path.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"frame_{number:05d}.png")


def _write_mp4(path: Path, pictures: Iterable[Picture], frames_per_second: float) -> None:
    program = _ffmpeg()
    even = _even(pictures)
    first = next(even)
    rows, columns = first.shape[:2]
    command = [
        program, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}",
        "-r", f"{frames_per_second:g}", "-i", "-", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path),
    ]  # fmt: skip
    # Errors go to a file: a pipe that nobody reads may fill up, and the program would wait for ever.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log)
        with process, contextlib.suppress(BrokenPipeError):  # the program's own words say more, below
            stream = cast(IO[bytes], process.stdin)
            for picture in itertools.chain([first], even):
                stream.write(picture.tobytes())
        log.seek(0)
        message = log.read().decode(errors="replace").strip()
    if process.returncode:
        raise OutputError(
            "E-MOVIE-WRITE", f"ffmpeg failed: {message[-300:]}", path=path, cure="Write gif or frames instead."
        )


def _even(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Pictures of even sides, as MP4 wants them: a row or column is repeated where it is needed."""
    for picture in pictures:
        odd = [(0, side % 2) for side in picture.shape[:2]]
        yield np.pad(picture, [*odd, (0, 0)], mode="edge")


def _ffmpeg() -> str:
    """The program that writes MP4: the one of this computer, else that of the extra ``movie``."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return str(get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise SettingsError(
            "E-MOVIE-EXTRA",
            "MP4 needs ffmpeg, which is not there.",
            cure=f"{INSTALL}, or write `--movie gif` or `--movie frames`.",
        ) from None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


WRITERS: dict[MovieKind, Callable[[Path, Iterable[Picture], float], None]] = {
    "mp4": _write_mp4,
    "gif": _write_gif,
    "frames": _write_frames,
}
"""Kind -> what writes it to a path that does not exist yet."""
