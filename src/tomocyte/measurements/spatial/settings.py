"""What is measured of contacts, and how chance is simulated."""

from __future__ import annotations

from pydantic import Field

from tomocyte.settings import Settings


class ContactSettings(Settings):
    """Contacts, distances and positions of objects within their cell."""

    is_measured: bool = False
    """Whether contacts, distances and positions are measured."""
    gap_um: float = Field(default=0.03, ge=0, le=10)
    """Two objects are in contact where their surfaces, made of voxel faces, lie at most this far apart, in µm. The
    default is the distance within which membranes are usually called in contact; with larger voxels only objects whose
    voxels touch are."""
    n_placements: int = Field(default=0, ge=0, le=100_000)
    """How many times the objects of a structure are placed at random in their cell, to compare with chance; 0: not."""
    overlapping: tuple[str, ...] | None = None
    """Structures in which objects may lie, too, when they are placed at random, because masks overlap with theirs;
    empty (null): those of the modality."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Start of the random numbers; the same seed gives the same placements."""
