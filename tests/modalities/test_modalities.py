"""Every modality: a plausible volume passes, the usual mistakes are refused, the normalisation inverts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tomocyte.errors import ModalityError, SettingsError
from tomocyte.measurements import measurements
from tomocyte.modalities import Modality, modalities, modality
from tomocyte.modalities.qpi import phase_to_dry_mass_density
from tomocyte.structures import Structure, structure, structures
from tomocyte.volume import Volume

# Background and object values from the literature, in the modality's unit.
PLAUSIBLE = {
    "odt": (1.337, 1.36),
    "qpi": (0.0, 1.2),
    "sxt": (0.05, 0.4),
    "nile_red": (100.0, 9000.0),
    "fluorescence": (100.0, 9000.0),
    "labels": (0.0, 7.0),
}


def ball_image(background: float, inside: float) -> np.ndarray:
    z, y, x = np.indices((12, 16, 20))
    return np.where((z - 6) ** 2 + (y - 8) ** 2 + (x - 10) ** 2 < 20, inside, background).astype(np.float32)


@pytest.mark.parametrize("kind", modalities().values(), ids=lambda kind: kind.name)
def test_contract(kind: Modality) -> None:
    image = ball_image(*PLAUSIBLE[kind.name])
    volume = Volume.from_array(np.stack([image] * len(kind.channels)), voxel_size_um=(0.3, 0.2, 0.1))
    kind.check_channels(volume)
    kind.check_values(image[None], volume)
    normal = kind.normalization.apply(image)
    np.testing.assert_allclose(kind.normalization.invert(normal), image, rtol=1e-6, atol=1e-7)
    assert set(kind.measurements) <= set(measurements())
    assert {entry.name for entry in kind.structures} <= {entry.name for entry in structures()}


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("odt", ball_image(13370, 13600)),
        ("odt", ball_image(0, 0.023)),
        ("odt", ball_image(20, 200)),
        ("qpi", ball_image(300, 2000)),
    ],
    ids=["RI x 10000", "RI minus medium", "8-bit fluorescence", "16-bit grey"],
)
def test_usual_mistakes_are_refused_with_a_cure(name: str, image: np.ndarray) -> None:
    with pytest.raises(ModalityError, match="E-MODALITY-RANGE") as caught:
        modality(name).check_values(image[None], Volume.from_array(image))
    assert "--force" in caught.value.cure
    assert len(caught.value.cure) > len("Or continue with --force; this is recorded in every output.")


def test_nan_voxels_do_not_hide_the_values() -> None:
    image = ball_image(1.337, 1.36)
    image[:, :, :5] = np.nan
    modality("odt").check_values(image[None], Volume.from_array(image))


@pytest.mark.parametrize(
    ("name", "stored", "said", "settled"),
    [
        ("odt", None, None, "refractive_index"),
        ("odt", "intensity", None, "refractive_index"),
        ("qpi", None, "phase", "phase"),
        ("qpi", "phase", None, "phase"),
    ],
)
def test_quantity_is_settled(name: str, stored: str | None, said: str | None, settled: str) -> None:
    volume = Volume.from_array(np.zeros((4, 5, 6)), quantity=stored)
    assert modality(name).settle_quantity(volume, said) == settled


@pytest.mark.parametrize(
    ("name", "stored", "said", "code"),
    [
        ("qpi", None, None, "E-QUANTITY"),
        ("odt", "linear_absorption_coefficient", None, "E-MODALITY"),
        ("odt", None, "phase", "E-MODALITY"),
        ("odt", "labels", None, "E-MODALITY"),
    ],
)
def test_quantity_is_never_guessed(name: str, stored: str | None, said: str | None, code: str) -> None:
    with pytest.raises(ModalityError) as caught:
        modality(name).settle_quantity(Volume.from_array(np.zeros((4, 5, 6)), quantity=stored), said)
    assert caught.value.code == code


def test_two_channels_are_needed() -> None:
    with pytest.raises(ModalityError, match="yellow, red"):
        modality("nile_red").check_channels(Volume.from_array(np.zeros((4, 5, 6))))


def test_unknown_modality_lists_the_known() -> None:
    with pytest.raises(SettingsError, match="odt"):
        modality("oct")


def test_dry_mass_needs_a_refractive_index() -> None:
    """Choi et al. 2021 give α for refractive-index tomograms; an absorption coefficient or an intensity has none."""
    assert modality("odt").structure("lipid droplets").refraction_increment_ml_per_g == 0.135
    assert modality("odt").structure("my own").refraction_increment_ml_per_g == 0.19
    for name in ("sxt", "nile_red", "fluorescence", "qpi"):
        assert modality(name).structure("lipid_droplet").refraction_increment_ml_per_g is None


def test_one_file_is_enough_for_a_modality_with_a_new_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry, and so every picture, knows the structure as soon as the modality is read."""
    monkeypatch.setattr("tomocyte.structures._REGISTERED", {entry.name: entry for entry in structures()})
    monkeypatch.setattr("tomocyte.structures._ALIASES", {})
    spore = Structure("spore", "spore in a bacterium", "cell", "#102030")
    kind = replace(modality("odt"), name="new", structures=(*structures("cell"), spore))
    assert structure("spores") is spore
    assert kind.structure("spore") is spore
    projected = replace(structure("cell"), description="whole cell, projected")
    assert replace(kind, structures=(projected,)).structure("cell") is projected
    assert structure("cell").description != projected.description


def test_phase_of_a_sphere_gives_its_dry_mass() -> None:
    """∫ 2k Δn √(R²-r²) dA · λ/(2πα) = Δn V / α = 55.116 pg for R = 5 µm, Δn = 0.02."""
    wavelength_um, radius_um, contrast, pixel_um = 0.532, 5.0, 0.02, 0.02
    y, x = (np.indices((560, 560)) - 279.5) * pixel_um
    thickness = 2 * np.sqrt(np.clip(radius_um**2 - x**2 - y**2, 0, None))
    density = phase_to_dry_mass_density(2 * math.pi / wavelength_um * contrast * thickness, wavelength_um)
    assert float(density.sum(dtype=np.float64)) * pixel_um**2 == pytest.approx(55.116, rel=1e-4)


@pytest.mark.parametrize(
    ("offset", "scale", "physical", "network"), [(1.337, 0.02, [1.337, 1.357, 1.317], [0, 1, -1]), (0, 2, [3], [1.5])]
)
def test_a_normalisation_and_its_inverse(
    offset: float, scale: float, physical: list[float], network: list[float]
) -> None:
    scaling = replace(modality("odt").normalization, offset=offset, scale=scale)
    found = scaling.apply(np.array(physical))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, network, atol=2e-5)
    np.testing.assert_allclose(scaling.invert(found), physical, rtol=1e-6)
