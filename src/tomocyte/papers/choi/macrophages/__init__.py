"""Macrophages under LPS (Choi et al., Fig. 4): simulated films, images, a run, tracks, series, statistics, figures.

``recipe`` says what is simulated and what the paper claims, ``films`` simulates and measures, ``claims`` decides what
holds, ``pictures`` draws, ``planes`` shows cells through time, ``experiment`` does all of it. To add a claim, add it to
``recipes/choi-fig4.yaml``.
"""

from tomocyte.papers.choi.macrophages.claims import claim_table, effects_of
from tomocyte.papers.choi.macrophages.experiment import describe_macrophages, macrophages_experiment
from tomocyte.papers.choi.macrophages.films import concentration_mg_per_ml, film_plans
from tomocyte.papers.choi.macrophages.recipe import Claim, MacrophagesRecipe

__all__ = [
    "Claim",
    "MacrophagesRecipe",
    "claim_table",
    "concentration_mg_per_ml",
    "describe_macrophages",
    "effects_of",
    "film_plans",
    "macrophages_experiment",
]
