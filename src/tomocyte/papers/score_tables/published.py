"""What a paper prints: its tables and what it claims about their rows, read from a file of ``recipes``.

To add a paper, write a YAML file like ``recipes/osnet-published.yaml``; to add a kind of claim, see ``orderings``.
"""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings, load_settings

Relation = Literal["above", "far-above", "similar"]


class PublishedRow(Settings):
    """One row of a printed table; each score is (mean, SD), or (mean,) where no SD is printed."""

    n_parameters: int | None = None
    """As printed."""
    dice: tuple[float, ...] = ()
    """Dice."""
    jaccard: tuple[float, ...] = ()
    """Jaccard."""
    f05_as_published: tuple[float, ...] = ()
    """F0.5 with the recall of the print."""
    pr_auc: tuple[float, ...] = ()
    """Area under precision against recall."""

    def mean(self, score: str) -> float:
        """The printed mean, NaN where there is none."""
        values: tuple[float, ...] = getattr(self, score, ())
        return values[0] if values else math.nan


class Claim(Settings):
    """A paper's claim about two of its rows."""

    text: str
    """In words."""
    first: str
    """The row that is claimed to be better."""
    second: str | None
    """The row it is compared with; null: the best of all others."""
    relation: Relation
    """``above``; ``far-above``; ``similar``: neither is better by more than the spread of the folds."""


class PublishedTable(Settings):
    """One printed table."""

    title: str
    """As printed, shortened."""
    rows: dict[str, PublishedRow]
    """By row name."""
    claims: tuple[Claim, ...] = ()
    """In the order of the text."""

    @model_validator(mode="after")
    def _claims_name_rows(self) -> PublishedTable:
        names = {name for claim in self.claims for name in (claim.first, claim.second) if name is not None}
        if names - set(self.rows):
            raise ValueError(f"claims about rows that are not there: {sorted(names - set(self.rows))}")
        return self


class Published(Settings):
    """What a paper prints."""

    title: str
    """Of the paper."""
    authors: str
    """Short."""
    year: int
    """Of the version used."""
    doi: str
    """Without the resolver."""
    labels: dict[str, str]
    """Row name -> text in a table, where it is longer than the name."""
    tables: dict[str, PublishedTable]
    """By name."""

    def table(self, name: str) -> PublishedTable:
        """One table.

        Raises
        ------
        SettingsError
            ``E-TABLE`` with the valid names.
        """
        if name not in self.tables:
            raise SettingsError("E-TABLE", f"unknown table {name!r}.", cure=f"Known: {', '.join(self.tables)}.")
        return self.tables[name]


def load_published(name: str = "osnet-published", path: Path | None = None) -> Published:
    """What a paper prints, from ``recipes/<name>.yaml`` or from a file.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: not there, not readable, or with unknown keys.

    Examples
    --------
    >>> load_published().table("table-1").rows["OS-Net"].dice
    (0.9131, 0.0131)
    """
    if path is not None:
        return build_settings(Published, load_settings(path))
    with resources.as_file(resources.files("tomocyte") / "recipes" / f"{name}.yaml") as file:
        return build_settings(Published, load_settings(file))
