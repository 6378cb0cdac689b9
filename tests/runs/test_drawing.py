"""Figures and films of a run, made as a user makes them; what they show against what lies in the run."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.conftest import BALL_SIZE_UM, MEDIUM_RI, ball_ri
from tests.in_process import tomocyte, workers_in_this_process
from tests.test_docs import ROOT, commands

from tomocyte.errors import TomocyteError
from tomocyte.figures.experiment import draw_again
from tomocyte.formats import write_volume
from tomocyte.ledger import verify
from tomocyte.runs.drawing import DrawSettings, draw_run
from tomocyte.runs.drawing.charts import chart_run, course_bands, first_frame
from tomocyte.runs.drawing.montages import own_outlines, side_of
from tomocyte.runs.drawing.view import view_item
from tomocyte.runs.finished import finished_run
from tomocyte.volume import Volume

KNOWN: dict[str, Any] = {
    "voxel_size_um": BALL_SIZE_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": MEDIUM_RI
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of one ball that moves by 1 µm in y; every ball is track 1 of its film. Read only."""
    folder = tmp_path_factory.mktemp("films")
    for name in ("control", "drug"):
        (folder / "in" / name).mkdir(parents=True)
        frames = np.stack([ball_ri(centres_um=((0.0, y, 0.0),)) for y in (-0.5, 0.5, 1.5)])[:, None]
        series = Volume.from_array(frames, **KNOWN, time_s=(0.0, 600.0, 1800.0))
        write_volume(folder / "in" / name / "f.ome.tif", series)
    with workers_in_this_process():
        done = tomocyte("run", folder / "in", "--recursive", "-m", "odt", "--model", "classical", "-o", folder / "out")
    assert done.exit_code == 0, done.output
    table = pd.read_parquet(folder / "out" / "objects.parquet")
    table.assign(track_id=1.0, parent_id=0.0).to_parquet(folder / "out" / "objects.parquet")
    return folder


@pytest.fixture(scope="module")
def drawn(finished: Path) -> Path:
    """All figures of that run."""
    done = tomocyte("figures", finished / "out", "-o", finished / "drawn", "--quantity", "volume_um3")
    assert done.exit_code == 0, done.output
    return finished / "drawn"


def test_every_figure_has_its_data(drawn: Path) -> None:
    stems = {path.stem for path in drawn.iterdir()}
    kinds = ("distribution", "superplot", "course", "start_to_end", "montage")
    assert {f"cell_volume_um3_{kind}" for kind in kinds} <= stems
    for stem in [stem for stem in stems if not stem.startswith("rendering_")]:
        assert all((drawn / f"{stem}.{ending}").stat().st_size for ending in ("svg", "png", "csv")), stem
    csv = drawn / "cell_volume_um3_course.csv"
    assert draw_again(csv, file_format="svg") == csv.with_suffix(".svg").read_bytes()


def test_a_lineage_is_that_of_the_table_of_tracks(drawn: Path, finished: Path) -> None:
    """Each film has one ball that is there to its end, after half an hour."""
    tracks = pd.read_csv(finished / "out" / "tracks.csv")
    for item in tracks["item"].unique():
        table = pd.read_csv(drawn / f"cell_lineage_{item}.csv")
        assert table["track_id"].tolist() == tracks.loc[tracks["item"] == item, "track_id"].tolist()
        assert table["end"].tolist() == ["end of the film"]
        assert table[["first_frame", "last_frame"]].to_numpy().tolist() == [[0, 2]]
        assert table[["first_time_s", "last_time_s"]].to_numpy().tolist() == [[0.0, 1800.0]]


