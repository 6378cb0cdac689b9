"""The type of a modality: what a voxel value means, and what follows from that."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import MissingFact, ModalityError
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.structures import Structure, canonical_name, register, structure, structures
from tomocyte.volume import Volume

FloatArray = NDArray[np.float32]

SOLID_GEOMETRY = (
    "volume_um3", "surface_area_um2", "surface_area_mesh_um2", "surface_to_volume_per_um", "sphericity",
    "equivalent_diameter_um", "major_axis_length_um", "middle_axis_length_um", "minor_axis_length_um",
    "projected_area_um2", "height_um",
    "solidity", "euler_number", "concentration_mg_per_ml", "dry_mass_pg",
)  # fmt: skip
PLANAR_GEOMETRY = (
    "area_um2", "perimeter_um", "circularity", "equivalent_diameter_um", "major_axis_length_um",
    "minor_axis_length_um", "solidity",
)  # fmt: skip


_PER_UM = {"1/nm": 1e3, "1/um": 1.0, "1/mm": 1e-3, "1/cm": 1e-4, "1/m": 1e-6}
"""Reciprocal lengths in 1/µm."""


def _plain_unit(unit: str) -> str:
    """A unit in one spelling: ``µm⁻¹``, ``um^-1`` and ``1/um`` are the same.

    Examples
    --------
    >>> _plain_unit("µm⁻¹"), _plain_unit("MM^-1"), _plain_unit("pg/µm²")
    ('1/um', '1/mm', 'pg/um2')
    """
    plain = unicodedata.normalize("NFKC", unit).replace("\N{GREEK SMALL LETTER MU}", "u").lower().replace("^", "")
    plain = "".join(plain.split()).replace("\N{MINUS SIGN}", "-")
    for name, short in (("micrometers", "um"), ("micrometer", "um"), ("micron", "um")):
        plain = plain.replace(name, short)
    return f"1/{plain[:-2]}" if plain.endswith("-1") else plain


@dataclass(frozen=True)
class Normalization:
    """An invertible, named change of scale: ``(value - offset) / scale``.

    Parameters
    ----------
    name : str
        Stored in provenance and on model cards.
    offset, scale : float
        In the modality's unit.
    """

    name: str
    offset: float
    scale: float

    def apply(self, image: NDArray[Any]) -> FloatArray:
        """Physical values to network input, float32, same shape."""
        return np.asarray((image - np.float32(self.offset)) / np.float32(self.scale), dtype=np.float32)

    def invert(self, normalized: NDArray[Any]) -> FloatArray:
        """Network input back to physical values, float32, same shape."""
        return np.asarray(normalized * np.float32(self.scale) + np.float32(self.offset), dtype=np.float32)


@dataclass(frozen=True)
class Conversion:
    """From a quantity that the files hold to the modality's own, by one number that the user knows.

    Parameters
    ----------
    setting : str
        Name of the run's setting that holds the number.
    convert : callable
        ``(image, number) -> image``, float32 in the modality's unit.
    """

    setting: str
    convert: Callable[[NDArray[Any], float], FloatArray]

    @property
    def option(self) -> str:
        """The option of ``tomocyte run`` for the number."""
        return "--" + self.setting.replace("_", "-")


@dataclass(frozen=True)
class Modality:
    """What a voxel value means.

    Parameters
    ----------
    name, description : str
    quantity : str
        The :attr:`~tomocyte.volume.Volume.quantity` of its volumes.
    unit : str
    channels : tuple of str
        Channels it needs, in order.
    plausible_range : tuple of 2 float
        Values between which the 1st to the 99th percentile of an honest volume lie.
    plausible_median : tuple of 2 float
        Values between which the median lies.
    hint : str
        What the mistake usually is when a volume does not fit, and the cure.
    normalization : Normalization
    structures : tuple of Structure
        What it can show, the usual main objects first: :func:`tomocyte.structures.structures` of their names. A
        structure that is new is given in full, and registered by itself.
    segmentation : SegmentationSettings
        The classical engine's settings that suit this modality.
    measurements : tuple of str
        Names of the measurements that make sense, in column order.
    default_model : str
        The model ``tomocyte run`` uses when none is named.
    alternatives : mapping
        Further quantities its volumes may hold, with their units; then the file or the user must specify which.
    alternative_measurements : mapping
        The measurements that make sense for such a quantity, where they differ.
    conversions : mapping
        For such a quantity, the :class:`Conversion` into the modality's own quantity and unit.
    assumed_quantity : str, optional
        What the values of a file that names no quantity are; without it, a modality with alternatives asks.
    overlapping : tuple of str
        Structures thinner than what is resolved, so that their masks overlap with those of objects beside them.
    exclusive : tuple of tuple of str
        Groups of structures of which only one can be at a place, whatever a model with overlapping outputs finds.
    usual_pixel_um : tuple of 2 float, optional
        Pixel sizes in y and x in µm between which its images lie; others are done, and said.
    may_be_dark : bool
        Whether archives keep its grey values with inverted contrast too.
    derived_channels : tuple of str
        What is made of its channels before anything is segmented.
    """

    name: str
    description: str
    quantity: str
    unit: str
    channels: tuple[str, ...]
    plausible_range: tuple[float, float]
    plausible_median: tuple[float, float]
    hint: str
    normalization: Normalization
    structures: tuple[Structure, ...]
    segmentation: SegmentationSettings
    measurements: tuple[str, ...]
    default_model: str = "classical"
    alternatives: Mapping[str, str] = field(default_factory=dict)
    alternative_measurements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    assumed_quantity: str | None = None
    overlapping: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    usual_pixel_um: tuple[float, float] | None = None
    may_be_dark: bool = False
    derived_channels: tuple[str, ...] = ()

    def conversion(self, quantity: str | None, settings: object) -> Callable[[NDArray[Any]], FloatArray] | None:
        """What turns voxels of a quantity into the modality's own, where the settings hold the number it needs."""
        entry = None if quantity is None else self.conversions.get(quantity)
        number = None if entry is None else getattr(settings, entry.setting)
        if entry is None or number is None:
            return None
        return lambda image: entry.convert(image, number)

    def __post_init__(self) -> None:
        names = {entry.name for entry in structures()}
        for entry in self.structures:
            if entry.name not in names:
                register(entry)

    def unit_of(self, quantity: str) -> str:
        """The unit of a quantity this modality knows."""
        return {self.quantity: self.unit, **self.alternatives}[quantity]

    def missing_facts(self, volume: Volume, given: str | None = None) -> tuple[MissingFact, ...]:
        """What this modality asks of a volume and neither the file nor the user says.

        Parameters
        ----------
        volume : Volume
        given : str, optional
            The quantity that the user gives.

        Returns
        -------
        tuple of MissingFact
            The quantity where several are possible; the medium's refractive index where values count from it.
        """
        facts = []
        quantities = (self.quantity, *self.alternatives)
        is_stated = given is not None or volume.quantity not in (None, "intensity")
        if not is_stated and self.assumed_quantity is None and len(quantities) > 1:
            facts.append(MissingFact("quantity", tuple(name.replace("_", "-") for name in quantities)))
        if self.quantity == "refractive_index" and volume.medium_ri is None:
            facts.append(MissingFact("medium_ri", ("NUMBER", "background"), is_needed=False))
        return tuple(facts)

    def settle_quantity(self, volume: Volume, given: str | None) -> str:
        """What a voxel value means, from the user, the file, or because only one quantity is possible.

        Raises
        ------
        ModalityError
            ``E-QUANTITY``: several are possible and none is given; ``E-MODALITY``: it is not one of this modality.
        """
        quantities = (self.quantity, *self.alternatives)
        stored = None if volume.quantity == "intensity" else volume.quantity
        only = self.quantity if len(quantities) == 1 else None
        quantity = given or stored or self.assumed_quantity or only
        if quantity is None:
            raise ModalityError(
                "E-QUANTITY",
                f"{self.name} volumes contain {' or '.join(quantities)}, and the file does not specify which.",
                path=volume.path,
                missing=self.missing_facts(volume, given),
            )
        if quantity not in quantities:
            raise ModalityError(
                "E-MODALITY",
                f"{quantity} is not a quantity of {self.name} ({', '.join(quantities)}).",
                path=volume.path,
                cure="Choose the right --modality or --quantity.",
            )
        return quantity

    def check_unit(self, volume: Volume, quantity: str) -> None:
        """Refuse values of which the file states another unit than the one that this program computes in.

        Parameters
        ----------
        volume : Volume
            As it was read.
        quantity : str
            What a voxel value is taken for.

        Raises
        ------
        ModalityError
            ``E-UNIT``, with the option that converts, where there is one.
        """
        unit = self.unit_of(quantity)
        if unit in ("", "1") or not volume.unit or _plain_unit(volume.unit) == _plain_unit(unit):
            return
        cure = f"Write the file again with values in {unit}, or without a unit if they are that already."
        entry = next((other for other in self.conversions.items() if quantity == self.quantity), None)
        if entry is not None and entry[0] == "intensity":
            factor = _PER_UM.get(_plain_unit(volume.unit))
            number = "FACTOR" if factor is None else f"{factor:g}"
            what = "" if factor is not None else f"; FACTOR: {unit} of one {volume.unit}"
            cure = f"Give --quantity intensity {entry[1].option} {number}, which converts them{what}."
        raise ModalityError(
            "E-UNIT",
            f"the file states {volume.unit[:40]} as the unit of its values; {self.name} needs {unit}.",
            path=volume.path,
            cure=cure,
        )

    def columns(self, quantity: str, *, is_planar: bool) -> tuple[str, ...]:
        """The measurements that make sense for a quantity, in column order; planar images have areas, no volumes."""
        names = self.alternative_measurements.get(quantity, self.measurements)
        if not is_planar:
            return names
        return (*PLANAR_GEOMETRY, *(name for name in names if name not in SOLID_GEOMETRY + PLANAR_GEOMETRY))

    def structure(self, name: str) -> Structure:
        """A structure as this modality shows it: α only where a voxel value is a refractive index.

        Parameters
        ----------
        name : str
            Any name or alias; a name of the user's own gets the registry's defaults.
        """
        own = {entry.name: entry for entry in self.structures}
        entry = own.get(canonical_name(name)) or structure(name)
        return entry if self.quantity == "refractive_index" else replace(entry, refraction_increment_ml_per_g=None)

    def check_channels(self, volume: Volume) -> None:
        """Refuse a volume with too few channels.

        Raises
        ------
        ModalityError
            ``E-MODALITY``.
        """
        if volume.n_channels < len(self.channels):
            raise ModalityError(
                "E-MODALITY",
                f"{self.name} needs the channels {', '.join(self.channels)}; the file has {volume.n_channels}.",
                path=volume.path,
                cure="Give a file with all channels, or another --modality.",
            )

    def check_values(self, image: NDArray[Any], volume: Volume) -> None:
        """Refuse values that this modality cannot show.

        Parameters
        ----------
        image : ndarray (C, Z, Y, X)
            One frame in the volume's unit. NaN are ignored.

        Raises
        ------
        ModalityError
            ``E-MODALITY-RANGE`` with the range seen, the range allowed and the cure.
        """
        sample = image[0].ravel()[:: max(1, image[0].size // 1_000_000)].astype(np.float64)
        low, median, high = np.nanpercentile(sample, (1.0, 50.0, 99.0))
        inside = (
            self.plausible_range[0] <= low
            and high <= self.plausible_range[1]
            and self.plausible_median[0] <= median <= self.plausible_median[1]
        )
        unit = "" if self.unit in ("", "1") else f" in {self.unit}"
        if not inside:
            raise ModalityError(
                "E-MODALITY-RANGE",
                f"values from {low:.6g} to {high:.6g} (median {median:.6g}) cannot be {self.quantity}{unit}: "
                f"{self.name} allows {self.plausible_range[0]:g} to "
                f"{self.plausible_range[1]:g} with a median of {self.plausible_median[0]:g} to "
                f"{self.plausible_median[1]:g}.",
                path=volume.path,
                cure=f"{self.hint} Or continue with --force; this is recorded in every output.",
            )
