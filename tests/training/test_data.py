"""Labelled images, targets and samples, against arrays that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.conftest import SHAPE, VOXEL_UM, disc_volume, small_recipe, write_pair

from tomocyte.datasets.labelled import LabelledItem, find_items
from tomocyte.errors import InputError
from tomocyte.training.data.patches import Labelled, draw_window, object_voxels, stored_window
from tomocyte.training.data.samples import Samples, batch_shape, crop_patch, pad_pair, resample_pair
from tomocyte.training.data.settings import IGNORE, DataSettings
from tomocyte.training.data.targets import make_targets
from tomocyte.training.training import check_positives, split_items


def settings(**changes: object) -> DataSettings:
    return small_recipe(data=changes).data


def test_sections_with_objects_are_counted_by_hand(data: Path) -> None:
    """Planes 2, 3, 4 of five images show the box of 14 x 16 pixels of 0.3 x 0.2 um = 13.44 um2."""
    items = find_items(data, settings())
    assert [place.z for place in Samples(items, settings(), n_axes=2).places] == [2, 3, 4] * 5
    assert len(Samples(items, settings(sections="all"), n_axes=2)) == 5 * SHAPE[0]
    assert len(Samples(items, settings(min_section_area_um2=13.43), n_axes=2)) == 15
    with pytest.raises(InputError, match="E-NO-POSITIVES"):
        Samples(items, settings(min_section_area_um2=13.45), n_axes=2)
    near = Samples(items[:1], settings(section_margin_um=0.5), n_axes=2)
    assert [place.z for place in near.places] == [1, 2, 3, 4, 5]
    few = Samples(items[:1], settings(max_sections_per_item=2), n_axes=2)
    assert [place.z for place in few.places] == [2, 4]


def test_a_section_is_normalised_and_its_target_is_the_box(data: Path) -> None:
    samples = Samples(find_items(data, settings()), settings(), n_axes=2)
    image, target = samples.whole(0)
    assert image.shape == (1, *SHAPE[1:])
    assert target.sum() == 14 * 16
    assert image[0][target[0] == 1].mean() == pytest.approx(1.0, abs=0.01)
    assert image[0][target[0] == 0].mean() == pytest.approx(0.0, abs=0.01)


def test_a_volume_is_one_sample_of_a_3d_network(data: Path) -> None:
    samples = Samples(find_items(data, settings()), settings(patch_shape=[4, 16, 24]), n_axes=3)
    image, target = samples.whole(0)
    assert (len(samples), image.shape, int(target.sum())) == (5, (1, *SHAPE), 3 * 14 * 16)
    patch, patch_target = samples.read(0, np.random.default_rng(0))
    assert patch.shape == (1, 4, 16, 24)
    assert patch_target.shape == (1, 4, 16, 24)


def test_the_working_pixel_size_changes_the_shape_not_the_field(data: Path) -> None:
    """40 x 48 pixels of 0.3 x 0.2 um are 12 x 9.6 um: 30 x 16 pixels of 0.4 x 0.6 um; the area stays."""
    chosen = settings(voxel_size_um=[None, 0.4, 0.6])
    image, target = Samples(find_items(data, chosen), chosen, n_axes=2).whole(0)
    assert image.shape == (1, 30, 16)
    assert target.sum() * 0.4 * 0.6 == pytest.approx(13.44, rel=0.12)


def test_resampling_keeps_unlabelled_pixels_unlabelled() -> None:
    target = np.zeros((1, 8, 8), np.uint8)
    target[0, :, 4:] = IGNORE
    target[0, :4, :4] = 1
    _, smaller = resample_pair(np.zeros((1, 8, 8), np.float32), target, (1.0, 1.0), (2.0, 2.0))
    assert smaller[0].tolist() == [[1, 1, IGNORE, IGNORE]] * 2 + [[0, 0, IGNORE, IGNORE]] * 2


def test_a_structure_that_nobody_labelled_gives_no_loss(tmp_path: Path) -> None:
    image, labels = disc_volume(np.random.default_rng(2))
    write_pair(tmp_path, "a", image, labels)
    write_pair(tmp_path, "b", image, labels)
    write_pair(tmp_path, "b", image, labels, structure="nucleolus")
    chosen = settings(structures=["nucleus", "nucleolus"])
    samples = Samples(find_items(tmp_path, chosen), chosen, n_axes=2)
    assert (samples.whole(0)[1][1] == IGNORE).all()
    assert set(np.unique(samples.whole(len(samples) - 1)[1])) == {0, 1}


def test_the_ignore_label_is_left_out() -> None:
    labels = np.array([[0, 1, 9], [2, 9, 0]])
    target = make_targets({"nucleus": labels}, settings(), (1.0, 1.0), ignore_label=9)
    assert target[0].tolist() == [[0, 1, IGNORE], [1, IGNORE, 0]]


def test_cores_leave_a_rim_between_touching_objects() -> None:
    """Two boxes of 9 x 9 that touch; without a rim of 2 um (pixels of 1 um) each keeps its pixels at depth > 2."""
    labels = np.zeros((13, 22), np.uint16)
    labels[2:11, 2:11], labels[2:11, 11:20] = 5, 6
    chosen = settings(targets="mask-and-core", core_depth_um=2.0)
    mask, core = make_targets({"nucleus": labels}, chosen, (1.0, 1.0))
    assert mask.sum() == 2 * 81
    expected = np.zeros_like(core)
    expected[4:9, 4:9] = expected[4:9, 13:18] = 1
    assert (core == expected).all()


def test_small_objects_keep_a_core() -> None:
    labels = np.zeros((9, 9), np.uint16)
    labels[3:6, 3:6] = 1
    chosen = settings(targets="mask-and-core", core_depth_um=5.0)
    assert make_targets({"nucleus": labels}, chosen, (1.0, 1.0))[1].sum() == 1


def test_patches_are_padded_with_ignored_pixels() -> None:
    image, target = np.ones((1, 5, 7), np.float32), np.ones((1, 5, 7), np.uint8)
    patch, patch_target = crop_patch(image, target, settings(patch_shape=[8, 6]), np.random.default_rng(0))
    assert patch.shape == (1, 8, 6)
    assert (patch_target[0, 5:] == IGNORE).all()
    assert (patch_target[0, :5] == 1).all()


def test_patches_are_centred_on_objects_as_often_as_asked() -> None:
    image, target = np.zeros((1, 64, 80), np.float32), np.zeros((1, 64, 80), np.uint8)
    target[0, 50, 70] = 1
    rng = np.random.default_rng(5)

    def share(object_share: float) -> float:
        chosen = settings(patch_shape=[16, 16], object_share=object_share)
        return float(np.mean([crop_patch(image, target, chosen, rng)[1].any() for _ in range(300)]))

    assert share(1.0) == 1.0
    # anywhere: 16 of 49 starts in y (34 to 48) hold row 50, 10 of 65 starts in x (55 to 64) hold column 70
    assert share(0.0) == pytest.approx(15 / 49 * 10 / 65, abs=0.06)


def test_padding_and_batch_shapes() -> None:
    assert batch_shape([(30, 40), (33, 20)], (16, 16)) == (48, 48)
    image, target = pad_pair(np.ones((2, 3, 4), np.float32), np.zeros((1, 3, 4), np.uint8), (4, 6))
    assert image.shape == (2, 4, 6)
    assert int((target == IGNORE).sum()) == 4 * 6 - 3 * 4


def test_nan_voxels_are_refused(tmp_path: Path) -> None:
    image, labels = disc_volume(np.random.default_rng(3))
    image[3, 5, 5] = np.nan
    write_pair(tmp_path, "a", image, labels)
    samples = Samples(find_items(tmp_path, settings()), settings(), n_axes=2)
    with pytest.raises(InputError, match="E-NAN"):
        samples.whole(1)
    assert np.isfinite(samples.whole(0)[0]).all()


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    image, labels = disc_volume(np.random.default_rng(3))
    write_pair(tmp_path, "a", image, labels[:, :, :-1])
    with pytest.raises(InputError, match="E-SHAPE"):
        Samples(find_items(tmp_path, settings()), settings(), n_axes=2)


def test_a_structure_that_never_appears_is_refused(tmp_path: Path) -> None:
    image, labels = disc_volume(np.random.default_rng(3))
    write_pair(tmp_path, "a", image, labels)
    write_pair(tmp_path, "a", image, np.zeros_like(labels), structure="nucleolus")
    chosen = settings(structures=["nucleus", "nucleolus"])
    samples = Samples(find_items(tmp_path, chosen), chosen, n_axes=2)
    with pytest.raises(InputError, match=r"E-CLASS-MISSING.*nucleolus"):
        check_positives(samples)


def test_a_share_of_the_groups_is_held_out() -> None:
    items = [LabelledItem(f"i{n}", Path(f"i{n}"), {}, f"g{n // 2}") for n in range(20)]
    sets = split_items(items, 0.2, seed=4)
    assert len(sets.validation) == 4
    assert not {item.group for item in sets.train} & {item.group for item in sets.validation}
    assert split_items(items, 0.2, seed=4) == sets
    benchmark = [
        LabelledItem(f"i{n}", Path(), {}, "", split) for n, split in enumerate(("train", "validation", "test"))
    ]
    chosen = split_items(benchmark, 0.2, seed=4)
    assert [[item.name for item in part] for part in (chosen.train, chosen.validation)] == [["i0"], ["i1"]]
    fewer = split_items(items, 0.0, seed=4, leaves_out="i1[0-8]$")
    assert [item.name for item in fewer.train] == [*(f"i{n}" for n in range(10)), "i19"]


def test_voxel_size_of_the_fixture_is_anisotropic() -> None:
    assert len(set(VOXEL_UM)) == 3
    assert len(set(SHAPE)) == 3


def test_windows_lie_around_objects_and_inside_the_volume() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [9, 29, 39]])
    for _ in range(200):
        z, y, x = draw_window((10, 30, 40), (4, 8, 16), centres, object_share=1.0, rng=rng)
        assert [part.stop - part.start for part in (z, y, x)] == [4, 8, 16]
        assert all(part.start >= 0 and part.stop <= n for part, n in zip((z, y, x), (10, 30, 40), strict=True))
        holds = [all(p.start <= c < p.stop for p, c in zip((z, y, x), cc, strict=True)) for cc in centres]
        assert any(holds)


def test_object_voxels_are_those_of_the_labels(data: Path) -> None:
    settings_ = settings(patch_shape=[4, 16, 24])
    samples = Samples(find_items(data, settings_)[:1], settings_, n_axes=3)
    image, labels = samples.volume(0)
    found = object_voxels(Labelled(image, labels, 0))
    truth = labels["nucleus"]
    assert truth is not None
    assert {tuple(voxel) for voxel in found} == {tuple(voxel) for voxel in np.argwhere(truth.planes(0, 0))}


def test_patches_lie_around_each_structure_equally_often_if_asked_for(tmp_path: Path) -> None:
    """Of two structures, 8,000 voxels in one half and a single one in the other: the share of patches that hold it."""
    image, large, single = np.zeros((10, 40, 60)), np.zeros((10, 40, 60)), np.zeros((10, 40, 60))
    large[:, :, :20], single[5, 20, 50] = 1, 1
    image += np.random.default_rng(0).normal(1.337, 0.001, image.shape)
    write_pair(tmp_path, "cell0", image, large, structure="cell")
    write_pair(tmp_path, "cell0", image, single)
    shares = []
    for kind in ("voxels", "structures"):
        both = {"structures": ["cell", "nucleus"], "patch_shape": [4, 8, 8], "object_share": 1.0, "centred_on": kind}
        samples = Samples(find_items(tmp_path, settings(**both)), settings(**both), n_axes=3)
        rng = np.random.default_rng(1)
        shares.append(np.mean([samples.read(0, rng)[1][1].any() for _ in range(200)]))
    assert shares[0] < 0.02
    assert 0.4 < shares[1] < 0.6


def test_a_patch_is_a_piece_of_the_whole(data: Path) -> None:
    """Found again in the whole frame, wherever it lies; its target with it."""
    settings_ = settings(patch_shape=[4, 16, 24])
    samples = Samples(find_items(data, settings_)[:1], settings_, n_axes=3)
    whole, whole_target = samples.whole(0)
    for seed in range(5):
        patch, target = samples.read(0, np.random.default_rng(seed))
        corner = patch[0, 0, 0, :2]
        starts = np.argwhere((whole[0, :, :, :-1] == corner[0]) & (whole[0, :, :, 1:] == corner[1]))
        assert len(starts) == 1
        window = (slice(None), *(slice(s, s + n) for s, n in zip(starts[0], (4, 16, 24), strict=True)))
        assert (whole[window] == patch).all()
        assert (whole_target[window] == target).all()


def test_a_patch_reads_only_its_planes(data: Path) -> None:
    settings_ = settings(patch_shape=[2, 16, 24])
    samples = Samples(find_items(data, settings_)[:1], settings_, n_axes=3)
    image, labels = samples.volume(0)
    read: list[tuple[int, int]] = []

    def spy(frame: int, channel: int, start: int, stop: int) -> np.ndarray:
        read.append((start, stop))
        return image.read_planes(frame, channel, start, stop)

    samples._volumes[0] = (image.with_properties(read_planes=spy), labels)
    samples.read(0, np.random.default_rng(0))
    assert [stop - start for start, stop in read] == [2]


def test_patches_of_other_voxel_sizes_have_the_shape_asked_for(data: Path) -> None:
    settings_ = settings(patch_shape=[5, 12, 10], voxel_size_um=[0.7, 0.4, 0.5])
    samples = Samples(find_items(data, settings_), settings_, n_axes=3)
    image, target = samples.read(0, np.random.default_rng(1))
    assert image.shape == (1, 5, 12, 10)
    assert target.shape == (1, 5, 12, 10)
    assert stored_window((5, 12, 10), VOXEL_UM, (0.7, 0.4, 0.5)) == (7, 16, 25)


def test_statistics_are_those_of_the_whole_frame(data: Path) -> None:
    """A section is scaled by its volume's mean and deviation, as when the model is applied, not by its own."""
    chosen = settings(normalization={"kind": "zscore"}, sections="all")
    samples = Samples(find_items(data, chosen)[:1], chosen, n_axes=2)
    sections = np.stack([samples.whole(i)[0] for i in range(len(samples))])
    assert sections.mean() == pytest.approx(0, abs=1e-5)
    assert sections.std() == pytest.approx(1, abs=1e-5)
    assert abs(float(sections[0].mean())) > 0.05
