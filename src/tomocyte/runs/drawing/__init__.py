"""Figures and films of a finished run: charts of its tables, montages of its cells, films of its fields.

Everything is read from the run's folder and from its inputs, nothing is computed again. ``view`` reads one item,
``charts`` draws tables, ``montages`` shows cells, ``renderings`` surfaces in 3-D, ``films`` makes films. To add a
figure of a run, write a function that returns the files it wrote, and call it in :func:`draw_run`.
"""

from tomocyte.runs.drawing.again import draw_table
from tomocyte.runs.drawing.draw import DrawSettings, draw_run
from tomocyte.runs.drawing.films import FilmSettings, film_run

__all__ = ["DrawSettings", "FilmSettings", "draw_run", "draw_table", "film_run"]
