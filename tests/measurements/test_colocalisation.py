"""Colocalisation against scikit-image, object by object."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from skimage.filters import threshold_otsu
from skimage.measure import manders_coloc_coeff, manders_overlap_coeff, pearson_corr_coeff
from tests.in_process import tomocyte

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.formats import write_volume
from tomocyte.measurements.colocalisation import measure_colocalisation
from tomocyte.volume import Volume

VOXEL = (0.31, 0.17, 0.13)


def scene(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Three objects and three channels: two that share a signal, and noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((7, 20, 30), np.uint16)
    labels[1:6, 2:9, 2:12], labels[2:5, 11:18, 3:20], labels[0:7, 5:15, 22:30] = 1, 4, 9
    shared = rng.gamma(2.0, 50.0, labels.shape)
    image = np.stack([shared + rng.normal(0, 20, labels.shape), 0.5 * shared + 30, rng.gamma(2.0, 30.0, labels.shape)])
    return labels, np.abs(image)


def test_against_scikit_image() -> None:
    labels, image = scene()
    table = measure_colocalisation(labels, image, VOXEL, channel_names=["a", "b", "c"], is_intensity=[True] * 3)
    levels = [threshold_otsu(channel[labels > 0]) for channel in image]
    assert table["label"].tolist() == [1, 4, 9]
    for _, row in table.iterrows():
        mask = labels == row["label"]
        for (one, first), (other, second) in (
            (("a", 0), ("b", 1)),
            (("a", 0), ("c", 2)),
            (("b", 1), ("c", 2)),
        ):
            x, y = image[first], image[second]
            name = f"{one}_{other}"
            assert row[f"pearson_{name}"] == pytest.approx(pearson_corr_coeff(x, y, mask)[0], rel=1e-9)
            assert row[f"moc_{name}"] == pytest.approx(manders_overlap_coeff(x, y, mask), rel=1e-9)
            assert row[f"manders_m1_{name}"] == pytest.approx(manders_coloc_coeff(x, y > levels[second], mask))
            assert row[f"manders_m2_{name}"] == pytest.approx(manders_coloc_coeff(y, x > levels[first], mask))
            assert row[f"threshold_{one}"] == levels[first]


def test_what_has_no_meaning_is_empty() -> None:
    labels, image = scene()
    image[1][labels == 4] = 7.0
    image[0][labels == 9] -= 500.0
    image[2][labels == 1] = np.nan
    names = ["a", "b", "c"]
    table = measure_colocalisation(labels, image, VOXEL, channel_names=names, is_intensity=[True] * 3).set_index(
        "label"
    )
    assert math.isnan(table.loc[4, "pearson_a_b"])
    assert table.loc[9, ["manders_m1_a_b", "manders_m2_a_b", "moc_a_b"]].isna().all()
    assert math.isfinite(table.loc[9, "pearson_a_b"])
    assert table.loc[1, ["pearson_a_c", "moc_b_c"]].isna().all()
    assert math.isfinite(table.loc[1, "moc_a_b"])
    index = measure_colocalisation(labels, image, VOXEL, channel_names=names, is_intensity=[False, True, True])
    assert index.set_index("label").loc[4, ["manders_m1_a_c", "moc_a_c"]].isna().all()


def test_missing_voxels_are_left_out_of_both() -> None:
    labels, image = scene()
    cut = labels.copy()
    image[1, 2, 3:5, 4:8] = np.nan
    cut[2, 3:5, 4:8] = 0
    options = {"channel_names": ["a", "b", "c"], "is_intensity": [True] * 3, "thresholds": {"a": 90, "b": 80, "c": 50}}
    whole = measure_colocalisation(labels, image, VOXEL, **options)
    less = measure_colocalisation(cut, image, VOXEL, **options)
    for name in ("pearson_a_b", "manders_m1_a_b", "manders_m2_a_b", "moc_a_b"):
        np.testing.assert_allclose(whole[name], less[name], rtol=1e-12)


def test_no_objects_and_wrong_names() -> None:
    labels, image = scene()
    none = measure_colocalisation(np.zeros_like(labels), image, VOXEL, channel_names=["a", "b", "c"],
                                  is_intensity=[True] * 3)  # fmt: skip
    some = measure_colocalisation(labels, image, VOXEL, channel_names=["a", "b", "c"], is_intensity=[True] * 3)
    assert len(none) == 0
    assert none.dtypes.tolist() == some.dtypes.tolist()
    with pytest.raises(MetadataError, match="2 channel names"):
        measure_colocalisation(labels, image, VOXEL, channel_names=["a", "b"], is_intensity=[True] * 2)
    with pytest.raises(SettingsError, match="no channel 'd'"):
        measure_colocalisation(labels, image, VOXEL, channel_names=["a", "b", "c"], is_intensity=[True] * 3,
                               thresholds={"d": 1.0})  # fmt: skip


def test_in_a_run(tmp_path) -> None:
    labels, image = scene()
    voxels = np.where(labels[None] > 0, 300 + image[:2], 0).astype(np.uint16)
    known = {"voxel_size_um": (0.4, 0.3, 0.2), "quantity": "intensity"}
    write_volume(tmp_path / "two.ome.tif", Volume.from_array(voxels, channel_names=("DNA", "Golgi"), **known))
    write_volume(tmp_path / "one.ome.tif", Volume.from_array(voxels[0], **known))
    labelled = Volume.from_array(labels.astype(np.uint32), voxel_size_um=(0.4, 0.3, 0.2), quantity="labels", unit="")
    write_volume(tmp_path / "labels.tif", labelled)
    more = ("-m", "fluorescence", "--colocalisation", "--set", "colocalisation.thresholds.Golgi=350")
    out = tmp_path / "out"
    done = tomocyte("measure", tmp_path / "two.ome.tif", tmp_path / "labels.tif", "-o", out, *more)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(out / "objects.csv")
    mask = labels == 4
    expected = pearson_corr_coeff(voxels[0], voxels[1], mask)[0]
    assert table.set_index("label").loc[4, "pearson_dna_golgi"] == pytest.approx(expected, rel=1e-9)
    assert table["threshold_golgi"].unique().tolist() == [350.0]
    described = pd.read_csv(out / "objects.dictionary.csv").set_index("column")
    assert "DNA and Golgi" in described.loc["pearson_dna_golgi", "meaning"]
    done = tomocyte("measure", tmp_path / "one.ome.tif", tmp_path / "labels.tif", "-o", tmp_path / "no", *more[:3])
    assert done.exit_code != 0
    assert "E-COLOCALISATION" in done.output
