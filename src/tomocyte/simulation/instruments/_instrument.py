"""The type of an instrument: microscopes of one kind, their errors, and their images of simulated cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.cells.presets import find_line
from tomocyte.volume import VoxelSize

if TYPE_CHECKING:
    import pandas as pd

    from tomocyte.simulation.cells.rendering import Rendered
    from tomocyte.simulation.cells.scene import Scene

Channels = NDArray[np.float32]
Range = tuple[float, float]
V = TypeVar("V", bound=Settings)
D = TypeVar("D", bound=Settings)
R = TypeVar("R", bound=Settings)


class Optics(NamedTuple, Generic[V, D]):
    """The state of the microscope for one item: its variant and what its images suffer."""

    instrument: V
    degradation: D


class Conditions(Settings):
    """Options of the image formation besides the optics."""

    is_multiple_scattering: bool = False
    """Whether light may scatter more than once."""
    backend: str = "numpy"
    """What computes it: ``numpy``, ``torch`` or ``torch:cuda``."""


@dataclass(frozen=True, eq=False)
class View:
    """One frame of simulated cells, as input of an instrument.

    Parameters
    ----------
    scene : Scene
        The continuous shapes; ``scene.with_values`` gives them another quantity than the refractive index.
    truth : Rendered
        The scene on the grid of the data set: labels and refractive index (Z, Y, X), or the quantity of
        :attr:`Instrument.values`.
    """

    scene: Scene
    truth: Rendered


@dataclass(frozen=True)
class Instrument(Generic[V, D, R]):
    """Microscopes of one kind.

    Parameters
    ----------
    name : str
        The file's name; the modality of its volumes, and the value of ``modality`` in a data set's settings.
    description : str
        What its volumes are, in a word or two, for ``tomocyte simulate --help``.
    quantity, unit : str
        Of every channel, as in :class:`~tomocyte.volume.Volume`.
    channels : tuple of str
        Names, in order.
    variants : mapping of str to settings
        The microscopes, by name (``--instrument``).
    default : str
        The variant that is used when none is named.
    ranges : mapping of str to settings
        Where an item's degradation is drawn from, for each shift: ``none``, ``mild``, ``strong``. A data set may
        replace it under the key ``<name>_ranges``.
    check : callable
        ``check(variant, medium_ri, voxel_size_um)`` raises ``E-OPTICS-…`` for what cannot be imaged.
    draw : callable
        ``draw(variant, ranges, rng) -> Optics`` of one item.
    measure : callable
        ``measure(view, optics, conditions, rng) -> ndarray (C, Z, Y, X), float32``; the grid of the truth, with
        :attr:`n_planes` planes.
    n_planes : int, optional
        Planes of the result; all of the truth's where ``None``.
    value_name : str
        What stands at the axis of a figure.
    file_formats : tuple of str
        What its volumes can be written as.
    fitted : mapping of str to settings
        Degradations fitted to real volumes, by name.
    values : callable, optional
        ``values(scene, optics) -> Scene`` with the quantity that this instrument sees instead of the refractive index
        (:meth:`Scene.with_values`); then ``view.truth.ri`` holds that quantity.
    defaults : mapping of str to mapping
        Variant -> fields of a data set's settings that it gets where they are not given.
    preset_defaults : mapping of str to mapping
        Cell line -> the same for the default variant, over those of the variant.
    cases : mapping of str to mapping
        Name -> fields of a data set's settings that make a kind of field with a name (``case: NAME``).
    structures : tuple of str
        Label images that are written where none are asked for.
    truth : callable, optional
        ``truth(view) -> Rendered`` with what this instrument's structures mean, where it differs from the scene's.
    truth_rows : callable, optional
        ``truth_rows(table) -> DataFrame``: the truth table with the same meaning of the structures.
    channels_of : callable, optional
        ``channels_of(optics) -> tuple of str``: the channels of one item, where they are not always :attr:`channels`.
    """

    name: str
    description: str
    quantity: str
    unit: str
    channels: tuple[str, ...]
    variants: Mapping[str, V]
    default: str
    ranges: Mapping[str, R]
    check: Callable[[V, float, VoxelSize], None]
    draw: Callable[[V, R, np.random.Generator], Optics[V, D]]
    measure: Callable[[View, Optics[V, D], Conditions, np.random.Generator], Channels]
    n_planes: int | None = None
    value_name: str = ""
    file_formats: tuple[str, ...] = ("ome-tiff",)
    fitted: Mapping[str, D] = field(default_factory=dict)
    values: Callable[[Scene, Optics[V, D]], Scene] | None = None
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset_defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    structures: tuple[str, ...] = ("cell", "nucleus", "nucleolus", "lipid_droplet")
    truth: Callable[[View], Rendered] | None = None
    truth_rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    channels_of: Callable[[Optics[V, D]], tuple[str, ...]] | None = None

    def variant(self, name: str = "") -> V:
        """The microscope of that name; the default one where it is empty.

        Raises
        ------
        SettingsError
            ``E-INSTRUMENT`` with the valid names.
        """
        variant = name or self.default
        if variant not in self.variants:
            raise SettingsError(
                "E-INSTRUMENT",
                f"unknown {self.name.upper()} instrument {name!r}.",
                cure=f"Known: {', '.join(self.variants)}.",
            )
        return self.variants[variant]

    def ranges_of(self, shift: str) -> R:
        """The ranges of one domain.

        Raises
        ------
        SettingsError
            ``E-SHIFT`` for another name.
        """
        if shift not in self.ranges:
            raise SettingsError("E-SHIFT", f"unknown shift {shift!r}.", cure=f"Known: {', '.join(self.ranges)}.")
        return self.ranges[shift]

    @property
    def ranges_class(self) -> type[R]:
        """The settings class of :attr:`ranges`."""
        return type(self.ranges["none"])

    def channel_names(self, optics: Optics[V, D]) -> tuple[str, ...]:
        """The channels of an item, in order."""
        return self.channels if self.channels_of is None else self.channels_of(optics)

    def scene(self, scene: Scene, optics: Optics[V, D]) -> Scene:
        """The scene with what this instrument sees."""
        return scene if self.values is None else self.values(scene, optics)

    def defaults_of(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a data set's settings, nested, that ``content`` leaves open and this instrument has.

        Raises
        ------
        SettingsError
            ``E-SIM-CASE`` with the valid names.
        """
        case = content.get("case") or ""
        if case and case not in self.cases:
            raise SettingsError(
                "E-SIM-CASE",
                f"{self.name} has no case {case!r}.",
                cure=f"Known: {', '.join(self.cases)}." if self.cases else "Leave it out.",
            )
        variant = content.get("instrument") or self.default
        layers = [self.defaults.get(variant, {}), self.cases.get(case, {})]
        if variant == self.default:
            line = find_line(content.get("preset") or layers[0].get("preset", ""))
            layers.insert(1, {} if line is None else self.preset_defaults.get(line.name, {}))
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = overlaid(merged, layer)
        return merged

    def value_of_medium(self, medium_ri: float) -> float:
        """What a perfect image shows of the medium: its index where that is the quantity, else 0."""
        return medium_ri if self.quantity == "refractive_index" else 0.0

    def metadata(self, optics: Optics[V, D]) -> dict[str, Any]:
        """The microscope in the item's card and the file's metadata, ready for JSON."""
        return {
            "instrument": optics.instrument.model_dump(mode="json"),
            "degradation": optics.degradation.model_dump(mode="json"),
        }


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings, the second over the first, also inside mappings."""
    both = dict(base)
    for key, value in over.items():
        is_deeper = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = overlaid(both[key], value) if is_deeper else value
    return both


def log_uniform(limits: Range, rng: np.random.Generator) -> float:
    """A number between two positive limits, uniform in its logarithm."""
    return float(np.exp(rng.uniform(*np.log(limits))))
