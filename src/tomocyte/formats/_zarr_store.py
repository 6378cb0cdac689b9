"""A Zarr array on disk, looked at before the library opens it: metadata, codecs, chunk files.

Zarr fills missing chunks with zeros, runs whatever codec the metadata names, and believes the size written inside a
chunk; nothing of that is taken on trust here. To allow another codec, add its name to :data:`ALLOWED_V2` or
:data:`ALLOWED_V3` and, when its chunks say their unpacked size, a line to :func:`_unpacked_nbytes`.

References
----------
https://zarr-specs.readthedocs.io (v2 and v3)
"""

from __future__ import annotations

import bz2
import json
import lzma
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from tomocyte.errors import InputError
from tomocyte.formats._hostile import check_fits_memory, declared_nbytes, parsing

LARGEST_JSON_NBYTES: Final = 16 * 2**20
LARGEST_CHUNK_NBYTES: Final = 4 * 2**30
PACKED_SLACK: Final = 4096
ALLOWED_V2: Final = frozenset(
    ("adler32", "blosc", "bz2", "crc32", "crc32c", "delta", "gzip", "lz4", "lzma", "shuffle", "zlib", "zstd")
)
ALLOWED_V3: Final = frozenset(("blosc", "bytes", "crc32c", "gzip", "sharding_indexed", "transpose", "zstd"))
TYPES_V3: Final = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")
TYPES_V2: Final = re.compile(r"[<>|][biuf][1248]")


def load_json(path: Path) -> dict[str, Any]:
    """A small JSON object.

    Raises
    ------
    InputError
        ``E-ZARR-METADATA``: above 16 MiB, damaged, or not an object.
    """
    with parsing(path, "E-ZARR-METADATA", what="its metadata"):
        if path.stat().st_size > LARGEST_JSON_NBYTES:
            raise ValueError(f"above {LARGEST_JSON_NBYTES} bytes")
        loaded = json.loads(path.read_bytes())
        if not isinstance(loaded, dict):
            raise ValueError("not a JSON object")
    return loaded


def attributes_of(group: Path) -> tuple[dict[str, Any], int]:
    """User attributes of a group and its Zarr version (2 or 3).

    Raises
    ------
    InputError
        ``E-ZARR-METADATA`` when there is not a Zarr group.
    """
    if (group / "zarr.json").is_file():
        node = load_json(group / "zarr.json")
        attributes = node.get("attributes", {})
        if node.get("zarr_format") == 3 and node.get("node_type") == "group" and isinstance(attributes, dict):
            return attributes, 3
    elif (group / ".zgroup").is_file():
        return (load_json(group / ".zattrs") if (group / ".zattrs").is_file() else {}), 2
    raise InputError(
        "E-ZARR-METADATA",
        "is no Zarr group: it has neither zarr.json nor .zgroup.",
        path=group,
        cure="It is incomplete: copy or export the whole folder again.",
    )


def kind_of_node(folder: Path) -> Literal["group", "array", ""]:
    """What a folder is by the file that every node has; nothing for any other folder. Never raises."""
    try:
        if (folder / "zarr.json").is_file():
            return "array" if load_json(folder / "zarr.json").get("node_type") == "array" else "group"
        return "group" if (folder / ".zgroup").is_file() else "array" if (folder / ".zarray").is_file() else ""
    except InputError:  # a damaged one: who reads it says so
        return "group"
    except (OSError, ValueError):
        return ""


def inside(root: Path, name: str) -> Path:
    """A folder named in the metadata, which must lie inside the store.

    Raises
    ------
    InputError
        ``E-ZARR-PATH`` for an absolute path, ``..``, a URL or a link that leaves the store.
    """
    target = None
    if not (name.startswith(("/", "\\")) or "\\" in name or "\0" in name or ":" in name or ".." in name.split("/")):
        with parsing(root, "E-ZARR-PATH", what="a path inside"):
            target = (root / name).resolve()
    if target is None or not target.is_relative_to(root.resolve()):
        raise InputError(
            "E-ZARR-PATH",
            f"refers to {name!r}, outside the store.",
            path=root,
            cure="Keep every array inside the image's own folder.",
        )
    return target


