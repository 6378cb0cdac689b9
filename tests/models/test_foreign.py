"""Weights of other programs: Keras files as Biomedisa writes them, and state dictionaries, made by the tests."""

from __future__ import annotations

import io
import shlex
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner, Result

from tomocyte.cli.models import app
from tomocyte.errors import InputError, SettingsError, TomocyteError
from tomocyte.models import load_package, read_card
from tomocyte.models.foreign import read_foreign
from tomocyte.models.keras_weights import read_keras
from tomocyte.networks import build_network

FACTS: dict[str, Any] = {
    "modality": "sxt",
    "structures": ["background", "cell", "bead"],
    "voxel_size_um": [0.03, 0.03, 0.03],
}
WIDTHS = (4, 8, 16)


def keras_layers(n_inputs: int = 1, n_outputs: int = 3, *, names: str = "biomedisa") -> Iterator[tuple[str, dict]]:
    """Layers with weights of a three-level U-Net, in Keras' order: (name, weights)."""
    rng = np.random.default_rng(5)
    encoder = [(n_inputs, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)]
    decoder = [(16 + 8, 8), (8, 8), (8 + 4, 4), (4, 4)]
    for index, (n_in, n_out) in enumerate([*encoder, *decoder]):
        number = f"_{index}" if index else ""
        block = f"{index // 2 + 1}_{index % 2 + 1}"
        convolution, norm = (
            (f"conv_{block}", f"batch_norm_{block}")
            if names == "biomedisa"
            else (f"conv3d{number}", f"batch_normalization{number}")
        )
        kernel = rng.normal(0, (2 / (27 * n_in)) ** 0.5, (3, 3, 3, n_in, n_out)).astype(np.float32)
        yield convolution, {"kernel": kernel, "bias": rng.normal(0, 0.1, n_out).astype(np.float32)}
        parts = {"gamma": rng.uniform(0.5, 1.5, n_out), "beta": rng.normal(0, 0.2, n_out)}
        parts |= {"moving_mean": rng.normal(0.2, 0.1, n_out), "moving_variance": rng.uniform(0.2, 1, n_out)}
        yield norm, {name: value.astype(np.float32) for name, value in parts.items()}
        yield f"activation_{index}", {}
    kernel = rng.normal(0, 0.5, (1, 1, 1, 4, n_outputs)).astype(np.float32)
    yield (
        "conv_6_1" if names == "biomedisa" else "conv3d_10",
        {"kernel": kernel, "bias": np.zeros(n_outputs, np.float32)},
    )


def write_keras(path: Path, layers: list[tuple[str, dict]], *, root: str = "model_weights", meta: bool = True) -> Path:
    """The layout of ``model.save('….h5')``: a group per layer, in alphabetical order, with the names of its weights."""
    with h5py.File(path, "w") as file:
        weights = file.require_group(root) if root else file
        weights.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, values in sorted(layers):
            group = weights.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{weight}:0".encode() for weight in values]
            for weight, value in values.items():
                group.create_dataset(f"{name}/{weight}:0", data=value)
        file.attrs["keras_version"] = b"2.12.0"
        if meta:
            group = file.create_group("meta")
            group["configuration"] = np.array([1, 96, 80, 64, 1, 0.31, 0.12])
            group["labels"] = np.array([0, 1, 2])
            group["normalization"] = np.array([[0.31], [0.12]])
            group["patch_normalization"], group["scaling"] = 0, 1
    return path


def by_hand(layers: list[tuple[str, dict]], image: torch.Tensor) -> torch.Tensor:
    """What Keras computes, with torch's functions and the file's own arrays; (1, C, Z, Y, X) to probabilities."""
    weights = [{k: torch.from_numpy(v).double() for k, v in values.items()} for _, values in layers if values]

    def stage(x: torch.Tensor) -> torch.Tensor:
        convolution, norm = weights.pop(0), weights.pop(0)
        kernel = torch.einsum("zyxio->oizyx", convolution["kernel"])
        x = functional.conv3d(x, kernel, convolution["bias"], padding=1).relu()
        parts = (norm[name].reshape(1, -1, 1, 1, 1) for name in ("gamma", "beta", "moving_mean", "moving_variance"))
        gamma, beta, mean, variance = parts
        return (gamma * (x - mean) / (variance + 1e-3).sqrt() + beta).relu()

    def block(x: torch.Tensor) -> torch.Tensor:
        return stage(stage(x))

    def up(x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)

    first = block(image.double())
    second = block(functional.max_pool3d(first, 2))
    third = block(functional.max_pool3d(second, 2))
    x = block(torch.cat((up(third), second), 1))
    x = block(torch.cat((up(x), first), 1))
    head = weights.pop(0)
    logits = torch.einsum("bizyx,io->bozyx", x, head["kernel"][0, 0, 0]) + head["bias"].reshape(1, -1, 1, 1, 1)
    return logits.softmax(1)


