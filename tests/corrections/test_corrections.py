"""Corrections from the file to the tables: what is applied, what is refused, what is made again, what is taken back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from tests.conftest import BALL_RADIUS_UM, BALL_SIZE_UM, MEDIUM_RI
from tests.corrections.conftest import FIRST, SECOND, TWO, contents, edit_list, segment, write_edits

from tomocyte.corrections.edits import Edit, EditFile, EditList
from tomocyte.corrections.files import edits_as_yaml, load_edits
from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger import verify
from tomocyte.pipeline import analyse
from tomocyte.pipeline.settings import RunSettings
from tomocyte.volume import Volume

VOLUME_UM3 = 4 / 3 * math.pi * BALL_RADIUS_UM**3
SETTINGS = RunSettings(modality="odt", model="classical")


def cells_with_nuclei() -> Volume:
    """Two cells with a dark core each, in voxels of 0.5 x 0.4 x 0.3 µm; the second one (by its label) on the right."""
    z, y, x = np.meshgrid(
        *(np.arange(n) * s for n, s in zip((32, 60, 110), (0.5, 0.4, 0.3), strict=True)), indexing="ij"
    )
    image = np.full(z.shape, 1.337, np.float32)
    for y0, x0 in ((8.0, 24.0), (16.0, 9.0)):
        radius = np.sqrt((z - 8) ** 2 + (y - y0) ** 2 + (x - x0) ** 2)
        image[radius < 5.5] = 1.360
        image[radius < 3.0] = 1.352
    return Volume.from_array(
        image, voxel_size_um=(0.5, 0.4, 0.3), quantity="refractive_index", unit="1", medium_ri=MEDIUM_RI
    )


LEFT, RIGHT = {"um": [8, 16, 9]}, {"um": [8, 8, 24]}


def rows_of(table: pd.DataFrame, structure: str) -> pd.DataFrame:
    return table[table["structure"] == structure].set_index("label")


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    return analyse(cells_with_nuclei(), SETTINGS).table


def test_tables_follow_a_merge(plain: pd.DataFrame) -> None:
    """The merged cell has both volumes and both masses; both nuclei are its own."""
    found = analyse(cells_with_nuclei(), SETTINGS, edits=edit_list({"do": "merge", "targets": [LEFT, RIGHT]}))
    before, cell = rows_of(plain, "cell"), rows_of(found.table, "cell")
    assert cell["volume_um3"].item() == pytest.approx(before["volume_um3"].sum())
    assert cell["dry_mass_pg"].item() == pytest.approx(before["dry_mass_pg"].sum())
    assert cell["edited"].item() == "merge"
    nuclei = rows_of(found.table, "nucleus")
    assert list(nuclei["cell_id"]) == [cell.index.item()] * 2
    assert list(nuclei["edited"]) == ["", ""]
    assert found.facts["n_objects"] == {"cell": 1, "nucleus": 2, "inclusion": found.facts["n_objects"]["inclusion"]}
    assert found.facts["edits"]["n_by_kind"] == {"merge": 1}
    assert any(text.startswith("W-EDITED: corrected by hand: 1 merge") for text in found.warnings)
    assert "edited" not in plain


def test_tables_follow_a_deletion_and_a_cell_set_by_hand(plain: pd.DataFrame) -> None:
    gone = analyse(
        cells_with_nuclei(), SETTINGS, edits=edit_list({"do": "delete", "targets": [LEFT], "with_contents": True})
    )
    assert len(rows_of(gone.table, "cell")) == len(rows_of(gone.table, "nucleus")) == 1
    orphan = analyse(cells_with_nuclei(), SETTINGS, edits=edit_list({"do": "delete", "targets": [LEFT]})).table
    assert sorted(rows_of(orphan, "nucleus")["cell_id"]) == [0, rows_of(orphan, "cell").index.item()]
    label_of = {name: analysis_label(plain, "cell", name) for name in ("left", "right")}
    put = {"do": "set-cell", "structure": "nucleus", "target": LEFT, "cell": RIGHT}
    nuclei = rows_of(analyse(cells_with_nuclei(), SETTINGS, edits=edit_list(put)).table, "nucleus")
    assert set(nuclei["cell_id"]) == {label_of["right"]}
    assert sorted(nuclei["edited"]) == ["", "set-cell"]


def analysis_label(table: pd.DataFrame, structure: str, side: str) -> int:
    rows = rows_of(table, structure)
    return int(rows["x_um"].idxmin() if side == "left" else rows["x_um"].idxmax())


def test_voxels_without_a_value_belong_to_nothing_even_when_painted() -> None:
    volume = cells_with_nuclei()
    image = volume.planes(0, 0).copy()
    image[0, 0, 0] = np.nan
    broken = volume.with_properties(read_planes=Volume.from_array(image).read_planes)
    corner = {"box": {"low": {"voxel": [0, 0, 0]}, "high": {"voxel": [0, 0, 2]}}}
    found = analyse(
        broken, SETTINGS.model_copy(update={"nan": "mask"}), edits=edit_list({"do": "add", "shape": corner, "label": 9})
    )
    assert np.argwhere(found.labels["cell"].planes(0, 0) == 9).tolist() == [[0, 0, 1], [0, 0, 2]]


def test_bad_edits_stop_before_anything_is_computed() -> None:
    volume = Volume.from_array(
        np.zeros((4, 5, 6), np.float32), voxel_size_um=(0.5, 0.4, 0.3), quantity="refractive_index"
    )
    with pytest.raises(InputError, match=r"E-EDIT-FRAME: edit 1 \(delete cell, frame 3\)"):
        analyse(volume, SETTINGS, edits=edit_list({"do": "delete", "targets": [1], "frame": 3}))
    voxels = {"voxels": {"shape": [1, 2, 3], "n_runs": 0, "runs": "eNoDAAAAAAE="}}
    with pytest.raises(InputError, match="E-EDIT-SHAPE: edit 1"):
        analyse(volume, SETTINGS, edits=edit_list({"do": "repaint", "shape": voxels}))
    with pytest.raises(SettingsError, match="E-EDIT-FILE"):
        analyse(volume, SETTINGS.model_copy(update={"edits": "edits.yaml"}))


# --- files


def test_files_say_which_items_they_correct(tmp_path: Path) -> None:
    delete = {"do": "delete", "structure": "cell", "targets": [1]}
    one = write_edits(tmp_path / "one.yaml", delete)
    assert list(load_edits(one, ["a"])) == ["a"]
    assert load_edits(write_edits(tmp_path / "none.yaml"), ["a"]) == {}
    named = write_edits(tmp_path / "named.yaml", delete, item="b")
    assert list(load_edits(named, ["a", "b"])) == ["b"]
    many = tmp_path / "many.yaml"
    many.write_text(yaml.safe_dump({"version": 1, "items": {"b": {"edits": [delete]}, "a": {"edits": []}}}))
    assert list(load_edits(many, ["a", "b"])) == ["b"]
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(SettingsError, match="E-EDIT-FILE"):
        load_edits(folder, ["a"])
    write_edits(folder / "a.edits.yaml", delete)
    write_edits(folder / "b.edits.yaml", delete, item="b")
    assert list(load_edits(folder, ["a", "b", "c"])) == ["a", "b"]
    for path, items in ((one, ["a", "b"]), (named, ["a"]), (many, ["a"]), (folder, ["a"])):
        with pytest.raises(SettingsError, match="E-EDIT-ITEM"):
            load_edits(path, items)
    write_edits(folder / "c.edits.yaml", delete, item="b")
    with pytest.raises(SettingsError, match="E-EDIT-ITEM"):
        load_edits(folder, ["a", "b", "c"])


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nedits: [{do: delete}]",
        "version: 1\nedit: []",
        "- 1",
        "a: [",
        "version: 1\nedits: [!!python/none x]",
    ],
)
def test_files_that_cannot_be_understood_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "edits.yaml").write_text(text)
    with pytest.raises(SettingsError, match="E-EDIT-FILE"):
        load_edits(tmp_path / "edits.yaml", ["a"])
    with pytest.raises(SettingsError, match="E-EDIT-FILE"):
        load_edits(tmp_path / "absent.yaml", ["a"])


def test_label_images_are_read_once_and_checked(tmp_path: Path) -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 2, 3] = 7
    tifffile.imwrite(tmp_path / "mine.ome.tif", labels, ome=True, metadata={"axes": "ZYX"}, photometric="minisblack")
    image: dict[str, Any] = {"path": "mine.ome.tif"}
    paint = {"do": "repaint", "shape": {"image": image}}
    (edit,) = load_edits(write_edits(tmp_path / "e.yaml", paint), ["a"])["a"].edits
    _, mask, painted = edit.shape.voxels.paint()
    assert painted[mask].tolist() == [7]
    image["sha256"] = "0" * 64
    bad = [image.copy(), {"path": "absent.tif"}, {"path": "../mine.ome.tif"}, {"path": str(tmp_path / "mine.ome.tif")}]
    for wrong in bad:
        paint["shape"] = {"image": wrong}
        with pytest.raises(InputError, match="E-EDIT-IMAGE"):
            load_edits(write_edits(tmp_path / "e.yaml", paint), ["a"])


def test_edits_survive_being_written() -> None:
    edits = edit_list(
        {"do": "split", "target": {"label": 3, "um": [1.5, 2, 0.2]},
         "seeds": [{"voxel": [1, 2, 3]}, {"um": [1, 2, 3]}]},
        {"do": "repaint", "structure": "nucleus", "frame": 2, "to": "background", "note": "Zähler: 1",
         "shape": {"polygon": {"corners": [[0, 0], [1, 0], [0, 2.5]], "planes": [2, 3]}}},
        input_sha256="ab" * 32, go_by="point",
    )  # fmt: skip
    for items in ({"a": edits}, {"a": edits, "b": edit_list({"do": "delete", "targets": [1]})}):
        content = yaml.safe_load(edits_as_yaml(items))
        again = (
            content["items"]["a"] if "items" in content else {k: content[k] for k in ("input_sha256", "go_by", "edits")}
        )
        assert EditList.model_validate(again) == edits


# --- runs


def test_changed_edits_make_only_their_input_again(ball_file: Callable[..., Path], tmp_path: Path) -> None:
    ball_file("a.ome.tif", centres_um=TWO), ball_file("b.ome.tif")
    run = (tmp_path / "input", tmp_path / "out")
    out = tmp_path / "out"
    assert "3 cell" in segment(*run).stdout
    plain = contents(out / "items" / "a")
    b = (out / "items" / "b").stat()

    edits = write_edits(
        tmp_path / "edits.yaml", {"do": "delete", "targets": [{"um": FIRST}], "note": "debris"}, item="a"
    )
    done = segment(*run, "--edits", edits)
    assert "(1 in an earlier run)" in done.stdout
    table = pd.read_csv(out / "objects.csv", keep_default_na=False)
    assert table[["item", "label", "edited"]].values.tolist() == [["a", 2, ""], ["b", 1, ""]]
    assert table["y_um"][0] == pytest.approx(SECOND[1], abs=0.1)
    log = pd.read_csv(out / "items" / "a" / "edits_log.csv")
    assert log[["edit", "do", "labels_before", "note"]].values.tolist() == [[1, "delete", 1, "debris"]]
    assert log["size_changed"].item() == pytest.approx(VOLUME_UM3, rel=0.02)
    assert log["n_voxels_changed"].item() * math.prod(BALL_SIZE_UM) == pytest.approx(log["size_changed"].item())
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Corrected by hand: 1 edits in 1 of 2 inputs." in page
    assert "debris" in page
    assert set(table.columns) == set(pd.read_csv(out / "objects.dictionary.csv")["column"])
    corrected = contents(out / "items" / "a")

    assert "(2 in an earlier run)" in segment(*run, "--edits", edits).stdout
    moved = tmp_path / "elsewhere" / "a.edits.yaml"
    moved.parent.mkdir()
    edits.rename(moved)
    assert "(2 in an earlier run)" in segment(*run, "--edits", moved.parent).stdout
    write_edits(moved, {"do": "delete", "targets": [{"um": SECOND}]}, item="a")
    assert "(1 in an earlier run)" in segment(*run, "--edits", moved).stdout
    assert pd.read_csv(out / "objects.csv")["label"].tolist() == [1, 1]
    forgotten = segment(*run)
    assert "(2 in an earlier run)" in forgotten.stdout
    assert "corrections of an earlier run are kept: 1 of a; --discard-changes" in forgotten.stderr
    assert pd.read_csv(out / "objects.csv")["label"].tolist() == [1, 1]
    assert "(1 in an earlier run)" in segment(*run, "--discard-changes").stdout
    assert contents(out / "items" / "a") == plain
    assert (out / "items" / "b").stat().st_ino == b.st_ino
    assert verify(out).is_ok

    edits = write_edits(
        tmp_path / "edits.yaml", {"do": "delete", "targets": [{"um": FIRST}], "note": "debris"}, item="a"
    )
    segment(tmp_path / "input", tmp_path / "fresh", "--edits", edits)
    assert contents(tmp_path / "fresh" / "items" / "a") == corrected


def test_wrong_edits_leave_nothing_of_their_input_and_spare_the_others(
    ball_file: Callable[..., Path], tmp_path: Path
) -> None:
    ball_file("a.ome.tif"), ball_file("b.ome.tif")
    edits = write_edits(tmp_path / "edits.yaml", {"do": "delete", "targets": [7]}, item="a")
    out = tmp_path / "out"
    run = (tmp_path / "input", out, "--edits", edits)
    done = segment(*run)
    assert done.exit_code == 3
    assert "E-EDIT-TARGET: edit 1 (delete cell, frame 0): there is no cell 7. There are 1." in done.stderr
    assert sorted(path.name for path in (out / "items").iterdir()) == ["b", "b.done.json"]
    write_edits(edits, {"do": "delete", "targets": [1]}, item="a", input_sha256="0" * 64)
    assert "E-EDIT-INPUT" in segment(*run).stderr
    write_edits(edits, {"do": "delete", "targets": [1]}, item="c")
    fresh = tmp_path / "fresh"
    for more in ((), ("--dry-run",)):
        refused = segment(tmp_path / "input", fresh, "--edits", edits, *more)
        assert isinstance(refused.exception, SettingsError)
        assert refused.exception.code == "E-EDIT-ITEM"
        assert not fresh.exists()
    write_edits(edits, {"do": "delete", "targets": [1], "frame": 1}, item="a")
    dry = segment(tmp_path / "input", fresh, "--edits", edits, "--dry-run")
    assert dry.exit_code == 3
    assert "E-EDIT-FRAME" in dry.stdout


def test_what_the_documentation_shows_is_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "correction.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    kinds = [edit.do for edit in EditFile.model_validate(yaml.safe_load(example)).edits or ()]
    assert kinds == ["merge", "split", "delete", "repaint", "set-cell", "link"]
    for kind in get_args(get_args(Edit)[0]):
        assert f"| `{kind.model_fields['do'].default}` |" in text
