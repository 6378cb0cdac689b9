"""What descriptions of TIFF files say, read as the programs that write them mean it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomocyte.errors import InputError
from tomocyte.formats.tiff.meta import declared_by_imagej, declared_by_json, plain_unit

PATH = Path("image.tif")


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("micron", "micron"), (" \u03bcm ", "\u00b5m"), ("\\u00B5m", "\u00b5m"), ('"NM"', "nm"), ("\u212b", "\u00e5"),
        ("Mm", "Mm"), ("mm", "mm"), ("Ps", "Ps"), ("", ""),
    ],
)  # fmt: skip
def test_units_as_tables_write_them(text: str, unit: str) -> None:
    assert plain_unit(text) == unit


def test_an_imagej_description_is_read_as_imagej_writes_it() -> None:
    text = (
        "ImageJ=1.53t\nimages=24\nchannels=2\nslices=4\nframes=3\nunit=micron\nspacing=0.5\nfinterval=2.5\ntunit=min\n"
    )
    found = declared_by_imagej(text, resolution={"y": 4.0, "x": 5.0}, n_samples=1, path=PATH)
    assert (found.axes, found.sizes) == ("TZC", (3, 4, 2))  # channels run fastest
    assert found.lengths_um == {"z": 0.5, "y": 0.25, "x": 0.2}
    assert found.time_step_s == 150.0
    other = declared_by_imagej("images=6\nslices=3\nframes=2\norder=zct\n", resolution={}, n_samples=1, path=PATH)
    assert (other.axes, other.sizes, other.lengths_um, other.time_step_s) == ("TCZ", (2, 1, 3), {}, None)
    unknown = declared_by_imagej("images=7\n", resolution={}, n_samples=1, path=PATH)
    assert (unknown.axes, unknown.sizes) == ("?", (7,))


@pytest.mark.parametrize("text", ["images=5\nslices=2\n", "slices=x\n", "slices=0\n", "order=xyz\nslices=2\n"])
def test_counts_that_contradict_each_other_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="E-TIFF-META"):
        declared_by_imagej(text, resolution={}, n_samples=1, path=PATH)


def test_a_json_description_gives_shape_and_axes() -> None:
    found = declared_by_json('{"shape": [2, 4, 5], "axes": "tyx", "note": 1}', PATH)
    assert (found.axes, found.sizes, found.metadata) == ("TYX", (2, 4, 5), {"note": "1"})
    assert declared_by_json('{"shape": [4, 5]}', PATH).axes == "??"
    for text in (
        '{"shape": [4]}',
        '{"shape": [4, 0]}',
        '{"shape": [4, 5], "axes": "ZYX"}',
        '{"shape": [4, true]}',
        "[]",
        "{",
    ):
        with pytest.raises(InputError, match="E-TIFF-META"):
            declared_by_json(text, PATH)
