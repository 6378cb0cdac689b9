"""The papers' experiments on trained models: each takes a model and files on disk and leaves tables and pictures.

``sections_3d`` is OS-Net's Fig. 3b, ``time_lapse`` its Fig. 4; ``recipe`` reads their YAML files, ``applied`` applies a
model package to a frame, ``objects`` compares what was found with the truth object by object, ``material`` finds the
files. To add an experiment, write a module with one function ``(model, items, output, settings) -> result``, give it a
settings class in ``recipe`` and a YAML file in ``recipes``.
"""

from tomocyte.experiments.applied import AppliedModel, applied_model, predict_structure
from tomocyte.experiments.material import ExperimentItem, find_material
from tomocyte.experiments.recipe import FigureRecipe, SectionsSettings, TimeLapseSettings, load_figure_recipe
from tomocyte.experiments.sections_3d import sections_experiment
from tomocyte.experiments.time_lapse import time_lapse_experiment

__all__ = [
    "AppliedModel",
    "ExperimentItem",
    "FigureRecipe",
    "SectionsSettings",
    "TimeLapseSettings",
    "applied_model",
    "find_material",
    "load_figure_recipe",
    "predict_structure",
    "sections_experiment",
    "time_lapse_experiment",
]
