"""Fields and reconstruction against the exact sphere and against odtbrain."""

import numpy as np
import odtbrain
import pytest

from tomocyte.errors import SettingsError
from tomocyte.simulation.instruments.odt import VARIANTS as TOMOGRAPHS
from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION
from tomocyte.simulation.physics.fields import reconstruct_odt, simulate_fields, simulate_odt_thick
from tomocyte.simulation.physics.formation import simulate_odt
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.simulation.physics.sphere import sphere_field, sphere_ri

MEDIUM = 1.335


def turned(n_rotations=60, objective_na=1.0):
    return TOMOGRAPHS["HL60-rotation"].model_copy(update={"n_rotations": n_rotations, "objective_na": objective_na})


def test_exact_sphere_is_recovered_as_odtbrain_recovers_it():
    """The exact scalar field of a sphere in; refractive index out; truth and odtbrain agree within 2 %."""
    wavelength, pixel, radius, delta_n, n = 0.647, 0.16, 1.6, 0.01, 48
    field = sphere_field(
        (n, n),
        (pixel, pixel),
        radius_um=radius,
        indices=(MEDIUM + delta_n, MEDIUM),
        wavelength_um=wavelength,
        objective_na=1.0,
    )
    sinogram = np.repeat(field[None], 60, axis=0)
    theirs = odtbrain.odt_to_ri(
        odtbrain.backpropagate_3d(
            odtbrain.sinogram_as_rytov(sinogram),
            np.linspace(0, 2 * np.pi, 60, endpoint=False),
            wavelength / pixel,
            MEDIUM,
            num_cores=1,
        ),
        wavelength / pixel,
        MEDIUM,
    ).real
    ours = reconstruct_odt(
        sinogram.astype(np.complex64),
        MEDIUM,
        voxel_size_um=(pixel,) * 3,
        instrument=turned(),
        n_planes=n,
        n_iterations=0,
    )
    truth = sphere_ri((n, n, n), (pixel,) * 3, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    inside = truth > MEDIUM + 0.999 * delta_n
    assert float(theirs[inside].mean() - MEDIUM) / delta_n == pytest.approx(1, abs=0.02)
    assert float(ours[inside].mean() - MEDIUM) / delta_n == pytest.approx(1, abs=0.02)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
    norm = np.linalg.norm(truth - MEDIUM)
    assert np.linalg.norm(ours - truth) / norm < 0.15
    assert np.linalg.norm(ours - truth) <= np.linalg.norm(theirs - truth)


def lopsided(n=48, pixel=0.15):
    """Three spheres off centre, so that a swapped or flipped axis shows."""
    ri = np.full((n, n - 4, n), MEDIUM, np.float32)
    for centre, radius, delta_n in (((23, 21, 24), 1.2, 0.006), ((17, 28, 28), 0.6, 0.008), ((31, 16, 17), 0.5, 0.01)):
        ball = sphere_ri(
            ri.shape,
            (pixel,) * 3,
            radius_um=radius,
            sphere_index=MEDIUM + delta_n,
            medium_ri=MEDIUM,
            centre_um=tuple(pixel * c for c in centre),
        )
        ri = np.maximum(ri, ball)
    return ri


def test_turning_the_cell_and_back():
    """Rotating fields (spatial rotation) and their reconstruction (Fourier) agree with the one-step image formation."""
    ri, voxel, instrument = lopsided(), (0.15,) * 3, turned(80)
    fields = simulate_fields(ri, MEDIUM, voxel_size_um=voxel, instrument=instrument, model="rytov")
    ours = reconstruct_odt(
        fields, MEDIUM, voxel_size_um=voxel, instrument=instrument, n_planes=ri.shape[0], n_iterations=0
    )
    bare = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 0})
    fast = simulate_odt(
        ri,
        MEDIUM,
        voxel_size_um=voxel,
        instrument=instrument,
        degradation=bare,
        rng=np.random.default_rng(1),
    )
    norm = np.linalg.norm(fast - MEDIUM)
    assert np.linalg.norm(ours - fast) / norm < 0.05
    assert np.linalg.norm(ours[:, :, ::-1] - fast) / norm > 0.2


