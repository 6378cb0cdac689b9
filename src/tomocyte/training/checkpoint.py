"""Checkpoints: one file, written whole or not at all, checked by its own hash, with all that a resumed training needs.

A checkpoint is a safetensors file whose name carries its own hash; plain numbers travel in its header as JSON. Nothing
is ever unpickled. Trainings and searches save with :func:`save_training` and resume with :func:`load_training`; nested
states are taken apart by :func:`pack` and put together by :func:`unpack`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger.atomic import PART, write_atomic

NAME = re.compile(r"^step-(\d{8})-([0-9a-f]{16})\.safetensors$")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingState:
    """Everything that is needed to resume a training.

    Parameters
    ----------
    parts : dict of str to dict
        Nested states with tensors, as ``state_dict`` gives them, by name.
    state : dict
        Everything that is not a tensor, ready for JSON; ``notes`` is a list of str.
    tensors : dict of str to Tensor
        Tensors that belong to no part.
    """

    parts: dict[str, dict[Any, Any]]
    state: dict[str, Any]
    tensors: Tensors


def save_training(folder: Path, step: int, training: TrainingState, *, recipe_sha256: str, n_kept: int = 2) -> Path:
    """Write a checkpoint of a training with this recipe, then delete all but the newest ``n_kept``.

    Raises
    ------
    OutputError
        The disk is full or the folder read-only; the older checkpoints stay.
    """
    tensors = dict(training.tensors)
    parts = {name: pack(name, content, tensors) for name, content in training.parts.items()}
    state = {"recipe": recipe_sha256, "parts": parts, **training.state}
    return save_checkpoint(folder, step, tensors, state, n_kept=n_kept)


def load_training(folder: Path, *, recipe_sha256: str) -> TrainingState | None:
    """The newest sound checkpoint; ``notes`` name newer ones that are not; ``None`` without any.

    Raises
    ------
    SettingsError
        ``E-RESUME``: the checkpoints were made by another recipe.
    InputError
        ``E-CHECKPOINT``: none can be trusted.
    """
    newest = load_checkpoint(folder)
    if newest is None:
        return None
    tensors, state, notes = newest
    if state["recipe"] != recipe_sha256:
        raise SettingsError(
            "E-RESUME",
            "the folder holds checkpoints of another recipe.",
            path=folder,
            cure="Use another output folder, or the recipe that this folder was started with.",
        )
    parts = {name: unpack(content, tensors) for name, content in state["parts"].items()}
    return TrainingState(parts, {**state, "notes": [*state["notes"], *notes]}, tensors)


def save_checkpoint(folder: Path, step: int, tensors: Tensors, state: Mapping[str, Any], *, n_kept: int = 2) -> Path:
    """Write a checkpoint, then delete all but the newest ``n_kept``.

    Parameters
    ----------
    folder : Path
        Exists.
    step : int
        Steps taken so far.
    tensors : dict
        Everything that is a tensor.
    state : mapping
        Everything else, ready for JSON.
    n_kept : int

    Raises
    ------
    OutputError
        The disk is full or the folder read-only; the older checkpoints stay.
    """
    data = save_tensors({name: value.contiguous() for name, value in tensors.items()}, {"state": json.dumps(state)})
    path = folder / f"step-{step:08d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
    write_atomic(path, data)
    for old in _newest_first(folder)[n_kept:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path) -> tuple[Tensors, dict[str, Any], list[str]] | None:
    """The newest checkpoint that is sound, its state, and a note for each newer one that is not; ``None`` without any.

    Unfinished files that a killed process left behind are removed.

    Raises
    ------
    InputError
        ``E-CHECKPOINT``: there are checkpoints, and none is sound.
    """
    if not folder.is_dir():
        return None
    for entry in list(folder.iterdir()):
        if PART.search(entry.name):
            entry.unlink(missing_ok=True)
    notes: list[str] = []
    for path in _newest_first(folder):
        try:
            return (*read_checkpoint(path), notes)
        except InputError as problem:
            notes.append(str(problem))
    if notes:
        raise InputError(
            "E-CHECKPOINT",
            f"none of {len(notes)} checkpoints can be trusted: {notes[0]}",
            path=folder,
            cure="Start again in another folder, or with --restart, or put back a copy of the checkpoints.",
        )
    return None


def read_checkpoint(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the state of one checkpoint.

    Raises
    ------
    InputError
        ``E-CHECKPOINT``: not readable, or not what was written.
    """
    match = NAME.match(path.name)
    try:
        data = path.read_bytes()
        if match is None or hashlib.sha256(data).hexdigest()[:16] != match.group(2):
            raise InputError("E-CHECKPOINT", "was changed or cut after it was written.", path=path)
        with safetensors.safe_open(path, framework="pt") as opened:
            state = json.loads(opened.metadata()["state"])
        return load_tensors(data), state
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as problem:
        raise InputError("E-CHECKPOINT", f"cannot be read ({problem}).", path=path) from problem


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if NAME.match(path.name)), reverse=True)


def pack(prefix: str, content: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Move the tensors of a nested state into ``tensors`` under ``prefix`` and return the rest, JSON-able."""
    rest: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}/{key}"
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach().cpu().clone()
            rest[str(key)] = {"tensor": name}
        elif isinstance(value, Mapping):
            rest[str(key)] = {"mapping": pack(name, value, tensors)}
        else:
            rest[str(key)] = {"value": value}
    return rest


def unpack(rest: Mapping[str, Any], tensors: Tensors) -> dict[Any, Any]:
    """The nested state that :func:`pack` took apart; keys that were numbers are numbers again."""
    content: dict[Any, Any] = {}
    for key, entry in rest.items():
        name: Any = int(key) if key.isdigit() else key
        if "tensor" in entry:
            content[name] = tensors[entry["tensor"]]
        elif "mapping" in entry:
            content[name] = unpack(entry["mapping"], tensors)
        else:
            content[name] = entry["value"]
    return content
