"""Labels as laboratories make them: painted slice by slice, or propagated from a few painted slices.

The labels of every volume are written once; a file beside them says how far they are from the true ones. To make labels
in another way, add a kind and its function to :func:`make_labels`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.evaluation.counts import count_mask
from tomocyte.formats import write_volume
from tomocyte.ledger import writing
from tomocyte.ledger.atomic import publish_atomic, write_atomic
from tomocyte.ledger.sealed import seal
from tomocyte.papers.acseg.trainings.recipe import LabelKind, LabellingSettings
from tomocyte.papers.acseg.trainings.records import stored
from tomocyte.progress import Callback, Progress, silent
from tomocyte.propagation import method_of, propagate
from tomocyte.provenance import sha256_of_json
from tomocyte.settings import build_settings
from tomocyte.simulation.painting import paint_slices
from tomocyte.volume import Volume, VoxelSize

Masks = Mapping[str, NDArray[np.bool_]]


def labelled_as(
    kind: LabelKind,
    items: Sequence[LabelledItem],
    settings: LabellingSettings,
    structures: Sequence[str],
    folder: Path,
    *,
    callback: Callback = silent,
) -> tuple[list[LabelledItem], list[dict[str, Any]]]:
    """The items with labels of one kind, made where they are not there yet.

    Parameters
    ----------
    kind : {"propagated", "manual", "truth"}
        ``truth``: the items as they are.
    items : sequence of LabelledItem
    settings : LabellingSettings
    structures : sequence of str
        Which are painted; an item without labels of one stays without.
    folder : Path
        Holds ``<kind>/<item>/``.
    callback : callable
        Receives events of the step ``labels``.

    Returns
    -------
    items : list of LabelledItem
    facts : list of dict
        One per item and structure: ``item``, ``labels`` (the kind), ``structure``, ``dice`` (with the true labels),
        ``n_painted``, ``n_slices`` (that show the object).
    """
    if kind == "truth":
        return list(items), []
    made, facts = [], []
    for number, item in enumerate(items, 1):
        place = folder / kind / item.name
        own = [name for name in structures if name in item.labels]
        paths = {name: place / f"{name}.ome.tif" for name in own}
        key = sha256_of_json(
            {"kind": kind, "settings": settings.model_dump(mode="json"), "image": str(item.image), "structures": own}
        )
        record = stored(place / "labels.json", key)
        if record is None or not all(path.is_file() for path in paths.values()):
            record = {"key": key, "facts": _write_labels(kind, item, settings, paths)}
            write_atomic(place / "labels.json", seal(record))
        facts += record["facts"]
        made.append(replace(item, labels=paths, are_empty_slices_unlabelled=False, ignore_label=None))
        callback(Progress(item.name, f"labels: {kind}", state="done", done=number, total=len(items)))
    return made, facts


def _write_labels(
    kind: LabelKind, item: LabelledItem, settings: LabellingSettings, paths: Mapping[str, Path]
) -> list[dict[str, Any]]:
    image = item.open_image()
    size = image.require_voxel_size()
    truths = {name: item.read_labels(name) > 0 for name in paths}
    rng = np.random.default_rng([settings.seed, zlib.crc32(item.name.encode())])
    masks, n_painted = make_labels(kind, truths, image.frame(0)[0], size, settings, rng)
    facts = []
    for name, path in paths.items():
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        origin: dict[str, Any] = {"voxel_size_um": "simulated" if image.is_simulated else "user"}
        volume = Volume.from_array(masks[name].astype(np.uint8), voxel_size_um=size, origin=origin)
        publish_atomic(path, partial(_write, volume))
        dice = count_mask(truths[name], masks[name]).dice
        facts.append(
            {
                "item": item.name, "labels": kind, "structure": name, "dice": None if math.isnan(dice) else dice,
                "n_painted": n_painted[name], "n_slices": int(truths[name].any(axis=(1, 2)).sum()),
            }
        )  # fmt: skip
    return facts


def _write(volume: Volume, path: Path) -> None:
    write_volume(path, volume)


def make_labels(
    kind: LabelKind,
    truths: Masks,
    image: NDArray[Any],
    voxel_size_um: VoxelSize,
    settings: LabellingSettings,
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
    """Masks of one kind, and how many slices were painted of each.

    Parameters
    ----------
    kind : {"propagated", "manual", "truth"}
    truths : mapping of str to ndarray (Z, Y, X), bool
        At most 16. Where painted objects meet that do not overlap in truth, those named first win.
    image : ndarray (Z, Y, X), real
    voxel_size_um : tuple of 3 float
    settings : LabellingSettings
    rng : numpy.random.Generator
    """
    if kind == "truth":
        return dict(truths), dict.fromkeys(truths, 0)
    slices = range(0, len(image), settings.every if kind == "propagated" else 1)
    painted: dict[str, NDArray[np.bool_]] = {}
    for name, truth in truths.items():
        painted[name] = paint_slices(truth, voxel_size_um, slices=slices, settings=settings.painting, rng=rng)
        for other in [one for one in painted if one != name and not (truths[one] & truth).any()]:
            painted[name] &= ~painted[other]
    counts = {name: int(mask.any(axis=(1, 2)).sum()) for name, mask in painted.items()}
    if kind == "propagated":
        painted = _propagated(painted, slices, image, voxel_size_um, settings)
    return painted, counts


def _propagated(
    painted: Masks, slices: range, image: NDArray[Any], voxel_size_um: VoxelSize, settings: LabellingSettings
) -> dict[str, NDArray[np.bool_]]:
    """Masks on every slice; what lies inside several objects is a label of its own."""
    entry = method_of(settings.method)
    codes = np.zeros(image.shape, np.uint16)
    for bit, mask in enumerate(painted.values()):
        codes |= mask.astype(np.uint16) << np.uint16(bit)
    dense = propagate(
        codes, voxel_size_um=voxel_size_um, slices=slices, image=image, method=entry.name,
        settings=build_settings(entry.settings, settings.settings),
    ).labels  # fmt: skip
    return {name: (dense >> np.uint16(bit) & 1).astype(bool) for bit, name in enumerate(painted)}
