"""Models: trained weights as packages that can be checked, never executed.

A package is a folder of three files: ``card.json`` (what the model is, sealed), ``weights.safetensors`` and
``selftest.safetensors`` (an input and the probabilities it must give). Here live the card, saving and loading, the
question whether a model fits a volume, the library of installed models, and export. To ship a model, put its folder
into ``weights/<name>/``; to learn a new way of exporting, add it to ``export.py``. Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tomocyte.models.archive import export_zip
    from tomocyte.models.card import ModelCard, NetworkChoice, read_card
    from tomocyte.models.export import export_bioimageio, export_onnx
    from tomocyte.models.fit import check_fit
    from tomocyte.models.library import ModelEntry, find_model, install_model, list_models, user_folder
    from tomocyte.models.package import ModelPackage, load_package, save_package

_HOME = {
    "ModelCard": "card",
    "ModelEntry": "library",
    "ModelPackage": "package",
    "NetworkChoice": "card",
    "check_fit": "fit",
    "export_bioimageio": "export",
    "export_onnx": "export",
    "export_zip": "archive",
    "find_model": "library",
    "install_model": "library",
    "list_models": "library",
    "load_package": "package",
    "read_card": "card",
    "save_package": "package",
    "user_folder": "library",
}

__all__ = [
    "ModelCard",
    "ModelEntry",
    "ModelPackage",
    "NetworkChoice",
    "check_fit",
    "export_bioimageio",
    "export_onnx",
    "export_zip",
    "find_model",
    "install_model",
    "list_models",
    "load_package",
    "read_card",
    "save_package",
    "user_folder",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
