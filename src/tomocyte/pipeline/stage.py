"""What a stage is, and what travels between stages.

A stage does one step on every frame: it takes the state of a frame and returns the next. It never calls another stage;
what one leaves for the next stands in :class:`FrameState`. Whatever needs all frames goes into :meth:`Stage.after_all`;
a frame may be done twice (:meth:`Stage.again`), so what a stage keeps of frames it keeps by their numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tomocyte.labels.stack import LabelStack
from tomocyte.notices import Notice
from tomocyte.pipeline.plan import Plan
from tomocyte.progress import Callback, Progress
from tomocyte.tables import Column
from tomocyte.volume import Frame, Volume

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.corrections.apply import EditedFrame, EditRecord
    from tomocyte.corrections.edits import Edit
    from tomocyte.models.prediction import Prediction
    from tomocyte.segmentation.cells.separate import CellsResult
    from tomocyte.tracking import Tracks

Labels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class FrameState:
    """What is known of one frame so far.

    Parameters
    ----------
    frame : Frame
        The image, and what is known about it.
    labels : mapping
        Structure -> labels (Z, Y, X); the main objects are called ``cell`` here, whatever the run calls them.
    prediction : Prediction, optional
        What the trained model found, with its masks and probabilities.
    cells : CellsResult, optional
        How cells were told apart.
    edited : EditedFrame, optional
        What corrections by hand changed.
    tables : mapping
        Structure -> one row per object, as it is measured.
    maps : mapping
        Structure -> uncertainty (Z, Y, X) uint8.
    pictures : mapping
        File name -> PNG bytes.
    is_cone_missing : bool, optional
        Whether a tomogram lacks frequencies along z; ``None`` where that is not known.
    """

    frame: Frame
    labels: Mapping[str, Labels] = field(default_factory=dict)
    prediction: Prediction | None = None
    cells: CellsResult | None = None
    edited: EditedFrame | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    is_cone_missing: bool | None = None


@dataclass(frozen=True, eq=False)
class VolumeState:
    """What is known when all frames are done; names of structures are those of the run from here on.

    Parameters
    ----------
    table : DataFrame
        One row per object and frame.
    labels, maps : mapping
        Structure -> the frames' labels or uncertainties.
    pictures : mapping
        File name -> PNG bytes.
    pairs : DataFrame, optional
        One row per pair of objects and frame, where pairs were measured.
    contacts : DataFrame, optional
        One row per cell, two structures and frame, where contacts were measured.
    tracks : DataFrame, optional
        One row per track, where objects were tracked.
    edit_log : tuple of EditRecord
        What corrections by hand did.
    repairs : tuple of Edit
        What was repaired of the main objects, as edits.
    repaired : frozenset of (int, int)
        Frame and label of the main objects that repairs have made or changed.
    as_segmented : LabelStack, optional
        The main objects before they were repaired.
    tracked : Tracks, optional
        The tracks of the main objects, where they were found already.
    """

    table: pd.DataFrame
    labels: Mapping[str, LabelStack]
    maps: Mapping[str, LabelStack]
    pictures: Mapping[str, bytes]
    pairs: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    tracks: pd.DataFrame | None = None
    edit_log: tuple[EditRecord, ...] = ()
    repairs: tuple[Edit, ...] = ()
    repaired: frozenset[tuple[int, int]] = frozenset()
    as_segmented: LabelStack | None = None
    tracked: Tracks | None = None


class Stage(ABC):
    """One step of the analysis of a volume.

    Parameters
    ----------
    plan : Plan
    callback : callable
        Receives progress events.
    """

    name: ClassVar[str]

    def __init__(self, plan: Plan, callback: Callback) -> None:
        self.plan = plan
        self._callback = callback
        self._notices: list[Notice] = []
        self._facts: dict[str, Any] = {}
        self._n_frames = 1

    @classmethod
    def is_needed(cls, plan: Plan) -> bool:  # noqa: ARG003
        """Whether this step has anything to do in a run."""
        return True

    def prepare(self, volume: Volume) -> None:
        """Get ready for the frames of a volume: load what is needed, refuse what cannot be done."""
        self._n_frames = volume.n_frames

    @abstractmethod
    def apply(self, state: FrameState) -> FrameState:
        """The state of a frame after this step."""

    def again(self, state: VolumeState) -> Collection[int]:  # noqa: ARG002
        """Frames that must be done once more, now that all are known."""
        return ()

    def columns(self, state: FrameState, structure: str, table: pd.DataFrame) -> Mapping[str, Any]:  # noqa: ARG002
        """Further columns for the objects of a structure in a frame, in the order of the table's rows."""
        return {}

    @property
    def described(self) -> tuple[Column, ...]:
        """What the further columns of this step mean, where that depends on the input."""
        return ()

    def after_all(self, state: VolumeState) -> VolumeState:
        """The state of the volume after this step, when all frames are done."""
        return state

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a user must know of this step so far."""
        return tuple(self._notices)

    @property
    def facts(self) -> Mapping[str, Any]:
        """JSON-able; what this step leaves in the record of its input. Fields of ``ItemFacts``."""
        return self._facts

    def notify(self, *notices: Notice) -> None:
        """Add notices, each once."""
        self._notices += [notice for notice in dict.fromkeys(notices) if notice not in self._notices]

    def report(self, step: str, frame: Frame) -> None:
        """Tell the callback what is being done."""
        self._callback(Progress(step=step, frame=frame.index, n_frames=self._n_frames))
