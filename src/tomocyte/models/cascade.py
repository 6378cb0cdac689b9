"""Several networks, one after the other, as data: what each sees, what it finds, what it makes for later ones.

A cascade is a YAML file. A user adds a structure with one step and one trained model; nothing here changes. To let a
step make another kind of channel, add a field to :class:`MadeChannel` and use it in :func:`apply_cascade`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from tomocyte.errors import SettingsError
from tomocyte.models.card import ModelCard, Text, Word
from tomocyte.models.loaded import LoadedModel, read_organelles_card
from tomocyte.models.objects import BACKGROUND, ObjectRules, is_streamed, structures_of
from tomocyte.models.prediction import ModelInput, predict_masks_of, predict_probabilities
from tomocyte.progress import silent
from tomocyte.provenance import sha256_of_json
from tomocyte.settings import Settings, build_settings, load_settings
from tomocyte.structures import canonical_name
from tomocyte.volume import VoxelSize

Labels = NDArray[np.unsignedinteger[Any]]
Mask = NDArray[np.bool_]
Float = NDArray[np.float32]
OnStep = Callable[[str, int, int], None]


class MadeChannel(Settings):
    """A channel for later steps: where a network's structure is, or what another channel holds there."""

    structure: Word
    """Structure of the step's model."""
    times: str | None = None
    """Channel whose values stay inside the structure and are 0 outside; empty: 1 inside, 0 outside."""


class CascadeStep(Settings):
    """One network of a cascade."""

    model: str = Field(min_length=1)
    """Name of a model or the folder of its package; a relative folder counts from the file of the cascade."""
    inputs: tuple[str, ...] = Field(min_length=1, max_length=16)
    """Channels that it sees, in the order of its card: of the input, derived, or made by an earlier step."""
    finds: tuple[str, ...] | None = None
    """Which of its structures are results; empty: all. ``[]``: none, it only makes channels."""
    makes: dict[Word, MadeChannel] = Field(default_factory=dict)
    """Channels for later steps, by their names."""


class Cascade(Settings):
    """Networks in the order in which they are applied to each frame."""

    kind: Literal["cascade"]
    """What this file is."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,60}$")
    """As it is written in results."""
    description: Text = ""
    """What it finds."""
    paper: Text = ""
    """What it follows, with DOI."""
    steps: tuple[CascadeStep, ...] = Field(min_length=1, max_length=64)
    """The networks."""

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        made = [name for step in self.steps for name in step.makes]
        if len(set(made)) < len(made):
            raise ValueError("each channel can be made once")
        seen: set[str] = set()
        for step in self.steps:
            used = {*step.inputs, *(entry.times for entry in step.makes.values() if entry.times)}
            if late := sorted(used & (set(made) - seen)):
                raise ValueError(f"{step.model} sees {late[0]!r} before a step has made it")
            seen |= set(step.makes)
        return self

    @field_validator("steps")
    @classmethod
    def _does_something(cls, steps: tuple[CascadeStep, ...]) -> tuple[CascadeStep, ...]:
        if idle := [step.model for step in steps if step.finds == () and not step.makes]:
            raise ValueError(f"{idle[0]} neither finds nor makes anything")
        return steps


@dataclass(frozen=True)
class PlannedCascade:
    """A cascade with the cards of its models, checked against each other.

    Parameters
    ----------
    cascade : Cascade
        Its models are names, or folders that were found.
    cards : tuple of ModelCard
        One per step.
    """

    cascade: Cascade
    cards: tuple[ModelCard, ...]

    @property
    def structures(self) -> tuple[str, ...]:
        """What it finds, by registered names, in the order of its steps."""
        pairs = zip(self.cascade.steps, self.cards, strict=True)
        return tuple(canonical_name(name) for step, card in pairs for name in found_by(step, card))

    @property
    def made(self) -> frozenset[str]:
        """Channels that its steps make."""
        return frozenset(name for step in self.cascade.steps for name in step.makes)

    @property
    def sha256(self) -> str:
        """Of everything that decides a result: the steps and their models, wherever these lie."""
        steps = [step.model_dump(mode="json", exclude={"model"}) for step in self.cascade.steps]
        cards = [card.to_bytes().hex() for card in self.cards]
        return sha256_of_json({"name": self.cascade.name, "steps": steps, "cards": cards})

    def describe(self) -> list[dict[str, Any]]:
        """JSON-able: model, version, inputs, results and made channels of each step."""
        return [
            {
                "model": f"{card.name} {card.version}",
                "inputs": list(step.inputs),
                "finds": list(found_by(step, card)),
                "makes": {name: entry.model_dump(exclude_none=True) for name, entry in step.makes.items()},
            }
            for step, card in zip(self.cascade.steps, self.cards, strict=True)
        ]


def found_by(step: CascadeStep, card: ModelCard) -> tuple[str, ...]:
    """The structures of a card that are results of a step."""
    return tuple(structures_of(card)) if step.finds is None else step.finds


def plan_cascade(name_or_path: str | Path) -> PlannedCascade:
    """A cascade that ships, or one of the user's, with the cards of its models. Weights are not read.

    Parameters
    ----------
    name_or_path : path-like
        A YAML file, or the name of a cascade that ships.

    Raises
    ------
    SettingsError
        ``E-CASCADE``: no such cascade, or a step that does not fit its model; ``E-SETTINGS``; ``E-MODEL-NAME``.
    InputError
        ``E-MODEL-CARD``, ``E-MODEL-FILE``.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = Path(str(resources.files("tomocyte") / "recipes" / f"{name_or_path}.yaml"))
    content = load_settings(path) if path.is_file() else {}
    if content.get("kind") != "cascade":
        raise SettingsError(
            "E-CASCADE",
            f"{name_or_path} is no cascade of networks.",
            cure="Give a YAML file with the line `kind: cascade`, or nile-red-eleven.",
        )
    cascade = build_settings(Cascade, content)
    steps = tuple(step.model_copy(update={"model": _place_of(step.model, path)}) for step in cascade.steps)
    cards = tuple(read_organelles_card(step.model) for step in steps)
    planned = PlannedCascade(cascade.model_copy(update={"steps": steps}), cards)
    _check(planned)
    return planned


