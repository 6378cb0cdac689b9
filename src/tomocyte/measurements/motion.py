"""How an object moves along its track.

A gap (frames in which the object is missing) is bridged by a straight line: its time counts, and the path across it is
a lower bound. To add a measurement of a track, write ``def quantity_unit(track: Track) -> float`` here or in a file
beside this one.
"""

from __future__ import annotations

import math

import numpy as np

from tomocyte.measurements.registry import Track, measurement

ONE_FRAME = "NaN for a track of a single frame"
NO_CENTRE = "and where a centre is missing"
NO_TIME = "and when the first or last frame has no time"


@measurement()
def n_track_frames(track: Track) -> float:
    """Number of frames of the track in which the object is there."""
    return float(track.n_frames)


@measurement()
def n_gap_frames(track: Track) -> float:
    """Number of frames between the first and the last of the track in which the object is missing."""
    return float(track.frames[-1] - track.frames[0] + 1 - track.n_frames)


@measurement(when_empty=f"{ONE_FRAME}, {NO_TIME}")
def duration_s(track: Track) -> float:
    """Time from the first to the last frame of the track, gaps included."""
    return float(track.time_s[-1] - track.time_s[0]) if track.n_frames > 1 else math.nan


@measurement(when_empty=f"{ONE_FRAME}, {NO_CENTRE}")
def path_length_um(track: Track) -> float:
    """Length of the path of the centre, from frame to frame; across a gap the straight line."""
    return float(track.steps_um.sum()) if track.n_frames > 1 else math.nan


@measurement(when_empty=f"{ONE_FRAME}, {NO_CENTRE} in the first or last frame")
def net_displacement_um(track: Track) -> float:
    """Straight distance of the centre between the first and the last frame of the track."""
    if track.n_frames < 2:
        return math.nan
    return float(np.linalg.norm(track.centres_um[-1] - track.centres_um[0]))


@measurement(when_empty=f"{ONE_FRAME}, {NO_CENTRE}, {NO_TIME}")
def mean_speed_um_per_s(track: Track) -> float:
    """Length of the path divided by the duration of the track; across a gap a lower bound."""
    return path_length_um(track) / duration_s(track)
