"""Recipes of OS-Net's experiments with a trained model: which files, which model, which settings.

To add a setting, add a field here and use it in ``sections`` or ``time_lapse``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from tomocyte.papers.recipe import PaperRecipe, RecipeData
from tomocyte.settings import Settings


class SectionsSettings(Settings):
    """Section-wise segmentation in 3-D (OS-Net, Fig. 3b)."""

    structure: str = "nucleus"
    """What is segmented."""
    around: str = "cell"
    """What is drawn around it in the rendering, from the true labels."""
    n_sections: PositiveInt = 6
    """Sections shown, spread evenly over the object's height."""
    n_shown: PositiveInt = 3
    """Of how many volumes pictures are drawn: those of the largest uncut objects."""
    min_volume_um3: float = Field(default=10.0, ge=0)
    """Smaller connected parts of a prediction do not count as objects."""
    margin_um: float = Field(default=4.0, ge=0)
    """What is shown around an object in µm."""


class TimeLapseSettings(Settings):
    """Frame-wise segmentation in 4-D with fringes that grow (OS-Net, Fig. 4)."""

    structure: str = "nucleus"
    """What is segmented."""
    around: str = "cell"
    """What is drawn around it, from the true labels."""
    n_fringes: int = Field(default=12, ge=0, le=100)
    """Fringe systems in the last frame; their number grows evenly from 0 in the first."""
    fringe_ri_amplitude: float = Field(default=0.008, ge=0, le=0.05)
    """Peak of one system in RI in the last frame; it grows evenly from 0 in the first."""
    instrument: str = "HT-2H"
    """Whose frequencies the fringes have."""
    seed: int = Field(default=1, ge=0)
    """Of the fringes."""
    n_shown: PositiveInt = 1
    """Of how many time-lapses pictures are drawn."""
    margin_um: float = Field(default=6.0, ge=0)
    """What is shown around a nucleus in µm."""


class ModelRecipe(PaperRecipe):
    """What the experiments with one trained model share."""

    model: str
    """Model package, by name or folder."""
    data: RecipeData
    """Which files."""


class SectionsRecipe(ModelRecipe):
    """Section-wise segmentation in three dimensions."""

    experiment: Literal["sections-3d"]
    """Which experiment."""
    sections: SectionsSettings = SectionsSettings()
    """What is shown and compared."""


class TimeLapseRecipe(ModelRecipe):
    """Frame-wise segmentation of time-lapses."""

    experiment: Literal["time-lapse"]
    """Which experiment."""
    time_lapse: TimeLapseSettings = TimeLapseSettings()
    """Which fringes, and what is shown."""
