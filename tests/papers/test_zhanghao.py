"""The figures on two small stacks made by hand, whose masks and scores can be counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from tests.in_process import tomocyte

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.papers.reproduce import EXPERIMENTS, reproduce
from tomocyte.papers.zhanghao.claims import judge_compartments
from tomocyte.papers.zhanghao.fields import compartment_items, masks_of_truth
from tomocyte.papers.zhanghao.mitosis import stage_markdown
from tomocyte.papers.zhanghao.recipe import CompartmentClaim, CompartmentsRecipe, MitosisRecipe, ScoringRecipe
from tomocyte.papers.zhanghao.tables import anatomy_table
from tomocyte.structures import ZHANGHAO_COMPARTMENTS
from tomocyte.training.recipe import build_recipe, load_recipe
from tomocyte.volume import Volume

VOXEL_UM = (0.25, 0.1, 0.1)
SHAPE = (6, 40, 50)


def masks() -> dict[str, NDArray[np.uint16]]:
    """One cell of 4 x 30 x 40 voxels; every compartment is there, and its voxels are counted easily."""
    made = {name: np.zeros(SHAPE, np.uint16) for name in ("cell", *ZHANGHAO_COMPARTMENTS)}
    made["cell"][1:5, 5:35, 5:45] = 1
    made["extracellular"][made["cell"] == 0] = 1
    made["nucleus"][2:4, 10:20, 10:20] = 1
    made["nuclear_membrane"][2:4, 10:20, 10] = 1
    made["nuclear_reticulum"][2, 15, 12:16] = 1
    made["cytosol"][(made["cell"] > 0) & (made["nucleus"] == 0)] = 1
    made["endoplasmic_reticulum"][2, 22:26, 10:40] = 1
    made["plasma_membrane"][1:5, 5, 5:45] = 1
    made["filopodium"][1, 0:5, 20] = 1
    made["golgi"][2, 26:28, 10:20] = 1
    made["mitochondrion"][3, 26:28, 22:32] = 1
    for number, name in enumerate(("lipid_droplet", "peroxisome", "early_endosome", "late_endosome", "lysosome")):
        made[name][3, 30, 10 + 6 * number : 12 + 6 * number] = 1
        made[name][3, 33, 10 + 6 * number : 12 + 6 * number] = 2
    return made


def write_stacks(folder: Path, *, is_labelled: bool = True, shift: int = 0, n_frames: int = 1) -> Path:
    """Stacks ``a`` and ``b`` in two channels, red / yellow = 2 in droplets and 1 elsewhere, with their masks."""
    made = masks()
    light = 100.0 + 400.0 * made["cell"] + 2000.0 * (made["lipid_droplet"] > 0)
    image = np.stack([light, light + 1.0 * (light - 100) * (made["lipid_droplet"] > 0)])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a", "b"):
        stack = np.repeat(image[None].astype(np.uint16), n_frames, axis=0)
        volume = Volume.from_array(
            stack, voxel_size_um=VOXEL_UM, quantity="intensity", channel_names=("yellow", "red"),
            time_s=tuple(600.0 * number for number in range(n_frames)) if n_frames > 1 else None,
        )  # fmt: skip
        write_volume(folder / f"{name}.ome.tif", volume)
        for structure, labels in made.items() if is_labelled else ():
            moved = np.roll(labels, shift, axis=2)
            stored = np.repeat(moved[None, None], n_frames, axis=0)
            write_volume(
                folder / f"{name}_{structure}.ome.tif",
                Volume.from_array(stored, voxel_size_um=VOXEL_UM, quantity="labels", unit=""),
            )
    return folder


def write_found(folder: Path, *, shift: int) -> Path:
    """What a run of both stacks would have written, moved along x."""
    for name in ("a", "b"):
        (folder / "items" / name).mkdir(parents=True)
        for structure, labels in masks().items():
            volume = Volume.from_array(np.roll(labels, shift, axis=2), voxel_size_um=VOXEL_UM, quantity="labels")
            write_volume(folder / "items" / name / f"{structure}.ome.tif", volume)
    return folder


def test_the_true_compartments_are_drawn_and_counted(tmp_path: Path) -> None:
    data = write_stacks(tmp_path / "data")
    done = tomocyte("reproduce", "zhanghao-fig1", "--from-truth", "--data", data, "-o", tmp_path / "out",
                    "--set", "run.contacts.n_placements=0")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "1 of 1 claims measured hold" in done.output
    table = pd.read_csv(tmp_path / "out" / "compartments.csv").set_index(["item", "compartment"])
    assert table.loc[("a", "lysosome"), "n_objects"] == table.loc[("a", "lysosome"), "n_per_cell"] == 2
    assert table.loc[("a", "golgi"), "volume_um3"] == pytest.approx(20 * 0.0025)
    assert table.loc[("b", "nucleus"), "volume_share"] == pytest.approx(200 / 4800)
    assert table.loc[("a", "mitochondrion"), "mean_ratio"] == pytest.approx(1.0, abs=0.01)
    assert table.loc[("a", "lipid_droplet"), "mean_ratio"] == pytest.approx(2.0, abs=0.01)
    assert table.loc[("a", "mitochondrion"), "mean_intensity"] == pytest.approx(400.0)
    contacts = pd.read_csv(tmp_path / "out" / "contacts.csv").set_index(["structure", "other_structure"])
    assert contacts.loc[("golgi", "endoplasmic_reticulum"), "contacts_per_cell"] == 1
    names = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert names == {f"{kind}-{one}.png" for kind in ("ratio", "compartments", "masked") for one in "ab"} | {
        "contacts.png"
    }
    again = tomocyte("reproduce", "zhanghao-fig1", "--from-truth", "--data", data, "-o", tmp_path / "out",
                     "--set", "run.contacts.n_placements=0")  # fmt: skip
    assert again.exit_code == 0, again.output


def test_a_folder_with_files_of_others_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    data = write_stacks(tmp_path / "data")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.md").write_text("my own words", encoding="utf-8")
    done = tomocyte("reproduce", "zhanghao-fig1", "--from-truth", "--data", data, "-o", tmp_path / "mine")
    assert isinstance(done.exception, OutputError)
    assert done.exception.code == "E-OUT-FOREIGN"
    assert [path.read_text(encoding="utf-8") for path in (tmp_path / "mine").iterdir()] == ["my own words"]


def test_scores_are_those_of_masks_that_were_moved(tmp_path: Path) -> None:
    data, found = write_stacks(tmp_path / "data"), write_found(tmp_path / "found", shift=1)
    done = tomocyte("reproduce", "zhanghao-fig2", "--data", data, "--data", found, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores = pd.read_csv(tmp_path / "out" / "scores.csv").set_index("compartment")
    assert list(scores.index) == list(ZHANGHAO_COMPARTMENTS)
    # 10 columns moved by one: 9 in common. 2 columns: 1 in common. Of two equal sizes F1, MOC, precision, recall agree.
    for name, expected in (("golgi", 0.9), ("lysosome", 0.5), ("nuclear_membrane", 0.0)):
        for score in ("f1", "moc", "precision", "recall"):
            assert scores.loc[name, score] == pytest.approx(expected), (name, score)
        assert scores.loc[name, "moc_as_published"] == pytest.approx(expected / 2)
    assert scores.loc["golgi", "pixel_accuracy"] == pytest.approx(1 - 4 / 12000)
    claims = pd.read_csv(tmp_path / "out" / "claims.csv")
    assert claims["verdict"].tolist() == ["holds", "does not hold", "does not hold"]
    assert "lipid droplet 0.500" in claims["here"][1]  # two columns moved by one
    assert "nuclear membrane 0.000" in claims["here"][2]
    confusion = pd.read_csv(tmp_path / "out" / "confusion.csv").set_index(["network", "truth", "found"])
    assert confusion.loc[("VOLUME-net", "nucleus", "nucleus"), "n_voxels"] == 2 * 180
    assert confusion.loc[("VOLUME-net", "nucleus", "cytosol"), "share_of_truth"] == pytest.approx(0.1)
    by_stack = pd.read_csv(tmp_path / "out" / "scores_by_stack.csv")
    assert by_stack.groupby("compartment").size().eq(2).all()
    assert "0.900 (0.61)" in (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")


def test_a_film_is_told_stage_by_stage(tmp_path: Path) -> None:
    data = write_stacks(tmp_path / "data", n_frames=3)
    (data / "b.ome.tif").unlink()
    recipe = build_recipe(load_recipe("zhanghao-figS5", ["stages={late: 0.25, early: 0}"]), *EXPERIMENTS)
    result = reproduce(recipe, tmp_path / "out", data=data, is_from_truth=True)
    table = result.tables["compartments"]
    assert table.groupby("stage")["frame"].unique().map(list).to_dict() == {"early": [0, 1], "late": [2]}
    assert len([name for name in result.pictures if name.startswith("ratio-")]) == 3
    assert "| golgi | 1; 0.05 | 1; 0.05 |" in stage_markdown(table)
    contacts = result.tables["contacts"].set_index(["stage", "structure", "other_structure"])
    assert contacts.loc[("early", "golgi", "endoplasmic_reticulum"), "n_cells"] == 2
    assert contacts.loc[("late", "golgi", "endoplasmic_reticulum"), "contacts_per_cell"] == 1
    assert result.tables["claims"]["verdict"].tolist() == ["holds"]


def test_a_lone_simulated_cell_is_one_cell_with_what_lies_apart_from_it(tmp_path: Path) -> None:
    """Its label image has one value; a tip of a filopodium apart from the cell is no second cell."""
    data = write_stacks(tmp_path / "data")
    cell = masks()["cell"]
    cell[1, 0:2, 20] = 1
    labels = Volume.from_array(cell, voxel_size_um=VOXEL_UM, quantity="labels", unit="")
    for name in ("a", "b"):
        write_volume(data / f"{name}_cell.ome.tif", labels)
    recipe = build_recipe(load_recipe("zhanghao-fig1", ["run.contacts.is_measured=false"]), *EXPERIMENTS)
    assert isinstance(recipe, CompartmentsRecipe)
    items = compartment_items(recipe, data, is_truth_needed=True)
    as_masks = anatomy_table(masks_of_truth(recipe, items, tmp_path / "masks"), ("golgi",))
    assert as_masks["n_cells"].tolist() == [2, 2]
    simulated = [replace(item, truth=tmp_path / "truth.parquet") for item in items]
    as_labels = anatomy_table(masks_of_truth(recipe, simulated, tmp_path / "labels"), ("golgi",))
    assert as_labels["n_cells"].tolist() == as_labels["n_per_cell"].tolist() == [1, 1]


def test_stacks_alone_are_enough_where_nothing_is_scored(tmp_path: Path) -> None:
    data = write_stacks(tmp_path / "data", is_labelled=False)
    recipe = build_recipe(load_recipe("zhanghao-fig1"), *EXPERIMENTS)
    assert isinstance(recipe, CompartmentsRecipe)
    assert [item.name for item in compartment_items(recipe, data, is_truth_needed=False)] == ["a", "b"]
    with pytest.raises(InputError, match="E-NO-DATA"):
        compartment_items(recipe, data, is_truth_needed=True)
    with pytest.raises(InputError, match="E-NO-DATA"):
        compartment_items(recipe, tmp_path / "nowhere", is_truth_needed=False)
    result = reproduce(recipe, tmp_path / "out", data=data, model="classical")
    assert {"ratio-a", "ratio-b"} <= result.pictures.keys()
    # The classical engine finds cells and droplets, not compartments: the paper's claim does not hold for it.
    assert result.tables["claims"]["verdict"].tolist() == ["does not hold"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"is_from_truth": True}, "against itself"),
        ({"second": Path("x")}, "of no data set"),
    ],
)
def test_what_would_not_be_used_is_refused(options: dict[str, object], words: str, tmp_path: Path) -> None:
    recipe = build_recipe(load_recipe("zhanghao-fig2"), *EXPERIMENTS)
    assert isinstance(recipe, ScoringRecipe)
    with pytest.raises(SettingsError, match=f"E-USAGE.*{words}"):
        reproduce(recipe, tmp_path, **options)  # type: ignore[arg-type]
    film = build_recipe(load_recipe("zhanghao-figS5"), *EXPERIMENTS)
    assert isinstance(film, MitosisRecipe)
    with pytest.raises(SettingsError, match="E-USAGE"):
        reproduce(film, tmp_path, data=tmp_path, second=tmp_path)


def test_claims_without_numbers_are_not_judged() -> None:
    table = pd.DataFrame({"compartment": ["golgi", "lysosome"], "moc": [0.6, np.nan]})
    names = ["golgi", "lysosome"]
    claims = [
        CompartmentClaim(says="at-least", words="a", quantity="moc", value=0.5),
        CompartmentClaim(says="at-least", words="b", quantity="moc", value=0.7),
        CompartmentClaim(says="at-least", words="c", quantity="f1", value=0.7),
        CompartmentClaim(says="at-least", words="d", quantity="moc", value=0.5, compartments=("golgi",)),
    ]
    judged = judge_compartments(claims, table, names)
    assert judged["verdict"].tolist() == ["not measured", "does not hold", "not measured", "holds"]
