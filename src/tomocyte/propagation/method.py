"""Types of the door: what a propagation method takes, returns and declares.

To give methods something new, add a field to :class:`SparseLabels` and fill it in :func:`propagate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.settings import Settings
from tomocyte.volume import Planes, VoxelSize

Zeros = Callable[[tuple[int, ...], Any], NDArray[Any]]
"""From a shape and a type to an array of zeros."""


@dataclass(frozen=True)
class SparseLabels:
    """Labels on a few slices; the axis along which slices were labelled comes first.

    Parameters
    ----------
    labels : ndarray (N, H, W), unsigned integer
        0 is background on the labelled slices; the values of other slices have no meaning.
    slices : tuple of int
        The labelled slices, ascending; at least one, unless voxels are known.
    voxel_size_um : tuple of 3 float
        Distance between slices, then the size within a slice along H and W, in µm.
    image : Planes (N, H, W), real, optional
        An array, or one of which only the slices asked for are read.
    known : ndarray (N, H, W), bool, optional
        Voxels beside the labelled slices whose label is given, 0 = background included: scribbles, or slices along
        other axes. False on labelled slices; not given where there are none.
    previous : DenseLabels, optional
        The result before some labels changed, of the same method, settings and image, its ``memory`` among it.
    zeros : callable
        Makes arrays as large as the volume, as ``numpy.zeros`` does.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    slices: tuple[int, ...]
    voxel_size_um: VoxelSize
    image: Planes | None = None
    known: NDArray[np.bool_] | None = None
    previous: DenseLabels | None = None
    zeros: Zeros = np.zeros


@dataclass(frozen=True)
class SelfTest:
    """How well labelled slices that were left out were predicted from their neighbours, at twice the gap.

    Parameters
    ----------
    slices : tuple of int
        The slices left out, in turn.
    dice, dice_by_shape : float
        Mean over the labels on them, of the method and of shape alone; NaN without any label.
    """

    slices: tuple[int, ...]
    dice: float
    dice_by_shape: float


@dataclass(frozen=True)
class DenseLabels:
    """Labels on every slice.

    Parameters
    ----------
    labels : ndarray, unsigned integer
        Of the shape and type of the sparse labels.
    uncertainty : ndarray, float32
        Of the same shape, 0 (as labelled) to 1 (nothing is known); the method defines the values between. NaN where its
        settings leave it out.
    test : SelfTest, optional
        Of methods that test themselves, where three slices or more are labelled.
    memory : dict, optional
        Plain JSON, of methods that fill again only what changed labels concern.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    uncertainty: NDArray[np.float32]
    test: SelfTest | None = None
    memory: dict[str, Any] | None = None


@dataclass(frozen=True)
class PropagationMethod:
    """One method of propagating labels.

    Parameters
    ----------
    name : str
        The value of ``--method``: the file's name with dashes.
    description : str
        One sentence.
    settings : type
        Frozen class of its settings, all with defaults.
    propagate : callable
        ``(sparse, settings, callback) -> DenseLabels``, axes as in :class:`SparseLabels`; ``callback`` is called with
        the number of slices done and of all.
    image : {"none", "optional", "required"}
        Whether it follows an image.
    uses_known : bool
        Whether it uses voxels that are known beside the labelled slices.
    """

    name: str
    description: str
    settings: type[Settings]
    propagate: Callable[[SparseLabels, Any, Callable[[int, int], None]], DenseLabels]
    image: Literal["none", "optional", "required"] = "none"
    uses_known: bool = False