@pytest.mark.parametrize(("names", "root"), [("biomedisa", "model_weights"), ("keras", "model_weights"), ("keras", "")])
def test_keras_weights_compute_what_keras_computes(tmp_path: Path, names: str, root: str) -> None:
    """Named as Biomedisa or as Keras by itself, a whole model or weights alone."""
    layers = list(keras_layers(names=names))
    model = read_foreign(write_keras(tmp_path / "ACSeg.h5", layers, root=root, meta=root != ""), FACTS)
    assert model.card.network.name == "biomedisa"
    assert model.card.network.options == {"n_inputs": 1, "n_outputs": 3, "width": 4, "n_levels": 3}
    assert model.card.activation == "softmax"
    module = build_network("biomedisa", model.card.network.options)
    module.load_state_dict(dict(model.state), strict=True)
    image = torch.randn(1, 1, 8, 12, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = module.eval()(image).softmax(1)
    torch.testing.assert_close(found.double(), by_hand(layers, image), rtol=1e-4, atol=1e-5)


def test_what_biomedisa_writes_beside_the_weights_is_read(tmp_path: Path) -> None:
    """The file keeps the scale as x, y, z."""
    meta = read_keras(write_keras(tmp_path / "a.h5", list(keras_layers()))).meta
    assert meta is not None
    assert (meta.labels, meta.scale, meta.mean, meta.standard_deviation) == ((0, 1, 2), (64, 80, 96), (0.31,), (0.12,))
    assert (meta.is_scaled, meta.is_normalised, meta.is_patch_normalised) == (True, True, False)


def test_images_are_prepared_as_the_file_says(tmp_path: Path) -> None:
    """Min-max, standardised, given the first training volume's moments, cut to 0 to 1: written out here."""
    from tomocyte.segmentation.prediction.scaled_frame import scaled_image

    card = read_foreign(write_keras(tmp_path / "a.h5", list(keras_layers())), FACTS).card
    assert card.scaled_frame is not None
    assert card.scaled_frame.shape == (64, 80, 96)
    image = np.random.default_rng(0).gamma(2, 30, (64, 80, 96))
    values = (image - image.min()) / (image.max() - image.min())
    values = np.clip((values - values.mean()) / values.std() * 0.12 + 0.31, 0, 1)
    np.testing.assert_allclose(scaled_image(image[np.newaxis], card.scaled_frame)[0], values, atol=1e-5)

    def not_scaled(file: h5py.File) -> None:
        del file["meta/scaling"]
        file["meta/scaling"] = 0

    with pytest.raises(InputError) as problem:
        read_foreign(edit_keras(tmp_path, not_scaled), FACTS)
    assert problem.value.code == "E-KERAS-PREPARATION"


def test_the_card_says_where_weights_come_from(tmp_path: Path) -> None:
    import hashlib

    path = write_keras(tmp_path / "ACSeg.h5", list(keras_layers()))
    card = read_foreign(path, FACTS | {"licence": "EUPL-1.2"}).card
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card.name, card.licence) == ("acseg", "EUPL-1.2")
    assert digest in card.training_data
    assert card.recipe["imported"]["sha256"] == digest
    assert read_foreign(path, FACTS).card.licence == "LicenseRef-unknown"


def test_what_the_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "ACSeg.h5", list(keras_layers()))
    with pytest.raises(
        SettingsError, match=r"structures and voxel_size_um.*3 outputs, trained with the labels 0, 1, 2"
    ):
        read_foreign(path, {"modality": "sxt"})
    state = tmp_path / "w.pt"
    torch.save({"a": torch.zeros(1)}, state)
    with pytest.raises(SettingsError, match=r"--set network\.name=NAME"):
        read_foreign(state, FACTS)


def edit_keras(tmp_path: Path, change: Any) -> Path:
    path = write_keras(tmp_path / "bad.h5", list(keras_layers()))
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _external_link(file: h5py.File) -> None:
    del file["model_weights/conv_1_1/conv_1_1/kernel:0"]
    file["model_weights/conv_1_1/conv_1_1/kernel:0"] = h5py.ExternalLink("/etc/hostname", "/x")


