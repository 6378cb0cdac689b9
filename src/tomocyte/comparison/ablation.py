"""What a channel is worth: a recipe trained with and without it from the same seeds, and scored on the same images.

The order of the steps is in :func:`ablate`. Each training has its own run folder; a finished one is never repeated, so
the same command resumes. Differences are of pairs: the same image, the same seed. To drop something else than a
channel, change :func:`without_channel`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tomocyte.comparison.samples import network_predictor, pixel_fields
from tomocyte.comparison.score import score_model
from tomocyte.comparison.train_model import train
from tomocyte.datasets.labelled import LabelledItem
from tomocyte.errors import InputError, SettingsError
from tomocyte.evaluation import ScoreSettings
from tomocyte.ledger import claim_folder
from tomocyte.ledger.atomic import write_atomic
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.models import load_package
from tomocyte.networks import find_network
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import sha256_of_json
from tomocyte.settings import Settings
from tomocyte.statistics import ComparisonSettings, compare_conditions
from tomocyte.training.data.samples import Samples
from tomocyte.training.loop import recipe_hash
from tomocyte.training.recipe import Recipe
from tomocyte.training.training import LabelledData, split_items

if TYPE_CHECKING:
    import pandas as pd

WITH, WITHOUT = "with", "without"
KEYS = ("item", "group", "structure", "is_simulated")
METRICS = ("dice", "moc", "precision", "recall", "pixel_accuracy")
ABLATED = "Trained without the channel {channel}, only to find out what it is worth: not for use."
TEST_SPLIT = "test"


class AblationSettings(Settings):
    """What is dropped, and how often."""

    channel: str
    """Name of the channel."""
    method: Literal["constant", "remove"] = "constant"
    """``constant``: the image is 0 there and the network stays the same, so that both of a pair begin with the same
    weights. ``remove``: its first layer is without it."""
    n_seeds: int = Field(default=3, ge=1, le=100)
    """Pairs of trainings: seeds 1, 2 …"""
    held_out_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the groups that are scored and never trained on, where the data have no split `test`."""
    split_seed: int = Field(default=1, ge=0)
    """Of their choice."""
    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of confidence of the intervals."""


@dataclass(frozen=True)
class AblationResult:
    """What an ablation ends with.

    Parameters
    ----------
    scores : DataFrame
        A row per arm (``with``, ``without``), seed, held-out image and structure, with the metrics.
    differences : DataFrame
        A row per structure and metric: both means, and with minus without with its interval over held-out groups.
    seconds : float
        Spent on trainings and scores in this call.
    is_simulated : bool
        Whether any held-out image is simulated.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    seconds: float
    is_simulated: bool


def channels_of(recipe: Recipe, items: Sequence[LabelledItem]) -> tuple[str, ...]:
    """The names of the channels that a recipe's network sees."""
    samples = Samples(list(items[:1]), recipe.data, n_axes=find_network(recipe.network.name).dimensions)
    return samples.volume(0)[0].channels


def without_channel(recipe: Recipe, channels: Sequence[str], settings: AblationSettings) -> Recipe:
    """The recipe of the arm without the channel.

    Parameters
    ----------
    recipe : Recipe
    channels : sequence of str
        Those that the network sees.
    settings : AblationSettings

    Raises
    ------
    SettingsError
        ``E-CHANNEL``: it has no such channel, or no other.
    """
    channel, known = settings.channel, ", ".join(channels)
    if channel not in channels:
        raise SettingsError(
            "E-CHANNEL", f"the network of {recipe.name} sees no channel {channel!r}.", cure=f"Drop one of: {known}."
        )
    if len(channels) == 1:
        raise SettingsError(
            "E-CHANNEL", f"{channel!r} is the only channel; without it nothing is left.", cure="Use more channels."
        )
    others = tuple(name for name in channels if name != channel)
    changes: dict[str, Any] = (
        {"constant_channels": (channel,)} if settings.method == "constant" else {"channels": others}
    )
    data = type(recipe.data).model_validate({**recipe.data.model_dump(exclude_unset=True), **changes})
    return recipe.model_copy(update={"data": data, "limits": ABLATED.format(channel=channel)})


