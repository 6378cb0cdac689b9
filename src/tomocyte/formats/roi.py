"""Regions of Fiji and ImageJ: one ``.roi``, or the ROI Manager's set of them in a ZIP archive, as labels.

A set does not say how large its image is: that, its voxel size and its planes come from the image. Areas become labels:
polygons, freehand and traced outlines, rectangles, ovals and composites with holes; where they overlap the last counts.
To read another kind of region, give its outlines in :func:`_paths`.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import roifile
from numpy.typing import NDArray

from tomocyte.errors import InputError, MissingFact
from tomocyte.formats import Format, ReadOptions, read_volume
from tomocyte.formats._hostile import FileStamp, check_fits_memory, parsing
from tomocyte.formats._roi_shapes import ellipse, outlines, paths_of_shape, pixels_within
from tomocyte.volume import LabelName, Origin, Volume

SET_ENDING: Final = ".roi.zip"
LARGEST_ROI_NBYTES: Final = 16 * 2**20
LARGEST_SET_NBYTES: Final = 2**30
MOST_ROIS: Final = 1_000_000
AUTOMATIC: Final = re.compile(r"\d{3,}(-\d{3,}){1,2}(-\d+)?")
"""Names that Fiji gives by itself: plane, y and x of a region."""
AREAS: Final = ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")
LABEL: Final = "label"
NAME: Final = "label_name"
"""Properties of a region under which labels are written."""


def verify(path: Path) -> bool:
    """Whether the file begins like a region of ImageJ, or is an archive of nothing but such."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(4)
        if start != b"PK\x03\x04":
            return start == b"Iout"
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return bool(names) and all(name.lower().endswith(".roi") for name in names)


@dataclass(frozen=True)
class Region:
    """One area: where it lies and its outlines."""

    name: str
    frame: int
    plane: int
    paths: tuple[NDArray[np.float64], ...]
    label: int = 0
    label_name: str = ""


@dataclass(frozen=True)
class RoiPlanes:
    """Planes of labels drawn from regions when they are read; picklable."""

    stamp: FileStamp
    shape: tuple[int, int]
    regions: tuple[Region, ...]
    dtype: np.dtype[Any]

    def __call__(self, frame: int, channel: int, z_start: int, z_stop: int) -> NDArray[Any]:  # noqa: ARG002
        """Planes (z_stop - z_start, Y, X)."""
        self.stamp.check()
        nbytes = (z_stop - z_start) * self.shape[0] * self.shape[1] * self.dtype.itemsize
        check_fits_memory(nbytes, path=self.stamp.path, what="a read")
        planes = np.zeros((z_stop - z_start, *self.shape), self.dtype)
        with parsing(self.stamp.path, "E-ROI", what="a region"):
            for one in self.regions:
                if one.frame == frame and z_start <= one.plane < z_stop:
                    box, mask = pixels_within(one.paths, self.shape)
                    planes[one.plane - z_start][box][mask] = one.label
        return planes


def read(path: Path, options: ReadOptions) -> Volume:
    """Draw the regions of a file as labels on the grid of their image.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        ``region_image``: the image on which the regions were drawn.

    Returns
    -------
    Volume
        Frames, planes and voxel size of the image, one channel. A region's label is its property ``label``, else, where
        all have one, its group, else a number of its own; regions that share a name which Fiji did not give are one.

    Raises
    ------
    InputError
        ``E-ROI-IMAGE``: no image. ``E-ROI``: damaged. ``E-ROI-KIND``: a region that is no area. ``E-ROI-POSITION``: a
        region on no plane, or outside the image.
    """
    if options.region_image is None:
        raise InputError(
            "E-ROI-IMAGE",
            "holds regions, which do not say how large their image is.",
            path=path,
            missing=(MissingFact("region_image", ("IMAGE",)),),
        )
    stamp = FileStamp.of(path)
    image = read_volume(options.region_image, is_size_required=False)
    with parsing(path, "E-ROI", also=(zipfile.BadZipFile, NotImplementedError)):
        parsed = [(name, roifile.ImagejRoi.frombytes(raw)) for name, raw in _entries(path)]
        found = [_region(name, roi, image, path) for name, roi in parsed]
    regions, names = _labelled([roi for _, roi in parsed], found)
    largest = max(one.label for one in regions)
    dtype = np.dtype(np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32)
    size = image.voxel_size_um
    origin: dict[str, Origin] = {"quantity": "file"}
    if size is not None:
        origin["voxel_size_um"] = image.origin.get("voxel_size_um", "file")
    return Volume(
        shape=(image.n_frames, 1, *image.spatial_shape),
        dtype=dtype,
        read_planes=RoiPlanes(stamp, image.spatial_shape[1:], regions, dtype),
        voxel_size_um=size,
        time_s=image.time_s,
        quantity="labels",
        label_names=names,
        affine=image.affine,
        affine_unit=image.affine_unit,
        origin=origin,
        sources={"quantity": "regions"} | ({} if size is None else {"voxel_size_um": "--region-image"}),
        path=path,
        notes=tuple(note for note in image.notes if size is None and note.startswith("W-VOXEL-SIZE")),
        metadata={"n_regions": len(regions)},
    )


