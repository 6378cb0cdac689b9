"""Several channels: what the columns are called, what they hold, and that geometry is not measured again."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from tomocyte.errors import MetadataError, SettingsError
from tomocyte.measurements import PlanesImage, _object_kernels, measure, measurement, measurements, object_measurements
from tomocyte.measurements._crofton import REACHES
from tomocyte.measurements.channels import channel_suffixes
from tomocyte.modalities import modalities
from tomocyte.tables import data_dictionary

VOXEL = (0.31, 0.17, 0.13)
NAMES = ["volume_um3", "mean_intensity", "sd_intensity", "p95_value"]


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A dozen objects and three channels, one with a NaN."""
    rng = np.random.default_rng(8)
    labels = ndimage.label(ndimage.binary_dilation(rng.random((9, 30, 40)) < 0.003, iterations=2))[0].astype(np.uint32)
    image = rng.normal(100, 20, (3, *labels.shape)).astype(np.float32)
    image[1].flat[np.flatnonzero(labels == 2)[3]] = np.nan
    return labels, image


def test_each_channel_against_scipy(scene) -> None:
    labels, image = scene
    table = measure(
        labels, image, VOXEL, structure="cell", names=NAMES, channel_names=["DAPI", "Actin 488", "Phalloidin/568"]
    )
    assert list(table)[1:11] == [
        "volume_um3",
        "mean_intensity_dapi", "mean_intensity_actin_488", "mean_intensity_phalloidin_568",
        "sd_intensity_dapi", "sd_intensity_actin_488", "sd_intensity_phalloidin_568",
        "p95_value_dapi", "p95_value_actin_488", "p95_value_phalloidin_568",
    ]  # fmt: skip
    numbers = table["label"].to_numpy()
    assert len(numbers) > 5
    for index, suffix in enumerate(("dapi", "actin_488", "phalloidin_568")):
        wide = image[index].astype(np.float64)
        inside = np.where(np.isfinite(wide), labels, 0)
        wide = np.nan_to_num(wide)
        np.testing.assert_allclose(table[f"mean_intensity_{suffix}"], ndimage.mean(wide, inside, numbers), rtol=1e-12)
        deviation = ndimage.standard_deviation(wide, inside, numbers)
        np.testing.assert_allclose(table[f"sd_intensity_{suffix}"], deviation, rtol=1e-9)
        p95 = [np.percentile(wide[inside == number], 95) for number in numbers]
        np.testing.assert_allclose(table[f"p95_value_{suffix}"], p95, rtol=1e-12)


def test_one_channel_keeps_the_plain_names_and_values(scene) -> None:
    labels, image = scene
    expected = measure(labels, image[1:2], VOXEL, structure="cell", names=NAMES)
    named = measure(labels, image[1:2], VOXEL, structure="cell", names=NAMES, channel_names=["Actin 488"])
    assert list(expected)[1:5] == NAMES
    pd.testing.assert_frame_equal(named, expected, check_exact=True)
    every = measure(labels, image, VOXEL, structure="cell", names=NAMES)
    for name in NAMES[1:]:
        assert every[f"{name}_channel_1"].equals(expected[name])
    assert every["volume_um3"].equals(expected["volume_um3"])


def test_a_measurement_is_made_on_the_channels_that_hold_what_it_needs(scene) -> None:
    labels, image = scene
    table = measure(
        labels, image, VOXEL, structure="cell", names=["mean_ri", "mean_intensity", "mean_value"],
        channel_names=["RI", "GFP", "RFP"], channel_quantities=["refractive_index", "intensity", "intensity"],
    )  # fmt: skip
    assert list(table)[1:7] == [
        "mean_ri", "mean_intensity_gfp", "mean_intensity_rfp", "mean_value_ri", "mean_value_gfp", "mean_value_rfp"
    ]  # fmt: skip
    assert table["mean_ri"].equals(table["mean_value_ri"])
    assert table["mean_intensity_rfp"].equals(table["mean_value_rfp"])


def test_the_only_channel_that_fits_need_not_be_the_first(scene) -> None:
    labels, image = scene
    table = measure(
        labels, image[:2], VOXEL, structure="cell", names=["mean_ri"], channel_quantities=["intensity", None]
    )
    expected = measure(labels, image[1:2], VOXEL, structure="cell", names=["mean_ri"])
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_geometry_is_measured_once_for_all_channels(scene, monkeypatch) -> None:
    calls = []
    for name in ("object_sums", "object_crossings"):
        real = getattr(_object_kernels, name)
        monkeypatch.setattr(_object_kernels, name, lambda *a, real=real, name=name: calls.append(name) or real(*a))

    @measurement(quantity="any", when_empty="NaN for small objects")
    def value_per_area_per_um2(region) -> float:
        """Mean value divided by the mean shadow, which no other column asks for."""
        return region.summary.mean / region.mean_projection

    labels, image = scene
    table = measure(
        labels, image, VOXEL, structure="cell", names=["mean_value"], extra_measurements=[value_per_area_per_um2]
    )
    assert "value_per_area_per_um2_channel_2" in table
    # Each once for the region of every object; the sums once more for the table.
    assert calls.count("object_sums") == len(table) + 1
    # The surface tries one set of steps after the other until one suits the object.
    assert len(table) <= calls.count("object_crossings") <= len(table) * len(REACHES)


