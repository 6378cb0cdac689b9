"""Confusion of structures that exclude each other, as of one softmax network: which was called which.

Masks become an image of classes (:func:`class_image`), two of those a matrix, many matrices a :class:`ConfusionTable`.
To weigh classes differently, work on :attr:`ConfusionTable.matrix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.evaluation.classes import class_counts, confusion_matrix
from tomocyte.evaluation.counts import MaskCounts, ratio

if TYPE_CHECKING:
    import pandas as pd

OTHER = "other"
"""Class of voxels that are in none of the structures."""


def class_image(masks: Sequence[NDArray[Any]]) -> tuple[NDArray[np.uint8], int]:
    """Class of every voxel from masks: 0 outside all, 1 in the first, 2 in the second …; the earlier mask wins.

    Parameters
    ----------
    masks : sequence of ndarray, bool or integer (non-zero = inside), same shape
        At most 254.

    Returns
    -------
    tuple of ndarray, uint8, same shape, and int
        The classes, and how many voxels are in more than one mask.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: masks of different shapes.

    Examples
    --------
    >>> classes, n_in_several = class_image([np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])])
    >>> classes.tolist(), n_in_several
    ([0, 1, 1, 2], 1)
    """
    shapes = sorted({mask.shape for mask in masks})
    if len(shapes) != 1:
        raise SettingsError("E-SHAPE", f"masks of classes need one shape, not {shapes}.")
    classes = np.zeros(shapes[0], np.uint8)
    n_masks = np.zeros(shapes[0], np.uint8)
    for number, mask in reversed(list(enumerate(masks, 1))):
        inside = mask != 0
        classes[inside] = number
        n_masks += inside
    return classes, int(np.count_nonzero(n_masks > 1))


class ConfusionTable:
    """Add images of classes one by one with :meth:`add`, then read :attr:`matrix`, :meth:`table` or :meth:`counts`.

    Parameters
    ----------
    structures : sequence of str
        The classes from 1; class 0 is :data:`OTHER`.

    Examples
    --------
    >>> confusion = ConfusionTable(["nucleus", "cytosol"])
    >>> confusion.add("a", np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    >>> confusion.matrix.tolist()
    [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    >>> confusion.counts()["nucleus"].recall
    0.5
    """

    def __init__(self, structures: Sequence[str]) -> None:
        self.structures = tuple(structures)
        self._matrices: dict[tuple[str, int], NDArray[np.int64]] = {}

    def __len__(self) -> int:
        """Images so far."""
        return len(self._matrices)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of rows and columns."""
        return (OTHER, *self.structures)

    @property
    def matrix(self) -> NDArray[np.int64]:
        """Voxels (K, K) of all images: row the true class, column the predicted one."""
        blank = np.zeros((len(self.classes), len(self.classes)), np.int64)
        return sum(self._matrices.values(), blank)

    def add(self, item: str, truth: NDArray[Any], prediction: NDArray[Any], *, frame: int = 0) -> None:
        """Count one image.

        Parameters
        ----------
        item : str
        truth, prediction : ndarray, integer in [0, K), same shape
        frame : int

        Raises
        ------
        SettingsError
            ``E-DUPLICATE``; as :func:`~tomocyte.evaluation.classes.confusion_matrix`.
        """
        if (item, frame) in self._matrices:
            raise SettingsError(
                "E-DUPLICATE", f"image {item!r}, frame {frame} was added twice.", cure="Give other names."
            )
        self._matrices[item, frame] = confusion_matrix(truth, prediction, n_classes=len(self.classes))

    def counts(self) -> dict[str, MaskCounts]:
        """Each class against all others, of all images."""
        return dict(zip(self.classes, class_counts(self.matrix), strict=True))

    def table(self) -> pd.DataFrame:
        """A row per image, true and predicted class, then the same of all images (``pooled``)."""
        import pandas as pd

        images = [("image", item, frame, matrix) for (item, frame), matrix in self._matrices.items()]
        rows = []
        for level, item, frame, matrix in [*images, ("pooled", "", -1, self.matrix)]:
            for true_class, row in zip(self.classes, matrix, strict=True):
                n_true = int(row.sum())
                for predicted_class, n_voxels in zip(self.classes, row.tolist(), strict=True):
                    keys = {"level": level, "item": item, "frame": frame, "classes": "+".join(self.structures)}
                    names = {"true_class": true_class, "predicted_class": predicted_class}
                    share = ratio(n_voxels, n_true)
                    rows.append({**keys, **names, "n_class_voxels": n_voxels, "share_of_true_class": share})
        return pd.DataFrame(rows)
