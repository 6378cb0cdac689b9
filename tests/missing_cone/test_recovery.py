"""What limited angles lost: parts, potentials, columns and objects, against numbers known beforehand."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import scipy.fft

from tomocyte.missing_cone.blocks import field_potentials
from tomocyte.missing_cone.columns import background, column_contrasts
from tomocyte.missing_cone.evidence import cone_recovery
from tomocyte.missing_cone.objects import recover, voxels_by_part
from tomocyte.missing_cone.parts import divide
from tomocyte.missing_cone.potential import contrast_of, potential_of
from tomocyte.missing_cone.small import near_in_planes
from tomocyte.missing_cone.transfer import part_potentials
from tomocyte.simulation.physics.degradation import NO_ODT_DEGRADATION
from tomocyte.simulation.physics.formation import simulate_odt
from tomocyte.simulation.physics.fourier_support import MIN_COVERAGE, fourier_coverage
from tomocyte.simulation.physics.optics import OdtInstrument

MEDIUM = 1.337
VOXEL = (0.4, 0.25, 0.2)
SHAPE = (60, 96, 110)
INSTRUMENT = OdtInstrument(is_coarse_grid_allowed=True)
ALPHA = {"cell": 0.19, "nucleus": 0.19, "lipid_droplet": 0.135}


def support(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> np.ndarray:
    return fourier_coverage(shape, MEDIUM, voxel_size_um=voxel_size_um, instrument=INSTRUMENT) >= MIN_COVERAGE


def ball(centre_um: tuple[float, float, float], radius_um: float, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * step for n, step in zip(shape, VOXEL, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return (z - centre_um[0]) ** 2 + (y - centre_um[1]) ** 2 + (x - centre_um[2]) ** 2 < radius_um**2


def tomogram(ri: np.ndarray, *, n_iterations: int = 15, **changes: float) -> np.ndarray:
    degradation = NO_ODT_DEGRADATION.model_copy(update={"n_iterations": n_iterations, **changes})
    rng = np.random.default_rng(1)
    return simulate_odt(ri, MEDIUM, voxel_size_um=VOXEL, instrument=INSTRUMENT, degradation=degradation, rng=rng)


@pytest.mark.parametrize("ri", [1.33, 1.337, 1.36, 1.45])
def test_the_potential_is_the_difference_of_the_squares(ri: float) -> None:
    potential = potential_of(np.array([ri]), MEDIUM)
    assert potential[0] == pytest.approx((ri**2 - MEDIUM**2) / (2 * MEDIUM), abs=2e-7)
    assert contrast_of(potential.astype(np.float64), MEDIUM)[0] == pytest.approx(ri - MEDIUM, abs=2e-7)


def test_voxels_without_a_number_are_medium() -> None:
    assert potential_of(np.array([np.nan, np.inf, MEDIUM]), MEDIUM).tolist() == pytest.approx([0, 0, 0], abs=1e-7)


class TestParts:
    """A cube of 12³ voxels of 0.5 µm, with a nucleus of 40.5 µm³, one droplet in it and one in the cytoplasm."""

    labels: ClassVar = {name: np.zeros((20, 22, 24), np.uint8) for name in ("lipid_droplet", "nucleus", "cell")}
    labels["cell"][4:16, 4:16, 4:16] = 7
    labels["nucleus"][6:13, 6:13, 6:13] = 2
    labels["lipid_droplet"][9, 9, 9] = 1
    labels["lipid_droplet"][14, 14, 14] = 5
    field = divide(labels, (0.5, 0.5, 0.5))

    def test_every_part_is_counted_by_hand(self) -> None:
        sizes = dict(zip(self.field.parts, np.bincount(self.field.index.ravel())[1:].tolist(), strict=True))
        counts = {(part.structure, part.kind): n for part, n in sizes.items()}
        # A rim of 0.8 µm is one voxel deep, one of 0.4 µm none; the shell is one voxel thick, faces only.
        assert counts == {
            ("cell", "core"): 10**3 - 7**3 - 1,
            ("cell", "rim"): 12**3 - 10**3,
            ("cell", "shell"): 6 * 12**2 + 12 * 12,
            ("nucleus", "core"): 7**3 - 1,
            ("lipid_droplet", "group"): 2,
        }
        assert {part.cell for part in self.field.parts} == {7}

    def test_voxels_of_objects_by_part(self) -> None:
        table = voxels_by_part(self.labels["nucleus"], self.field.index, len(self.field.parts))
        assert table.shape == (3, 5)
        assert sorted(table[2].tolist()) == [0, 0, 0, 1, 342]

    def test_two_shells_meet_in_the_middle(self) -> None:
        cells = np.zeros((6, 6, 12), np.uint8)
        cells[2:4, 2:4, 2:4], cells[2:4, 2:4, 6:8] = 1, 2
        field = divide({"cell": cells}, (0.5, 0.5, 0.4))
        shells = [number for number, part in enumerate(field.parts, 1) if part.kind == "shell"]
        assert field.index[2, 2, 4] == shells[0]
        assert field.index[2, 2, 5] == shells[1]

    def test_without_objects_there_are_no_parts(self) -> None:
        assert divide({"cell": np.zeros((4, 5, 6), np.uint8)}, VOXEL).parts == ()


class TestTransfer:
    """Boxes of known potential, seen through an instrument that measures no frequency in a cone around z."""

    index = np.zeros((24, 40, 50), np.int32)
    index[4:20, 8:30, 10:40] = 1
    index[8:14, 12:20, 14:26] = 2
    index[9:12, 24:28, 30:36] = 3
    truth = np.array([0.02, 0.05, -0.01])

    @staticmethod
    def cone(shape: tuple[int, int, int], voxel_size_um: tuple[float, float, float]) -> np.ndarray:
        z = np.abs(np.fft.fftfreq(shape[0], voxel_size_um[0]))[:, None, None]
        y = np.fft.fftfreq(shape[1], voxel_size_um[1])[None, :, None]
        x = np.fft.rfftfreq(shape[2], voxel_size_um[2])
        return np.asarray(np.hypot(y, x) >= 0.7 * z)

    def seen(self, *, offset: float = 0.0) -> np.ndarray:
        volume = np.concatenate([[0], self.truth])[self.index]
        spectrum = scipy.fft.rfftn(volume) * self.cone(self.index.shape, VOXEL)
        return (scipy.fft.irfftn(spectrum, s=self.index.shape) + offset).astype(np.float32)

    @pytest.mark.parametrize("offset", [0.0, 0.003])
    def test_the_values_come_back_whatever_the_medium(self, offset: float) -> None:
        seen = self.seen(offset=offset)
        assert abs(seen[self.index == 2].mean() - offset - 0.05) > 0.004  # the mask alone is wrong
        # Voxels of 0.2 µm are averaged in pairs, which leaves a little of what lies above the coarse grid's limit.
        found = part_potentials(seen, self.index, 3, VOXEL, self.cone)
        np.testing.assert_allclose(found, self.truth, atol=5e-4)

    def test_a_part_that_holds_two_others_is_their_mean(self) -> None:
        merged = np.minimum(self.index, 1)
        alone = part_potentials(self.seen(), merged, 1, VOXEL, self.cone)
        assert 0.02 < alone[0] < 0.03

    def test_no_parts_no_values(self) -> None:
        assert part_potentials(self.seen(), 0 * self.index, 0, VOXEL, self.cone).shape == (0,)

    def test_windows_around_cells_give_what_the_whole_field_gives(self) -> None:
        cells = np.zeros(SHAPE, np.uint8)
        for label, centre in enumerate([(12, 7, 6), (12, 8, 16), (12, 17, 11)], start=1):
            cells[ball(centre, 3.5)] = label
        ri = np.where(cells > 0, MEDIUM + 0.02 + 0.002 * cells, MEDIUM).astype(np.float32)
        field, potential = divide({"cell": cells}, VOXEL), potential_of(tomogram(ri), MEDIUM)
        whole = field_potentials(potential, field, VOXEL, support)
        pieces = field_potentials(potential, field, VOXEL, support, most_parts=0)
        np.testing.assert_allclose(pieces, whole, atol=1.5e-3)
        assert not np.array_equal(pieces, whole)


class TestObjects:
    """Published oracle: a ball of 5 µm with Δn = 0.02 weighs 55.116 pg at α = 0.19."""

    cells = ball((12, 12, 11), 5.0).astype(np.uint8)
    ri = np.where(cells > 0, MEDIUM + 0.02, MEDIUM).astype(np.float32)

    @pytest.mark.parametrize("offset", [0.0, 0.001])
    def test_a_ball_through_a_tomograph_weighs_what_it_weighs(self, offset: float) -> None:
        seen = tomogram(self.ri, n_iterations=0, medium_ri_error=offset)
        found = recover(
            seen, {"cell": self.cells}, VOXEL, medium_ri=MEDIUM, support=support, increments_ml_per_g=ALPHA
        )["cell"]
        in_mask = (seen[self.cells > 0] - MEDIUM - offset).sum() * math.prod(VOXEL) / 0.19
        assert in_mask < 49  # 12 % are lost
        assert found.dry_mass_pg.item() == pytest.approx(55.116, rel=0.015)
        assert found.contrast.item() == pytest.approx(0.02, abs=3e-4)
        assert found.label.tolist() == [1]

    def test_each_droplet_has_its_own_index_and_the_cell_all_of_their_mass(self) -> None:
        droplets = np.zeros(SHAPE, np.uint8)
        for label, centre in enumerate([(12, 10, 9), (11, 13, 13)], start=1):
            droplets[ball(centre, 0.9)] = label
        ri = self.ri.copy()
        ri[droplets == 1], ri[droplets == 2] = MEDIUM + 0.07, MEDIUM + 0.11
        labels = {"cell": self.cells, "lipid_droplet": droplets}
        found = recover(tomogram(ri), labels, VOXEL, medium_ri=MEDIUM, support=support, increments_ml_per_g=ALPHA)
        np.testing.assert_allclose(found["lipid_droplet"].contrast, [0.07, 0.11], rtol=0.1)
        voxel_um3, is_lipid = math.prod(VOXEL), droplets > 0
        mass = (ri[is_lipid] - MEDIUM).sum() / 0.135 + 0.02 / 0.19 * (self.cells[~is_lipid] > 0).sum()
        assert found["cell"].dry_mass_pg.item() == pytest.approx(mass * voxel_um3, rel=0.015)
        np.testing.assert_allclose(
            found["lipid_droplet"].dry_mass_pg,
            found["lipid_droplet"].contrast / 0.135 * np.bincount(droplets.ravel())[1:] * voxel_um3,
        )

    def test_organelles_and_the_rest_are_the_cell(self) -> None:
        nucleus = ball((12, 12, 11), 2.0).astype(np.uint8)
        ri = np.where(nucleus > 0, MEDIUM + 0.03, self.ri).astype(np.float32)
        rest = np.where(nucleus > 0, 0, self.cells).astype(np.uint8)
        found = recover(
            tomogram(ri, n_iterations=0), {"cell": self.cells, "nucleus": nucleus}, VOXEL, medium_ri=MEDIUM,
            support=support, increments_ml_per_g=ALPHA, cytoplasm=rest,
        )  # fmt: skip
        masses = {name: one.dry_mass_pg.item() for name, one in found.items()}
        assert masses["nucleus"] + masses["cytoplasm"] == pytest.approx(masses["cell"], rel=1e-9)
        assert masses["nucleus"] == pytest.approx((nucleus > 0).sum() * math.prod(VOXEL) * 0.03 / 0.19, rel=0.05)
        assert found["cytoplasm"].contrast.item() == pytest.approx(0.02, abs=5e-4)

    def test_without_an_increment_there_is_no_mass(self) -> None:
        found = recover(
            self.ri, {"cell": self.cells}, VOXEL, medium_ri=MEDIUM, support=support, increments_ml_per_g={"cell": None}
        )["cell"]
        assert np.isnan(found.dry_mass_pg).all()
        assert found.contrast.item() == pytest.approx(0.02, abs=3e-4)

    def test_a_field_without_cells_has_no_values(self) -> None:
        found = recover(
            self.ri, {"cell": 0 * self.cells}, VOXEL, medium_ri=MEDIUM, support=support, increments_ml_per_g=ALPHA
        )
        assert found["cell"].label.size == 0


class TestColumns:
    """Boxes of 10 × 15 × 20 voxels, Δn = 0.02, over a slope and an offset."""

    contrast = np.zeros((20, 60, 70), np.float32)
    contrast[5:15, 20:35, 20:40] = 0.02
    cells = (contrast > 0).astype(np.uint8) * 4
    exact_um3 = 0.02 * 3000 * math.prod(VOXEL)

    @pytest.mark.parametrize(("offset", "slope"), [(0, 0), (5e-4, 0), (-5e-4, 2e-6)])
    def test_a_box_weighs_what_it_weighs_whatever_the_background(self, offset: float, slope: float) -> None:
        contrast = self.contrast + np.float32(offset) + np.float32(slope) * np.arange(70, dtype=np.float32)
        columns = column_contrasts(contrast, self.cells, VOXEL)
        assert columns.label.tolist() == [4]
        assert columns.contrast_um3.item() == pytest.approx(self.exact_um3, rel=0.02)

    def test_smearing_along_z_changes_nothing(self) -> None:
        smeared = np.broadcast_to(self.contrast.mean(axis=0), self.contrast.shape).copy()
        whole = column_contrasts(self.contrast, self.cells, VOXEL).contrast_um3
        np.testing.assert_allclose(column_contrasts(smeared, self.cells, VOXEL).contrast_um3, whole, rtol=1e-5)

    def test_cells_over_each_other_share_by_what_they_hold(self) -> None:
        contrast, cells = 2 * self.contrast, self.cells.copy()
        contrast[10:15], cells[10:15][cells[10:15] > 0] = self.contrast[10:15], 9
        columns = column_contrasts(contrast, cells, VOXEL)
        np.testing.assert_allclose(columns.contrast_um3, [self.exact_um3, self.exact_um3 / 2], rtol=0.02)

    def test_a_field_full_of_cells_has_no_background(self) -> None:
        columns = column_contrasts(self.contrast, np.ones(self.contrast.shape, np.uint8), VOXEL)
        assert np.isnan(columns.contrast_um3).all()

    def test_the_background_is_interpolated_under_a_cell(self) -> None:
        y, x = np.meshgrid(np.arange(80) * 0.25, np.arange(90) * 0.2, indexing="ij")
        smooth = 0.01 + 0.004 * np.sin(x / 6) * np.cos(y / 6)
        is_free = np.hypot(y - 10, x - 9) > 4
        found = background(smooth, is_free, (0.25, 0.2))
        assert found is not None
        assert np.abs(found - smooth)[~is_free].max() < 8e-4
        assert np.abs(smooth - np.median(smooth[is_free]))[~is_free].max() > 2e-3


def test_labels_grow_in_their_planes_only() -> None:
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[1, 2, 2] = 3
    grown = near_in_planes(labels, (0.1, 0.2, 0.3), 0.25)
    assert np.argwhere(grown).tolist() == [[1, 1, 2], [1, 2, 2], [1, 3, 2]]


@pytest.mark.parametrize(("n_iterations", "geometry"), [(0, "limited"), (3, "limited"), (0, "complete")])
def test_a_tomogram_shows_whether_it_lacks_a_cone(n_iterations: int, geometry: str) -> None:
    cells = np.where(ball((12, 9, 8), 4.0), 1, np.where(ball((12, 17, 16), 4.0), 2, 0)).astype(np.uint8)
    ri = np.where(cells > 0, MEDIUM + 0.02, MEDIUM).astype(np.float32)
    seen = ri if geometry == "complete" else tomogram(ri, n_iterations=n_iterations)
    recovery = cone_recovery(seen - np.float32(MEDIUM), cells, VOXEL)
    if geometry == "complete":
        assert recovery == pytest.approx(1.0, abs=1e-3)
    else:
        assert recovery < 0.85
