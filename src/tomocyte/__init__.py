"""tomocyte: from raw 3-D and 4-D microscopy of cells to masks, single cells and numbers with units.

The public names are imported when first used, so that ``import tomocyte`` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Volume": "tomocyte.volume",
    "TomocyteError": "tomocyte.errors",
    "read_volume": "tomocyte.formats",
    "write_volume": "tomocyte.formats",
    "measure": "tomocyte.measurements",
    "segment": "tomocyte.segmentation",
    "analyse": "tomocyte.pipeline",
    "run_inputs": "tomocyte.run",
    "verify": "tomocyte.ledger",
}

__all__ = [  # noqa: RUF022 - in the order of use
    "__version__",
    "Volume",
    "TomocyteError",
    "read_volume",
    "write_volume",
    "segment",
    "measure",
    "analyse",
    "run_inputs",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tomocyte' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
