"""The sections of the report, a module and a template each.

To add one, write ``<name>.py`` with ``SECTION = Section(...)`` and ``<name>.html.j2``, and name it below, in its place.
"""

from tomocyte.runs.report.sections import about, contacts, files, gallery, items, quality, results, summary

__all__ = ["SECTIONS"]

SECTIONS = (
    summary.SECTION,
    quality.SECTION,
    results.SECTION,
    contacts.SECTION,
    gallery.SECTION,
    items.SECTION,
    files.SECTION,
    about.SECTION,
)
"""In the order of the page."""
