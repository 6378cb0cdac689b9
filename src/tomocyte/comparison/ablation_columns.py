"""The meaning of the columns of an ablation's tables; a new one is described here."""

from __future__ import annotations

from collections.abc import Iterable

from tomocyte.evaluation.columns import describe_column
from tomocyte.tables import Column

OWN = (
    Column("arm", "", "Whether the network saw the channel: with or without.", kind="text"),
    Column(
        "seed", "1", "Of the weights, the order of samples and augmentation; the same for both arms.", kind="integer"
    ),
    Column("n_seeds", "1", "Pairs of trainings.", kind="integer"),
    Column("mean_with", "1", "Mean over held-out groups with the channel, averaged over seeds.", "no value"),
    Column("mean_without", "1", "The same without the channel.", "no value"),
    Column("difference", "1", "With minus without.", "no value"),
    Column("low", "1", "Lower end of the interval of the difference over held-out groups, paired t.", "see reason"),
    Column("high", "1", "Upper end of it.", "see reason"),
    Column("bootstrap_low", "1", "The same from a bootstrap of groups and of seeds within them.", "see reason"),
    Column("bootstrap_high", "1", "Upper end of it.", "see reason"),
    Column("p", "1", "Of the paired t test, not corrected for the number of structures and metrics.", "see reason"),
    Column("sd_of_seeds", "1", "Standard deviation of the difference between seeds (n - 1).", "one seed"),
)
_OWN = {column.name: column for column in OWN}


def describe(names: Iterable[str]) -> list[Column]:
    """What columns mean, in the order given.

    Examples
    --------
    >>> describe(["difference"])[0].meaning
    'With minus without.'
    """
    return [_OWN[name] if name in _OWN else describe_column(name) for name in names]