@dataclass(frozen=True)
class StoredArray:
    """What a Zarr array declares, checked.

    Parameters
    ----------
    path : Path
        Folder of the array.
    shape, chunks : tuple of int
        Sizes of the array and of one chunk file.
    dtype : numpy dtype
        Type of an element.
    prefix, separator : str
        How chunk files are named: ``prefix + separator.join(indices)``.
    codec : str
        The codec whose chunks say their unpacked size, else ``""``.
    is_packed : bool
        Whether chunk files may be of any size.
    version : int
        2 or 3.
    fill_value : float
        What a missing chunk holds; NaN where the metadata does not say it with a number.
    dimension_names : tuple of str
        Names of the axes where the array itself says them, else empty.
    """

    path: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    prefix: str
    separator: str
    codec: str
    is_packed: bool
    version: int
    fill_value: float = 0.0
    dimension_names: tuple[str, ...] = ()

    @property
    def chunk_nbytes(self) -> int:
        """Unpacked bytes of one chunk."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // step) for size, step in zip(self.shape, self.chunks, strict=True))

    def chunk_path(self, index: tuple[int, ...]) -> Path:
        """The file of one chunk."""
        return self.path / (self.prefix + self.separator.join(map(str, index)))


def stored_array(path: Path) -> StoredArray:
    """Metadata of the array in a folder, every field checked and every codec known.

    Raises
    ------
    InputError
        ``E-ZARR-METADATA``, ``E-ZARR-CODEC``, ``E-SHAPE``, ``E-DTYPE``, ``E-BOMB`` for chunks above 4 GiB.
    ResourceError
        ``E-MEM`` when one chunk does not fit into memory.
    """
    is_v3 = (path / "zarr.json").is_file()
    node = load_json(path / ("zarr.json" if is_v3 else ".zarray"))
    with parsing(path, "E-ZARR-METADATA", what="its array metadata"):
        found = _array_v3(node, path) if is_v3 else _array_v2(node, path)
    declared_nbytes(found.shape, found.dtype, path)
    nbytes = declared_nbytes(found.chunks, found.dtype, path)
    if len(found.shape) != len(found.chunks):
        raise _metadata_error(f"has {len(found.shape)} axes and chunks of {len(found.chunks)}", path)
    if nbytes > LARGEST_CHUNK_NBYTES:
        raise InputError("E-BOMB", f"declares chunks of {nbytes} bytes.", path=path, cure="Rechunk it to below 4 GiB.")
    check_fits_memory(nbytes, path=path, what="one chunk")
    return found


def _metadata_error(what: str, path: Path) -> InputError:
    return InputError("E-ZARR-METADATA", f"{what}.", path=path, cure="It is damaged; export it again.")


def _codec_error(name: object, path: Path) -> InputError:
    return InputError(
        "E-ZARR-CODEC",
        f"is compressed with {str(name)[:60]!r}, which is not one of the codecs that can be read.",
        path=path,
        cure="Write it again with zstd, blosc or gzip.",
    )


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise ValueError(f"sizes {str(values)[:60]} are not whole numbers")
    return tuple(values)


def _array_v2(node: Mapping[str, Any], path: Path) -> StoredArray:
    dtype = node.get("dtype")
    if node.get("zarr_format") != 2 or not isinstance(dtype, str) or not TYPES_V2.fullmatch(dtype):
        raise _metadata_error(f"has the type {str(dtype)[:60]!r}", path)
    steps = [*(node.get("filters") or []), *([node["compressor"]] if node.get("compressor") else [])]
    for step in steps:
        if not isinstance(step, dict) or step.get("id") not in ALLOWED_V2:
            raise _codec_error(step.get("id") if isinstance(step, dict) else step, path)
    separator = node.get("dimension_separator", ".")
    if separator not in (".", "/") or node.get("order", "C") not in ("C", "F"):
        raise _metadata_error("names its chunks in an unknown way", path)
    is_plain = all(step["id"] == "shuffle" for step in steps[:-1])  # other filters change the number of bytes
    codec = str(steps[-1]["id"]) if steps and is_plain else ""
    sizes = _sizes(node["shape"]), _sizes(node["chunks"])
    attributes = load_json(path / ".zattrs") if (path / ".zattrs").is_file() else {}
    names = _names(attributes.get("_ARRAY_DIMENSIONS"))  # of xarray
    return StoredArray(path, *sizes, np.dtype(dtype), "", separator, codec, bool(steps), 2, _fill_value(node), names)


def _array_v3(node: Mapping[str, Any], path: Path) -> StoredArray:
    dtype = node.get("data_type")
    if node.get("zarr_format") != 3 or node.get("node_type") != "array" or not isinstance(dtype, str):
        raise _metadata_error("is not a Zarr array", path)
    if not TYPES_V3.fullmatch(dtype) or node.get("storage_transformers"):
        raise _metadata_error(f"has the type {dtype[:60]!r} or storage transformers", path)
    names = list(_codecs_v3(node["codecs"], path))
    grid, encoding = node["chunk_grid"], node["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = (encoding.get("configuration") or {}).get("separator", "/" if is_default else ".")
    if grid["name"] != "regular" or encoding["name"] not in ("default", "v2") or separator not in (".", "/"):
        raise _metadata_error("names its chunks in an unknown way", path)
    prefix = f"c{separator}" if is_default else ""
    is_plain = set(names[:-1]) <= {"bytes", "transpose"}  # anything else changes the number of bytes
    codec = names[-1] if is_plain and names[-1] in ("blosc", "gzip", "zstd") else ""
    sizes = _sizes(node["shape"]), _sizes(grid["configuration"]["chunk_shape"])
    dimensions = _names(node.get("dimension_names"))
    return StoredArray(
        path, *sizes, np.dtype(dtype), prefix, separator, codec, names != ["bytes"], 3, _fill_value(node), dimensions
    )


def _names(names: Any) -> tuple[str, ...]:
    return tuple(map(str, names)) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _fill_value(node: Mapping[str, Any]) -> float:
    value = node.get("fill_value")
    if value is None:
        return 0.0  # what zarr-python fills in
    return float(value) if isinstance(value, int | float) else math.nan


def _codecs_v3(codecs: Any, path: Path, depth: int = 0) -> Iterator[str]:
    """Names of all codecs, those inside shards too."""
    if not isinstance(codecs, list) or not 1 <= len(codecs) <= 8 or depth > 2:
        raise _metadata_error("has no usable list of codecs", path)
    for step in codecs:
        name = step.get("name") if isinstance(step, dict) else step
        if name not in ALLOWED_V3:
            raise _codec_error(name, path)
        yield str(name)
        if name == "sharding_indexed":
            configuration = step["configuration"]
            yield from _codecs_v3(configuration["codecs"], path, depth + 1)
            yield from _codecs_v3(configuration["index_codecs"], path, depth + 1)


def n_missing_chunks(array: StoredArray) -> tuple[int, int]:
    """Number of chunk files that do not exist, and of all that should.

    Raises
    ------
    InputError
        ``E-ZARR-PATH`` for a symbolic link among the chunk files; ``E-ZARR-CHUNK`` for chunks outside the array.
    """
    places = r"(\d{1,10})"
    pattern = re.compile(re.escape(array.prefix) + re.escape(array.separator).join([places] * len(array.shape)))
    found = 0
    for name in _files_below(array.path):
        match = pattern.fullmatch(name)
        if match is None:
            continue
        if any(int(index) >= count for index, count in zip(match.groups(), array.grid, strict=True)):
            raise InputError(
                "E-ZARR-CHUNK",
                f"has a chunk {name} outside its shape {array.shape}.",
                path=array.path,
                cure="Its metadata is damaged; export it again.",
            )
        found += 1
    expected = math.prod(array.grid)
    return expected - found, expected


def _files_below(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, with slashes; links are refused, not followed."""
    for place, folders, files in os.walk(folder, followlinks=False):
        relative = Path(place).relative_to(folder)
        for name in [*folders, *files]:
            if (Path(place) / name).is_symlink():
                raise InputError(
                    "E-ZARR-PATH",
                    f"has a symbolic link {name!r} among its chunks.",
                    path=folder,
                    cure="Copy the linked file into the store.",
                )
        yield from ((relative / name).as_posix() for name in files)