def test_one_input_of_each_condition_is_rendered(drawn: Path, finished: Path) -> None:
    names = finished_run(finished / "out").names
    assert sorted(path.name for path in drawn.glob("rendering_*")) == sorted(
        f"rendering_{name}.{ending}" for name in names for ending in ("csv", "png")
    )
    table = pd.read_csv(drawn / f"rendering_{names[0]}.csv").set_index("structure")
    view = view_item(finished_run(finished / "out"), names[0])
    assert table.loc["cell", "n_voxels"] == (view.labels["cell"].planes(0, 0) > 0).sum()
    with Image.open(drawn / f"rendering_{names[0]}.png") as picture:
        assert picture.size == (800, 800)
        colour = np.array([int(table.loc["cell", "colour"][place : place + 2], 16) for place in (1, 3, 5)])
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    shaded = pixels[(np.ptp(pixels, axis=1) > 40)].mean(axis=0)
    assert np.corrcoef(shaded, colour)[0, 1] > 0.9


def test_folders_are_conditions_and_the_unit_is_there(drawn: Path, finished: Path) -> None:
    table = pd.read_csv(drawn / "cell_volume_um3_superplot.csv")
    assert table["condition"].tolist() == ["control", "drug"]
    assert set(table["unit"]) == {"µm³"}
    objects = pd.read_csv(finished / "out" / "objects.csv")
    first = objects[(objects["frame"] == 0) & (objects["structure"] == "cell")]
    assert table["value"].tolist() == pytest.approx(first["volume_um3"].tolist())


def test_a_table_of_conditions_counts_before_folders(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("path,condition,replicate\ndrug/f.ome.tif,none,2\ncontrol/*,LPS,1\n")
    done = tomocyte("figures", finished / "out", "-o", tmp_path / "f", "--conditions", tmp_path / "c.csv",
                    "--quantity", "mean_ri")  # fmt: skip
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "f" / "cell_mean_ri_superplot.csv")
    assert table["condition"].tolist() == ["none", "LPS"], "the order of the table"


def test_what_the_border_cuts_is_counted_for_each_figure(tmp_path: Path) -> None:
    """Of three cells in each of two frames one is cut: one of those of the first frame, two of all."""
    rows = [(frame, 60.0 * frame, label, label == 3, 1.36) for frame in (0, 1) for label in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["frame", "time_s", "label", "is_cut", "mean_ri"])
    list(chart_run(table.assign(item="a", structure="cell"), tmp_path, ["mean_ri"], "cell"))
    titles = {path.stem: set(pd.read_csv(path)["title"]) for path in tmp_path.glob("*.csv")}
    assert titles["cell_mean_ri_superplot"] == {"first frame, without 1 cut by the border"}
    assert titles["cell_mean_ri_course"] == {"without 2 cut by the border"}


def test_bands_are_mean_and_deviation() -> None:
    rows = pd.DataFrame({"condition": "a", "time_s": [0.0, 0.0, 0.0, 60.0], "value": [1.0, 2.0, 6.0, 5.0]})
    bands = course_bands(rows)
    assert bands["mean"].tolist() == [3.0, 5.0]
    assert bands["high"].tolist() == pytest.approx([3 + 7**0.5, 5.0])  # squares 4 + 1 + 9 over two


def test_each_input_begins_with_its_own_first_frame() -> None:
    rows = pd.DataFrame({"item": ["a", "a", "b"], "frame": [0, 1, 3]})
    assert first_frame(rows).index.tolist() == [0, 2]


def test_a_crop_holds_the_cell(finished: Path) -> None:
    run = finished_run(finished / "out")
    view = view_item(run, run.names[0])
    cells = run.objects().query("structure == 'cell' and frame == 0")
    flat = view.labels["cell"].planes(0, 0).max(axis=0) > 0
    extent = (np.ptp(np.argwhere(flat), axis=0) + 1) * BALL_SIZE_UM[1:]
    field = min(np.multiply(view.volume.spatial_shape[1:], BALL_SIZE_UM[1:]))
    assert side_of(cells[cells["item"] == run.names[0]], lambda _: view) == pytest.approx(
        min(1.5 * extent.max(), field)
    )
    assert abs(view.middle_plane - (view.volume.spatial_shape[0] - 1) / 2) <= 1


