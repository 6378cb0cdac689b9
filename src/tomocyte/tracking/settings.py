"""Settings of tracking: limits, and starting values of what is estimated from the series itself."""

from __future__ import annotations

from pydantic import Field

from tomocyte.settings import Settings


class TrackingSettings(Settings):
    """How objects are linked over time."""

    max_distance_um: float | None = Field(default=None, gt=0, le=1e5)
    """Longest distance between an object and the next frame's, after drift correction; by default what the series
    itself shows to be likely."""
    max_gap_frames: int = Field(default=2, ge=0, le=20)
    """Most frames in a row in which an object may be missing without ending its track."""
    has_divisions: bool = True
    """Whether an object may become two."""
    has_merges: bool | None = None
    """Whether two objects may become one; by default where label images show what overlaps what."""
    has_repairs: bool = True
    """Whether objects that the segmentation merged or cut in single frames are repaired in masks and tables; else they
    are only flagged."""
    has_fusions: bool = False
    """Whether two objects may truly become one, as myotubes or osteoclasts do. Otherwise two that do are one object of
    the segmentation that holds both, for as long as it lasts."""
    has_drift: bool = True
    """Whether a common shift of all objects between frames is estimated and taken out."""
    division_rate: float = Field(default=0.03, gt=0, le=0.5)
    """Share of objects that divide from one frame to the next: a starting value, which the series corrects."""
    end_rate: float = Field(default=0.003, gt=0, le=0.5)
    """Share of objects that end inside the field, or appear and are gone after a frame or two: a starting value, which
    the series corrects."""
    appear_rate: float = Field(default=0.0001, gt=0, le=0.5)
    """Share of objects that appear inside the field and stay, from one frame to the next. Cells do not come from
    nowhere: unless this is raised, a new cell that stays is taken for a daughter where one is possible."""
    border_rate: float = Field(default=0.05, gt=0, le=0.9)
    """Share of objects near the border of the field that leave or enter from one frame to the next; a tenth of it
    where the size of the field is not known."""
    merge_rate: float = Field(default=0.002, gt=0, le=0.5)
    """Share of objects that merge with a neighbour, truly or by an error of the segmentation."""
    n_rounds: int = Field(default=3, ge=1, le=10)
    """How often all frames are linked; after each round, scales and rates are estimated anew from its links."""
