"""What one propagation leaves to the next, so that a slice that is labelled anew changes two slabs and no more.

It is plain JSON: what borders look like, how often which situation was wrong, and of every slab hashes of the labels it
was filled from and of the result. To remember something else, add a field to :class:`Memory`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError
from tomocyte.propagation.borders import LOOKS, BorderModel
from tomocyte.propagation.slabs import Slab


@dataclass(frozen=True)
class SlabDigests:
    """A slab and SHA-256 of the labels that it was filled from and of those it was filled with."""

    slab: Slab
    given: str
    filled: str


@dataclass(frozen=True)
class Memory:
    """What was learned, and the slabs that were filled by it.

    Parameters
    ----------
    borders : BorderModel
    error_rates : ndarray (2, n_situations), float32, optional
        Between two labelled slices, and at an open end ``open_distance`` slices from the last one.
    open_distance : float
    slabs : tuple of SlabDigests
    """

    borders: BorderModel
    error_rates: NDArray[np.float32] | None
    open_distance: float
    slabs: tuple[SlabDigests, ...]

    def filled_from(self, slab: Slab, given: str) -> str | None:
        """SHA-256 of what this very slab was filled with from these labels; None where it was not."""
        return next((entry.filled for entry in self.slabs if (entry.slab, entry.given) == (slab, given)), None)


def memory_as_json(memory: Memory) -> dict[str, Any]:
    """The memory as JSON holds it, numbers in full."""
    borders = memory.borders
    return {
        "borders": {
            "look": borders.look,
            "sigma_px": borders.sigma_px,
            "lows": borders.lows.tolist(),
            "steps": borders.steps.tolist(),
            "levels": borders.levels.tobytes().hex(),
            "cross_entropy": borders.cross_entropy,
        },
        "error_rates": None if memory.error_rates is None else memory.error_rates.tolist(),
        "open_distance": memory.open_distance,
        "slabs": [asdict(entry) for entry in memory.slabs],
    }


def memory_from_json(content: dict[str, Any]) -> Memory:
    """What :func:`memory_as_json` wrote.

    Raises
    ------
    InputError
        ``E-PROPAGATION-PREVIOUS``: something else.
    """
    try:
        borders, rates = content["borders"], content["error_rates"]
        levels = np.frombuffer(bytes.fromhex(borders["levels"]), np.uint8)
        if len(levels) != np.prod(LOOKS[borders["look"]]):
            raise ValueError(f"{len(levels)} levels")
        model = BorderModel(
            borders["look"],
            float(borders["sigma_px"]),
            np.array(borders["lows"], np.float32),
            np.array(borders["steps"], np.float32),
            levels,
            float(borders["cross_entropy"]),
        )
        slabs = tuple(SlabDigests(Slab(**entry["slab"]), entry["given"], entry["filled"]) for entry in content["slabs"])
        rates = None if rates is None else np.array(rates, np.float32).reshape(2, -1)
        return Memory(model, rates, float(content["open_distance"]), slabs)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"what the earlier result remembers cannot be read ({type(error).__name__}: {error})."
        raise InputError("E-PROPAGATION-PREVIOUS", problem, cure="Leave --update out.") from error
