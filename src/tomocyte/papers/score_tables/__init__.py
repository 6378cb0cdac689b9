"""Scores compared with a paper's: its table layout, its printed values, and its orderings, judged here.

``table`` makes Markdown, CSV and HTML, ``published`` reads what a paper prints, ``orderings`` judges its claims. To add
another presentation of scores, write a module here and name it below.
"""

from tomocyte.papers.score_tables.orderings import Ordering, judge_orderings, orderings_markdown
from tomocyte.papers.score_tables.published import Published, PublishedTable, load_published
from tomocyte.papers.score_tables.table import PaperTable, score_text

__all__ = [
    "Ordering",
    "PaperTable",
    "Published",
    "PublishedTable",
    "judge_orderings",
    "load_published",
    "orderings_markdown",
    "score_text",
]
