"""The files of an experiment: measured volumes with their true labels, as ``tomocyte simulate`` writes them.

To read another layout, add it to :func:`find_material`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.formats import read_volume
from tomocyte.volume import Volume

FILE_TYPES = (".ome.tif", ".TCF")


@dataclass(frozen=True)
class ExperimentItem:
    """One volume with its true labels.

    Parameters
    ----------
    name : str
    image : Path
    labels : Path
        Folder of ``<structure>.ome.tif``.
    split, domain, preset : str
        What its card says; empty where it has none.
    tracks : Path, optional
        Table of tracks of the data set.
    """

    name: str
    image: Path
    labels: Path
    split: str = ""
    domain: str = ""
    preset: str = ""
    tracks: Path | None = None

    def volume(self) -> Volume:
        """The measured volume, lazily."""
        return read_volume(self.image)

    def truth(self, structure: str, frame: int = 0) -> NDArray[Any]:
        """True labels (Z, Y, X) of one frame.

        Raises
        ------
        InputError
            ``E-NO-DATA``: the item has no labels of this structure.
        """
        path = self.labels / f"{structure}.ome.tif"
        if not path.is_file():
            raise InputError(
                "E-NO-DATA", f"no labels of {structure}.", path=path, cure="Simulate with --structures cell,nucleus."
            )
        return np.asarray(read_volume(path).planes(frame, 0))


def find_material(folder: Path, *, splits: tuple[str, ...] = (), domains: tuple[str, ...] = ()) -> list[ExperimentItem]:
    """Finished items of a simulated data set, by name.

    Parameters
    ----------
    folder : Path
        What ``tomocyte simulate -o`` wrote.
    splits, domains : tuple of str
        Only items of these; empty: of all.

    Raises
    ------
    InputError
        ``E-NO-DATA``: no such folder, or no finished item of that kind in it.
    """
    found = []
    for entry in sorted(path for path in (folder / "items").glob("*") if path.is_dir()):
        image = next(
            (entry / f"{entry.name}{kind}" for kind in FILE_TYPES if (entry / f"{entry.name}{kind}").is_file()), None
        )
        if image is None or not (folder / "items" / f"{entry.name}.done.json").is_file():
            continue
        card = _card(entry / "card.json")
        split, domain = str(card.get("split", "")), str(card.get("domain", ""))
        if (splits and split not in splits) or (domains and domain not in domains):
            continue
        preset = str(card.get("settings", {}).get("preset", "")) if isinstance(card.get("settings"), dict) else ""
        tracks = entry / "tracks.parquet"
        found.append(
            ExperimentItem(
                entry.name, image, entry / "labels", split, domain, preset, tracks if tracks.is_file() else None
            )
        )
    if not found:
        kind = " ".join((*splits, *domains))
        raise InputError(
            "E-NO-DATA",
            f"no finished simulated item{' of ' + kind if kind else ''} in this folder.",
            path=folder,
            cure="Make one with `tomocyte simulate odt --benchmark osnet/small -o FOLDER`, or leave --data out.",
        )
    return found


def _card(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