def _entries(path: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of every region."""
    with path.open("rb") as stream:
        start = stream.read(LARGEST_ROI_NBYTES)
    if not start.startswith(b"PK"):
        return [("", start)]
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        largest = max((entry.file_size for entry in entries), default=0)
        if len(entries) > MOST_ROIS or largest > LARGEST_ROI_NBYTES:
            raise ValueError(f"{len(entries)} regions of up to {largest} bytes are too many or too large")
        if sum(entry.file_size for entry in entries) > LARGEST_SET_NBYTES or not entries:
            raise ValueError("its regions are none, or together too large")
        return [(Path(entry.filename).name.removesuffix(".roi"), archive.read(entry)) for entry in entries]


def _region(name: str, roi: Any, image: Volume, path: Path) -> Region:
    shown = name or roi.name or "the region"
    paths = _paths(roi)
    if not paths:
        kind = f"{roi.roitype.name.lower()}, {roi.subtype.name.lower()}".removesuffix(", undefined")
        raise InputError(
            "E-ROI-KIND",
            f"holds {shown!r}, which is no area ({kind}).",
            path=path,
            cure="Delete lines, points and texts in Fiji's ROI Manager and save the set again.",
        )
    frame, plane = _position(roi, image)
    if not (0 <= frame < image.n_frames and 0 <= plane < image.spatial_shape[0]):
        raise InputError(
            "E-ROI-POSITION",
            f"does not say on which of the image's {image.n_frames} frames and {image.spatial_shape[0]} planes "
            f"{shown!r} lies, or names another.",
            path=path,
            cure="Give the image on which it was drawn; or draw it again with ROI Manager > More > Options: Associate "
            "ROIs with slices.",
        )
    return Region(name or roi.name, frame, plane, tuple(paths))


def _position(roi: Any, image: Volume) -> tuple[int, int]:
    """Frame and plane; -1 where the region does not say it and the image has several."""
    n_frames, n_channels, n_planes = image.shape[:3]
    if max(roi.c_position, roi.z_position, roi.t_position) > 0:
        frame = roi.t_position - 1 if n_frames > 1 else 0
        return frame, roi.z_position - 1 if n_planes > 1 else 0
    if roi.position <= 0:
        return (0 if n_frames == 1 else -1), (0 if n_planes == 1 else -1)
    step = (roi.position - 1) // n_channels
    return step // n_planes, step % n_planes


def _paths(roi: Any) -> list[NDArray[np.float64]]:
    """Outlines of an area in pixels; none of what is no area."""
    if roi.roitype.name not in AREAS or roi.subtype.name in ("TEXT", "ARROW", "IMAGE"):
        return []
    if roi.multi_coordinates is not None:
        return paths_of_shape(roi.multi_coordinates.tolist())
    if roi.roitype.name in ("RECT", "OVAL"):
        left, top, width, height = roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top
        if roi.subpixelrect:
            left, top, width, height = roi.xd, roi.yd, roi.widthd, roi.heightd
        if roi.roitype.name == "OVAL":
            return [ellipse(left, top, width, height)]
        return [np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (width, height) + (left, top)]
    if roi.subpixel_coordinates is not None:
        return [np.asarray(roi.subpixel_coordinates, dtype=np.float64)] if len(roi.subpixel_coordinates) else []
    corners = roi.integer_coordinates
    return [corners + np.array([roi.left, roi.top], np.float64)] if corners is not None and len(corners) else []


def _labelled(rois: Sequence[Any], regions: Sequence[Region]) -> tuple[tuple[Region, ...], tuple[LabelName, ...]]:
    """Regions with their labels, and names of labels."""
    properties = [_properties(roi) for roi in rois]
    names: dict[int, LabelName] = {}
    if all(about.get(LABEL, "").isdecimal() and 0 < int(about[LABEL]) < 2**31 for about in properties):
        labels = [int(about[LABEL]) for about in properties]
        texts = [about.get(NAME, "") for about in properties]
    elif all(roi.group > 0 for roi in rois):
        labels, texts = [int(roi.group) for roi in rois], [""] * len(rois)
    else:
        own = {one.name for one in regions}
        texts = [_own_name(one.name, own) for one in regions]
        numbers: dict[str, int] = {}
        labels = [numbers.setdefault(text or f"\0{place}", len(numbers) + 1) for place, text in enumerate(texts)]
    for label, text, roi in zip(labels, texts, rois, strict=True):
        if text and label not in names:
            names[label] = LabelName(label, text, _colour(roi))
    found = tuple(
        Region(one.name, one.frame, one.plane, one.paths, label) for one, label in zip(regions, labels, strict=True)
    )
    return found, tuple(names[label] for label in sorted(names))


def _properties(roi: Any) -> dict[str, str]:
    pairs = (line.partition(":") for line in roi.props.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _own_name(name: str, names: set[str]) -> str:
    """A name that somebody gave, without the number that the ROI Manager puts behind one that is there already."""
    base = re.sub(r"-\d+$", "", name)
    plain = base if base in names else name
    return "" if AUTOMATIC.fullmatch(plain) else plain


def _colour(roi: Any) -> str:
    """The colour of the outline, stored as opacity, red, green, blue; none where it has no opacity."""
    raw = roi.stroke_color
    return f"#{raw[1:4].hex().upper()}" if len(raw) == 4 and raw[0] else ""


def write(path: Path, volume: Volume, on_planes: Callable[[int], None]) -> None:
    """Write labels as a set of regions, one for each label on each plane, with ``label`` and name as properties.

    Parameters
    ----------
    path : Path
        Where to write, ``.roi.zip``; replaced.
    volume : Volume
        Labels of one channel, of any number of frames.
    on_planes : callable
        Called with the number of planes read so far.

    Raises
    ------
    InputError
        ``E-ROI-WRITE``: no labels, none but background, several channels, a plane above 60,000 pixels, or a name that
        is that of one region.
    """
    is_good = volume.dtype.kind in "ui" and volume.n_channels == 1 and max(volume.spatial_shape[1:]) <= 60_000
    if not is_good or path.name.lower().endswith(".roi"):
        raise InputError(
            "E-ROI-WRITE",
            f"cannot write {volume.n_channels} channels of {volume.dtype} as {path.suffix}.",
            path=path,
            cure="Give labels of one channel and the ending .roi.zip.",
        )
    names = {one.value: one for one in volume.label_names}
    n_regions = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for frame in range(volume.n_frames):
            for plane in range(volume.spatial_shape[0]):
                labels = volume.planes(frame, 0, plane, plane + 1)[0]
                for value, offset, mask in _objects(labels):
                    roi = _roi(mask, offset, value, names.get(value))
                    _place(roi, frame, plane, volume)
                    entry = zipfile.ZipInfo(f"{roi.name}-t{frame + 1:04d}-z{plane + 1:04d}.roi", (1980, 1, 1, 0, 0, 0))
                    archive.writestr(entry, roi.tobytes())
                    n_regions += 1
                on_planes(frame * volume.spatial_shape[0] + plane + 1)
    if n_regions == 0:
        raise InputError(
            "E-ROI-WRITE", "holds no label, and a set of no region is none.", path=path, cure="Use another format."
        )


def _objects(labels: NDArray[Any]) -> list[tuple[int, tuple[int, int], NDArray[np.bool_]]]:
    """Value, offset y, x and mask within its box of every label of a plane."""
    found = []
    values = np.unique(labels)
    for value in values[values > 0].tolist():
        rows, columns = np.nonzero(labels == value)
        top, left = int(rows.min()), int(columns.min())
        box = labels[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
        found.append((int(value), (top, left), box == value))
    return found


def _roi(mask: NDArray[np.bool_], offset: tuple[int, int], value: int, name: LabelName | None) -> Any:
    """A traced outline, or a composite where there are several."""
    corner = np.array(offset[::-1], np.float64)
    paths = [path + corner for path in outlines(mask)]
    roi = roifile.ImagejRoi.frompoints(paths[0].astype(np.int32), name="")
    roi.roitype = roifile.ROI_TYPE.TRACED
    roi.right, roi.bottom = offset[1] + mask.shape[1], offset[0] + mask.shape[0]
    if len(paths) > 1:
        numbers: list[float] = []
        for path in paths:
            for place, (x, y) in enumerate(path.tolist()):
                numbers += [float(place > 0), x, y]
            numbers.append(4.0)
        roi.roitype, roi.n_coordinates, roi.integer_coordinates = roifile.ROI_TYPE.RECT, 0, None
        roi.top, roi.left = offset
        roi.multi_coordinates, roi.shape_roi_size = np.array(numbers, np.float32), len(numbers)
    text = "" if name is None else " ".join(name.name.split())
    roi.name = re.sub(r"[^\w .-]", "_", f"{text or 'label'}-{value:04d}")
    roi.props = f"{LABEL}: {value}\n" + (f"{NAME}: {text}\n" if text else "")
    if name is not None and name.colour:
        roi.stroke_color = bytes.fromhex(f"FF{name.colour[1:]}")
    return roi


def _place(roi: Any, frame: int, plane: int, volume: Volume) -> None:
    if volume.n_frames > 1:
        roi.c_position, roi.z_position, roi.t_position = 1, plane + 1, frame + 1
    else:
        roi.position = plane + 1


FORMAT = Format(
    "roi", (SET_ENDING, ".roi"), "Regions of Fiji and ImageJ as labels (with --region-image)", verify, read, write
)