def split_for_ablation(
    items: Sequence[LabelledItem], recipe: Recipe, settings: AblationSettings
) -> tuple[LabelledData, list[LabelledItem]]:
    """What both arms learn from, and what both are scored on: no group in both.

    Raises
    ------
    InputError
        ``E-NO-DATA``: fewer than two groups.
    """
    held_out = [item for item in items if item.split == TEST_SPLIT]
    rest = [item for item in items if item.split != TEST_SPLIT]
    if not held_out:
        parts = split_items(rest, settings.held_out_share, seed=settings.split_seed, min_held_out=1)
        rest, held_out = parts.train, parts.validation
    data = split_items(rest, recipe.validation_share, seed=recipe.loop.seed, leaves_out=recipe.leaves_out)
    if not held_out or not data.train:
        raise InputError(
            "E-NO-DATA",
            f"{len(items)} labelled images are too few to train on some and score others.",
            path=items[0].image if items else None,
            cure="Give at least two images of different cells; five or more held out give an interval worth reading.",
        )
    return data, held_out


def ablate(
    recipe: Recipe,
    items: Sequence[LabelledItem],
    folder: Path,
    settings: AblationSettings,
    *,
    device: str = "cpu",
    callback: Callback = silent,
) -> AblationResult:
    """Train a recipe with and without a channel, from each seed, and compare both on held-out images.

    Parameters
    ----------
    recipe : Recipe
        Its ``held_out`` and ``calibrate`` are left out.
    items : sequence of LabelledItem
        Those of the split ``test`` are held out; without any, a share of the groups is.
    folder : Path
        ``seed-N/with`` and ``seed-N/without`` are run folders; the same call resumes.
    settings : AblationSettings
    device : str
    callback : callable
        Receives an event of the step ``training`` before each, and those of the trainings.

    Returns
    -------
    AblationResult

    Raises
    ------
    SettingsError, InputError, OutputError

    References
    ----------
    Zhanghao et al. 2021, Fig. S4, doi:10.1101/2021.12.13.472520.
    """
    import pandas as pd

    begun = time.monotonic()
    plain = recipe.model_copy(update={"held_out": None, "calibrate": False})
    arms = {WITH: plain, WITHOUT: without_channel(plain, channels_of(plain, items), settings)}
    data, held_out = split_for_ablation(items, plain, settings)
    claim_folder(folder, "ablate", own=("ablation.csv",))
    pairs = [(seed, arm) for seed in range(1, settings.n_seeds + 1) for arm in arms]
    rows: list[dict[str, Any]] = []
    for number, (seed, arm) in enumerate(pairs):
        seconds = time.monotonic() - begun
        values = {"minutes_left": seconds / number * (len(pairs) - number) / 60} if number else {}
        title = f"seed {seed}, {arm} {settings.channel}"
        callback(Progress(title, "training", state="started", done=number, total=len(pairs), values=values))
        seeded = arms[arm].model_copy(update={"loop": arms[arm].loop.model_copy(update={"seed": seed})})
        place = folder / f"seed-{seed}" / arm
        own = LabelledData(_as_read(data.train, seeded), _as_read(data.validation, seeded))
        trained = train(seeded, own, folder=place, device=device, callback=callback)
        callback(Progress(title, "score", state="started"))
        own_rows = _scores(seeded, _as_read(held_out, seeded), place, trained)
        rows += [{"arm": arm, "seed": seed, **row} for row in own_rows]
    scores = pd.DataFrame(rows)[["arm", "seed", *KEYS, *METRICS]].astype(
        dict.fromkeys(METRICS, "float64")
    )  # None of a record: NaN
    is_simulated = bool(scores["is_simulated"].any())
    return AblationResult(scores, differences_of(scores, settings), time.monotonic() - begun, is_simulated)