def check_chunk(array: StoredArray, index: tuple[int, ...]) -> tuple[int, int]:
    """Size and modification time of a chunk file that can only unpack to exactly one chunk; zeros when it is missing.

    A plain chunk has a fixed size; zstd, blosc and lz4 say theirs in the first bytes; gzip, zlib, bz2 and lzma are
    unpacked piece by piece and only counted.

    Raises
    ------
    InputError
        ``E-ZARR-CHUNK``.
    """
    path = array.chunk_path(index)
    try:
        status = path.stat()
        with path.open("rb") as stream:
            start = stream.read(32)
    except FileNotFoundError:
        return 0, 0
    stored = status.st_size
    with parsing(path, "E-ZARR-CHUNK", what="a chunk"):
        unpacked = _unpacked_nbytes(array, path, start) if array.is_packed else stored
        is_bounded = stored <= 2 * array.chunk_nbytes + PACKED_SLACK
        if not is_bounded or unpacked not in (None, array.chunk_nbytes):
            raise ValueError(f"{stored} bytes unpack to {unpacked}, not to {array.chunk_nbytes}")
    return stored, status.st_mtime_ns


def _unpacked_nbytes(array: StoredArray, path: Path, start: bytes) -> int | None:
    """Bytes that a packed chunk says it unpacks to, or unpacks to when counted; ``None`` when it does not say."""
    codec = array.codec
    if codec == "blosc":
        unpacked, _, packed = struct.unpack_from("<III", start, 4)
        if packed != path.stat().st_size:  # blosc itself would fill what is cut off with zeros
            raise ValueError(f"{path.stat().st_size} bytes are stored, {packed} declared")
        return int(unpacked)
    if codec == "lz4":
        return int(struct.unpack_from("<i", start, 0)[0])
    if codec == "zstd":
        return zstd_content_nbytes(start)
    openers = {"gzip": zlib.decompressobj(31), "zlib": zlib.decompressobj(), "bz2": bz2.BZ2Decompressor()}
    if codec in openers or codec == "lzma":
        return _counted(openers.get(codec) or lzma.LZMADecompressor(), path, array.chunk_nbytes)
    return None


