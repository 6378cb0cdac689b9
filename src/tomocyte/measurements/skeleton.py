"""Measurements of the centre line: for tubes such as mitochondria, filopodia and vessels, not for blobs.

The graph is made in :mod:`tomocyte.measurements._skeleton`. Of an object that the border of the volume cuts it is the
graph of the part seen.
"""

from __future__ import annotations

import math

from tomocyte.measurements.registry import Region, measurement

LEE = "Lee et al. 1994, doi:10.1006/cgip.1994.1042"
NO_BRANCH = "NaN where the centre line is one point"


@measurement(reference=LEE)
def skeleton_length_um(region: Region) -> float:
    """Length of the centre line, all branches; it ends one to two radii before the tips."""
    return region.geometry.skeleton.length_um


@measurement(reference=LEE)
def n_skeleton_branches(region: Region) -> float:
    """Number of branches of the centre line, without bumps of the surface; a ring is one branch."""
    return float(len(region.geometry.skeleton.branches))


@measurement(reference=LEE)
def n_skeleton_junctions(region: Region) -> float:
    """Number of places where three branches of the centre line or more meet."""
    return float(region.geometry.skeleton.n_junctions)


@measurement(reference=LEE)
def n_skeleton_ends(region: Region) -> float:
    """Number of free ends of the centre line."""
    return float(region.geometry.skeleton.n_ends)


@measurement(when_empty=NO_BRANCH, reference=LEE)
def mean_branch_length_um(region: Region) -> float:
    """Mean length of the branches of the centre line."""
    skeleton = region.geometry.skeleton
    return skeleton.length_um / len(skeleton.branches) if skeleton.branches else math.nan


@measurement(when_empty=NO_BRANCH, reference=LEE)
def longest_branch_length_um(region: Region) -> float:
    """Length of the longest branch of the centre line."""
    return max((branch.length_um for branch in region.geometry.skeleton.branches), default=math.nan)


@measurement(when_empty=f"{NO_BRANCH}, or every branch ends where it begins", reference=LEE)
def tortuosity(region: Region) -> float:
    """Length of the branches without rings, divided by the straight distances between their ends; 1 where straight."""
    open_branches = [branch for branch in region.geometry.skeleton.branches if branch.chord_um > 0]
    chords = math.fsum(branch.chord_um for branch in open_branches)
    return math.fsum(branch.length_um for branch in open_branches) / chords if open_branches else math.nan


@measurement(reference=LEE)
def mean_thickness_um(region: Region) -> float:
    """Mean diameter of the largest balls (planar: discs) around the points of the centre line that the object holds."""
    return 2.0 * float(region.geometry.skeleton.radii_um.mean()) if region.n_voxels else math.nan


@measurement(reference=LEE)
def max_thickness_um(region: Region) -> float:
    """Diameter of the largest ball (planar: disc) around a point of the centre line that the object holds."""
    return 2.0 * float(region.geometry.skeleton.radii_um.max()) if region.n_voxels else math.nan