def _external_storage(file: h5py.File) -> None:
    del file["model_weights/conv_1_1/conv_1_1/kernel:0"]
    group = file["model_weights/conv_1_1/conv_1_1"]
    group.create_dataset("kernel:0", (3, 3, 3, 1, 4), "f4", external=[("/etc/hostname", 0, 432)])


def _bomb(file: h5py.File) -> None:
    """Eight terabytes, of which nothing is stored."""
    del file["model_weights/conv_2_1/conv_2_1/kernel:0"]
    group = file["model_weights/conv_2_1/conv_2_1"]
    group.create_dataset("kernel:0", (3, 3, 3, 1 << 17, 1 << 17), "f4", chunks=(1, 1, 1, 64, 64), compression="gzip")


def _no_names(file: h5py.File) -> None:
    del file["model_weights"].attrs["layer_names"]


def _other_layer(file: h5py.File) -> None:
    group = file["model_weights/batch_norm_1_1"]
    group.attrs["weight_names"] = [b"batch_norm_1_1/gamma:0", b"batch_norm_1_1/recurrent_kernel:0"]


def _missing(file: h5py.File) -> None:
    del file["model_weights/conv_2_1"]


def _swapped(file: h5py.File) -> None:
    """Kernels as torch keeps them: out before in."""
    place = file["model_weights/conv_2_1/conv_2_1"]
    values = place["kernel:0"][()].swapaxes(3, 4)
    del place["kernel:0"]
    place["kernel:0"] = values


def _not_finite(file: h5py.File) -> None:
    file["model_weights/conv_2_1/conv_2_1/bias:0"][0] = np.nan


def _bad_meta(file: h5py.File) -> None:
    del file["meta/configuration"]
    file["meta/configuration"] = np.array([1.0, np.inf])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_external_link, "E-HDF5-LINK"),
        (_external_storage, "E-HDF5-EXTERNAL"),
        (_bomb, "E-KERAS-LAYERS"),
        (_no_names, "E-KERAS"),
        (_other_layer, "E-KERAS-LAYERS"),
        (_missing, "E-HDF5-MISSING"),
        (_swapped, "E-KERAS-LAYERS"),
        (_bad_meta, "E-KERAS"),
    ],
)
def test_hostile_and_damaged_keras_files_are_refused(tmp_path: Path, change: Any, code: str) -> None:
    with pytest.raises(InputError) as problem:
        read_foreign(edit_keras(tmp_path, change), FACTS)
    assert problem.value.code == code


def test_a_cut_file_and_one_that_is_no_hdf5_are_refused(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "cut.h5", list(keras_layers()))
    path.write_bytes(path.read_bytes()[:5000])
    for name, data in (("cut.h5", path.read_bytes()), ("text.h5", b"not HDF5")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=r"HDF5|structure|truncated"):
            read_foreign(tmp_path / name, FACTS)


def small_network() -> tuple[dict[str, Any], nn.Module]:
    options = {"width": 2, "n_inputs": 1, "n_outputs": 2, "gcn_kernel": 3}
    with torch.random.fork_rng():
        torch.manual_seed(7)
        module = build_network("osnet", options)
    for name, value in module.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1)
    return {"width": 2, "gcn_kernel": 3}, module.eval()


OSNET_FACTS: dict[str, Any] = {
    "modality": "odt",
    "structures": ["nucleus", "nucleolus"],
    "voxel_size_um": [None, 0.2, 0.2],
}


