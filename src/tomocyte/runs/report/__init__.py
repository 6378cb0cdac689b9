"""The report: one self-contained HTML page per run.

The page is assembled from what the committed items left behind; nothing here reads an image. To show something new,
write a section (``sections/``); how numbers are rounded lives in ``rounding.py``.
"""

from tomocyte.runs.report.page import write_report
from tomocyte.runs.report.section import ReportItem, ReportRun

__all__ = ["ReportItem", "ReportRun", "write_report"]
