"""Several annotators of one image: how often they agree, and one label image from all of theirs.

Arrays in, arrays out. ``patterns`` counts which combinations of labels occur, so that no image of probabilities is
needed, however large the volume is; ``votes`` takes majorities, ``staple`` estimates how reliable each annotator is,
``objects`` brings objects with numbers of their own to common numbers. Another consensus is another function from
patterns to one label each.
"""

from __future__ import annotations

from tomocyte.agreement.objects import ObjectGroups, group_objects, staple_objects
from tomocyte.agreement.patterns import Patterns, count_patterns, label_values, patterns_of
from tomocyte.agreement.staple import Staple, StapleSettings, reliability, staple
from tomocyte.agreement.votes import UNDECIDED, agreed, majority

__all__ = [
    "UNDECIDED",
    "ObjectGroups",
    "Patterns",
    "Staple",
    "StapleSettings",
    "agreed",
    "count_patterns",
    "group_objects",
    "label_values",
    "majority",
    "patterns_of",
    "reliability",
    "staple",
    "staple_objects",
]
