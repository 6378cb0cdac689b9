"""Saving and loading a model package; loading checks everything before it returns.

The order of the checks is the protection: the card first, then the network's shapes without memory, then files no
larger than those shapes allow, their hashes, every tensor, and at last the self-test. To check more, add it to
:func:`load_package` with a test that breaks it. Files beside the three of a package are never opened.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from tomocyte.errors import InputError, OutputError, SettingsError
from tomocyte.ledger.atomic import PART, part_folder, sync_folder, sync_tree, write_whole, writing
from tomocyte.models.card import ModelCard, read_card
from tomocyte.models.library import find_model
from tomocyte.models.reading import CARD_FILE, SELFTEST_FILE, WEIGHTS_FILE, read_plain
from tomocyte.models.selftest import LARGEST_SELFTEST_BYTES, check_selftest, probabilities, selftest_tensor
from tomocyte.models.weights import (
    LARGEST_SHIPPED_BYTES,
    State,
    check_tensors,
    empty_state,
    largest_weights_nbytes,
    parse_tensors,
    store_tensors,
    tensors_nbytes,
)

if TYPE_CHECKING:
    import torch

WeightsDtype = Literal["auto", "float32", "float16", "bfloat16"]
LARGEST_ROUNDING = 0.01
HEADER_BYTES_PER_TENSOR = 200


@dataclass(frozen=True)
class ModelPackage:
    """A model that has passed every check.

    Parameters
    ----------
    card : ModelCard
    folder : Path
    state : mapping of str to Tensor
        The weights, as stored.
    selftest : mapping of str to Tensor
        ``input`` (B, C, [Z,] Y, X) and ``output`` (B, K, [Z,] Y, X), float32.
    selftest_difference : float
        How far the network's probabilities were from the stored ones when it was loaded, at most 1e-4.
    """

    card: ModelCard
    folder: Path
    state: State = field(repr=False)
    selftest: State = field(repr=False)
    selftest_difference: float

    def build(self) -> torch.nn.Module:
        """A new network with the weights, float32, on the CPU, in eval mode; the random generator is not used up."""
        return _build(self.card, self.state)


def _build(card: ModelCard, state: State) -> torch.nn.Module:
    import torch

    from tomocyte.networks import build_network

    with torch.random.fork_rng(devices=[]):
        module = build_network(card.network.name, card.network.options)
    module.load_state_dict(dict(state), strict=True)
    return module.eval()


def load_package(path_or_name: str | Path) -> ModelPackage:
    """Load a model package and check it: card, shapes, hashes, finite weights, self-test.

    Parameters
    ----------
    path_or_name : path-like
        A package folder, or the name of a model in the library.

    Returns
    -------
    ModelPackage

    Raises
    ------
    InputError
        ``E-MODEL-FILE``, ``E-MODEL-CARD``, ``E-MODEL-NETWORK``, ``E-MODEL-HASH``, ``E-MODEL-TENSORS``,
        ``E-MODEL-NONFINITE``, ``E-MODEL-SELFTEST``.
    SettingsError
        ``E-MODEL-NAME``: no such model.
    """
    folder = find_model(path_or_name)
    card = read_card(folder)
    empty = empty_state(card, folder / CARD_FILE)
    largest = largest_weights_nbytes(card, empty)
    weights_path, selftest_path = folder / WEIGHTS_FILE, folder / SELFTEST_FILE
    state = parse_tensors(_vouched(weights_path, largest, card.weights_sha256), weights_path)
    check_tensors(card, state, empty, weights_path)
    selftest = parse_tensors(_vouched(selftest_path, LARGEST_SELFTEST_BYTES, card.selftest_sha256), selftest_path)
    difference = check_selftest(card, selftest, _build(card, state), selftest_path)
    return ModelPackage(card, folder, state, selftest, difference)


def _vouched(path: Path, largest_nbytes: int, sha256: str) -> bytes:
    data = read_plain(path, largest_nbytes=largest_nbytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        cure = "Get the package again from its source."
        raise InputError("E-MODEL-HASH", "is not the file that belongs to the model card.", path=path, cure=cure)
    return data


def save_package(
    folder: str | Path,
    state: State,
    card: ModelCard,
    selftest_input: NDArray[Any] | torch.Tensor,
    *,
    weights_dtype: WeightsDtype = "auto",
    is_overwriting: bool = False,
) -> ModelCard:
    """Write a model package, whole or not at all.

    Parameters
    ----------
    folder : path-like
        The package's folder; its parent must exist or can be made.
    state : mapping of str to Tensor
        ``state_dict()`` of the card's network.
    card : ModelCard
        Hashes and ``weights_dtype`` are filled in.
    selftest_input : ndarray or Tensor (C, [Z,] Y, X) or (B, C, [Z,] Y, X), float32
        Normalised input; every spatial size a multiple of the network's divisor.
    weights_dtype : {"auto", "float32", "float16", "bfloat16"}
        How kernels are stored; everything else stays float32. ``auto``: float32 up to 12 MB; above that float16, where
        no probability of the self-test changes by more than 0.01 for it.
    is_overwriting : bool
        Whether a package that is already there is replaced.

    Returns
    -------
    ModelCard
        As written.

    Raises
    ------
    SettingsError
        ``E-MODEL-TENSORS``, ``E-MODEL-NONFINITE``, ``E-MODEL-DTYPE``, ``E-MODEL-SELFTEST-INPUT``, or
        ``E-MODEL-ROUNDING``: half precision changes a probability of the self-test by more than 0.01.
    InputError
        ``E-MODEL-NETWORK``.
    OutputError
        ``E-MODEL-EXISTS``, or what :func:`tomocyte.ledger.writing` raises.
    """
    empty = empty_state(card)
    exact_card = card.model_copy(update={"weights_dtype": "float32" if weights_dtype == "auto" else weights_dtype})
    card, stored = exact_card, store_tensors(exact_card, state, empty)
    module = _build(card, state)
    divisor: Any = module.divisor
    image = selftest_tensor(card, selftest_input, tuple(divisor))
    exact = probabilities(module, image, card.activation)
    nbytes = tensors_nbytes(card, empty) + HEADER_BYTES_PER_TENSOR * len(empty)
    if weights_dtype == "auto" and nbytes > LARGEST_SHIPPED_BYTES:
        smaller = card.model_copy(update={"weights_dtype": "float16"})
        rounded = _rounded(smaller, state, empty)
        if rounded is not None and _difference(smaller, rounded, image, exact) <= LARGEST_ROUNDING:
            card, stored = smaller, rounded
    output = probabilities(_build(card, stored), image, card.activation)
    rounding = float((output - exact).abs().max())
    if not rounding <= LARGEST_ROUNDING:
        problem = f"storing {card.weights_dtype} changes probabilities by up to {rounding:.2g}."
        raise SettingsError("E-MODEL-ROUNDING", problem, cure="Store the weights as float32.")
    return write_package(Path(folder), card, stored, {"input": image, "output": output}, is_overwriting=is_overwriting)


def write_package(
    folder: Path, card: ModelCard, stored: State, selftest: State, *, is_overwriting: bool = False
) -> ModelCard:
    """Write the three files, staged and renamed; the tensors are taken as they are."""
    from safetensors.torch import save

    weights, test = save(dict(stored)), save({name: tensor.contiguous() for name, tensor in selftest.items()})
    hashes = {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "selftest_sha256": hashlib.sha256(test).hexdigest(),
    }
    card = card.model_copy(update=hashes)
    files = {CARD_FILE: card.to_bytes(), WEIGHTS_FILE: weights, SELFTEST_FILE: test}
    publish_package(folder, files, is_overwriting=is_overwriting)
    return card


def publish_package(
    folder: Path,
    files: dict[str, bytes],
    *,
    is_overwriting: bool = False,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Give files a folder of their own: written beside it, checked, synced, then renamed.

    Parameters
    ----------
    folder : Path
    files : dict of str to bytes
    is_overwriting : bool
        Whether a package that is already there is replaced; anything else that is there never is.
    check : callable, optional
        Called with the finished, not yet renamed folder; what it raises leaves nothing behind.

    Raises
    ------
    OutputError
        ``E-MODEL-EXISTS``, or what :func:`tomocyte.ledger.writing` raises.
    """
    folder = Path(os.path.abspath(folder))
    _refuse_existing(folder, is_overwriting=is_overwriting)
    with writing(folder, needed_bytes=sum(map(len, files.values()))):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(part_folder(folder.name))
        try:
            part.mkdir()
            for name, data in files.items():
                write_whole(part / name, data)
            if check is not None:
                check(part)
            sync_tree(part)
            _exchange(part, folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def _refuse_existing(folder: Path, *, is_overwriting: bool) -> None:
    if not os.path.lexists(folder):
        return
    is_package = folder.is_dir() and not folder.is_symlink() and (folder / CARD_FILE).is_file()
    is_empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    if not is_empty and not (is_overwriting and is_package):
        problem = "there is already a model." if is_package else "there is something that is not a model package."
        cure = "Replace it with --overwrite, or choose another place." if is_package else "Choose another place."
        raise OutputError("E-MODEL-EXISTS", problem, path=folder, cure=cure)


def _exchange(part: Path, folder: Path) -> None:
    """Put ``part`` in the place of ``folder``; an old one stays whole until the new one has its name."""
    old = folder.with_name(part_folder(folder.name))
    has_old = folder.exists()
    if has_old:
        os.rename(folder, old)
    try:
        os.rename(part, folder)
    except BaseException:
        if has_old:
            os.rename(old, folder)
        raise
    sync_folder(folder.parent)
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what this or a dead process left beside a package; only now, when the package itself is whole."""
    import psutil

    for leftover in folder.parent.glob(f"{glob.escape(folder.name)}.part*"):
        mark = PART.fullmatch(leftover.name.removeprefix(folder.name))
        if mark is None:
            continue
        pid = int(leftover.name.removeprefix(f"{folder.name}.part").partition("-")[0])
        if pid == os.getpid() or not psutil.pid_exists(pid):
            shutil.rmtree(leftover, ignore_errors=True)


def _rounded(card: ModelCard, state: State, empty: State) -> State | None:
    """The state in half precision, or nothing where a weight is too large for it."""
    try:
        return store_tensors(card, state, empty)
    except SettingsError as error:
        if error.code == "E-MODEL-DTYPE":
            return None
        raise


def _difference(card: ModelCard, state: State, image: torch.Tensor, exact: torch.Tensor) -> float:
    return float((probabilities(_build(card, state), image, card.activation) - exact).abs().max())