def test_a_crop_of_a_montage_outlines_its_own_cell_only() -> None:
    cell, nucleus = np.array([[1, 1, 2, 2]]), np.array([[0, 5, 6, 0]])
    shown = own_outlines({"cell": cell, "nucleus": nucleus}, "cell", {"label": 2})
    assert shown["cell"].tolist() == [[0, 0, 2, 2]]
    assert shown["nucleus"].tolist() == [[0, 0, 6, 0]]
    assert own_outlines({"nucleus": nucleus}, "cell", {"label": 2})["nucleus"].tolist() == nucleus.tolist()


def n_pictures(film: Any) -> int:
    """How many pictures a GIF has."""
    return int(film.n_frames)


def mean_row_of_cell(picture: Any) -> float:
    """Where the bright ball lies, as a share of the picture's height."""
    grey = np.asarray(picture.convert("L")).astype(float)[30:-40]
    rows = np.argwhere(grey > 140)[:, 0]
    return float(rows.mean() + 30) / picture.height


def test_a_film_of_the_field_shows_what_moves(finished: Path, tmp_path: Path) -> None:
    done = tomocyte("figures", finished / "out", "-o", tmp_path, "--movie", "gif")
    assert done.exit_code == 0, done.output
    films = sorted(tmp_path.iterdir())
    assert len(films) == 2
    places = []
    with Image.open(films[0]) as film:
        assert n_pictures(film) == 3
        for number in range(3):
            film.seek(number)
            places.append(mean_row_of_cell(film))
    height_um = 36 * BALL_SIZE_UM[1]
    assert np.diff(places) * height_um == pytest.approx([1.0, 1.0], abs=0.25)


