"""Films of a run: a field, the cell of one track, or a rendering that turns; with time stamp and scale bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.figures.crops import crop_plane, crop_shape
from tomocyte.figures.movies import MovieKind, check_movie, time_stamp, write_movie
from tomocyte.figures.raster import Picture, annotated, painted, picture_size
from tomocyte.figures.rendering import turning_pictures
from tomocyte.runs.drawing.montages import CENTRE, has_places, side_of
from tomocyte.runs.drawing.renderings import bodies_of, body_panel
from tomocyte.runs.drawing.view import ItemView, view_item
from tomocyte.runs.finished import FinishedRun
from tomocyte.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

LARGEST_MAGNIFICATION = 4
"""Pixels of a film per pixel of the image: beyond that, outlines are stairs."""


class FilmSettings(Settings):
    """What a film shows."""

    kind: MovieKind = "gif"
    """File that is written; MP4 needs ffmpeg."""
    subject: Literal["field", "track", "turn"] = "field"
    """The whole field, one cell through time, or a rendering in 3-D that turns."""
    track: int | None = Field(default=None, ge=1)
    """Track of the cell. Default: the longest."""
    frame: int = Field(default=0, ge=0)
    """Time point of a rendering, from 0."""
    frames_per_second: float = Field(default=6.0, gt=0, le=60)
    """Speed of the film."""
    largest_side: int = Field(default=640, ge=64, le=4096)
    """Pixels of the longer side."""
    n_views: int = Field(default=36, ge=2, le=720)
    """Views of a full turn."""


def film_run(
    run: FinishedRun, folder: Path, settings: FilmSettings, *, item: str | None = None, inputs: Path | None = None
) -> Iterator[Path]:
    """Write a film of each item, or of one.

    Parameters
    ----------
    run : FinishedRun
    folder : Path
        Where files are written.
    settings : FilmSettings
    item : str, optional
        Default: every item; of the field and of tracks, those of several frames.
    inputs : Path, optional
        Folder where the inputs lie now.

    Yields
    ------
    Path
        Of each film.

    Raises
    ------
    SettingsError
        ``E-MOVIE-…``: the film cannot be made: no ffmpeg, one frame only, no such track, a flat image.
    InputError
        As :func:`~tomocyte.runs.drawing.view.view_item`.
    """
    check_movie(settings.kind)
    shapes: dict[str, Any] = {name: run.item(name).record.facts["shape_tczyx"] for name in run.names}
    needed = 1 if settings.subject == "turn" else 2
    names = [item] if item is not None else [name for name in run.names if shapes[name][0] >= needed]
    if not names:
        raise SettingsError(
            "E-MOVIE-FRAMES",
            "no input has more than one frame.",
            cure="`--subject turn` shows one frame from all sides.",
        )
    for name in names:
        view = view_item(run, name, inputs)
        pictures = pictures_of(view, settings, run.objects())
        stem = folder / f"{name}_{settings.subject}"
        yield write_movie(stem, pictures, settings.kind, frames_per_second=settings.frames_per_second)


def pictures_of(view: ItemView, settings: FilmSettings, objects: pd.DataFrame) -> Iterator[Picture]:
    """The pictures of a film, one by one."""
    if settings.subject == "turn":
        return turn_pictures(view, settings)
    if view.volume.n_frames < 2:
        raise SettingsError(
            "E-MOVIE-FRAMES", f"{view.name} has one frame only.", cure="`--subject turn` shows it from all sides."
        )
    return field_pictures(view, settings) if settings.subject == "field" else track_pictures(view, settings, objects)


def field_pictures(view: ItemView, settings: FilmSettings) -> Iterator[Picture]:
    """One plane of every frame, that through the middle of the cells of the first."""
    z = view.middle_plane
    size = picture_size(view.volume.spatial_shape[1:], view.pixel_um, largest_side=settings.largest_side)
    for frame in range(view.volume.n_frames):
        labels = {name: planes[z] for name, planes in view.outlines(frame).items()}
        picture = painted(view.image(frame)[z], labels, size, view.limits)
        yield annotated(picture, size, text=time_stamp(view.time_s(frame), frame, view.longest_s))


def track_pictures(view: ItemView, settings: FilmSettings, objects: pd.DataFrame) -> Iterator[Picture]:
    """The surroundings of one cell in every frame of its track; in gaps, where it was last."""
    rows = _track_rows(view, settings.track, objects)
    side_um = side_of(rows.reset_index(), lambda _: view)
    shape = crop_shape(side_um, view.voxel_size_um)
    track = int(rows["track_id"].iloc[0])
    places = rows.reindex(columns=CENTRE).reindex(range(rows.index.min(), rows.index.max() + 1)).ffill()
    for frame, z_um, y_um, x_um in places.itertuples(name=None):
        centre = view.index_of((z_um, y_um, x_um))
        crops = {name: crop_plane(planes, centre, shape) for name, planes in view.outlines(frame).items()}
        image = crop_plane(view.image(frame), centre, shape)
        largest = min(settings.largest_side, LARGEST_MAGNIFICATION * max(image.shape))
        size = picture_size(image.shape, view.pixel_um, largest_side=largest)
        stamp = time_stamp(view.time_s(frame), frame, view.longest_s)
        yield annotated(painted(image, crops, size, view.limits), size, text=f"track {track}, {stamp}")


def _track_rows(view: ItemView, track: int | None, objects: pd.DataFrame) -> pd.DataFrame:
    """The main object of a track by its frame, of the longest track if none is named."""
    is_own = (objects["item"] == view.name) & (objects["structure"] == view.main)
    rows = objects[is_own]
    if "track_id" not in rows or rows["track_id"].isna().all() or not has_places(rows):
        raise SettingsError(
            "E-MOVIE-TRACK", f"{view.name} has no tracks.", cure="Track it first, or film the field: `--subject field`."
        )
    lengths = rows.groupby("track_id")["frame"].nunique()
    chosen = lengths.idxmax() if track is None else track
    if chosen not in lengths:
        raise SettingsError(
            "E-MOVIE-TRACK", f"{view.name} has no track {track}.",
            cure=f"Its tracks are {', '.join(str(int(number)) for number in list(lengths.index)[:20])}.",
        )  # fmt: skip
    return rows[rows["track_id"] == chosen].drop_duplicates("frame").set_index("frame").sort_index()


def turn_pictures(view: ItemView, settings: FilmSettings) -> Iterator[Picture]:
    """The surfaces of one frame from all sides, the main objects so that what they hold shows through."""
    if view.volume.spatial_shape[0] == 1:
        raise SettingsError(
            "E-MOVIE-FLAT", f"{view.name} is a single plane: it has no surface.", cure="Film the field."
        )
    if settings.frame >= view.volume.n_frames:
        raise SettingsError(
            "E-MOVIE-FRAMES",
            f"{view.name} has no frame {settings.frame}.",
            cure=f"It has 0 to {view.volume.n_frames - 1}.",
        )
    bodies = bodies_of(view, settings.frame)
    if not bodies:
        raise SettingsError("E-MOVIE-FLAT", f"nothing was found in {view.name}.", cure="Film the field.")
    panel = body_panel(view, settings.frame, bodies)
    return turning_pictures(panel, view.voxel_size_um, n_views=settings.n_views, largest_side=settings.largest_side)