@pytest.mark.parametrize("kind", ["plain", "wrapped", "renamed", "half", "safetensors"])
def test_state_dictionaries_are_matched_with_pinned_networks(tmp_path: Path, kind: str) -> None:
    options, module = small_network()
    state = dict(module.state_dict())
    path = tmp_path / "weights.pt"
    if kind == "safetensors":
        from safetensors.torch import save_file

        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    elif kind == "wrapped":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    elif kind == "renamed":  # as another program names the same layers, in the same order
        torch.save({f"layer{i:03d}.{name.rpartition('.')[2]}": v for i, (name, v) in enumerate(state.items())}, path)
    else:
        torch.save(
            {name: value.half() if kind == "half" and value.ndim > 1 else value for name, value in state.items()}, path
        )
    model = read_foreign(path, OSNET_FACTS | {"network": {"name": "osnet", "options": options}})
    assert model.is_by_order == (kind == "renamed")
    module.load_state_dict(
        {name: value.half().float() if kind == "half" and value.ndim > 1 else value for name, value in state.items()}
    )
    copy = build_network("osnet", model.card.network.options)
    copy.load_state_dict(dict(model.state), strict=True)
    image = torch.randn(1, 1, 16, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(copy.eval()(image), module(image))


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("echo owned",)


def test_pt_files_run_no_code_and_bombs_are_refused(tmp_path: Path) -> None:
    facts = OSNET_FACTS | {"network": {"name": "osnet", "options": small_network()[0]}}
    evil = tmp_path / "evil.pt"
    torch.save({"state_dict": _Evil()}, evil)
    old = tmp_path / "old.pt"
    torch.save({"a": torch.zeros(2)}, old, _use_new_zipfile_serialization=False)
    nothing = tmp_path / "nothing.pt"
    torch.save({"epoch": 3}, nothing)
    for path in (evil, old, nothing):
        with pytest.raises(InputError) as problem:
            read_foreign(path, facts)
        assert problem.value.code == "E-MODEL-STATE", path
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 100)
    data = bytearray(bomb.getvalue())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    (tmp_path / "bomb.pt").write_bytes(data)
    with pytest.raises(InputError) as problem:
        read_foreign(tmp_path / "bomb.pt", facts)
    assert problem.value.code == "E-MODEL-ZIP-BOMB"


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    options, module = small_network()
    path = tmp_path / "weights.pt"
    torch.save(module.state_dict(), path)
    for changes in ({"width": 4}, {"uses_ssc": True, "up_kernel": 3}):
        with pytest.raises(InputError) as problem:
            read_foreign(path, OSNET_FACTS | {"network": {"name": "osnet", "options": options | changes}})
        assert problem.value.code == "E-MODEL-TENSORS"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_import_makes_an_installed_model(tmp_path: Path, library: Path) -> None:
    path = write_keras(tmp_path / "ACSeg.h5", list(keras_layers()))
    given = ["--set", "modality=sxt", "--set", "structures=[background, cell, bead]"]
    given += ["--set", "voxel_size_um=[0.03, 0.03, 0.03]"]
    dry = call("import", path, *given, "--dry-run")
    assert dry.exit_code == 0, dry.exception
    assert "biomedisa, 3-D" in dry.stdout
    assert not library.exists()
    done = call("import", path, *given)
    assert done.exit_code == 0, done.exception
    assert f"imported acseg 0.1.0 into {library / 'acseg'}" in done.stdout
    package = load_package("acseg")
    layers = list(keras_layers())
    torch.testing.assert_close(
        package.selftest["output"].double(), by_hand(layers, package.selftest["input"]), rtol=1e-4, atol=1e-5
    )
    assert "ACSeg.h5" in read_card(package.folder).training_data
    assert isinstance(call("import", path, *given).exception, TomocyteError)
    assert call("import", path, *given, "--overwrite").exit_code == 0
    facts = tmp_path / "facts.yaml"
    facts.write_text(
        "modality: sxt\nstructures: [background, cell, bead]\nvoxel_size_um: [0.03, 0.03, 0.03]\nname: other\n"
    )
    assert call("import", path, "--facts", facts).exit_code == 0
    assert call("import", library / "other", "--dry-run").exit_code == 0
    problem = call("import", library / "other", "--set", "name=x1").exception
    assert isinstance(problem, SettingsError)
    assert problem.code == "E-USAGE"


def test_the_lines_of_the_page_are_typed_as_printed(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("tomocyte models import")]
    monkeypatch.chdir(tmp_path)
    write_keras(tmp_path / "ACSeg.h5", list(keras_layers()))
    torch.save(build_network("osnet", {"n_outputs": 1}).state_dict(), "weights.pt")
    assert [call(*shlex.split(line)[2:]).exit_code for line in lines] == [0, 0, 0]
    assert sorted(path.name for path in library.iterdir()) == ["acseg", "weights"]


def test_weights_that_are_not_finite_are_not_installed(tmp_path: Path, library: Path) -> None:
    path = edit_keras(tmp_path, _not_finite)
    done = call("import", path, *(part for name, value in FACTS.items() for part in ("--set", f"{name}={value}")))
    assert isinstance(done.exception, TomocyteError)
    assert done.exception.code == "E-MODEL-NONFINITE"
    assert not (library / "bad").exists()
