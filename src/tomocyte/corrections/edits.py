"""The edit language: one frozen class per operation, and the list of them in ``edits.yaml``.

Places are given in µm or voxels, where voxel 0 lies at 0 µm. To add an operation, add a class here with its own ``do``,
name it in :data:`Edit`, and implement it in :mod:`tomocyte.corrections.apply`, or in :mod:`tomocyte.corrections.links`
if it changes links over time and no labels.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tomocyte.labels.runs import LARGEST_LABEL, Voxels
from tomocyte.settings import Settings
from tomocyte.volume import VoxelSize

STRUCTURE = r"^[A-Za-z][A-Za-z0-9_-]{0,40}$"
Label = Annotated[int, Field(ge=1, le=LARGEST_LABEL)]
Over = Literal["anything", "background", "objects"]


class Place(Settings):
    """A point of a frame; two numbers (y, x) stand for the only plane of an image."""

    um: tuple[float, float, float] | None = None
    """z, y, x in µm; voxel 0 lies at 0 µm."""
    voxel: tuple[int, int, int] | None = None
    """z, y, x in voxels, from 0."""

    @model_validator(mode="before")
    @classmethod
    def _planar_points_lie_in_plane_0(cls, values: Any) -> Any:
        if isinstance(values, dict):
            flat = {key: value for key, value in values.items() if key in ("um", "voxel") and _has_two(value)}
            return values | {key: (0, *value) for key, value in flat.items()}
        return values

    @model_validator(mode="after")
    def _is_a_point(self) -> Place:
        if self.um is not None and self.voxel is not None:
            raise ValueError("give 'um' or 'voxel', not both")
        if type(self) is Place and self.um is None and self.voxel is None:
            raise ValueError("give the point as 'um' or 'voxel'")
        if self.um is not None and not all(math.isfinite(value) for value in self.um):
            raise ValueError("'um' needs finite numbers")
        return self

    def position_um(self, voxel_size_um: VoxelSize) -> tuple[float, float, float]:
        """z, y, x in µm; a plane without thickness lies at 0."""
        sizes = [0.0 if math.isnan(size) else size for size in voxel_size_um]
        position = self.um or tuple(index * size for index, size in zip(self.voxel or (0, 0, 0), sizes, strict=True))
        return (position[0], position[1], position[2])

    def index(self, voxel_size_um: VoxelSize) -> tuple[int, int, int]:
        """z, y, x of the voxel that holds the point; it may lie outside the frame."""
        if self.voxel is not None:
            return self.voxel
        sizes = [math.inf if math.isnan(size) else size for size in voxel_size_um]
        index = [math.floor(value / size + 0.5) for value, size in zip(self.um or (0, 0, 0), sizes, strict=True)]
        return (index[0], index[1], index[2])


def _has_two(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2


class Target(Place):
    """An object, by its label, by a point inside it, or by both; a bare number is a label."""

    label: Label | None = None
    """Number in the label image after all edits before this one."""

    @model_validator(mode="before")
    @classmethod
    def _number_is_a_label(cls, values: Any) -> Any:
        return {"label": values} if isinstance(values, int) and not isinstance(values, bool) else values

    @model_validator(mode="after")
    def _names_something(self) -> Target:
        if self.label is None and self.um is None and self.voxel is None:
            raise ValueError("give 'label', or a point inside the object as 'um' or 'voxel', or both")
        return self


class Box(Settings):
    """All voxels whose centres lie between two points, both included."""

    low: Place
    """Corner of the smallest z, y, x."""
    high: Place
    """Corner of the largest z, y, x."""


class Ball(Settings):
    """All voxels whose centres lie in a ball; in a plane, a disc."""

    centre: Place
    """Its centre."""
    radius_um: float = Field(gt=0, le=10_000)
    """Its radius in µm."""


class Polygon(Settings):
    """All voxels whose centres lie in a polygon drawn on planes of constant z."""

    planes: tuple[int, int] = (0, 0)
    """First and last plane, both included, from 0."""
    corners: tuple[tuple[float, float], ...] = Field(min_length=3, max_length=100_000)
    """y, x of the corners in the unit below."""
    unit: Literal["um", "voxel"] = "um"
    """Unit of the corners."""


class Image(Settings):
    """The voxels that are not 0 in a label image of the frame's own size, each with its number there."""

    path: str = Field(min_length=1)
    """The file, beside the edits file or below it."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file; checked when given."""


