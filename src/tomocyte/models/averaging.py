"""A model between two of the same network: the average of their weights.

A model that was trained on from another one often gains on new images and loses a little on the old ones; the average
of both keeps most of either. To average in another way, write it in :func:`average_models`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.errors import SettingsError
from tomocyte.models.card import ModelCard
from tomocyte.models.package import ModelPackage, save_package

if TYPE_CHECKING:
    from torch import Tensor

SAME = ("network", "modality", "structures", "channels", "normalization", "voxel_size_um", "activation", "section_axis")
"""Fields of the card in which both models must agree."""


def average_models(first: ModelPackage, second: ModelPackage, output: Path, *, share: float = 0.5) -> ModelCard:
    """Average the weights of two models of the same network, of which one was trained on from the other.

    Parameters
    ----------
    first, second : ModelPackage
    output : Path
        Folder of the new package; must not exist.
    share : float
        Of the second model, 0 to 1.

    Returns
    -------
    ModelCard
        That of the second model without figures and calibration, which would be those of other weights.

    Raises
    ------
    SettingsError
        ``E-MODEL-AVERAGE``: two models that differ in more than their weights, or a share outside 0 to 1.
    OutputError
        ``E-MODEL-EXISTS``.

    References
    ----------
    Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022, arXiv:2109.01903.
    """
    if not 0 <= share <= 1:
        raise SettingsError("E-MODEL-AVERAGE", f"a share of {share} is not between 0 and 1.", cure="Give e.g. 0.5.")
    different = [name for name in SAME if getattr(first.card, name) != getattr(second.card, name)]
    if different:
        raise SettingsError(
            "E-MODEL-AVERAGE",
            f"{first.card.name} and {second.card.name} differ in {', '.join(different)}.",
            cure="Average two models of which one was trained on from the other with --init.",
        )
    state = {name: _between(first.state[name], weight, share) for name, weight in second.state.items()}
    data = "; ".join(
        f"{part:g} of weights {card.weights_sha256[:12]}, trained on {card.training_data}"
        for part, card in ((1 - share, first.card), (share, second.card))
    )
    changes = {"figures": {}, "calibration": {}, "training_data": f"average: {data}"}
    return save_package(output, state, second.card.model_copy(update=changes), second.selftest["input"])


def _between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Counters, as of batches seen, are those of the second model."""
    return first.float().lerp(second.float(), share) if second.is_floating_point() else second
