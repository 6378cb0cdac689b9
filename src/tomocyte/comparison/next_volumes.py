"""Which volume, or which kind of volumes, to label next: those that are farthest from what was learned from.

Images are compared by what they look like (:mod:`tomocyte.confidence.image_sets`); no labels are needed. To read images
from other places, change :func:`images_of`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tomocyte.confidence.image_sets import ImageSet, RankedImage, describe_volume, rank_images
from tomocyte.datasets.inputs import find_inputs
from tomocyte.datasets.labelled import find_items
from tomocyte.datasets.settings import LabelledSettings
from tomocyte.errors import InputError
from tomocyte.formats import read_volume
from tomocyte.progress import Callback, Progress, silent

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class NextVolumes:
    """Candidates compared with what was learned from.

    Parameters
    ----------
    table : DataFrame
        One row per candidate: ``folder``, ``volume``, ``distance`` from the nearest image learned from, ``noise`` (of
        the range of values), ``resolution_um`` by Fourier shells, ``edge_um`` (width of the steepest edges), and
        ``differs_in``, the figure in which it differs most.
    ranked : list of RankedImage
        The ones to label, each as if those before it were learned from; their names are ``FOLDER/VOLUME``.
    distances_learned : float
        Mean distance of the images learned from, each from the nearest other one; NaN of one image.
    """

    table: pd.DataFrame
    ranked: list[RankedImage]
    distances_learned: float


def images_of(path: Path) -> list[Path]:
    """The images of a folder, without its label images, or the file itself.

    Raises
    ------
    InputError
        ``E-NO-INPUT``: none.
    """
    if path.is_dir():
        try:
            return [item.image for item in find_items(path, LabelledSettings(structures=("cell", "nucleus")))]
        except InputError as problem:
            if problem.code != "E-NO-DATA":
                raise
    return find_inputs([str(path)])


def next_volumes(
    learned: Sequence[Path], candidates: Sequence[Path], n_next: int, *, callback: Callback = silent
) -> NextVolumes:
    """Compare candidates with what was learned from, and rank those to label.

    Parameters
    ----------
    learned : sequence of Path
        Folders or files of images that a model learned from, or will.
    candidates : sequence of Path
        Folders (e.g. one per cell type) or files.
    n_next : int
        How many to rank.
    callback : callable
        Receives an event of the step ``describe`` after each image.

    Raises
    ------
    InputError
        ``E-NO-INPUT``; and as :func:`tomocyte.formats.read_volume`.
    SettingsError
        ``E-FLAT``: an image of one value.
    """
    import pandas as pd

    known = [image for path in learned for image in images_of(path)]
    asked = [(path.name, image) for path in candidates for image in images_of(path)]
    figures: list[dict[str, float]] = []
    for number, image in enumerate([*known, *(image for _, image in asked)], 1):
        volume = read_volume(image)
        figures.append(describe_volume(volume.frame(0)[0], volume.require_voxel_size()))
        callback(Progress(image.name, "describe", state="done", done=number, total=len(known) + len(asked)))
    images = ImageSet.of(figures[: len(known)])
    own = figures[len(known) :]
    rows = [
        {
            "folder": folder, "volume": image.name, "distance": distance, "noise": math.exp(one["noise"]),
            "resolution_um": math.exp(one["resolution"]), "edge_um": math.exp(one["edge"]),
            "differs_in": images.farthest_figure(one),
        }
        for (folder, image), one, distance in zip(asked, own, images.distances(own), strict=True)
    ]  # fmt: skip
    named: Mapping[str, dict[str, float]] = {
        f"{folder}/{image.name}": one for (folder, image), one in zip(asked, own, strict=True)
    }
    return NextVolumes(pd.DataFrame(rows), rank_images(named, images, n_next), _spacing(figures[: len(known)]))


def _spacing(figures: list[dict[str, float]]) -> float:
    """Mean distance of each image from the nearest other one, in steps of all."""
    if len(figures) < 2:
        return math.nan
    whole = ImageSet.of(figures)
    distances = []
    for index, one in enumerate(figures):
        rest = ImageSet(whole.names, whole.figures[[i for i in range(len(figures)) if i != index]], whole.spread)
        distances.append(float(rest.distances([one])[0]))
    return sum(distances) / len(distances)
