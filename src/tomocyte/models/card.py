"""The model card: everything that is known about a model, as JSON that vouches for itself.

A card is data: every text, number and list is bounded, unknown keys are refused, and a changed bit shows. To record
another fact, add a field with a default (old cards stay readable).
"""

from __future__ import annotations

import json
import math
import unicodedata
from datetime import date as Date  # noqa: N812 - the field is called date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from tomocyte.confidence.settings import StructureCalibration, TrainingDistribution
from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger.sealed import seal
from tomocyte.models.reading import CARD_FILE, read_plain
from tomocyte.segmentation.prediction.fixed_shape import FixedFrameSettings
from tomocyte.segmentation.prediction.normalization import NormalizationSettings
from tomocyte.segmentation.prediction.scaled_frame import ScaledFrameSettings
from tomocyte.settings import Settings, build_settings
from tomocyte.volume import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM

LARGEST_CARD_BYTES = 1 << 20
LARGEST_TILE_VOXELS = 1 << 26
MOST_VALUES = 4000
DEEPEST = 8
LONGEST_TEXT = 4000
LARGEST_OPTION = 4096
_HIDDEN = {"\u2028", "\u2029", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def _plain_text(text: str) -> str:
    """Text that a terminal can show as it is: no control characters, nothing that turns the writing direction."""
    if any((unicodedata.category(c) == "Cc" and c not in "\n\t") or c in _HIDDEN for c in text):
        raise ValueError("contains control characters")
    return text


def _plain_values(content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """JSON of bounded depth and number of values, with finite numbers and plain text."""
    left = MOST_VALUES
    level: list[Any] = [content]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str):
                if len(value) > LONGEST_TEXT:
                    raise ValueError(f"contains a text of more than {LONGEST_TEXT} characters")
                _plain_text(value)
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("contains a number that is not finite")
        left -= len(below)
        if left < 0:
            raise ValueError(f"contains more than {MOST_VALUES} values")
        level = below
    if level:
        raise ValueError(f"is nested more than {DEEPEST - 1} deep")
    return content


def _small_numbers(content: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for value in _leaves(content):
        if isinstance(value, int | float) and abs(value) > LARGEST_OPTION:
            raise ValueError(f"contains a number above {LARGEST_OPTION}")
    return content


def _leaves(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in _leaves(inner)]
    return [value]


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$")]
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_plain_text)]
Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Micrometre = Annotated[float, Field(ge=SMALLEST_VOXEL_UM, le=LARGEST_VOXEL_UM, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Values = Annotated[dict[str, JsonValue], AfterValidator(_plain_values)]
Side = Annotated[int, Field(ge=1, le=4096)]


class NetworkChoice(Settings):
    """Which network the weights belong to."""

    name: Name
    """One of ``tomocyte networks``."""
    options: Annotated[Values, AfterValidator(_small_numbers)] = Field(default_factory=dict)
    """Its options; what is not given keeps the network's default."""


class ModelCard(Settings):
    """What a model is, what it takes, what it gives, how good it is, and where it ends.

    Examples
    --------
    >>> card = ModelCard(
    ...     name="my-nucleus", modality="odt", quantity="refractive_index", channels=("refractive_index",),
    ...     dimensions=2, structures=("nucleus",), network=NetworkChoice(name="osnet"),
    ...     voxel_size_um=(None, 0.195, 0.195), value_range=(1.3, 1.6), section_axis="z", tile_shape=(192, 192),
    ... )
    >>> card.threshold_of("nucleus")
    0.5
    """

    format_version: Literal[1] = 1
    """Version of the card's own layout."""
    name: Name
    """Small letters, digits, ``-``, ``_`` and ``.``; also the folder's name in the library."""
    version: str = Field(default="0.1.0", pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}([.-][A-Za-z0-9.-]{1,20})?$")
    """Raised whenever the weights change."""
    role: Literal["organelles", "cell-by-cell"] = "organelles"
    """``organelles``: finds structures in an image. ``cell-by-cell``: sees three masks (all cells, one nucleus, the
    other nuclei) and finds that nucleus's cell; used to tell cells apart, never on an image."""
    description: Text = ""
    """What the model does, for people."""
    paper: Text = ""
    """Paper whose method this is, with DOI."""
    modality: Word
    """Name of the modality, e.g. ``odt``."""
    quantity: Word
    """What a voxel value of its input means, e.g. ``refractive_index``."""
    channels: tuple[Word, ...] = Field(min_length=1, max_length=16)
    """Input channels, in order."""
    dimensions: Literal[2, 3]
    """2: the network sees sections (y, x); 3: tiles (z, y, x)."""
    structures: tuple[Word, ...] = Field(min_length=1, max_length=64)
    """One per output of the network, in order; with ``softmax`` one of them is ``background``."""
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    """What turns the network's outputs into probabilities."""
    network: NetworkChoice
    """Architecture of the weights."""
    normalization: NormalizationSettings = NormalizationSettings()
    """How physical values become network input."""
    voxel_size_um: tuple[Micrometre | None, Micrometre, Micrometre]
    """Voxel size z, y, x in µm at which the network works; z is null where the thickness does not matter."""
    voxel_size_range: tuple[Finite, Finite] = (0.5, 2.0)
    """How far from it a volume's voxel size may be, as factors per axis."""
    value_range: tuple[Finite, Finite]
    """Physical values between which the 1st to the 99th percentile of a frame must lie."""
    section_axis: Literal["z", "y", "x"] | None = None
    """2-D networks: the axis a volume is cut along; null for models of planar images only, and for 3-D."""
    tile_shape: tuple[Side, ...] = Field(min_length=2, max_length=3)
    """Shape of the tiles it was trained for, (y, x) or (z, y, x)."""
    fixed_frame: FixedFrameSettings | None = None
    """3-D networks that see every volume at one shape; ``voxel_size_um`` is then that of the training volumes."""
    scaled_frame: ScaledFrameSettings | None = None
    """3-D softmax networks that see every volume at one shape and one range of values; ``voxel_size_um`` is then that
    of the training volumes."""
    threshold: dict[Word, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """Probability from which a voxel belongs to a structure; 0.5 where not given."""
    calibration: dict[Word, StructureCalibration] = Field(default_factory=dict)
    """Per structure, what the network's probabilities mean, learned on validation images; masks do not depend on it."""
    domain: TrainingDistribution | None = None
    """What the training images looked like, so that images of another kind are noticed."""
    is_trained_on_simulated: bool = False
    """Whether simulated data took part in the training."""
    training_data: Text = ""
    """What it was trained on."""
    date: Date | None = None
    """Day of the training."""
    figures: Values = Field(default_factory=dict)
    """Figures on held-out data, each with its name; nested where there are several data sets."""
    limits: Text = ""
    """What the model is not good for."""
    licence: str = Field(default="BSD-3-Clause", pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,60}$")
    """SPDX identifier."""
    weights_dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """How kernels are stored; the network itself always computes with the float32 they become."""
    weights_sha256: Digest = ""
    """SHA-256 of ``weights.safetensors``; filled when the package is saved."""
    selftest_sha256: Digest = ""
    """SHA-256 of ``selftest.safetensors``; filled when the package is saved."""
    recipe: Values = Field(default_factory=dict)
    """Settings of the training."""

    @model_validator(mode="after")
    def _is_consistent(self) -> ModelCard:
        if len(set(self.channels)) < len(self.channels) or len(set(self.structures)) < len(self.structures):
            raise ValueError("each channel and each structure needs its own name")
        if self.role == "cell-by-cell" and (len(self.channels), len(self.structures), self.dimensions) != (3, 1, 3):
            raise ValueError("a 'cell-by-cell' network is 3-D, with three channels and one structure")
        if self.activation == "softmax" and ("background" not in self.structures or len(self.structures) < 2):
            raise ValueError("'softmax' needs 'background' and another one among 'structures'")
        if len(self.tile_shape) != self.dimensions or math.prod(self.tile_shape) > LARGEST_TILE_VOXELS:
            raise ValueError(
                f"'tile_shape' needs {self.dimensions} sizes, together at most {LARGEST_TILE_VOXELS} voxels"
            )
        if self.dimensions == 3 and (self.section_axis is not None or self.voxel_size_um[0] is None):
            raise ValueError("a 3-D network needs a z size and has no 'section_axis'")
        if self.scaled_frame is not None and (self.dimensions != 3 or self.structures[0] != "background"):
            raise ValueError("'scaled_frame' needs a 3-D network whose first structure is 'background'")
        if self.scaled_frame is not None and (self.activation != "softmax" or self.fixed_frame is not None):
            raise ValueError("'scaled_frame' needs 'softmax', and no 'fixed_frame'")
        if not 0.01 <= self.voxel_size_range[0] <= 1 <= self.voxel_size_range[1] <= 100:
            raise ValueError("'voxel_size_range' must enclose 1, within 0.01 to 100")
        if not self.value_range[0] < self.value_range[1]:
            raise ValueError("the second number of 'value_range' must be larger than the first")
        if not set(self.threshold) <= set(self.structures):
            raise ValueError("'threshold' names an unknown structure")
        if not set(self.calibration) <= set(self.structures):
            raise ValueError("'calibration' names an unknown structure")
        return self

    def threshold_of(self, structure: str) -> float:
        """Probability from which a voxel belongs to ``structure``."""
        return self.threshold.get(structure, 0.5)

    def to_bytes(self) -> bytes:
        """The card as sealed JSON: sorted keys, UTF-8, with a hash over itself.

        ``scaled_frame`` stands in it only where there is one, so that cards from before that field keep their hash.
        """
        content = self.model_dump(mode="json")
        if self.scaled_frame is None:
            del content["scaled_frame"]
        return seal(content)


def card_from_bytes(data: bytes, path: Path | None = None) -> ModelCard:
    """A card from sealed JSON.

    Raises
    ------
    InputError
        ``E-MODEL-CARD``: not sealed JSON, a bit differs from what was written, or a field is unknown or out of bounds.
    """
    cure = "Model cards must not be edited by hand; get the package again."
    try:
        content = json.loads(data)
        content.pop("sha256")
        is_sound = data == seal(content)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError("E-MODEL-CARD", f"is not a model card ({error}).", path=path, cure=cure) from error
    if not is_sound:
        raise InputError("E-MODEL-CARD", "was changed after it was written.", path=path, cure=cure)
    try:
        return build_settings(ModelCard, content)
    except SettingsError as error:
        cure = "A newer version of tomocyte may read it."
        raise InputError("E-MODEL-CARD", error.problem, path=path, cure=cure) from error


def read_card(folder: Path) -> ModelCard:
    """The card of a package folder; weights are neither read nor checked.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        ``E-MODEL-FILE``, ``E-MODEL-CARD``.
    """
    path = folder / CARD_FILE
    return card_from_bytes(read_plain(path, largest_nbytes=LARGEST_CARD_BYTES), path)
