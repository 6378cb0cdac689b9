"""The report: one self-contained HTML page per run.

The page is assembled from what the committed items left behind; nothing here reads an image. To show something new,
add it to the view in ``page.py`` and to ``page.html.j2``; how numbers are rounded lives in ``rounding.py``.
"""

from tomocyte.runs.report.page import ReportItem, ReportRun, write_report

__all__ = ["ReportItem", "ReportRun", "write_report"]
