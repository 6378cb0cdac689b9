"""What napari calls: which paths can be opened, and their layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tomocyte.errors import TomocyteError
from tomocyte.formats import detect
from tomocyte.ui.napari.opening import Layer, open_path, run_of

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """The reader of a path, or of several; None where one of them is nothing that can be read.

    Parameters
    ----------
    path : str or list of str
    """
    paths = [path] if isinstance(path, str) else path
    try:
        for one in map(Path, paths):
            if run_of(one) is None:
                detect(one)
    except TomocyteError:
        return None
    return read_layers


def read_layers(path: str | list[str]) -> list[LayerData]:
    """The layers of a path, or of several; what must be known of them is shown.

    Parameters
    ----------
    path : str or list of str
        Files, folders of runs, or ``out/items/ITEM``.

    Raises
    ------
    TomocyteError
        As :func:`tomocyte.ui.napari.opening.open_path`; napari shows it.
    """
    from napari.utils.notifications import show_warning

    layers: list[LayerData] = []
    for one in [path] if isinstance(path, str) else path:
        opened = open_path(Path(one))
        layers += [layer_data(layer) for layer in opened.layers]
        for note in opened.notes:
            show_warning(note)
    return layers


def layer_data(layer: Layer) -> LayerData:
    """A layer as napari takes it from plugins."""
    options = dict(layer.options)
    if layer.colours is not None:
        from napari.utils.colormaps import CyclicLabelColormap

        options["colormap"] = CyclicLabelColormap(colors=layer.colours)
    return layer.data, options, layer.kind
