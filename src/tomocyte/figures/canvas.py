"""What all pictures share: colours, text, axes in pixels, and the way to PNG, PDF or SVG bytes.

The colour of a structure stands in :mod:`tomocyte.structures`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING_COLOUR = "#7A0019"
BACKGROUND_COLOUR = "#777777"
TRACK_COLOUR = "#B39B78"

# OS-Net's own colours for outlines (Figs. 3 and 4): they distinguish what is compared, not the structures.
COMPARISON_COLOURS = {
    "truth": "#FF2020",
    "OS-Net": "#FFE100",
    "edge-based": "#00E5FF",
    "OS-Net (cross-laboratory)": "#35F035",
}
PictureFormat = Literal["png", "pdf", "svg"]

DPI = 100
_LARGEST_SAMPLE = 2_000_000


def sample_steps(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Steps along z, y, x that leave about two million voxels; a thin volume keeps all its planes."""
    step = max(1, math.ceil((math.prod(shape) / _LARGEST_SAMPLE) ** (1 / 3)))
    return (step if shape[0] > 4 * step else 1), step, step


def sample(array: NDArray[Any], steps: tuple[int, int, int]) -> NDArray[Any]:
    """Every so many-th voxel, read plane by plane."""
    return np.stack([np.asarray(array[z])[:: steps[1], :: steps[2]] for z in range(0, array.shape[0], steps[0])])


def value_label(quantity: str, unit: str) -> str:
    """What an axis shows, for people: the quantity, and its unit where it has one."""
    return (quantity.replace("_", " ") or "value") + (f" ({unit})" if unit not in ("", "1") else "")


def value_text(value: float, quantity: str) -> str:
    """A value of the image, rounded as its quantity deserves."""
    return f"{value:.4f}" if quantity == "refractive_index" else f"{value:.4g}"


def drawable(text: str) -> str:
    """The text in one line, with a square for each character that the font lacks."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    line = "".join(character if character.isprintable() else " " for character in text)[:120]
    return "".join(character if font.get_char_index(ord(character)) else "\N{WHITE SQUARE}" for character in line)


def axes_at(figure: Figure, box_px: tuple[float, float, float, float]) -> Axes:
    """Axes in a box given in pixels from the upper left corner: left, top, width, height."""
    width, height = figure.get_size_inches() * DPI
    left, top, w, h = box_px
    return figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))


def write(figure: Figure, place_px: tuple[float, float], text: str, **style: Any) -> None:
    """Text whose left middle is at a place given in pixels from the upper left corner."""
    width, height = figure.get_size_inches() * DPI
    x, y = place_px
    figure.text(x / width, 1 - y / height, drawable(text), va="center", parse_math=False, **style)


@contextmanager
def defaults() -> Iterator[None]:
    """Matplotlib as delivered, whatever the user's own settings are; those come back afterwards."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield


def png(figure: Figure) -> bytes:
    """The figure as a PNG without date or version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def picture(figure: Figure, file_format: PictureFormat = "png") -> bytes:
    """The figure as PNG, PDF or SVG without date or version in it: the same figure gives the same bytes."""
    if file_format == "png":
        return png(figure)
    import matplotlib as mpl

    hidden = {"pdf": {"Creator": None, "Producer": None, "CreationDate": None}, "svg": {"Creator": None, "Date": None}}
    if file_format not in hidden:
        raise SettingsError("E-PICTURE", f"figures cannot be written as {file_format!r}.", cure="Known: png, pdf, svg.")
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "tomocyte", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=file_format, dpi=DPI, metadata=hidden[file_format])
    return buffer.getvalue()


def picture_format(path: str | Path) -> PictureFormat:
    """What a file of this name is to hold.

    Raises
    ------
    SettingsError
        ``E-PICTURE`` for another ending than .png, .pdf or .svg.
    """
    endings: dict[str, PictureFormat] = {".png": "png", ".pdf": "pdf", ".svg": "svg"}
    ending = Path(path).suffix.lower()
    if ending not in endings:
        raise SettingsError("E-PICTURE", f"figures cannot be written as {ending!r}.", cure="Known: .png, .pdf, .svg.")
    return endings[ending]
