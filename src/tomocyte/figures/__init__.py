"""Pictures of results: orthogonal planes with contours, histograms, time courses; each one is a PNG as bytes.

The same input gives the same bytes: the user's own matplotlib settings are not used, and no date or version is stored.
To add a picture, write a module with a function that returns PNG bytes, and name it here.
"""

from tomocyte.figures.canvas import ALL_COLOURS, STRUCTURE_COLOURS, structure_colour
from tomocyte.figures.charts import histogram, histogram_figure, time_course_figure
from tomocyte.figures.marks import scale_bar_um
from tomocyte.figures.planes import closeup, overview

__all__ = [
    "ALL_COLOURS",
    "STRUCTURE_COLOURS",
    "closeup",
    "histogram",
    "histogram_figure",
    "overview",
    "scale_bar_um",
    "structure_colour",
    "time_course_figure",
]
