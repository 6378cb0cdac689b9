"""PNG: values, pixel size or printer's dots, kinds refused, and hostile files; chunks are put together here by hand."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, _png_chunks, detect, read_volume
from tomocyte.formats.folder import read_folder
from tomocyte.formats.png import read_png, verify

Y, X = np.indices((9, 11))
PLANE = (Y * 5000 + X * 7).astype(np.uint16)
"""y · 5000 + x · 7: both bytes of a pixel matter."""
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
"""First row, first column, step of rows, step of columns of each pass, from the standard."""


def chunk(kind: bytes, body: bytes = b"", crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def header(
    shape: tuple[int, int] = (9, 11), depth: int = 16, colour: int = 0, rest: tuple[int, ...] = (0, 0, 0)
) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour, *rest))


def rows(pixels: NDArray[np.generic]) -> bytes:
    stored = pixels.astype(pixels.dtype.newbyteorder(">"))
    return b"".join(b"\0" + row.tobytes() for row in stored)


def png(*before: bytes, head: bytes | None = None, stream: bytes | None = None, after: bytes = b"") -> bytes:
    """A PNG of :data:`PLANE`, with parts replaced or added."""
    packed = zlib.compress(rows(PLANE)) if stream is None else stream
    parts = (head or header(), *before, chunk(b"IDAT", packed), after, chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def saved(folder: Path, data: bytes, name: str = "a.png") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def pixels(path: Path) -> NDArray[np.generic]:
    return read_png(path, ReadOptions()).planes(0, 0)[0]


def density(along_x: int, along_y: int, unit: int = 1) -> bytes:
    return chunk(b"pHYs", struct.pack(">IIB", along_x, along_y, unit))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_values_are_those_that_pillow_and_imagecodecs_wrote(dtype: type, tmp_path: Path) -> None:
    plane = (PLANE // (256 if dtype == np.uint8 else 1)).astype(dtype)
    Image.fromarray(plane).save(tmp_path / "pillow.png")
    saved(tmp_path, imagecodecs.png_encode(plane), "codecs.PNG")
    for name in ("pillow.png", "codecs.PNG"):
        volume = read_volume(tmp_path / name, is_size_required=False)
        assert (volume.shape, volume.dtype, volume.quantity) == ((1, 1, 1, 9, 11), dtype, None)
        np.testing.assert_array_equal(volume.planes(0, 0)[0], plane)
        assert volume.planes(0, 0, 1, 1).shape == (0, 9, 11)
        assert detect(tmp_path / name).name == "png"


def test_interlaced_pixels_are_put_in_their_places(tmp_path: Path) -> None:
    passes = b"".join(rows(PLANE[y::dy, x::dx]) for y, x, dy, dx in ADAM7)
    np.testing.assert_array_equal(
        pixels(saved(tmp_path, png(head=header(rest=(0, 0, 1)), stream=zlib.compress(passes)))), PLANE
    )


def test_pixels_may_lie_in_several_chunks_and_other_chunks_change_nothing(tmp_path: Path) -> None:
    packed = zlib.compress(rows(PLANE))
    extra = [chunk(b"gAMA", struct.pack(">I", 200_000)), chunk(b"tRNS", b"\0\0"), chunk(b"sBIT", b"\x0a")]
    data = png(*extra, stream=packed[:20], after=chunk(b"IDAT", packed[20:]) + chunk(b"tEXt", b"a\0b")) + b"beyond"
    np.testing.assert_array_equal(pixels(saved(tmp_path, data)), PLANE)


@pytest.mark.parametrize(
    ("chunks", "size_um"),
    [
        ([density(8_000_000, 5_000_000)], (0.2, 0.125)),
        ([density(500_000, 1_000_000_000)], (0.001, 2.0)),  # both bounds
        ([density(499_999, 5_000_000)], None),  # x just above 2 µm
        ([density(5_000_000, 1_000_000_001)], None),  # y just below 1 nm
        ([density(2835, 2835)], None),  # 72 dots per inch: 353 µm
        ([density(3780, 3780)], None),  # 96: 265 µm
        ([density(11_811, 11_811)], None),  # 300: 85 µm
        ([density(23_622, 23_622)], None),  # 600: 42 µm
        ([density(47_244, 47_244)], None),  # 1200: 21 µm
        ([density(8_000_000, 5_000_000, unit=0)], None),  # only a ratio
        ([density(0, 5_000_000)], None),
        ([density(0, 0)], None),
        ([density(2**32 - 1, 2**32 - 1)], None),
        ([], None),
    ],
)
def test_pixel_size_is_a_microscopes_or_unknown(
    chunks: list[bytes], size_um: tuple[float, float] | None, tmp_path: Path
) -> None:
    volume = read_png(saved(tmp_path, png(*chunks)), ReadOptions())
    if size_um is None:
        assert volume.voxel_size_um is None
        assert volume.origin == {}
        with pytest.raises(MetadataError, match="--pixel-size-um"):
            read_volume(tmp_path / "a.png")
    else:
        assert volume.voxel_size_um == pytest.approx((math.nan, *size_um), rel=1e-12, nan_ok=True)
        assert volume.origin == {"voxel_size_um": "file"}


def test_what_the_file_says_per_metre_is_kept_for_provenance(tmp_path: Path) -> None:
    volume = read_png(saved(tmp_path, png(density(11_811, 11_000))), ReadOptions())
    assert volume.metadata == {"pixels_per_metre_yx": (11_000, 11_811)}


@pytest.mark.parametrize("axes", ["YX", "yx", "ZYX", "TYX", "TCZYX"])
def test_axes_of_length_one_may_be_said(axes: str, tmp_path: Path) -> None:
    assert read_png(saved(tmp_path, png()), ReadOptions(axes=axes)).shape == (1, 1, 1, 9, 11)


@pytest.mark.parametrize("axes", ["XY", "YXZ", "ZZYX", "QYX", "X", ""])
def test_axes_that_do_not_fit_are_refused(axes: str, tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="E-AXES"):
        read_png(saved(tmp_path, png()), ReadOptions(axes=axes))


@pytest.mark.parametrize(
    ("mode", "code", "cure"),
    [("RGB", "E-RGB", "grey values"), ("RGBA", "E-RGB", "grey values"), ("LA", "E-RGB", "without transparency"),
     ("P", "E-RGB", "label numbers"), ("1", "E-DTYPE", "8 or 16 bits")],
)  # fmt: skip
def test_colours_palettes_and_few_bits_are_refused_with_a_cure(mode: str, code: str, cure: str, tmp_path: Path) -> None:
    Image.fromarray((PLANE > 9000).astype(np.uint8) * 255).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(InputError) as caught:
        read_png(tmp_path / "a.png", ReadOptions())
    assert caught.value.code == code
    assert cure in caught.value.cure


def test_an_animation_is_refused_and_not_read_as_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray((PLANE // 256 + step).astype(np.uint8)) for step in range(3)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="E-PNG-KIND"):
        read_png(tmp_path / "a.png", ReadOptions())


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (png(head=header((0, 0))), "E-SHAPE"),
        (png(head=header((0, 11))), "E-SHAPE"),
        (png(head=header((2**31, 11))), "E-SHAPE"),
        (png(head=header((2**31 - 1, 2**31 - 1))), "E-BOMB"),
        (png(head=header((20_000, 20_000))), "E-BOMB"),
        (png(head=header(depth=3)), "E-PNG"),
        (png(head=header(depth=4, colour=6)), "E-PNG"),
        (png(head=header(colour=1)), "E-PNG"),
        (png(head=header(rest=(1, 0, 0))), "E-PNG"),
        (png(head=header(rest=(0, 1, 0))), "E-PNG"),
        (png(head=header(rest=(0, 0, 2))), "E-PNG"),
        (png(head=header()[:-1] + b"?"), "E-PNG"),  # the header's checksum
        (png(head=chunk(b"IHDR", header()[8:20])), "E-PNG"),  # a header too short
        (png(header()), "E-PNG"),  # two headers
        (png(density(5, 5), density(6, 6)), "E-PNG"),
        (png(density(5_000_000, 5_000_000, unit=2)), "E-PNG"),
        (png(chunk(b"pHYs", struct.pack(">IIB", 5_000_000, 5_000_000, 1), crc=7)), "E-PNG"),
        (png(chunk(b"pHYs", b"\0" * 8)), "E-PNG"),
        (png(struct.pack(">I", 2**32 - 1) + b"tEXt"), "E-PNG"),
        (png(struct.pack(">I", 2**31 - 1) + b"tEXt"), "E-PNG"),
        (png(*[chunk(b"tEXt")] * 10_001), "E-PNG"),
        (b"\x89PNG\r\n\x1a\n", "E-PNG"),
        (b"\x89PNG\r\n\x1a\n" + header() + chunk(b"IEND"), "E-PNG"),
        (b"", "E-PNG"),
    ],
)
def test_hostile_headers_are_refused_when_opened(data: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_png(saved(tmp_path, data), ReadOptions())
    assert caught.value.code == code
    assert caught.value.cure


@pytest.mark.parametrize(
    "data",
    [
        png(stream=zlib.compress(rows(PLANE))[:-9]),
        png(stream=zlib.compress(rows(PLANE[:5]))),
        png(stream=zlib.compress(b"\x09" * 23 * 9)),  # a filter that does not exist
        png(stream=b"no deflate at all"),
        png(stream=b""),
        png(after=chunk(b"tEXt", b"a\0b", crc=1)),
        png(after=chunk(b"NEED")),
        png(after=chunk(b"PLTE", b"abc")),
        png()[:-1],
        png()[:-12],
        png()[:-12] + b"\xff" * 12,
    ],
)
def test_hostile_pixels_are_refused_when_read(data: bytes, tmp_path: Path) -> None:
    volume = read_png(saved(tmp_path, data), ReadOptions())
    with pytest.raises(InputError, match="E-PNG"):
        volume.planes(0, 0)


@pytest.mark.parametrize("is_first", [True, False])
def test_any_flipped_bit_is_an_error(is_first: bool, tmp_path: Path) -> None:
    """Every byte is under a checksum, but for the lengths, which move the others."""
    whole = png(density(8_000_000, 5_000_000))
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << (0 if is_first else 5)
        with pytest.raises(InputError, match=r"E-(PNG|RGB|DTYPE|SHAPE|BOMB)"):
            pixels(saved(tmp_path, bytes(data), f"{place}.png"))


def test_any_cut_is_an_error(tmp_path: Path) -> None:
    whole = png(density(8_000_000, 5_000_000))
    for length in range(len(whole)):
        with pytest.raises(InputError, match="E-PNG"):
            pixels(saved(tmp_path, whole[:length], f"{length}.png"))


def test_hidden_texts_and_profiles_never_reach_the_decoder(tmp_path: Path) -> None:
    """A packed text may be thousands of times larger when unpacked, and a decoder may unpack it unasked."""
    bombs = [
        chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(10**6))),
        chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(10**6))),
    ]
    data = png(*bombs, chunk(b"tEXt", b"a\0b"))
    assert _png_chunks.pixel_chunks(data, Path("a.png")) == png()
    np.testing.assert_array_equal(pixels(saved(tmp_path, data)), PLANE)


def test_endless_chunks_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_png_chunks, "MOST_CHUNKS", 50)
    volume = read_png(saved(tmp_path, png(after=chunk(b"tEXt") * 50)), ReadOptions())
    with pytest.raises(InputError, match="more than 50 chunks"):
        volume.planes(0, 0)


def test_verify_looks_at_the_content_and_not_at_the_name(tmp_path: Path) -> None:
    assert verify(saved(tmp_path, png(), "a.dat"))
    assert not verify(saved(tmp_path, b"II*\0" + bytes(20), "b.png"))
    assert not verify(tmp_path)


def test_a_folder_of_planes_stays_one_volume(tmp_path: Path) -> None:
    for number in range(3):
        saved(tmp_path, png(density(8_000_000, 5_000_000)), f"cell_z{number}.png")
    assert detect(tmp_path).name == "folder"
    volume = read_folder(tmp_path, ReadOptions())
    assert volume.shape == (1, 1, 3, 9, 11)
    assert volume.voxel_size_um is None  # the distance in z is not known
    assert [note.split(":")[0] for note in volume.notes] == ["W-VOXEL-SIZE"]
    for number in range(3):
        (tmp_path / f"cell_z{number}.png").rename(tmp_path / f"cell_t{number}.png")
    frames = read_folder(tmp_path, ReadOptions())
    assert frames.shape == (3, 1, 1, 9, 11)
    assert frames.voxel_size_um == pytest.approx((math.nan, 0.2, 0.125), nan_ok=True)
