"""Conditions compared: from the tables of a run and a design to comparisons, series, figures and sentences.

``reading`` finds tables and what inputs are called, ``analysis`` computes, ``words`` says it, ``writing`` writes files.
To add a result, compute it in ``analysis`` and write it in ``writing``.
"""

from tomocyte.runs.analyse.analysis import Analysis, AnalysisSettings, analyse_objects, check_control
from tomocyte.runs.analyse.reading import Measured, design_of, inputs_of, make_design, read_measured
from tomocyte.runs.analyse.writing import analyse_folder, write_analysis

__all__ = [
    "Analysis",
    "AnalysisSettings",
    "Measured",
    "analyse_folder",
    "analyse_objects",
    "check_control",
    "design_of",
    "inputs_of",
    "make_design",
    "read_measured",
    "write_analysis",
]