def _place_of(model: str, path: Path) -> str:
    beside = path.parent / model
    return str(beside.resolve()) if beside.is_dir() else model


def _check(planned: PlannedCascade) -> None:
    """Refuse steps that ask their models for what they have not, and structures that two steps find."""
    for step, card in zip(planned.cascade.steps, planned.cards, strict=True):
        known = structures_of(card)
        wanted = (*(step.finds or ()), *(entry.structure for entry in step.makes.values()))
        missing = [name for name in wanted if name not in known]
        if missing:
            raise SettingsError(
                "E-CASCADE", f"{card.name} does not find {missing[0]}.", cure=f"It finds: {', '.join(known)}."
            )
        if len(step.inputs) != len(card.channels):
            raise SettingsError(
                "E-CASCADE",
                f"{card.name} sees {len(card.channels)} channels, not {len(step.inputs)}.",
                cure=f"Give its `inputs` in the order of its card: {', '.join(card.channels)}.",
            )
    names = planned.structures
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SettingsError(
            "E-CASCADE",
            f"two steps find {twice[0]}.",
            cure="Leave it out of the `finds` of one of them.",
        )


def apply_cascade(
    planned: PlannedCascade,
    models: tuple[LoadedModel, ...],
    channels: Mapping[str, Float],
    voxel_size_um: VoxelSize,
    rules: ObjectRules,
    *,
    callback: OnStep = silent,
) -> dict[str, Labels]:
    """Everything the networks of a cascade find in a frame, as objects.

    Parameters
    ----------
    planned : PlannedCascade
    models : tuple of LoadedModel
        One per step.
    channels : mapping of str to ndarray (Z, Y, X), float32
        The frame's channels by name, derived ones too; NaN = outside. Read and derived once, for all steps.
    voxel_size_um : tuple of 3 float
    rules : ObjectRules
    callback : callable
        Called with the name of a model, its tiles done and its tiles in all.

    Returns
    -------
    dict of str to ndarray (Z, Y, X), unsigned integer
        Objects per structure; the main ones under the name ``cell``.

    Raises
    ------
    SettingsError
        ``E-CASCADE``: a channel that the frame does not have.
    """
    from tomocyte.segmentation.prediction.objects import instances_from_mask

    known, labels = dict(channels), {}
    for step, model in zip(planned.cascade.steps, models, strict=True):
        card = model.card
        check_inputs(step, known)
        frame = ModelInput(np.stack([known[name] for name in step.inputs]), voxel_size_um)

        def on_tiles(done: int, total: int, name: str = card.name) -> None:
            callback(name, done, total)

        masks = structure_masks(model, frame, rules, callback=on_tiles)
        for name in found_by(step, card):
            labels[rules.canonical(card, name)] = instances_from_mask(masks[name], voxel_size_um, rules.of(card, name))
        for name, entry in step.makes.items():
            mask = masks[entry.structure].astype(np.float32)
            known[name] = mask if entry.times is None else np.where(mask > 0, known[entry.times], np.float32(0))
    return labels


def check_inputs(step: CascadeStep, known: Mapping[str, Any]) -> None:
    """Refuse a step whose channels are not there.

    Raises
    ------
    SettingsError
        ``E-CASCADE``.
    """
    used = (*step.inputs, *(entry.times for entry in step.makes.values() if entry.times))
    missing = [name for name in used if name not in known]
    if missing:
        raise SettingsError(
            "E-CASCADE",
            f"{step.model} is to see {missing[0]}, and there is no such channel.",
            cure=f"There are: {', '.join(known)}; or let an earlier step make it.",
        )


def structure_masks(
    model: LoadedModel, frame: ModelInput, rules: ObjectRules, *, callback: Callable[[int, int], None] = silent
) -> dict[str, Mask]:
    """Where a model finds each of its structures: above their thresholds, or of exclusive ones the most probable.

    Returns
    -------
    dict of str to ndarray (Z, Y, X), bool
        By the names of the card; voxels that are NaN in any channel belong to nothing.
    """
    card = model.card
    outputs = structures_of(card)
    if is_streamed(card, rules.of_all(card)):
        masks = predict_masks_of(model, frame, rules, callback=callback)
        return {name: masks.mask(numbers[0]) for name, numbers in outputs.items()}
    probability = predict_probabilities(model, frame, rules.inference, callback=callback)
    if card.activation == "sigmoid":
        return {name: probability[numbers[0]] > rules.of(card, name).threshold for name, numbers in outputs.items()}
    winner = probability.argmax(axis=0)
    winner[~np.isfinite(frame.image).all(axis=0)] = card.structures.index(BACKGROUND)
    return {name: np.isin(winner, numbers) for name, numbers in outputs.items()}
