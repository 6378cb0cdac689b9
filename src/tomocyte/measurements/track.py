"""One track: the rows of one object over time.

To give measurements of tracks a new shared quantity, add a ``cached_property`` here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Track:
    """The rows of one track, by frame.

    Parameters
    ----------
    track_id : int
    table : DataFrame
        One row per frame in which the object is there, ascending ``frame``; all columns of the table of objects.
    """

    track_id: int
    table: pd.DataFrame

    def values(self, column: str) -> NDArray[np.float64]:
        """(n,): one column, NaN where the table has none.

        Raises
        ------
        InputError
            ``E-TRACK-COLUMN``: the table has no such column.
        """
        if column not in self.table:
            raise InputError(
                "E-TRACK-COLUMN",
                f"the table of tracks has no column {column!r}.",
                cure=f"It has: {', '.join(map(str, self.table.columns))}.",
            )
        return self.table[column].to_numpy(dtype=np.float64)

    @cached_property
    def frames(self) -> NDArray[np.int64]:
        """(n,): indices of the frames, ascending."""
        return self.table["frame"].to_numpy(dtype=np.int64)

    @cached_property
    def time_s(self) -> NDArray[np.float64]:
        """(n,): seconds after the first frame of the volume; NaN when no times are known."""
        if "time_s" not in self.table:
            return np.full(len(self.table), np.nan)
        return self.values("time_s")

    @cached_property
    def centres_um(self) -> NDArray[np.float64]:
        """(n, 3) or, in planar images, (n, 2): centres z, y, x in µm; NaN where one is missing."""
        z = self.values("z_um") if "z_um" in self.table else np.full(len(self.table), np.nan)
        axes = [self.values("y_um"), self.values("x_um")]
        return np.stack(axes if np.isnan(z).all() else [z, *axes], axis=1)

    @property
    def n_frames(self) -> int:
        """Number of frames in which the object is there."""
        return len(self.table)

    @cached_property
    def steps_um(self) -> NDArray[np.float64]:
        """(n - 1,): straight distances between the centres of successive rows, also across a gap."""
        steps: NDArray[np.float64] = np.linalg.norm(np.diff(self.centres_um, axis=0), axis=1)
        return steps
