"""Minimal files of microscope makers' formats, built byte by byte.

No recording stands behind them: each holds the fewest structures with which the readers (and their libraries, written
by others) open it, so they show that fields are found, not that every program's files are understood. Voxels are (T, C,
Z, Y, X); what is not said stays out of the file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Z_UM, Y_UM, X_UM = 0.31, 0.17, 0.13


# --- ND2 --------------------------------------------------------------------------------------------------------------

SPECTRUM = {"uiCount": 1, "pPoint": {"Point0": {"dWavelength": 488.0}}}


def _variant(content: Mapping[str, Any]) -> str:
    """Nikon's XML of a dictionary."""
    kinds = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}
    parts = []
    for name, value in content.items():
        tag = "no_name" if name.startswith("i000") else name
        if isinstance(value, Mapping):
            parts.append(f'<{tag} runtype="CLxListVariant">{_variant(value)}</{tag}>')
        else:
            parts.append(f'<{tag} runtype="{kinds[type(value)]}" value="{value}"/>')
    return "".join(parts)


def _nd2_xml(content: Mapping[str, Any]) -> bytes:
    return f'<variant version="1.0"><no_name runtype="CLxListVariant">{_variant(content)}</no_name></variant>'.encode()


def nd2(
    path: Path,
    voxels: NDArray[Any],
    *,
    positions: Sequence[str] = ("",),
    times_ms: Sequence[float] = (),
    channels: Sequence[str] = ("DAPI",),
    z_step: float = Z_UM,
    z_high: float | None = None,
    pixel_um: float = X_UM,
    n_stored: int | None = None,
    n_planned: int | None = None,
    components: int = 1,
    has_probe: bool = True,
) -> Path:
    """An ND2 of version 3 with its metadata in XML; frames of position p hold the voxels + p."""
    n_times, n_channels, n_planes, n_rows, n_columns = voxels.shape
    loop: dict[str, Any] = {}
    if n_planes > 1:
        loop = {
            "eType": 4,
            "uLoopPars": {
                "uiCount": n_planes,
                "dZLow": 0.0,
                "dZHigh": float(z_step * (n_planes - 1) if z_high is None else z_high),
                "dZStep": float(z_step),
                "bZInverted": False,
                "iType": 2,
            },
            "ppNextLevelEx": {"i0000": loop} if loop else {},
        }
    if len(positions) > 1:
        points = {f"i000{index}": {"dPosX": float(index), "dPosName": name} for index, name in enumerate(positions)}
        loop = {"eType": 2, "uLoopPars": {"Points": points}, "ppNextLevelEx": {"i0000": loop} if loop else {}}
    if n_times > 1:
        pars = {"uiCount": n_planned or n_times, "dStart": 0.0, "dPeriod": 1000.0, "dDuration": 0.0}
        loop = {"eType": 1, "uLoopPars": pars, "ppNextLevelEx": {"i0000": loop} if loop else {}}
    planes = {
        f"a{index}": {
            "uiCompCount": components,
            "sDescription": name,
            "uiSampleIndex": index,
            **({"pFluorescentProbe": {"m_ExcitationSpectrum": SPECTRUM}} if has_probe else {}),
        }
        for index, name in enumerate(channels)
    }
    frames = [
        np.moveaxis(voxels[time, :, plane] + position, 0, -1).astype(voxels.dtype, copy=False)
        for time in range(n_times)
        for position in range(len(positions))
        for plane in range(n_planes)
    ][:n_stored]
    item = voxels.dtype.itemsize
    attributes = {
        "uiBpcInMemory": 8 * item,
        "uiBpcSignificant": 8 * item,
        "uiComp": n_channels * components,
        "uiWidth": n_columns // components,
        "uiHeight": n_rows,
        "uiWidthBytes": n_columns * n_channels * item,
        "uiSequenceCount": len(frames),
        "eCompression": 2,
    }
    optics = {
        "bCalibrated": True,
        "dCalibration": float(pixel_um),
        "wsObjectiveName": "Plan 60x",
        "dRefractIndex1": 1.515,
    }
    picture = {**optics, "sPicturePlanes": {"uiCount": len(planes), "sPlaneNew": planes}}
    data: list[tuple[bytes, bytes, int]] = [
        (f"ImageDataSeq|{index}!".encode(), struct.pack("<d", index) + frame.tobytes(), 4072)
        for index, frame in enumerate(frames)
    ]
    data += [
        (b"ImageAttributesLV!", _nd2_xml(attributes), 0),
        (b"ImageMetadataLV!", _nd2_xml(loop), 0),
        (b"ImageMetadataSeqLV|0!", _nd2_xml(picture), 0),
    ]
    if times_ms:
        data.append((b"CustomData|AcqTimesCache!", np.asarray(times_ms, "<f8").tobytes(), 0))
    whole = _nd2_chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 0)
    index = b""
    for name, content, n_name in data:
        index += name + struct.pack("<QQ", len(whole), len(content))
        whole += _nd2_chunk(name, content, n_name)
    tail = b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", len(whole))
    path.write_bytes(whole + _nd2_chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", index + tail, 0))
    return path


def _nd2_chunk(name: bytes, content: bytes, n_name: int) -> bytes:
    padded = name.ljust(n_name or len(name), b"\0")
    return struct.pack("<IIQ", 0x0ABECEDA, len(padded), len(content)) + padded + content


# --- LIF --------------------------------------------------------------------------------------------------------------


def lif(
    path: Path,
    images: Mapping[str, NDArray[Any]],
    *,
    stamps_ms: Sequence[int] = (),
    channels: Sequence[str] = ("Green", "Red"),
    voxel_x: float | None = None,
    interleaved: bool = False,
    doctype: str = "",
) -> Path:
    """A LIF of version 2; each image is stored t, z, c, y, x as Leica does, or with colours side by side."""
    elements, blocks = "", b""
    for number, (name, voxels) in enumerate(images.items()):
        n_times, n_channels, n_planes, n_rows, n_columns = voxels.shape
        item = voxels.dtype.itemsize
        n_plane = n_rows * n_columns * item
        x_inc, c_inc = (n_channels * item, item) if interleaved else (item, n_plane)
        order = (0, 2, 3, 4, 1) if interleaved else (0, 2, 1, 3, 4)
        sizes = (
            (1, n_columns, X_UM, x_inc),
            (2, n_rows, Y_UM, x_inc * n_columns),
            (3, n_planes, Z_UM, n_plane * n_channels),
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{kind}" NumberOfElements="{size}" Origin="0" '
            f'Length="{step * (size - 1) * 1e-6:.12g}" Unit="m" BytesInc="{inc}" BitInc="0"/>'
            for kind, size, step, inc in sizes
            if size > 1
        )
        if n_times > 1:
            dimensions += (
                f'<DimensionDescription DimID="4" NumberOfElements="{n_times}" Origin="0" '
                f'Length="{2.5 * (n_times - 1)}" Unit="s" BytesInc="{n_plane * n_channels * n_planes}" BitInc="0"/>'
            )
        described = "".join(
            f'<ChannelDescription DataType="{int(voxels.dtype.kind == "f")}" '
            f'ChannelTag="{index + 1 if interleaved else 0}" Resolution="{8 * item}" '
            f'NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="{channels[index]}" '
            f'IsLUTInverted="0" BytesInc="{index * c_inc}" BitInc="0"/>'
            for index in range(n_channels)
        )
        ticks = "".join(f"{116444736000000000 + stamp * 10000:x} " for stamp in stamps_ms)
        record = "" if voxel_x is None else f'<ScannerSettingRecord Identifier="dblVoxelX" Variant="{voxel_x * 1e-6}"/>'
        optics = '<ATLConfocalSettingDefinition ObjectiveName="HC PL APO 63x" RefractionIndex="1.518"/>'
        elements += (
            f'<Element Name="{name}" UniqueID="{number}"><Data><Image><ImageDescription>'
            f"<Channels>{described}</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription>"
            f'<Attachment Name="HardwareSetting">{optics}{record}</Attachment>'
            + (f'<TimeStampList NumberOfTimeStamps="{len(stamps_ms)}">{ticks}</TimeStampList>' if ticks else "")
            + f'</Image></Data><Memory Size="{voxels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        label = f"MemBlock_{number}".encode("utf-16-le")
        head = struct.pack("<IIBQBI", 0x70, 0, 0x2A, voxels.nbytes, 0x2A, len(label) // 2)
        blocks += head + label + voxels.transpose(order).tobytes()
    xml = (
        f'{doctype}<LMSDataContainerHeader Version="2"><Element Name="project"><Children>{elements}'
        "</Children></Element></LMSDataContainerHeader>"
    ).encode("utf-16-le")
    path.write_bytes(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml + blocks)
    return path


# --- CZI --------------------------------------------------------------------------------------------------------------


def _czi_segment(name: str, content: bytes) -> bytes:
    nbytes = -(-len(content) // 32) * 32
    return struct.pack("<16sqq", name.encode(), nbytes, len(content)) + content.ljust(nbytes, b"\0")


def _czi_entry(kind: int, at: int, packing: int, dimensions: Sequence[tuple[str, int, int]]) -> bytes:
    head = struct.pack("<2siqiiBB4si", b"DV", kind, at, 0, packing, 0, 0, b"", len(dimensions))
    return head + b"".join(
        struct.pack("<4siifi", name.encode(), start, size, 0.0, size) for name, start, size in dimensions
    )


Tile = tuple[dict[str, int], NDArray[Any]]


def czi_tiles(
    path: Path,
    tiles: Sequence[Tile],
    xml: str,
    *,
    pack: Any = None,
    packing: int = 0,
    times: Sequence[float] = (),
    kind: int | None = None,
    part: int = 0,
) -> Path:
    """A CZI of uncompressed (or packed) sub-blocks with their start in each dimension."""
    kinds = {"uint8": 0, "uint16": 1, "float32": 2}
    header = _czi_segment("ZISRAWFILE", bytes(512))
    whole, entries = header, b""
    for place, pixels in tiles:
        size = {"X": pixels.shape[1], "Y": pixels.shape[0]}
        dimensions = [(name, place.get(name, 0), size.get(name, 1)) for name in ("X", "Y", *(set(place) - {"X", "Y"}))]
        number = kinds[str(pixels.dtype)] if kind is None else kind
        entry = _czi_entry(number, len(whole), packing, dimensions)
        data = pixels.tobytes() if pack is None else pack(pixels)
        content = struct.pack("<iiq", 0, 0, len(data)) + entry
        whole += _czi_segment("ZISRAWSUBBLOCK", content.ljust(16 + max(240, len(entry)), b"\0") + data)
        entries += entry
    directory = len(whole)
    whole += _czi_segment("ZISRAWDIRECTORY", struct.pack("<i", len(tiles)).ljust(128, b"\0") + entries)
    metadata = len(whole)
    text = xml.encode()
    whole += _czi_segment("ZISRAWMETADATA", struct.pack("<ii", len(text), 0).ljust(256, b"\0") + text)
    attached = 0
    if times:
        stamps = struct.pack("<ii", 8 + 8 * len(times), len(times)) + np.asarray(times, "<f8").tobytes()
        entry = struct.pack("<2s10sqi16s8s80s", b"A1", b"", len(whole), 0, b"", b"CZTIMS", b"TimeStamps")
        content = struct.pack("<i", len(stamps)).ljust(16, b"\0") + entry + bytes(112)
        whole += _czi_segment("ZISRAWATTACH", content + stamps)
        attached = len(whole)
        whole += _czi_segment("ZISRAWATTDIR", struct.pack("<i", 1).ljust(256, b"\0") + entry)
    fields = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", part, directory, metadata, 0, attached)
    path.write_bytes(_czi_segment("ZISRAWFILE", fields.ljust(512, b"\0")) + whole[len(header) :])
    return path


def czi_xml(
    *,
    z_um: float = Z_UM,
    z_interval_um: float | None = Z_UM,
    channels: Sequence[str] = ("DAPI",),
    scenes: Sequence[str] = (),
) -> str:
    """The metadata that the reader takes something from."""
    items = "".join(
        f'<Distance Id="{name}"><Value>{um * 1e-6:.12g}</Value></Distance>'
        for name, um in (("X", X_UM), ("Y", Y_UM), ("Z", z_um))
    )
    named = "".join(f'<Channel Id="Channel:{index}" Name="{name}"/>' for index, name in enumerate(channels))
    z = (
        ""
        if z_interval_um is None
        else f"<Z><Positions><Interval><Increment>{z_interval_um}</Increment></Interval></Positions></Z>"
    )
    listed = "".join(f'<Scene Index="{index}" Name="{name}"/>' for index, name in enumerate(scenes))
    s = f"<S><Scenes>{listed}</Scenes></S>" if scenes else ""
    return (
        "<ImageDocument><Metadata><Information><Image><Dimensions>"
        f"<Channels>{named}</Channels>{z}{s}</Dimensions></Image></Information>"
        f"<Scaling><Items>{items}</Items></Scaling></Metadata></ImageDocument>"
    )


def czi(path: Path, voxels: NDArray[Any], **more: Any) -> Path:
    """A CZI with one sub-block per plane."""
    tiles = [
        ({"T": t, "C": c, "Z": z}, voxels[t, c, z])
        for t in range(voxels.shape[0])
        for c in range(voxels.shape[1])
        for z in range(voxels.shape[2])
    ]
    xml = more.pop("xml", czi_xml(channels=[f"stain {c}" for c in range(voxels.shape[1])]))
    return czi_tiles(path, tiles, xml, **more)


# --- OIF and OIB ------------------------------------------------------------------------------------------------------


def oif_parts(
    voxels: NDArray[Any], *, width_um: float = X_UM, z_interval_nm: float = 1000 * Z_UM, times_ms: Sequence[float] = ()
) -> dict[str, bytes]:
    """The settings, and the files of the folder, of one OIF by their names."""
    n_times, n_channels, n_planes, n_rows, n_columns = voxels.shape
    axes = [
        ("X", n_columns, 0.0, X_UM * n_columns, "um", None),
        ("Y", n_rows, 0.0, Y_UM * n_rows, "um", None),
        ("C", n_channels, 0, 0, "", None),
        ("Z", n_planes, 0.0, 1000 * Z_UM * (n_planes - 1), "nm", z_interval_nm),
        ("T", n_times, 0.0, 0.0, "ms", 2500.0),
    ]
    text = '[ProfileSaveInfo]\r\nName="cell"\r\nVersion="2.0"\r\n[Axis Parameter Common]\r\nAxisOrder="XYCZT"\r\n'
    for index, (code, size, start, end, unit, interval) in enumerate(axes):
        text += f'[Axis {index} Parameters Common]\r\nAxisCode="{code}"\r\nMaxSize={size if size > 1 else 0}\r\n'
        text += f'StartPosition={start}\r\nEndPosition={end}\r\nUnitName="{unit}"\r\n'
        text += "" if interval is None else f"Interval={interval}\r\n"
    text += f"[Reference Image Parameter]\r\nWidthConvertValue={width_um}\r\nHeightConvertValue={Y_UM}\r\n"
    text += 'WidthUnit="um"\r\nHeightUnit="um"\r\nValidBitCounts=12\r\n'
    for index in range(n_channels):
        text += f'[Channel {index + 1} Parameters]\r\nDyeName="dye {index}"\r\n'
    parts = {"": b"\xff\xfe" + text.encode("utf-16-le")}
    for t in range(n_times):
        for c in range(n_channels):
            for z in range(n_planes):
                name = "s_" + "".join(
                    f"{letter}{number + 1:03d}"
                    for letter, number, size in (("C", c, 2), ("Z", z, n_planes), ("T", t, n_times))
                    if size > 1
                )
                stream = io.BytesIO()
                tifffile.imwrite(stream, voxels[t, c, z], photometric="minisblack", metadata=None)
                parts[f"{name}.tif"] = stream.getvalue()
                if times_ms:
                    pty = f'[Axis 4 Parameters]\r\nAbsPositionUnitName="ms"\r\nAbsPositionValue={times_ms[t]}\r\n'
                    parts[f"{name}.pty"] = b"\xff\xfe" + pty.encode("utf-16-le")
    return parts


def oif(path: Path, voxels: NDArray[Any], **more: Any) -> Path:
    """An OIF: settings, and a folder of planes beside them."""
    parts = oif_parts(voxels, **more)
    folder = path.with_name(path.name + ".files")
    folder.mkdir()
    path.write_bytes(parts.pop(""))
    for name, data in parts.items():
        (folder / name).write_bytes(data)
    return path


def oib(path: Path, voxels: NDArray[Any], **more: Any) -> Path:
    """An OIB: the same in a compound file of version 3 whose streams all lie in sectors of 512 bytes."""
    parts = oif_parts(voxels, **more)
    streams = [("Stream00000", "cell.oif", parts.pop(""))]
    streams += [
        (f"Stream{index:05d}", f"Storage00001/{name}", data) for index, (name, data) in enumerate(parts.items(), 1)
    ]
    info = (
        '[OibSaveInfo]\r\nName="cell"\r\nVersion="2.0"\r\nMainFileName=Stream00000\r\nStorage00001="cell.oif.files"\r\n'
    )
    info += "".join(f'{label}="{name}"\r\n' for label, name, _ in streams)
    files = [("OibInfo.txt", b"\xff\xfe" + info.encode("utf-16-le")), *((label, data) for label, _, data in streams)]
    n_directory = -(-(len(files) + 1) // 4)
    chains, body = [n_directory], b""
    starts = []
    at = n_directory
    for _, data in files:
        n_sectors = max(-(-max(len(data), 4096) // 512), 1)
        starts.append(at)
        chains.append(n_sectors)
        body += data.ljust(n_sectors * 512, b"\0")
        at += n_sectors
    n_fat = -(-(at + 1) // 127)
    following: list[int] = []
    for n_sectors in chains:
        following += [*range(len(following) + 1, len(following) + n_sectors), 0xFFFFFFFE]
    following += [0xFFFFFFFD] * n_fat
    following += [0xFFFFFFFF] * (n_fat * 128 - len(following))
    entries = _ole_entry("Root Entry", 5, child=1, start=0xFFFFFFFE, size=0)
    for index, ((name, data), start) in enumerate(zip(files, starts, strict=True), 1):
        right = index + 1 if index < len(files) else 0xFFFFFFFF
        entries += _ole_entry(
            name, 2, right=right, start=start, size=max(len(data), 4096) if len(data) < 4096 else len(data)
        )
    directory = entries.ljust(n_directory * 512, b"\0")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHHHI", 0x3E, 3, 0xFFFE, 9, 6, 0, 0)
    head += struct.pack("<IIIIIIIII", 0, n_fat, 0, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    head += np.asarray([*range(at, at + n_fat), *[0xFFFFFFFF] * (109 - n_fat)], "<u4").tobytes()
    path.write_bytes(head + directory + body + np.asarray(following, "<u4").tobytes())
    return path


def _ole_entry(
    name: str, kind: int, *, child: int = 0xFFFFFFFF, right: int = 0xFFFFFFFF, start: int, size: int
) -> bytes:
    text = name.encode("utf-16-le")
    head = struct.pack("<64sHBBIII", text, len(text) + 2, kind, 1, 0xFFFFFFFF, right, child)
    return head + bytes(16) + struct.pack("<IQQIQ", 0, 0, 0, start, size)
