"""Contacts in a run: columns of objects, a table of their own, both in the dictionaries; only where asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.in_process import tomocyte

from tomocyte.formats import write_volume
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