def test_a_film_of_a_track_keeps_the_cell_in_the_middle(finished: Path, tmp_path: Path) -> None:
    item = finished_run(finished / "out").names[0]
    done = tomocyte(
        "figures", finished / "out", "-o", tmp_path, "--movie", "frames", "--subject", "track", "--item", item
    )
    assert done.exit_code == 0, done.output
    frames = sorted((tmp_path / f"{item}_track_frames").iterdir())
    assert len(frames) == 3
    assert np.ptp([mean_row_of_cell(Image.open(path)) for path in frames]) < 0.02, "the field moves, not the cell"


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renderings of coarse surfaces, which take a tenth of the time."""
    monkeypatch.setattr("tomocyte.figures.rendering._FINE_SIDE", 16)
    monkeypatch.setattr("tomocyte.figures.rendering._SAMPLES", 1)


def test_a_rendering_turns(finished: Path, tmp_path: Path, coarse: None) -> None:
    item = finished_run(finished / "out").names[0]
    done = tomocyte("figures", finished / "out", "-o", tmp_path, "--movie", "gif", "--subject", "turn", "--item", item)
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / f"{item}_turn.gif") as film:
        assert n_pictures(film) == 36


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--movie", "avi"], "gif"),
        (["--movie", "gif", "--subject", "track", "--track", 7], "has no track 7. Its tracks are 1"),
        (["--movie", "gif", "--subject", "turn", "--frame", 9], "has no frame 9. It has 0 to 2"),
        (["--quantity", "nonsense"], "no values in nonsense. It has .*volume_um3"),
        (["--structure", "tail"], "found no tail. Draw one of: cell"),
        (["--inputs", "nowhere", "--movie", "gif"], "does not exist any more. Give --inputs FOLDER"),
    ],
)
def test_what_cannot_be_drawn_says_why(finished: Path, tmp_path: Path, arguments: list[Any], text: str) -> None:
    done = tomocyte("figures", finished / "out", "-o", tmp_path, *arguments)
    assert isinstance(done.exception, TomocyteError)
    with pytest.raises(TomocyteError, match=text):
        raise done.exception


def test_without_tracks_only_the_field_is_filmed(finished: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished / "out", tmp_path / "out"))
    table = pd.read_parquet(out / "objects.parquet").drop(columns=["track_id", "parent_id"])
    table.to_parquet(out / "objects.parquet")
    done = tomocyte("figures", out, "--movie", "gif", "--subject", "track")
    with pytest.raises(TomocyteError, match="has no tracks"):
        raise done.exception
    kinds = {
        path.name for path in draw_run(finished_run(out), tmp_path / "f", DrawSettings(quantities=("volume_um3",)))
    }
    assert "cell_volume_um3_course.png" in kinds
    assert not any("start_to_end" in name or "through_time" in name for name in kinds)


def test_no_run_folder_is_refused(tmp_path: Path) -> None:
    done = tomocyte("figures", tmp_path)
    with pytest.raises(TomocyteError, match="is not the folder of a finished run"):
        raise done.exception


def test_run_makes_films_that_keep_the_folder_whole(finished: Path, tmp_path: Path) -> None:
    def run_again() -> Any:
        inputs = finished / "in" / "drug" / "f.ome.tif"
        with workers_in_this_process():
            return tomocyte("run", inputs, "-m", "odt", "--model", "classical", "-o", tmp_path / "o", "--movie", "gif")

    assert run_again().exit_code == 0
    (film,) = (tmp_path / "o" / "figures").iterdir()
    with Image.open(film) as opened:
        assert n_pictures(opened) == 3
    assert verify(tmp_path / "o").is_ok
    assert run_again().exit_code == 0
    assert [path.name for path in (tmp_path / "o" / "figures").iterdir()] == [film.name]


def test_a_table_of_ones_own_is_drawn(tmp_path: Path) -> None:
    table = pd.DataFrame({"condition": ["a", "b"], "replicate": [1, 1], "value": [1.0, 2.0]})
    table.to_csv(tmp_path / "mine.csv", index=False)
    lacking = tomocyte("figures", tmp_path / "mine.csv")
    with pytest.raises(TomocyteError, match="Name it: --kind"):
        raise lacking.exception
    done = tomocyte("figures", tmp_path / "mine.csv", "--kind", "superplot", "--quantity", "volume", "--unit", "µm³")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "mine_figure.svg").exists()
    again = tomocyte("figures", tmp_path / "mine_figure.csv", "-o", tmp_path / "again", "--title", "New")
    assert again.exit_code == 0, again.output
    assert pd.read_csv(tmp_path / "again.csv")["title"].tolist() == ["New", "New"]
    twice = tomocyte("figures", tmp_path / "mine_figure.csv", "-o", tmp_path / "again")
    with pytest.raises(TomocyteError, match="already exists"):
        raise twice.exception


def test_the_page_of_figures(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coarse: None) -> None:
    """Each line as printed, in their order; films of one track show the track that is there."""
    shutil.copytree(finished / "out", tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "objects.parquet").assign(track_id=3.0)
    table.to_parquet(tmp_path / "out" / "objects.parquet")
    (tmp_path / "conditions.csv").write_text("path,condition,replicate\ncontrol,none,1\ndrug,LPS,1\n")
    (tmp_path / "mine.csv").write_text("condition,replicate,value\na,1,3.5\nb,1,4\n")
    monkeypatch.chdir(tmp_path)
    lines = [line for line in commands(ROOT / "docs" / "figures.md") if line.startswith("tomocyte figures")]
    assert len(lines) == 6
    for line in lines:
        done = tomocyte(*shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    names = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {"control_f_track.mp4", "drug_f_turn.gif", "cell_mean_ri_montage.svg"} <= names
    assert (tmp_path / "by-condition" / "cell_volume_um3_superplot.csv").read_text().count("LPS") == 1
    assert (tmp_path / "poster.svg").exists()
    assert (tmp_path / "mine_figure.csv").exists()
