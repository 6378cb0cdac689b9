"""The checks that readers share: sizes without overflow, XML, companions, change while open."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tomocyte.errors import InputError, ResourceError, TomocyteError
from tomocyte.formats._hostile import (
    FileStamp,
    check_declared_bytes,
    check_fits_memory,
    check_xml,
    companion_path,
    declared_nbytes,
    parsing,
)

HERE = Path("a.tif")


@pytest.mark.parametrize(
    ("shape", "dtype", "nbytes"),
    [((3, 5, 7), "u2", 210), ((2**31 - 1,) * 4, "f8", 8 * (2**31 - 1) ** 4), ((1,) * 16, "b1", 1)],
)
def test_declared_bytes_do_not_overflow(shape: tuple[int, ...], dtype: str, nbytes: int) -> None:
    assert declared_nbytes(shape, dtype, HERE) == nbytes


@pytest.mark.parametrize("shape", [(), (0, 5), (-1, 5), (2**31, 1), (2**32, 2**32), (1,) * 17, (1,) * 64])
def test_absurd_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="E-SHAPE"):
        declared_nbytes(shape, "u1", HERE)


@pytest.mark.parametrize("dtype", ["O", "U5", "c8", "M8[s]", "V4"])
def test_only_real_numbers_are_voxels(dtype: str) -> None:
    with pytest.raises(InputError, match="E-DTYPE"):
        declared_nbytes((2, 3), dtype, HERE)


@pytest.mark.parametrize(
    ("shape", "stored", "is_compressed", "code"),
    [
        ((10, 10), 100, False, None),
        ((10, 10), 99, False, "E-TRUNC"),
        ((10, 10), 1, True, None),
        ((2**16, 2**16), 2**21, True, None),
        ((2**16, 2**16 + 1), 2**23, True, None),
        ((2**16, 2**16 + 1), 2**21, True, "E-BOMB"),
        ((2**31 - 1, 2**31 - 1, 2**31 - 1), 2**40, True, "E-BOMB"),
    ],
)
def test_declared_against_stored(shape: tuple[int, ...], stored: int, is_compressed: bool, code: str | None) -> None:
    def check() -> int:
        return check_declared_bytes(shape, "u1", path=HERE, stored_nbytes=stored, is_compressed=is_compressed)

    if code is None:
        assert check() == shape[0] * shape[1]
        return
    with pytest.raises(InputError) as caught:
        check()
    assert caught.value.code == code


def test_memory() -> None:
    check_fits_memory(1000, path=HERE, what="one plane", budget=1000)
    with pytest.raises(ResourceError, match=r"E-MEM.*one plane needs 1001 bytes; 1000 are free"):
        check_fits_memory(1001, path=HERE, what="one plane", budget=1000)
    with pytest.raises(ResourceError, match="E-MEM"):
        check_fits_memory(2**60, path=HERE, what="everything")


@pytest.mark.parametrize(
    "text",
    ["<!DOCTYPE a><a/>", "<!doctype a>", "<! DOCTYPE a>", '<!ENTITY x "y">', b"\xef\xbb\xbf<!DOCTYPE a>",
     "<!DOCTYPE a><a/>".encode("utf-16")],
)  # fmt: skip
def test_document_types_are_refused(text: str | bytes) -> None:
    with pytest.raises(InputError, match="E-XML-DOCTYPE"):
        check_xml(text, HERE)


def test_plain_xml_passes_and_bytes_that_are_no_text_do_not() -> None:
    assert check_xml("<a>µ</a>".encode(), HERE) == "<a>µ</a>"
    assert check_xml("<a>µ</a>".encode("utf-16"), HERE).endswith("<a>µ</a>")
    with pytest.raises(InputError, match="E-XML"):
        check_xml(b"\xff\x00\xfe", HERE)


@pytest.mark.parametrize(
    "name",
    ["../b", "c/../../b", "/b", "\\b", "c\\b", "file:///b", "file:b", "http://h/b", "s3://h/b", "C:/b", "c:b", "", ".",
     "c/..", "%2e%2e/b", "%2Fb", "a\0b", "up", "up/b"],
)  # fmt: skip
def test_companions_stay_inside(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "c").mkdir(parents=True)
    for place in (tmp_path / "b", folder / "a.tif"):
        place.write_text("x")
    (folder / "up").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"E-COMPANION-(OUTSIDE|MISSING)") as caught:
        companion_path(name, folder / "a.tif")
    assert caught.value.code == "E-COMPANION-OUTSIDE" or name == "%2e%2e/b"  # a name with per cents, not a way up


def test_companions_inside_are_found(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in ("a.tif", "b c%20d.tif", "c/ü.tif", "..b.tif"):
        (tmp_path / name).write_text("x")
        assert companion_path(name, tmp_path / "a.tif") == (tmp_path / name).resolve()
    with pytest.raises(InputError, match="E-COMPANION-MISSING"):
        companion_path("c", tmp_path / "a.tif")


def test_a_stamp_notices_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    os.utime(path, ns=(5, 5))
    stamp = FileStamp.of(path)
    stamp.check()
    os.utime(path, ns=(5, 6))
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        stamp.check()
    path.write_bytes(b"123456")
    os.utime(path, ns=(5, 5))
    with pytest.raises(InputError, match="5 bytes became 6"):
        stamp.check()
    path.unlink()
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        stamp.check()


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), KeyError("k"), MemoryError(), ElementTree.ParseError("p"), OSError(5, "io")]
)
def test_a_parsers_error_becomes_one_coded_line(error: Exception) -> None:
    with (
        pytest.raises(InputError, match=r"E-X: a\.tif: page 3 cannot be read") as caught,
        parsing(HERE, "E-X", what="page 3"),
    ):
        raise error
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_a_library_may_bring_its_own_errors() -> None:
    class OddError(Exception):
        pass

    with pytest.raises(OddError), parsing(HERE, "E-X"):
        raise OddError
    with pytest.raises(InputError, match="E-X"), parsing(HERE, "E-X", also=(OddError,)):
        raise OddError


def test_our_own_errors_and_interrupts_pass() -> None:
    ours = TomocyteError("E-Y", "ours.")
    with pytest.raises(TomocyteError) as caught, parsing(HERE, "E-X"):
        raise ours
    assert caught.value is ours
    with pytest.raises(KeyboardInterrupt), parsing(HERE, "E-X"):
        raise KeyboardInterrupt