class Shape(Settings):
    """Which voxels; give exactly one."""

    box: Box | None = None
    """A box."""
    ball: Ball | None = None
    """A ball."""
    polygon: Polygon | None = None
    """A polygon on some planes."""
    voxels: Voxels | None = None
    """Voxels one by one, with their labels."""
    image: Image | None = None
    """The objects of a label image."""

    @model_validator(mode="after")
    def _is_exactly_one_shape(self) -> Shape:
        if sum(part is not None for part in (self.box, self.ball, self.polygon, self.voxels, self.image)) != 1:
            raise ValueError("give exactly one of box, ball, polygon, voxels, image")
        return self

    @property
    def has_labels(self) -> bool:
        """Whether the voxels have labels of their own."""
        return self.voxels is not None or self.image is not None


class Plane(Settings):
    """A plane that cuts an object in two."""

    through: Place
    """A point on it."""
    normal: tuple[float, float, float]
    """Direction z, y, x (in µm) across it; the part on this side becomes the new object."""

    @model_validator(mode="after")
    def _has_a_direction(self) -> Plane:
        if not all(map(math.isfinite, self.normal)) or math.hypot(*self.normal) == 0:
            raise ValueError("'normal' needs finite numbers that are not all 0")
        return self


class _Edit(Settings):
    """Fields of every edit."""

    structure: str = Field(pattern=STRUCTURE)
    """Which label image: cell, nucleus, … as in the tables."""
    frame: int = Field(default=0, ge=0)
    """Time point, from 0."""
    note: str = Field(default="", max_length=500)
    """The reason, for readers."""


class Merge(_Edit):
    """Several objects become one, which keeps the first one's label."""

    do: Literal["merge"] = "merge"
    """``merge``."""
    targets: tuple[Target, ...] = Field(min_length=2)
    """The objects."""


class Split(_Edit):
    """One object becomes several; the first part keeps the label, the others get new ones."""

    do: Literal["split"] = "split"
    """``split``."""
    target: Target
    """The object."""
    seeds: tuple[tuple[Place, ...], ...] | None = Field(default=None, min_length=2)
    """Points inside each part; parts grow from them and meet at the object's waist (seeded watershed)."""
    plane: Plane | None = None
    """A plane between two parts."""
    pieces: Voxels | None = None
    """The parts voxel by voxel, with their labels; all other voxels keep the old label."""

    @model_validator(mode="before")
    @classmethod
    def _point_is_a_seed(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("seeds"), list | tuple):
            seeds = [seed if isinstance(seed, list | tuple) else [seed] for seed in values["seeds"]]
            return {**values, "seeds": seeds}
        return values

    @model_validator(mode="after")
    def _has_exactly_one_method(self) -> Split:
        if sum(method is not None for method in (self.seeds, self.plane, self.pieces)) != 1:
            raise ValueError("give exactly one of seeds, plane, pieces")
        if self.seeds is not None and not all(self.seeds):
            raise ValueError("every seed needs a point")
        return self


class Delete(_Edit):
    """Objects become background."""

    do: Literal["delete"] = "delete"
    """``delete``."""
    targets: tuple[Target, ...] = Field(min_length=1)
    """The objects."""
    with_contents: bool = False
    """Whether objects inside them (the nucleus of a deleted cell) are deleted too."""


class Repaint(_Edit):
    """Voxels get another label."""

    do: Literal["repaint"] = "repaint"
    """``repaint``."""
    shape: Shape
    """Which voxels."""
    to: Target | Literal["background"] | None = None
    """The object that they will belong to; empty: voxels and images have their own labels."""
    over: Over | Target = "anything"
    """Whether anything, only background, only objects, or only this object is painted over."""

    @model_validator(mode="after")
    def _has_a_destination(self) -> Repaint:
        if self.to is None and not self.shape.has_labels:
            raise ValueError("'to' is needed: an object, or background")
        return self


class Add(_Edit):
    """A new object, by default on background only."""

    do: Literal["add"] = "add"
    """``add``."""
    shape: Shape
    """Its voxels; every voxel given belongs to the one new object."""
    label: Label | None = None
    """Its label; empty: one above the largest."""
    over: Over = "background"
    """Which voxels may be painted over."""


