"""Objects among each other: contacts, distances and positions within a cell, and what they would be by chance.

Nothing here is a measurement of one object alone: it needs the label images of all structures. To compare a further
number with chance, add it to ``STATISTICS`` in ``columns.py`` and to what ``summed_contacts`` in ``placement.py``
returns.
"""

from __future__ import annotations

from tomocyte.measurements.spatial.columns import CONTACT_COLUMNS
from tomocyte.measurements.spatial.settings import ContactSettings
from tomocyte.measurements.spatial.table import ContactTables, measure_contacts

__all__ = ["CONTACT_COLUMNS", "ContactSettings", "ContactTables", "measure_contacts"]
