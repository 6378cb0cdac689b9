"""Saving and loading: what goes in comes out, and whatever is broken is refused with a code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.models.conftest import OPTIONS, Made, make_card

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.models import NetworkChoice, load_package, save_package
from tomocyte.models import package as package_module
from tomocyte.models.library import BUNDLED
from tomocyte.models.loaded import load_from_package
from tomocyte.models.package import publish_package, write_package
from tomocyte.networks import build_network, network_entries

FILES = ("card.json", "weights.safetensors", "selftest.safetensors")
Tensors = dict[str, torch.Tensor]


def test_round_trip_gives_the_same_weights_and_output(made: Made) -> None:
    package = load_package(made.folder)
    again = package.build()
    assert not again.training
    for name, tensor in made.module.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    image = torch.from_numpy(made.image)[None]
    with torch.inference_mode():
        expected = 1 / (1 + np.exp(-made.module(image).numpy().astype(np.float64)))
    stored = load_file(made.folder / "selftest.safetensors")
    np.testing.assert_allclose(stored["output"].numpy(), expected, atol=1e-6)
    assert stored["output"].shape == (1, 2, 32, 48)
    assert package.selftest_difference < 1e-6


def test_the_same_state_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    save_package(tmp_path / "again", made.module.state_dict(), make_card(), made.image)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (made.folder / name).read_bytes()


def test_loading_leaves_the_random_generator_alone(made: Made) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        load_package(made.folder).build()
        assert torch.equal(torch.rand(3), expected)


def test_predictor_gives_the_probabilities(made: Made) -> None:
    predict = load_from_package(load_package(made.folder), engine="torch", precision="fp32").predictor
    stored = load_file(made.folder / "selftest.safetensors")
    np.testing.assert_allclose(predict(made.image[np.newaxis]), stored["output"].numpy(), atol=1e-4)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("n_positions", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_flipped_bytes_are_refused(folder: Path, name: str, n_positions: int) -> None:
    data = (folder / name).read_bytes()
    for position in np.linspace(0, len(data) - 1, n_positions).round().astype(int):
        broken = bytearray(data)
        broken[position] ^= 1 << (int(position) % 8)
        (folder / name).write_bytes(bytes(broken))
        with pytest.raises(InputError, match="E-MODEL-"):
            load_package(folder)
    (folder / name).write_bytes(data)
    load_package(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("n_lengths", [8, pytest.param(500, marks=pytest.mark.slow)])
def test_cut_and_lengthened_files_are_refused(folder: Path, name: str, n_lengths: int) -> None:
    data = (folder / name).read_bytes()
    for length in np.linspace(0, len(data) - 1, n_lengths).round().astype(int):
        (folder / name).write_bytes(data[:length])
        with pytest.raises(InputError, match="E-MODEL-"):
            load_package(folder)
    (folder / name).write_bytes(data + b"\0")
    with pytest.raises(InputError, match="E-MODEL-"):
        load_package(folder)
    (folder / name).unlink()
    with pytest.raises((InputError, SettingsError), match=r"E-MODEL-(FILE|NAME)"):
        load_package(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("target", ["outside", "inside", "nowhere"])
def test_links_are_refused(folder: Path, tmp_path: Path, name: str, target: str) -> None:
    """Even to the very same bytes."""
    place = {"outside": tmp_path / name, "inside": folder / f"other-{name}", "nowhere": tmp_path / "nothing"}[target]
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    if target != "nowhere":
        place.write_bytes(data)
    (folder / name).symlink_to(place)
    with pytest.raises(InputError, match="E-MODEL-FILE"):
        load_package(folder)


@pytest.mark.parametrize("name", FILES)
def test_pipes_and_folders_are_refused_at_once(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match="E-MODEL-FILE"):
        load_package(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(InputError, match="E-MODEL-FILE"):
        load_package(folder)


def test_file_of_a_terabyte_is_not_read(folder: Path) -> None:
    for name in FILES:
        kept = (folder / name).read_bytes()
        with (folder / name).open("r+b") as stream:
            stream.truncate(1 << 40)
        with pytest.raises(InputError, match="E-MODEL-FILE"):
            load_package(folder)
        (folder / name).write_bytes(kept)


def test_other_files_are_never_opened(folder: Path) -> None:
    os.mkfifo(folder / "weights.pt")  # would hang
    (folder / "link").symlink_to("/dev/zero")
    assert load_package(folder).card.name == "small-nucleus"


def remove(tensors: Tensors) -> Tensors:
    return dict(list(tensors.items())[1:])


def add(tensors: Tensors) -> Tensors:
    return {**tensors, "backdoor": torch.zeros(3)}


def reshape(tensors: Tensors) -> Tensors:
    return {name: tensor.reshape(tuple(reversed(tensor.shape))) for name, tensor in tensors.items()}


def retype(tensors: Tensors) -> Tensors:
    return {name: tensor.to(torch.float64) if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}


def halve(tensors: Tensors) -> Tensors:
    return {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in tensors.items()}


def with_value(value: float) -> Callable[[Tensors], Tensors]:
    def change(tensors: Tensors) -> Tensors:
        name = "head.weight"
        return {**tensors, name: torch.full_like(tensors[name], value)}

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (remove, "E-MODEL-TENSORS"),
        (add, "E-MODEL-TENSORS"),
        (reshape, "E-MODEL-TENSORS"),
        (retype, "E-MODEL-"),
        (halve, "E-MODEL-TENSORS"),
        (with_value(float("nan")), "E-MODEL-NONFINITE"),
        (with_value(float("inf")), "E-MODEL-NONFINITE"),
        (with_value(0.3), "E-MODEL-SELFTEST"),
    ],
)
def test_weights_that_the_card_vouches_for_are_judged_all_the_same(
    made: Made, tmp_path: Path, change: Callable[[Tensors], Tensors], code: str
) -> None:
    """Whoever wrote the package also wrote its hashes, so they prove nothing about its content."""
    tensors = change(load_file(made.folder / "weights.safetensors"))
    write_package(tmp_path / "p", made.card, tensors, load_file(made.folder / "selftest.safetensors"))
    with pytest.raises(InputError, match=code):
        load_package(tmp_path / "p")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {"input": tensors["input"]},
        lambda tensors: {**tensors, "third": torch.zeros(1)},
        lambda tensors: {**tensors, "output": tensors["output"][:, :1]},
        lambda tensors: {**tensors, "output": tensors["output"] * float("nan")},
        lambda tensors: {name: tensor[:, :, :-1].contiguous() for name, tensor in tensors.items()},
        lambda tensors: {**tensors, "input": tensors["input"].expand(1, 2, 32, 48).contiguous()},
        lambda tensors: {"input": torch.zeros(1, 1, 0, 48), "output": torch.zeros(1, 2, 0, 48)},
        lambda tensors: {name: tensor.double() for name, tensor in tensors.items()},
        lambda tensors: {"input": torch.zeros(9, 1, 16, 16), "output": torch.zeros(9, 2, 16, 16)},
        lambda tensors: {"input": torch.zeros(1, 1, 1040, 1040), "output": torch.zeros(1, 2, 1040, 1040)},
    ],
)
def test_wrong_selftests_are_refused(made: Made, tmp_path: Path, change: Callable[[Tensors], Tensors]) -> None:
    selftest = change(load_file(made.folder / "selftest.safetensors"))
    write_package(tmp_path / "p", made.card, load_file(made.folder / "weights.safetensors"), selftest)
    with pytest.raises(InputError, match=r"E-MODEL-SELFTEST.*is not a self-test of this model"):
        load_package(tmp_path / "p")


def test_tolerance_lies_at_1e_4(made: Made, tmp_path: Path) -> None:
    selftest = load_file(made.folder / "selftest.safetensors")
    weights = load_file(made.folder / "weights.safetensors")
    write_package(tmp_path / "q", made.card, weights, {**selftest, "output": selftest["output"] + 1.5e-4})
    with pytest.raises(InputError, match=r"E-MODEL-SELFTEST.*differs from the stored one by 0.00015"):
        load_package(tmp_path / "q")
    selftest["output"] += 5e-5
    write_package(tmp_path / "p", made.card, weights, selftest)
    assert load_package(tmp_path / "p").selftest_difference == pytest.approx(5e-5, rel=0.05)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({**OPTIONS, "width": 64, "gcn_kernel": 31}, "E-MODEL-TENSORS"),
        ({**OPTIONS, "n_outputs": 3}, "E-MODEL-NETWORK"),
        ({**OPTIONS, "n_inputs": 2}, "E-MODEL-NETWORK"),
        ({**OPTIONS, "depth": 3}, "E-MODEL-NETWORK"),
        ({**OPTIONS, "width": 4096}, "E-MODEL-NETWORK"),
    ],
    ids=["huge", "outputs", "inputs", "unknown", "out of bounds"],
)
def test_card_of_another_network_allocates_nothing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], code: str
) -> None:
    card = made.card.model_copy(update={"network": NetworkChoice(name="osnet", options=options)})
    tensors = [load_file(made.folder / f"{name}.safetensors") for name in ("weights", "selftest")]
    write_package(tmp_path / "p", card, *tensors)

    def never(*_: object) -> None:
        raise AssertionError("built before it was checked")

    monkeypatch.setattr(package_module, "_build", never)
    with pytest.raises(InputError, match=code):
        load_package(tmp_path / "p")


def test_card_of_an_unknown_network(made: Made, tmp_path: Path) -> None:
    card = made.card.model_copy(update={"network": NetworkChoice(name="os.system")})
    tensors = [load_file(made.folder / f"{name}.safetensors") for name in ("weights", "selftest")]
    write_package(tmp_path / "p", card, *tensors)
    with pytest.raises(InputError, match="E-MODEL-NETWORK"):
        load_package(tmp_path / "p")


@pytest.mark.parametrize("header", [(1 << 63) - 1, 1 << 40, 0, 200])
def test_hostile_safetensors_header(made: Made, folder: Path, header: int) -> None:
    import hashlib

    data = (
        header.to_bytes(8, "little")
        + b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}'
        + b" " * 200
    )
    (folder / "weights.safetensors").write_bytes(data)
    card = made.card.model_copy(update={"weights_sha256": hashlib.sha256(data).hexdigest()})
    (folder / "card.json").write_bytes(card.to_bytes())
    with pytest.raises(InputError, match="E-MODEL-TENSORS"):
        load_package(folder)


def test_pickles_are_not_weights(made: Made, folder: Path, tmp_path: Path) -> None:
    """The canary file never appears."""
    import hashlib
    import pickle

    canary = tmp_path / "canary"

    class Gadget:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {canary}",)

    for data in (pickle.dumps(Gadget()), b"PK\x03\x04" + pickle.dumps(Gadget())):
        for name, field in (("weights.safetensors", "weights_sha256"), ("selftest.safetensors", "selftest_sha256")):
            shutil.copytree(made.folder, folder, dirs_exist_ok=True)
            (folder / name).write_bytes(data)
            card = made.card.model_copy(update={field: hashlib.sha256(data).hexdigest()})
            (folder / "card.json").write_bytes(card.to_bytes())
            with pytest.raises(InputError, match="E-MODEL-TENSORS"):
                load_package(folder)
    assert not canary.exists()


def quiet_state(made: Made) -> Tensors:
    """Untrained weights whose probabilities stay near 0.5, as half precision would move saturated ones visibly."""
    state = made.module.state_dict()
    return {name: tensor * 0.05 if name.startswith("head") else tensor for name, tensor in state.items()}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_the_output_and_the_small_tensors(made: Made, tmp_path: Path, dtype: str) -> None:
    state = quiet_state(made)
    card = save_package(tmp_path / "half", state, make_card(), made.image, weights_dtype=dtype)  # type: ignore[arg-type]
    assert card.weights_dtype == dtype
    stored = load_file(tmp_path / "half" / "weights.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.ndim > 1} == {getattr(torch, dtype)}
    assert {str(tensor.dtype) for tensor in stored.values() if tensor.ndim < 2} == {"torch.float32", "torch.int64"}
    package = load_package(tmp_path / "half")
    assert {parameter.dtype for parameter in package.build().parameters()} == {torch.float32}
    digits = {"float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    for name, tensor in package.build().state_dict().items():
        torch.testing.assert_close(tensor, state[name], rtol=digits, atol=1e-7)


def test_large_networks_are_stored_in_half_precision_where_that_is_harmless(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "LARGEST_SHIPPED_BYTES", 1000)
    state = quiet_state(made)
    assert save_package(tmp_path / "a", state, make_card(), made.image).weights_dtype == "float16"
    monkeypatch.setattr(package_module, "LARGEST_ROUNDING", 1e-9)
    assert save_package(tmp_path / "b", state, make_card(), made.image).weights_dtype == "float32"
    with pytest.raises(SettingsError, match="E-MODEL-ROUNDING"):
        save_package(tmp_path / "c", state, make_card(), made.image, weights_dtype="bfloat16")


def test_weights_too_large_for_half_precision(made: Made, tmp_path: Path) -> None:
    state = {**made.module.state_dict(), "head.weight": torch.full((2, 2, 1, 1), 1e6)}
    with pytest.raises(SettingsError, match="E-MODEL-DTYPE"):
        save_package(tmp_path / "p", state, make_card(), made.image, weights_dtype="float16")


def test_states_that_cannot_be_saved(made: Made, tmp_path: Path) -> None:
    state = made.module.state_dict()
    for wrong, code in (
        ({name: tensor for name, tensor in state.items() if name != "head.weight"}, "E-MODEL-TENSORS"),
        ({**state, "head.weight": torch.full((2, 2, 1, 1), float("nan"))}, "E-MODEL-NONFINITE"),
    ):
        with pytest.raises(SettingsError, match=code):
            save_package(tmp_path / "p", wrong, make_card(), made.image)
    for image in (
        np.zeros((1, 32, 48)),
        made.image[:, :31],
        made.image[0],
        np.full((1, 32, 48), np.nan),
        np.repeat(made.image, 2, axis=0),
    ):
        with pytest.raises(SettingsError, match="E-MODEL-SELFTEST-INPUT"):
            save_package(tmp_path / "p", state, make_card(), image)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced_unasked(made: Made, folder: Path, tmp_path: Path) -> None:
    state = {**made.module.state_dict(), "head.bias": torch.tensor([0.5, -0.5])}
    with pytest.raises(OutputError, match="E-MODEL-EXISTS"):
        save_package(folder, state, make_card(), made.image)
    save_package(folder, state, make_card(version="1.2.4"), made.image, is_overwriting=True)
    assert load_package(folder).card.version == "1.2.4"
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="E-MODEL-EXISTS"):
        save_package(other, state, make_card(), made.image, is_overwriting=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "small-nucleus"]


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "mkdir", "open"])
def test_whatever_fails_leaves_the_old_package_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The k-th call of the system fails, for every k."""
    old, new = ({name: f"{age} {name}".encode() for name in FILES} for age in ("old", "new"))
    folder = tmp_path / "small-nucleus"
    real = getattr(os, call)
    for k in range(1, 60):
        publish_package(folder, old, is_overwriting=True)
        count = 0

        def failing(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            if count == k:  # noqa: B023
                raise OSError(28, "No space left on device")
            return real(*arguments, **keywords)

        code = ""
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing)
            try:
                publish_package(folder, new, is_overwriting=True)
            except OutputError as error:
                code = error.code
        assert code in ("", "E-DISK")
        seen = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert seen in ([old, new] if code else [new])
        if count < k:
            break
    else:
        pytest.fail("never succeeded")
    assert k > 1
    assert [path.name for path in tmp_path.iterdir()] == ["small-nucleus"]


