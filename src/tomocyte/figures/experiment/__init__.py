"""Figures of an experiment: conditions, replicates, tracks. Each is drawn from one table, and written with it.

``files`` writes SVG, PNG and the CSV, and draws a CSV again; ``tables`` holds what the tables have in common. To add a
kind of figure, see ``files``.
"""

from tomocyte.figures.experiment.agreement import bland_altman
from tomocyte.figures.experiment.distributions import distributions
from tomocyte.figures.experiment.files import FIGURES, draw_again, write_figure, write_pictures
from tomocyte.figures.experiment.lineage import lineage_trees
from tomocyte.figures.experiment.start_to_end import start_to_end
from tomocyte.figures.experiment.superplot import superplot
from tomocyte.figures.experiment.tables import course_table, superplot_table
from tomocyte.figures.experiment.time_courses import time_courses

__all__ = [
    "FIGURES",
    "bland_altman",
    "course_table",
    "distributions",
    "draw_again",
    "lineage_trees",
    "start_to_end",
    "superplot",
    "superplot_table",
    "time_courses",
    "write_figure",
    "write_pictures",
]
