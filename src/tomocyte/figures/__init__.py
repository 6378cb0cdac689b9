"""Pictures of results as bytes: planes with contours, time courses; scores, training, surfaces; histograms as counts.

The same input gives the same bytes: the user's own matplotlib settings are not used, and no date or version is stored.
``contours``, ``curves`` and ``rendering`` also give PDF and SVG; ``sketches`` are SVG for a page. To add a picture,
write a module with a function that returns its bytes, and name it here.
"""

from tomocyte.figures.charts import histogram, time_course_figure
from tomocyte.figures.contours import ContourPanel, contour_figure
from tomocyte.figures.curves import (
    agreement_figure,
    course_figure,
    fold_scores_figure,
    precision_recall_figure,
    reliability_figure,
    training_figure,
)
from tomocyte.figures.marks import scale_bar_um
from tomocyte.figures.planes import closeup, overview
from tomocyte.figures.rendering import Body, BodyPanel, body_figure, surface_mesh

__all__ = [
    "Body",
    "BodyPanel",
    "ContourPanel",
    "agreement_figure",
    "body_figure",
    "closeup",
    "contour_figure",
    "course_figure",
    "fold_scores_figure",
    "histogram",
    "overview",
    "precision_recall_figure",
    "reliability_figure",
    "scale_bar_um",
    "surface_mesh",
    "time_course_figure",
    "training_figure",
]