def _as_read(items: Sequence[LabelledItem], recipe: Recipe) -> list[LabelledItem]:
    """The items with the channels that a recipe reads."""
    return [replace(item, channels=recipe.data.channels) for item in items]


def _scores(
    recipe: Recipe, held_out: list[LabelledItem], folder: Path, trained: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row per held-out image and structure of one training; from its folder where it was scored before."""
    path = folder / "scores.json"
    names = [item.name for item in held_out]
    key = sha256_of_json(
        {"weights": trained["weights_sha256"], "recipe": recipe_hash(recipe), "items": names, "metrics": METRICS}
    )
    if path.exists() and (content := unseal(path))["key"] == key:
        return list(content["rows"])
    samples = Samples(held_out, recipe.data, n_axes=find_network(recipe.network.name).dimensions)
    module = load_package(folder / "model").build()
    predict = network_predictor(module, is_softmax=recipe.loss.activation == "softmax")
    settings = ScoreSettings(is_curve_exact=False, is_group_pooled=False, is_surface_scored=False)
    table = score_model(predict, pixel_fields(samples), settings=settings, metrics=METRICS)
    rows = [
        {
            **{name: row[name] for name in KEYS},
            **{name: row[name] if row[name] == row[name] else None for name in METRICS},
        }
        for row in table.rows
    ]
    write_atomic(path, seal({"key": key, "rows": rows}))
    return rows


def differences_of(scores: pd.DataFrame, settings: AblationSettings) -> pd.DataFrame:
    """With minus without, per structure and metric, over held-out groups; seeds and images of a group are averaged.

    Parameters
    ----------
    scores : DataFrame
        ``arm``, ``seed``, ``group``, ``structure`` and the metrics.
    settings : AblationSettings

    Returns
    -------
    DataFrame
        ``mean_with``, ``mean_without``, ``difference`` with ``low`` and ``high`` (paired t), ``bootstrap_low`` and
        ``_high``, ``p``, ``sd_of_seeds``, ``n_groups``, ``n_seeds``, ``reason``.

    Examples
    --------
    >>> import pandas as pd
    >>> one = {"arm": ["with", "without"] * 2, "seed": 1, "group": ["a", "a", "b", "b"], "structure": "golgi"}
    >>> table = pd.DataFrame(one).assign(dice=[0.6, 0.4, 0.7, 0.6], moc=0.5, precision=0.5, recall=0.5)
    >>> result = differences_of(table.assign(pixel_accuracy=0.9), AblationSettings(channel="ratio"))
    >>> round(result["difference"].iloc[0], 3)
    0.15
    """
    import pandas as pd

    options = ComparisonSettings(is_paired=True, control=WITHOUT, level=settings.level)
    rows = []
    for structure, table in scores.groupby("structure", sort=False):
        for metric in METRICS:
            values = pd.DataFrame({"condition": table["arm"], "replicate": table["group"], "value": table[metric]})
            compared = compare_conditions(values, options)
            means = table.groupby(["seed", "arm"])[metric].mean().unstack("arm")
            row: dict[str, Any] = {"structure": structure, "metric": metric, "n_seeds": table["seed"].nunique()}
            if compared:
                one = compared[0]
                row |= {
                    "mean_with": one.mean,
                    "mean_without": one.mean_control,
                    "difference": one.difference.value,
                    "low": one.difference.low,
                    "high": one.difference.high,
                    "bootstrap_low": one.bootstrap.low,
                    "bootstrap_high": one.bootstrap.high,
                    "p": one.p,
                    "n_groups": one.n_replicates,
                    "reason": "; ".join(filter(None, (one.reason, *one.notes))),
                }
                row["sd_of_seeds"] = float((means[WITH] - means[WITHOUT]).std(ddof=1))
            rows.append(row)
    return pd.DataFrame(rows)