class SetCell(_Edit):
    """An organelle is assigned to a cell, whatever it overlaps."""

    do: Literal["set-cell"] = "set-cell"
    """``set-cell``."""
    target: Target
    """The organelle."""
    cell: Target | Literal["none"]
    """The cell, or ``none``."""


class Renumber(_Edit):
    """Objects get other labels, all at once; no voxel changes its object."""

    do: Literal["renumber"] = "renumber"
    """``renumber``."""
    numbers: dict[Label, Label] = Field(min_length=1)
    """Old label: new label."""

    @model_validator(mode="after")
    def _keeps_objects_apart(self) -> Renumber:
        if len(set(self.numbers.values())) != len(self.numbers):
            raise ValueError("two objects would get the same label; use merge")
        return self


class _LinkEdit(_Edit):
    """Fields of edits of links: they change no label, but who becomes whom over time."""

    target: Target
    """The object, in ``frame``."""
    to_frame: int | None = Field(default=None, ge=1)
    """Frame of the later objects; empty: the next one."""

    @model_validator(mode="after")
    def _leads_to_a_later_frame(self) -> _LinkEdit:
        if self.to_frame is not None and self.to_frame <= self.frame:
            raise ValueError(f"'to_frame' {self.to_frame} is not later than 'frame' {self.frame}")
        return self

    @property
    def later_frame(self) -> int:
        """Frame of the later objects."""
        return self.frame + 1 if self.to_frame is None else self.to_frame

    @property
    def later(self) -> tuple[Target, ...]:
        """The later objects."""
        return ()


class Link(_LinkEdit):
    """An object goes on as another of a later frame, instead of what either was linked to."""

    do: Literal["link"] = "link"
    """``link``."""
    to: Target
    """The later object."""

    @property
    def later(self) -> tuple[Target, ...]:
        """The later object."""
        return (self.to,)


class Unlink(_LinkEdit):
    """An object's track ends, and what followed begins a track of its own."""

    do: Literal["unlink"] = "unlink"
    """``unlink``."""
    to: Target | None = None
    """Only the link to this later object; empty: all that follow."""

    @property
    def later(self) -> tuple[Target, ...]:
        """The later object, where it is named."""
        return () if self.to is None else (self.to,)


class Division(_LinkEdit):
    """An object divides into others of a later frame."""

    do: Literal["division"] = "division"
    """``division``."""
    daughters: tuple[Target, ...] = Field(min_length=2, max_length=4)
    """The daughters."""

    @property
    def later(self) -> tuple[Target, ...]:
        """The daughters."""
        return self.daughters


class Death(_Edit):
    """An object dies: its track ends in this frame."""

    do: Literal["death"] = "death"
    """``death``."""
    target: Target
    """The object, in the last frame in which it lives."""


LinkEdit = Link | Unlink | Division | Death
"""Edits of who becomes whom; all others change labels."""
LINK_EDITS = (Link, Unlink, Division, Death)
Edit = Annotated[
    Merge | Split | Delete | Repaint | Add | SetCell | Renumber | Link | Unlink | Division | Death,
    Field(discriminator="do"),
]


class EditList(Settings):
    """The corrections of one input, applied in this order."""

    input_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the input that they were made for, as in status.csv; checked when given."""
    go_by: Literal["both", "label", "point"] = "both"
    """Where a target's label and point name different objects: refuse, or use one of them."""
    edits: tuple[Edit, ...]
    """The corrections."""


class EditFile(Settings):
    """Content of ``edits.yaml``: the corrections of one input, or of several by item name."""

    version: Literal[1]
    """Of this format."""
    item: str | None = None
    """The item that ``edits`` are for; empty: the only input."""
    input_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """As in :class:`EditList`, with ``edits``."""
    go_by: Literal["both", "label", "point"] = "both"
    """As in :class:`EditList`, with ``edits``."""
    edits: tuple[Edit, ...] | None = None
    """The corrections of one input."""
    items: dict[str, EditList] | None = None
    """The corrections of several inputs."""

    @model_validator(mode="after")
    def _has_edits_or_items(self) -> EditFile:
        if (self.edits is None) == (self.items is None):
            raise ValueError("give either 'edits' (one input) or 'items' (several)")
        if self.items is not None and (self.item, self.input_sha256, self.go_by) != (None, None, "both"):
            raise ValueError("with 'items', item, input_sha256 and go_by stand inside each item")
        return self