@pytest.mark.parametrize("entry", network_entries(), ids=lambda entry: entry.name)
def test_every_network_has_its_shapes_without_memory(entry: Any) -> None:
    """The check before allocation sees the very tensors that the real network has."""
    from tomocyte.models.weights import empty_state

    if entry.name == "unet64":
        pytest.skip("the same code as unet16 with 16 times the memory")
    module: Any = build_network(entry.name)
    three = {"dimensions": 3, "tile_shape": (32, 32, 32), "section_axis": None, "voxel_size_um": (0.3, 0.2, 0.1)}
    channels = ("refractive_index", "other")[: module.n_inputs]
    card = make_card(
        network=NetworkChoice(name=entry.name),
        channels=channels,
        structures=("cell", "nucleus", "nucleolus", "lipid_droplet")[: module.n_outputs],
        **(three if entry.dimensions == 3 else {}),
    )
    empty = empty_state(card)
    assert all(tensor.is_meta for tensor in empty.values())
    seen = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in module.state_dict().items()}
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in empty.items()} == seen


@pytest.mark.parametrize("bundled", sorted(BUNDLED.iterdir()) if BUNDLED.is_dir() else [], ids=lambda path: path.name)
def test_bundled_models_load_and_are_small(bundled: Path) -> None:
    assert load_package(bundled).card.name == bundled.name
    assert (bundled / "weights.safetensors").stat().st_size <= 12_000_000
    assert {path.name for path in bundled.iterdir()} == set(FILES)