def test_a_reader_is_asked_once_for_each_plane_of_each_channel(scene) -> None:
    labels, image = scene
    asked = []

    def read(channel: int, start: int, stop: int) -> np.ndarray:
        asked.append((channel, start, stop))
        return image[channel, start:stop]

    expected = measure(labels, image, VOXEL, structure="cell", names=NAMES)
    lazy = measure(labels, PlanesImage(image.shape, read), VOXEL, structure="cell", names=NAMES)
    pd.testing.assert_frame_equal(lazy, expected)
    assert sorted({channel for channel, *_ in asked}) == [0, 1, 2]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["DAPI"], ["dapi"]),
        (["Alexa Fluor 488", "α-Tubulin", "c.2/λ=561 nm"], ["alexa_fluor_488", "α_tubulin", "c_2_λ_561_nm"]),
        (["GFP", "gfp ", "RFP"], ["gfp_0", "gfp_1", "rfp"]),
        (["gfp", "GFP", "GFP 0"], ["gfp_0_0", "gfp_1", "gfp_0_2"]),
        (["", "  ", "??"], ["channel_0", "channel_1", "channel_2"]),
        (["channel 1", "", "x"], ["channel_1_0", "channel_1_1", "x"]),
        ([], []),
    ],
)
def test_names_of_channels_in_columns(names, expected) -> None:
    assert channel_suffixes(names) == expected


def test_the_dictionary_names_the_channel() -> None:
    columns = [one.column for one in object_measurements(NAMES, channel_names=["DAPI", ""])]
    described = data_dictionary(columns).set_index("column")
    assert described.loc["mean_intensity_dapi", "meaning"] == "Mean intensity (fluorescence), channel DAPI."
    assert described.loc["mean_intensity_channel_1", "meaning"] == "Mean intensity (fluorescence), channel 1."
    assert described.loc["mean_intensity_dapi", "unit"] == "native"
    assert described.loc["mean_intensity_dapi", "nan_reason"].startswith("NaN without an image")
    assert list(described.index) == [
        "volume_um3", "mean_intensity_dapi", "mean_intensity_channel_1", "sd_intensity_dapi", "sd_intensity_channel_1",
        "p95_value_dapi", "p95_value_channel_1",
    ]  # fmt: skip


def test_every_modality_asks_only_for_what_its_image_holds() -> None:
    for kind in modalities().values():
        for quantity in (kind.quantity, *kind.alternatives):
            for is_planar in (False, True):
                names = kind.columns(quantity, is_planar=is_planar)
                of_ratio = [name for name in names if name.endswith("_ratio")]
                others = [name for name in names if name not in of_ratio]
                for part, held in ((others, quantity), (of_ratio, "ratio")):
                    assert [one.name for one in object_measurements(part, channel_quantities=[held])] == part
    assert {one.quantity for one in measurements("object").values()} == {
        None, "any", "refractive_index", "phase", "dry_mass_density", "linear_absorption_coefficient", "intensity",
        "ratio",
    }  # fmt: skip


def test_without_an_image_the_columns_are_there_and_empty(scene) -> None:
    labels, _ = scene
    table = measure(labels, None, VOXEL, structure="cell", names=["n_voxels", "mean_value"], channel_names=["a", "b"])
    assert list(table)[1:4] == ["n_voxels", "mean_value_a", "mean_value_b"]
    assert table[["mean_value_a", "mean_value_b"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"channel_names": ["one", "two"]}, MetadataError, "E-CHANNEL"),
        ({"channel_quantities": ["intensity"]}, MetadataError, "E-CHANNEL"),
        ({"channel_quantities": ["intensity"] * 3}, SettingsError, "E-MEASUREMENT-QUANTITY"),
        ({"names": ["mean_value", "mean_value"]}, SettingsError, "E-MEASUREMENT-CLASH"),
        ({"names": ["mean_value", "net_displacement_um"]}, SettingsError, "E-MEASUREMENT-NAME"),
    ],
)
def test_what_does_not_fit_the_image_is_refused(scene, changes, error, code) -> None:
    labels, image = scene
    with pytest.raises(error) as caught:
        measure(labels, image, VOXEL, structure="cell", **{"names": ["mean_ri"], **changes})
    assert caught.value.code == code


def test_a_planar_image_of_two_channels() -> None:
    labels = np.zeros((1, 5, 6), np.uint8)
    labels[0, 1:3, 2:5] = 4
    image = np.stack([np.full(labels.shape, 2.0), np.full(labels.shape, 0.5)])
    table = measure(
        labels,
        image,
        (math.nan, 0.2, 0.3),
        structure="cell",
        names=["area_um2", "mean_value"],
        channel_names=["p", "q"],
    )
    np.testing.assert_allclose(table[["area_um2", "mean_value_p", "mean_value_q"]], [[0.36, 2.0, 0.5]])