@pytest.mark.parametrize(("model", "approximation"), [("born", "born"), ("rytov", "rytov"), ("multi-slice", "rytov")])
def test_steered_beams_there_and_back(model, approximation):
    """A sphere's contrast comes back from the fields of every forward model."""
    radius, delta_n, voxel, shape = 2.0, 0.005, (0.15, 0.1, 0.11), (64, 80, 76)
    ri = sphere_ri(shape, voxel, radius_um=radius, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    instrument = TOMOGRAPHS["HT-2H"]
    fields = simulate_fields(ri, MEDIUM, voxel_size_um=voxel, instrument=instrument, model=model)
    assert fields.shape == (49, 80, 76)
    result = reconstruct_odt(
        fields,
        MEDIUM,
        voxel_size_um=voxel,
        instrument=instrument,
        n_planes=64,
        approximation=approximation,
        n_iterations=40,
    )
    inside = ri > MEDIUM + 0.999 * delta_n
    assert float(result[inside].mean() - MEDIUM) / delta_n == pytest.approx(1, abs=0.04)


def test_off_centre_beads_come_back_in_their_place():
    """Centre of mass of a bead off every axis, from steered multi-slice fields, within a third of a voxel."""
    voxel, shape, centre = (0.16, 0.1, 0.11), (48, 72, 64), (3.0, 4.4, 2.6)
    ri = sphere_ri(shape, voxel, radius_um=0.8, sphere_index=MEDIUM + 0.01, medium_ri=MEDIUM, centre_um=centre)
    fields = simulate_fields(ri, MEDIUM, voxel_size_um=voxel, instrument=TOMOGRAPHS["HT-2H"])
    result = reconstruct_odt(
        fields, MEDIUM, voxel_size_um=voxel, instrument=TOMOGRAPHS["HT-2H"], n_planes=48, n_iterations=20
    )
    weight = np.clip(result - MEDIUM - 0.003, 0, None).astype(np.float64)
    found = [
        float((weight * axis).sum() / weight.sum())
        for axis in np.meshgrid(*[np.arange(n) * d for n, d in zip(shape, voxel, strict=True)], indexing="ij")
    ]
    np.testing.assert_allclose(found, centre, atol=0.05)


def test_thick_way_is_the_fast_way_for_thin_matter():
    """Where light scatters once, fields and reconstruction give the one-step tomogram, its noise included."""
    voxel, shape, delta_n = (0.2, 0.11, 0.1), (40, 88, 84), 0.001
    ri = sphere_ri(shape, voxel, radius_um=2.0, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    keys = {"voxel_size_um": voxel, "instrument": TOMOGRAPHS["HT-2H-58deg"]}
    bare = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 30})
    fast = simulate_odt(ri, MEDIUM, **keys, degradation=bare, rng=np.random.default_rng(1))
    thick = simulate_odt_thick(ri, MEDIUM, **keys, degradation=bare, rng=np.random.default_rng(1))
    assert np.linalg.norm(thick - fast) / np.linalg.norm(fast - MEDIUM) < 0.1
    noisy = bare.model_copy(update={"noise_ri_std": 1e-3, "n_iterations": 0, "medium_ri_error": 0.002})
    flat = np.full(shape, MEDIUM, np.float32)
    noise = simulate_odt_thick(flat, MEDIUM, **keys, degradation=noisy, rng=np.random.default_rng(1)) - MEDIUM
    assert float(noise.std()) == pytest.approx(1e-3, rel=0.05)
    assert float(noise.mean()) == pytest.approx(0.002, abs=1e-4)


def test_thick_sphere_is_imaged_with_its_contrast_inside_the_pupil():
    """A phase of 1.9 rad: Δn within a tenth by beams at 58°."""
    voxel, shape, delta_n = (0.25, 0.12, 0.11), (52, 120, 126), 0.02
    ri = sphere_ri(shape, voxel, radius_um=4.0, sphere_index=MEDIUM + delta_n, medium_ri=MEDIUM)
    instrument = TOMOGRAPHS["HT-2H-58deg"].model_copy(update={"is_coarse_grid_allowed": True, "n_azimuths": 24})
    bare = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": 15})
    thick = simulate_odt_thick(
        ri, MEDIUM, voxel_size_um=voxel, instrument=instrument, degradation=bare, rng=np.random.default_rng(1)
    )
    inside = ri > MEDIUM + 0.99 * delta_n
    assert float(thick[inside].mean(dtype=np.float64) - MEDIUM) == pytest.approx(delta_n, rel=0.1)


def test_what_cannot_be_turned_or_counted_is_refused():
    ri = np.full((20, 20, 24), MEDIUM, np.float32)
    with pytest.raises(SettingsError, match="E-OPTICS-ROTATION"):
        simulate_fields(ri, MEDIUM, voxel_size_um=(0.15, 0.15, 0.15), instrument=turned())
    with pytest.raises(SettingsError, match="E-OPTICS-FIELDS"):
        reconstruct_odt(
            np.ones((3, 20, 24), np.complex64),
            MEDIUM,
            voxel_size_um=(0.15, 0.1, 0.1),
            instrument=OdtInstrument(),
            n_planes=20,
        )
    with pytest.raises(SettingsError, match="multi-slice"):
        simulate_fields(ri, MEDIUM, voxel_size_um=(0.15, 0.1, 0.1), instrument=OdtInstrument(), model="wolf")
