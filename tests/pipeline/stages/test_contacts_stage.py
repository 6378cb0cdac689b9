"""Contacts in a run: columns of objects, a table of their own, both in the dictionaries; only where asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from tests.in_process import tomocyte

from tomocyte.formats import write_volume
from tomocyte.structures import ZHANGHAO_COMPARTMENTS
from tomocyte.volume import Volume

VOXEL_UM = (0.4, 0.2, 0.2)
OPTIONS = ("-m", "odt", "--model", "classical")


def cells_with_droplets(path) -> None:
    """Two boxes of RI 1.36 side by side; two droplets of 1.40 in the first, one in the second."""
    image = np.full((20, 60, 110), 1.337, np.float32)
    image[3:17, 8:52, 6:53] = image[3:17, 8:52, 58:104] = 1.36
    for y, x in ((15, 14), (40, 42), (30, 80)):
        image[8:12, y : y + 5, x : x + 5] = 1.42
    known = {"voxel_size_um": VOXEL_UM, "quantity": "refractive_index", "unit": "1", "medium_ri": 1.337}
    write_volume(path, Volume.from_array(image, **known))


def test_a_run_with_contacts(tmp_path) -> None:
    cells_with_droplets(tmp_path / "a.ome.tif")
    out = tmp_path / "out"
    done = tomocyte("run", tmp_path / "a.ome.tif", "-o", out, *OPTIONS, "--placements", 9, "--contact-gap-um", 1.5)
    assert done.exit_code == 0, done.output
    table, objects = pd.read_csv(out / "contacts.csv"), pd.read_csv(out / "objects.csv")
    of_membrane = table.query("structure == 'inclusion' and other_structure == 'cell'").set_index("cell_id")
    assert of_membrane["n_objects"].tolist() == [2, 1]
    assert of_membrane["n_placements"].tolist() == [9, 9]
    assert of_membrane["mean_distance_p"].between(0.2, 1).all()
    # 8 voxels of 0.2 µm to the nearest wall of the first droplet; masks differ from boxes by a voxel or two.
    droplets = objects.query("structure == 'inclusion'").sort_values("x_um")
    assert droplets["distance_to_cell_um"].iloc[0] == pytest.approx(1.5, abs=0.45)
    cells = objects.query("structure == 'cell'")
    assert cells["n_neighbours"].tolist() == [1, 1]
    assert (cells["shared_area_um2"] > 10).all()
    for name, content in (("contacts", table), ("objects", objects)):
        described = pd.read_csv(out / f"{name}.dictionary.csv")
        assert described["column"].tolist() == list(content)
        assert (described["meaning"].str.len() > 10).all()
    assert tomocyte("verify", out).exit_code == 0


def test_a_run_without(tmp_path) -> None:
    """No table and no columns."""
    cells_with_droplets(tmp_path / "a.ome.tif")
    assert tomocyte("run", tmp_path / "a.ome.tif", "-o", tmp_path / "out", *OPTIONS).exit_code == 0
    assert not (tmp_path / "out" / "contacts.csv").exists()
    assert "n_neighbours" not in pd.read_csv(tmp_path / "out" / "objects.csv")


def test_cytoplasm_has_no_contacts_of_its_own(tmp_path) -> None:
    """It is measured where masks of organelles are given, and is what lies between them."""
    labels = {name: np.zeros((8, 20, 24), np.uint16) for name in ("cell", "nucleus", "golgi")}
    labels["cell"][1:7, 2:18, 2:22] = 1
    labels["nucleus"][2:6, 4:10, 4:10] = 1
    labels["golgi"][3:5, 12:15, 12:18] = 1
    for name, one in labels.items():
        write_volume(
            tmp_path / f"{name}.tif", Volume.from_array(one, voxel_size_um=VOXEL_UM, quantity="labels", unit="")
        )
    image = np.stack([1.0 * labels["cell"] + labels["golgi"], 2.0 * labels["nucleus"]]).astype(np.float32)
    volume = Volume.from_array(image, voxel_size_um=VOXEL_UM, quantity="intensity", channel_names=("a", "b"))
    write_volume(tmp_path / "image.ome.tif", volume)
    given = [word for name in labels for word in (("--labels", f"{name}={tmp_path / name}.tif"))]
    done = tomocyte("measure", tmp_path / "image.ome.tif", *given, "-o", tmp_path / "out", "-m", "fluorescence",
                    "--structure", "cell", "--contacts", "--colocalisation")  # fmt: skip
    assert done.exit_code == 0, done.output
    objects = pd.read_csv(tmp_path / "out" / "objects.csv").set_index("structure")
    assert "cytoplasm" in objects.index
    assert objects.loc["golgi", "distance_to_nucleus_um"] == pytest.approx(np.hypot(0.4, 0.4))
    assert np.isnan(objects.loc["cytoplasm", "distance_to_nucleus_um"])
    assert "cytoplasm" not in set(pd.read_csv(tmp_path / "out" / "contacts.csv")["other_structure"])


def test_fifteen_compartments_within_their_cell(tmp_path) -> None:
    """Extracellular space beside cells changes nothing, masks may overlap, and membranes are not placed at random."""
    cell = np.zeros((8, 40, 60), np.uint16)
    cell[1:7, 4:36, 3:28], cell[1:7, 4:36, 32:57] = 1, 2
    labels = {name: np.zeros_like(cell) for name in ZHANGHAO_COMPARTMENTS}
    labels["extracellular"][cell == 0] = 1
    labels["cytosol"] = cell.copy()
    labels["endoplasmic_reticulum"][2:6, 6:34, 5:26] = 1
    labels["plasma_membrane"][(cell != 0) & (ndimage.minimum_filter(cell, 3) == 0)] = 1
    labels["nucleus"][3:5, 14:20, 12:18], labels["nucleus"][3:5, 14:20, 42:48] = 1, 2
    labels["peroxisome"][4, 8, 8], labels["peroxisome"][4, 28, 8] = 1, 2
    labels["peroxisome"][4, 8, 36], labels["lysosome"][4, 8, 37] = 3, 1
    for number, name in enumerate(("lipid_droplet", "golgi", "mitochondrion", "early_endosome", "late_endosome")):
        labels[name][2, 10 + 3 * number, 22] = 1
    labels["nuclear_membrane"][3, 14:20, 12:18], labels["nuclear_reticulum"][4, 16, 14] = 1, 1
    labels["filopodium"][4, 20, 0:3] = 1
    given = []
    for name, one in {"cell": cell, **labels}.items():
        write_volume(
            tmp_path / f"{name}.tif", Volume.from_array(one, voxel_size_um=VOXEL_UM, quantity="labels", unit="")
        )
        given += ["--labels", f"{name}={tmp_path / name}.tif"]
    image = np.stack([500 + 100.0 * (cell > 0)] * 2).astype(np.float32)
    volume = Volume.from_array(image, voxel_size_um=VOXEL_UM, quantity="intensity", channel_names=("yellow", "red"))
    write_volume(tmp_path / "image.ome.tif", volume)
    done = tomocyte("measure", tmp_path / "image.ome.tif", *given, "-o", tmp_path / "out", "-m", "nile_red",
                    "--placements", 9)  # fmt: skip
    assert done.exit_code == 0, done.output
    objects = pd.read_csv(tmp_path / "out" / "objects.csv")
    assert set(objects["structure"]) == {"cell", *ZHANGHAO_COMPARTMENTS}
    cells = objects[objects["structure"] == "cell"]
    assert cells["n_peroxisome"].tolist() == [2, 1]
    assert cells["total_peroxisome_volume_um3"].tolist() == pytest.approx([2 * 0.016, 0.016])
    table = pd.read_csv(tmp_path / "out" / "contacts.csv").set_index(["cell_id", "structure", "other_structure"])
    # Within 0.03 µm only what touches is in contact: the lysosome and a peroxisome of the second cell.
    assert table.loc[(2, "peroxisome", "lysosome"), "n_contacts"] == 1
    assert table.loc[(1, "lipid_droplet", "peroxisome"), "n_contacts"] == 0
    assert (table.query("structure == 'peroxisome'")["n_outside_allowed"] == 0).all()
    assert (table.query("structure == 'peroxisome' and n_other_objects > 0")["n_placements"] == 9).all()
    fixed = ("nucleus", "nuclear_membrane", "nuclear_reticulum", "endoplasmic_reticulum", "plasma_membrane")
    assert (table.query(f"structure in {fixed}")["n_placements"] == 0).all()
    assert "extracellular" not in table.index.get_level_values("other_structure")
    strict = tomocyte("measure", tmp_path / "image.ome.tif", *given, "-o", tmp_path / "strict", "-m", "nile_red",
                      "--placements", 9, "--set", "contacts.overlapping=[]")  # fmt: skip
    assert strict.exit_code == 0, strict.output
    table = pd.read_csv(tmp_path / "strict" / "contacts.csv").query("structure == 'peroxisome'")
    assert set(table.loc[table["cell_id"] == 1, "n_outside_allowed"]) == {2}
