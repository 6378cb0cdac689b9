"""A calibration learned from images whose truth was drawn from known probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from tomocyte.confidence.assessment import Examined, assess, auc, object_rows, rank_correlation
from tomocyte.confidence.calibration import Calibration, fit_calibration
from tomocyte.errors import InputError

SIZE_UM = (0.3, 0.2, 0.15)
SHAPE = (18, 22, 30)
SLOPE, BIAS = 0.6, -0.7
"""What the network of these tests gets wrong: the truth is drawn from sigmoid(0.6 logit(p) - 0.7)."""


def examined(seed: int, *, figures: dict[str, float] | None = None, **changes: object) -> Examined:
    """Two balls; the truth's radius is drawn, p follows from its distribution and is then distorted.

    Nuclei are drawn voxel by voxel, which is what a reliability curve is about.
    """
    rng = np.random.default_rng(seed)
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(SHAPE, SIZE_UM, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    true_p, truth, found = np.zeros(SHAPE), np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint8)
    for number, centre in enumerate((-1.1, 1.1), 1):
        r = np.sqrt(z**2 + y**2 + (x - centre) ** 2)
        radius, sd = rng.uniform(0.7, 0.95), 0.08
        p = stats.norm.sf((r - radius) / sd)
        true_p += p
        found[p > 0.5] = number
        truth[r < rng.normal(radius, sd)] = 3 - number
    nucleus_p = rng.uniform(0.02, 0.98, SHAPE)
    said = [special.expit((special.logit(np.clip(p, 1e-6, 1 - 1e-6)) - BIAS) / SLOPE) for p in (true_p, nucleus_p)]
    image = (1.337 + 0.02 * (true_p + 0.1)).astype(np.float32)
    fields: dict[str, object] = {
        "name": f"field {seed}",
        "image": image,
        "voxel_size_um": SIZE_UM,
        "medium": 1.337,
        "probability": np.rint(255 * np.stack(said)).astype(np.uint8),
        "labels": {"cell": found, "nucleus": np.zeros(SHAPE, np.uint8)},
        "truth": {"cell": truth, "nucleus": (rng.random(SHAPE) < nucleus_p).astype(np.uint32)},
        "outputs": {"cell": 0, "nucleus": 1},
        "figures": figures,
    }
    return Examined(**{**fields, **changes})  # type: ignore[arg-type]


def fields(*seeds: int) -> Iterator[Examined]:
    return (examined(seed) for seed in seeds)


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    return fit_calibration(lambda: fields(*range(20)))


def test_slope_and_bias_of_the_distortion_are_found(fitted: Calibration) -> None:
    """20 fields of 11,880 independent voxels."""
    nucleus = fitted.structures["nucleus"]
    assert nucleus.slope == pytest.approx(SLOPE, abs=0.01)
    assert nucleus.bias == pytest.approx(BIAS, abs=0.03)
    assert nucleus.volume is None  # no object was found
    assert nucleus.n_objects == 0


def test_calibration_holds_on_other_images(fitted: Calibration) -> None:
    found = assess(fields(*range(100, 130)), fitted.structures).figures()
    assert found["nucleus"]["ece_before"] > 0.1
    assert found["nucleus"]["ece_after"] < 0.01
    assert math.isnan(found["nucleus"]["volume_coverage"])
    cell = found["cell"]
    assert cell["n_objects"] == 60
    # Binomial of 60 at 0.9 (SD 0.04) and ends learned from 40 objects (SD 0.05).
    assert cell["volume_coverage"] >= 0.77
    assert cell["dry_mass_coverage"] >= 0.77
    assert 0.05 < cell["volume_width"] < 2


def test_truth_and_objects_are_paired_whatever_their_numbers() -> None:
    """The true balls carry each other's number."""
    one = examined(1)
    rows = object_rows(one, "cell", None)
    assert rows["true_label"].tolist() == [2, 1]
    for row in rows.itertuples():
        found, truth = one.labels["cell"] == row.label, one.truth["cell"] == row.true_label
        assert row.iou == pytest.approx((found & truth).sum() / (found | truth).sum())
        assert row.volume_ratio == pytest.approx(truth.sum() / found.sum())
        held = one.image.astype(float) - 1.337
        assert row.dry_mass_ratio == pytest.approx(held[truth].sum() / held[found].sum(), rel=1e-4)


def test_objects_without_a_partner_have_no_ratio() -> None:
    rows = object_rows(examined(1, truth={"cell": np.zeros(SHAPE, np.uint32)}), "cell", None)
    assert rows["iou"].tolist() == [0, 0]
    assert rows["volume_ratio"].isna().all()


def test_truth_is_read_at_the_networks_voxels() -> None:
    """The network's grid is twice as coarse: every voxel of it lies in a block of eight equal ones of the truth."""
    coarse = examined(2)
    big = {name: truth.repeat(2, 0).repeat(2, 1).repeat(2, 2) for name, truth in coarse.truth.items()}
    fine = examined(2, truth={"nucleus": big["nucleus"]}, labels={"nucleus": np.zeros_like(big["nucleus"])},
                    image=np.zeros(big["nucleus"].shape, np.float32))  # fmt: skip
    ours, theirs = (
        fit_calibration(lambda one=one: iter([one])).structures["nucleus"]  # type: ignore[misc]
        for one in (fine, coarse)
    )
    assert (ours.slope, ours.bias) == (theirs.slope, theirs.bias)


def test_domain_is_learned_from_enough_training_images_only() -> None:
    rng = np.random.default_rng(0)
    seen = [{"noise": float(rng.normal()), "level": float(rng.normal())} for _ in range(30)]
    held_out = lambda: iter([examined(1, figures={"noise": 0.1, "level": 0.0})])  # noqa: E731
    fitted = fit_calibration(held_out, seen)
    assert fitted.distribution is not None
    assert fitted.distribution.n_images == 30
    assert fit_calibration(held_out, seen[:19]).distribution is None
    unlike = iter([examined(3, figures={"noise": 50.0, "level": 0.0})])
    far = assess(unlike, fitted.structures, fitted.distribution)
    assert far.distances["field 3"] > 1


def test_nothing_to_calibrate_on_is_refused() -> None:
    with pytest.raises(InputError, match="E-NO-DATA"):
        fit_calibration(lambda: iter([]))


def test_rank_figures_are_those_of_scipy_and_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    score = np.round(rng.random(50), 1)
    iou = 0.5 * score + 0.5 * rng.random(50)
    assert rank_correlation(score, iou) == pytest.approx(stats.spearmanr(score, iou).statistic)
    assert auc(score, iou > 0.5) == pytest.approx(roc_auc_score(iou > 0.5, score))
    assert math.isnan(auc(score, iou > 2))
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