def _counted(unpacker: Any, path: Path, limit: int) -> int:
    """Unpacked size, counted in pieces and given up just above ``limit``."""
    total, step = 0, 2**20
    data = path.read_bytes()
    while total <= limit:
        piece = unpacker.decompress(data, step)
        total += len(piece)
        data = unpacker.unconsumed_tail if hasattr(unpacker, "unconsumed_tail") else b""
        if unpacker.eof:
            return total
        if not (piece or data):
            raise ValueError("the stream is cut off")
    return total


def zstd_content_nbytes(start: bytes) -> int | None:
    """Unpacked size that a zstd frame declares, or ``None`` when it declares none.

    Raises
    ------
    ValueError
        It is no zstd frame, or declares no size (then nothing bounds what it unpacks to).

    References
    ----------
    RFC 8878, section 3.1.1
    """
    if start[:4] != b"\x28\xb5\x2f\xfd" or len(start) < 6:
        raise ValueError("not a zstd frame")
    descriptor = start[4]
    is_single, n_id = bool(descriptor & 0x20), (0, 1, 2, 4)[descriptor & 3]
    n_size = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    place = 5 + (0 if is_single else 1) + n_id
    if n_size == 0:
        raise ValueError("a zstd frame without its size")
    size = int.from_bytes(start[place : place + n_size], "little")
    return size + 256 if n_size == 2 else size
