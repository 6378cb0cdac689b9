"""Images of stained organelles with the mask of what is in focus, as files that ``tomocyte train fg-net`` learns from.

What they show is simulated in :mod:`tomocyte.simulation.focus`; to write more about an image, do it in
:func:`write_focus_images`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from tomocyte.formats import write_volume
from tomocyte.ledger import claim_folder
from tomocyte.progress import Callback, Progress, silent
from tomocyte.simulation.focus import KINDS, FocusSettings, simulate_focus
from tomocyte.volume import Volume

EXPERIMENT = "focus"
"""Name of these images where a recipe names its benchmark."""
SIZES = {"small": 40, "full": 400}
FOREGROUND = "foreground"
SEED = 95001


def write_focus_images(
    folder: Path,
    n_images: int,
    *,
    seed: int = SEED,
    settings: FocusSettings | None = None,
    callback: Callback = silent,
) -> Path:
    """Simulate images of all kinds of organelles in turn, ``NAME.ome.tif`` with ``NAME_foreground.ome.tif``.

    Parameters
    ----------
    folder : Path
        What is there already is not made again.
    n_images : int
    seed : int
        Each image depends on it and on its own number.
    settings : FocusSettings, optional
    callback : callable
        Receives an event of the step ``simulate`` after each image.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        ``E-OUT-KIND``, ``E-OUT-FOREIGN``, ``E-DISK``.
    """
    options = settings or FocusSettings()
    claim_folder(folder, "simulate")
    known: dict[str, Any] = {
        "voxel_size_um": (math.nan, options.pixel_size_um, options.pixel_size_um),
        "origin": {"voxel_size_um": "simulated"},
    }
    for number in range(n_images):
        kind = KINDS[number % len(KINDS)]
        name = f"{kind}-{number:03d}"
        image_path, mask_path = folder / f"{name}.ome.tif", folder / f"{name}_{FOREGROUND}.ome.tif"
        is_new = not (image_path.exists() and mask_path.exists())
        if is_new:
            image, mask = simulate_focus(kind, options, rng=np.random.default_rng([seed, number]))
            write_volume(image_path, Volume.from_array(image, quantity="intensity", channel_names=("stain",), **known))
            write_volume(mask_path, Volume.from_array(mask.astype(np.uint8), quantity="labels", **known))
        state = "done" if is_new else "resumed"
        callback(Progress(name, "simulate", state=state, done=number + 1, total=n_images))  # type: ignore[arg-type]
    return folder
