"""Nile Red in two bands: adherent cells with fifteen compartments under a super-resolution spinning disk.

To add a microscope, add a row to :data:`VARIANTS`; what its stacks suffer is in :data:`RANGES`. Dye, colours,
optics and camera are in ``physics/nile_red.py``, and what of them is assumed stands there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.cells.rendering import Rendered
from tomocyte.simulation.cells.scene import Cell, Part
from tomocyte.simulation.cells.seen import SeenLabels, whole_cytosol
from tomocyte.simulation.cells.shapes import StarBody
from tomocyte.simulation.instruments._instrument import (
    Channels,
    Conditions,
    Instrument,
    Optics,
    Range,
    View,
    log_uniform,
)
from tomocyte.simulation.physics import nile_red as physics
from tomocyte.simulation.physics.emitters import add_surface, add_tubes
from tomocyte.simulation.physics.nile_red import ChromaticShift, NileRedDegradation, NileRedInstrument
from tomocyte.structures import ZHANGHAO_COMPARTMENTS, canonical_name
from tomocyte.volume import VoxelSize

VARIANTS: dict[str, NileRedInstrument] = {
    # Zhanghao et al. 2021: CSU-W1 with Live-SR, 100x/1.49, 488 nm, Prime 95B.
    "spinning-disk": NileRedInstrument(name="spinning-disk"),
    # Three-dimensional structured illumination: twice the axial resolution, no pinholes, honeycomb artefacts.
    "SIM": NileRedInstrument(name="SIM", axial_gain=1.6, crosstalk_factor=2.0, photon_factor=0.7, pattern_noise=0.06),
    # Depletion laterally only; few photons (factor of resolution assumed).
    "STED": NileRedInstrument(name="STED", lateral_gain=3.5, axial_gain=0.9, crosstalk_factor=0.5, photon_factor=0.25),
}

_SCENE = {
    "endomembranes": "detailed",
    "vesicle_scale": (3.0, 8.0),
    "height_scale": (0.6, 0.9),
    "border_overhang": 0.8,
    "inclusion_share": 0.1,
    "vacuole_share": 0.0,
    "mitotic_share": 0.0,
    "apoptotic_share": 0.0,
    "n_debris": (0, 0),
}
_FIELD = {
    "preset": "U2-OS",
    "shape": (24, 512, 512),
    "voxel_size_um": (0.25, physics.CAMERA_PIXEL_UM, physics.CAMERA_PIXEL_UM),
    "n_cells": (1, 2),
    "scene": _SCENE,
}
DEFAULTS: Mapping[str, Mapping[str, Any]] = dict.fromkeys(VARIANTS, _FIELD)
"""Flat U2-OS cells; part of the paper's field of 80 µm, on its pixels. The step between planes is assumed."""

IN_FOCUS_UM = 0.25
"""How far above and below a thin object masks still show it: half of the axial width at half maximum."""
CASES: Mapping[str, Mapping[str, Any]] = {
    "mitosis": {
        "shape": (80, 300, 300),
        "voxel_size_um": (0.25, 0.1, 0.1),
        "n_cells": (1, 1),
        "n_frames": 12,
        "motion": {
            "time_step_s": 600.0, "division_h": 1.67, "divisions_per_h": 0.0, "deaths_per_h": 0.0,
            "speed_um_per_h": 0.0, "volume_change": 0.0, "nucleus_change": 0.0,
        },
        "scene": {"border_overhang": 0.0, "size_scale": (0.7, 0.9)},
    },
}  # fmt: skip
"""``mitosis``: one cell over two hours, every ten minutes: it rounds up, its nuclear membrane is gone, the plate parts
and two daughters spread."""

_POINTS_PER_UM2, _POINTS_PER_UM3 = 300.0, 2500.0
_MARGIN = (2, 6, 6)
"""Voxels around the field whose dye is imaged too."""


class NileRedRanges(Settings):
    """Where domain randomisation draws a :class:`NileRedDegradation` and the dye of a field from."""

    photons: Range = (15.0, 40.0)
    """Log-uniform."""
    crosstalk: Range = (0.005, 0.02)
    """Uniform."""
    blur_um: Range = (0.0, 0.02)
    """Uniform."""
    bleaching: Range = (0.0, 0.1)
    """Uniform."""
    vignetting: Range = (0.0, 0.1)
    """Uniform."""
    shift_um: Range = (0.0, 0.03)
    """Length of the chromatic shift in y and x; along z twice as far."""
    rotation_deg: Range = (0.0, 0.01)
    """Of the red channel, either way."""
    magnification: Range = (0.0, 0.0002)
    """Of the red channel minus one, either way."""
    peak_std_um: float = Field(default=0.002, ge=0, le=0.05)
    """Standard deviation of the peak wavelength in µm, of objects and of cells each."""
    dye_std: float = Field(default=0.15, ge=0, le=1)
    """Standard deviation of the logarithm of the amount of dye, of objects and of structures of a cell each."""
    ratio_contrast: float = Field(default=1.0, ge=0, le=3)
    """Factor on the differences of peak wavelength between structures; 0: all have one ratio."""
    stain: str = ""
    """Structure that a green probe marks in a third channel, ``green``; empty: none."""
    bleed_through: float = Field(default=0.2, ge=0, le=1)
    """Light of Nile Red in the green channel over that in the yellow one."""
    droplet_bleed_through: float = Field(default=0.8, ge=0, le=5)
    """The same of lipid droplets, which Nile Red marks in green too."""

    @field_validator("stain")
    @classmethod
    def _is_compartment(cls, name: str) -> str:
        name = canonical_name(name)
        if name and name not in physics.STRUCTURE_DYE:
            raise ValueError(f"should be one of {', '.join(ZHANGHAO_COMPARTMENTS)}")
        return name


RANGES: dict[str, NileRedRanges] = {
    "none": NileRedRanges(),
    "mild": NileRedRanges(
        photons=(6.0, 15.0),
        crosstalk=(0.02, 0.04),
        blur_um=(0.02, 0.05),
        bleaching=(0.1, 0.25),
        vignetting=(0.1, 0.25),
        shift_um=(0.05, 0.2),
        rotation_deg=(0.02, 0.1),
        magnification=(0.0003, 0.001),
        peak_std_um=0.003,
        dye_std=0.25,
    ),
    "strong": NileRedRanges(
        photons=(2.0, 6.0),
        crosstalk=(0.04, 0.1),
        blur_um=(0.05, 0.1),
        bleaching=(0.25, 0.5),
        vignetting=(0.25, 0.4),
        shift_um=(0.2, 0.6),
        rotation_deg=(0.1, 0.4),
        magnification=(0.001, 0.004),
        peak_std_um=0.005,
        dye_std=0.35,
    ),
}
"""In-domain ranges and the two held-out domains. With ``none`` the channels are nearly registered; ``mild`` and
``strong`` are what a splitter shows before registration."""


class NileRedState(Settings):
    """What one stack suffers, and how its cells are stained."""

    degradation: NileRedDegradation
    """Of the microscope; ``chromatic`` is the truth that a registration is scored against."""
    peak_std_um: float = Field(ge=0)
    """Of objects and cells."""
    dye_std: float = Field(ge=0)
    """Of objects and structures."""
    ratio_contrast: float = Field(ge=0)
    """Factor on the differences between structures."""
    stain: str
    """Structure of the green channel, or empty."""
    bleed_through: float
    """Green over yellow of Nile Red."""
    droplet_bleed_through: float
    """The same of droplets."""
    seed: int = Field(ge=0)
    """Of the dye."""


def draw_nile_red(
    instrument: NileRedInstrument, ranges: NileRedRanges, rng: np.random.Generator
) -> Optics[NileRedInstrument, NileRedState]:
    """Draw one stack's degradation and stain; the microscope stays as it is."""
    uniform = ("crosstalk", "blur_um", "bleaching", "vignetting")
    drawn = {name: float(rng.uniform(*getattr(ranges, name))) for name in uniform}
    angle, far, signs = rng.uniform(0, 2 * np.pi), rng.uniform(*ranges.shift_um), rng.choice([-1.0, 1.0], 4)
    sizes = signs[:3] * rng.uniform(*ranges.magnification, 3)
    chromatic = ChromaticShift(
        shift_um=(float(rng.uniform(-2, 2) * far), float(far * np.sin(angle)), float(far * np.cos(angle))),
        rotation_deg=float(signs[3] * rng.uniform(*ranges.rotation_deg)),
        magnification=(1.0, 1.0 + float(sizes[1]), 1.0 + float(sizes[2])),
    )
    same = ("peak_std_um", "dye_std", "ratio_contrast", "stain", "bleed_through", "droplet_bleed_through")
    state = NileRedState(
        degradation=NileRedDegradation(photons=log_uniform(ranges.photons, rng), chromatic=chromatic, **drawn),
        seed=int(rng.integers(2**62)),
        **{name: getattr(ranges, name) for name in same},
    )
    return Optics(instrument, state)


def measure_nile_red(
    view: View, optics: Optics[NileRedInstrument, NileRedState], conditions: Conditions, rng: np.random.Generator
) -> Channels:
    """Yellow, red and, with a stain, green (C, Z, Y, X) of a frame, in camera counts."""
    del conditions  # light is emitted, not scattered
    truth, (instrument, state) = view.truth, optics
    voxel = truth.voxel_size_um
    light = stained_light(view, state)
    bands = (physics.YELLOW_UM, physics.RED_UM, physics.GREEN_UM)
    suffered = state.degradation
    area = voxel[1] * voxel[2] / physics.CAMERA_PIXEL_UM**2
    gain = np.float32(suffered.photons * instrument.photon_factor * area / np.prod(voxel))
    exposure = _exposure(truth.ri.shape, suffered) * gain
    inside = tuple(slice(margin, -margin) for margin in _MARGIN)
    channels = np.empty((len(light), *truth.ri.shape), np.float32)
    for number, band in enumerate(bands[: len(light)]):
        widths = physics.resolution_um(instrument, band)
        image = physics.blurred(light[number], widths, voxel, blur_um=suffered.blur_um)
        share = suffered.crosstalk * instrument.crosstalk_factor
        image += physics.from_other_planes(light[number], voxel, instrument, share_per_um=share)
        image = image[inside]
        if instrument.pattern_noise:
            image = image * _honeycomb(image.shape, voxel, widths[1], instrument.pattern_noise, rng)
        channels[number] = physics.photographed(image * exposure, instrument, rng)
    return channels


def stained_light(view: View, state: NileRedState) -> NDArray[np.float32]:
    """Light (C, Z, Y, X) per voxel of the field and of ``_MARGIN`` around it, before any optics."""
    truth = view.truth
    if not view.scene.cells:
        raise SettingsError(
            "E-SIM-MODALITY",
            "Nile Red is simulated for whole cells: labels alone do not say where membranes are and what they hold.",
            cure="Image these labels as odt, qpi or sxt; for Nile Red use tomocyte simulate nile_red.",
        )
    n_channels = 3 if state.stain else 2
    maps = _maps(truth, state.degradation.chromatic, n_channels=n_channels)
    light = _fillings(truth, state, maps)
    rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=(9,)))
    for cell in view.scene.cells:
        dyes = _Dyes(state, cell.label)
        tubes, rows = [], []
        for part in cell.parts:
            emission, filling = dyes.of(part)
            if isinstance(part.shape, StarBody):
                if emission.any():
                    add_surface(light, maps, _middle(cell, part), emission, density_per_um2=_POINTS_PER_UM2, rng=rng)
                continue
            for is_inside, density, amount in (
                (0.0, _POINTS_PER_UM2, emission),
                (1.0, _POINTS_PER_UM3, filling),
            ):
                if amount.any():
                    thin = np.array(part.shape)
                    thin[:, 6] *= physics.STRUCTURE_DYE[part.structure].radius_share
                    tubes.append(thin)
                    rows.append(np.tile([is_inside, density, *amount], (len(part.shape), 1)))
        if tubes:
            add_tubes(light, maps, np.concatenate(tubes), np.concatenate(rows), rng=rng)
    return light


class _Dyes:
    """The dye of one cell's structures and objects, drawn from the stack's seed and the cell's label."""

    def __init__(self, state: NileRedState, cell_label: int) -> None:
        self._state = state
        self._cell = cell_label
        rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=(0, cell_label)))
        self._shift_um = state.peak_std_um * float(rng.standard_normal())
        self._amount = {name: float(np.exp(state.dye_std * rng.standard_normal())) for name in physics.STRUCTURE_DYE}

    def of(self, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Light per µm² of the surface and per µm³ of the inside, in each channel."""
        state, dye = self._state, physics.STRUCTURE_DYE[part.structure]
        kind = list(physics.STRUCTURE_DYE).index(part.structure)
        rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=(1, self._cell, kind, part.label)))
        own_shift, own_amount = rng.standard_normal(2)
        peak = physics.peak_of(part.structure, ratio_contrast=state.ratio_contrast)
        shares = _shares(peak + self._shift_um + state.peak_std_um * own_shift, part.structure, state)
        amount = self._amount[part.structure] * np.exp(state.dye_std * own_amount)
        surface, inside = dye.per_um2 * amount * shares, dye.per_um3 * amount * shares
        if state.stain == part.structure:
            is_membrane = dye.per_um2 > 0
            surface[2] += 1.0 * own_probe(own_amount) * is_membrane
            inside[2] += 4.0 * own_probe(own_amount) * (dye.per_um3 > 0 or not is_membrane)
        return surface, inside


def own_probe(draw: float) -> float:
    """Brightness of the green probe on one object: differs from object to object."""
    return float(np.exp(0.3 * draw))


def _shares(peak_um: float, structure: str, state: NileRedState) -> NDArray[np.float64]:
    yellow, red = physics.band_share(peak_um, physics.YELLOW_UM), physics.band_share(peak_um, physics.RED_UM)
    shares = np.array([yellow, red]) / (
        physics.band_share(physics.MEAN_PEAK_UM, physics.YELLOW_UM)
        + physics.band_share(physics.MEAN_PEAK_UM, physics.RED_UM)
    )
    if not state.stain:
        return shares
    bleed = state.droplet_bleed_through if structure == "lipid_droplet" else state.bleed_through
    return np.append(shares, bleed * shares[0])


def _middle(cell: Cell, part: Part) -> StarBody:
    """The body half-way through a membrane's label: dye sits in the middle of what is drawn."""
    body = part.shape
    below = {"plasma_membrane": "cytosol", "nuclear_membrane": "nucleoplasm"}[part.structure]
    inner = next(other.shape for other in cell.parts_of(below) if other.nucleus_label == part.nucleus_label)
    if not (isinstance(body, StarBody) and isinstance(inner, StarBody)):
        raise TypeError(f"a {part.structure} is the skin of a body")
    return replace(body, radii=np.ascontiguousarray(0.5 * (body.radii + inner.radii)))


def _fillings(truth: Rendered, state: NileRedState, maps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weak dye of cytosol, nuclei and medium (C, Z, Y, X) with the margin; it is smooth, so voxels will do, and the red
    image is interpolated where its map bends."""
    from scipy import ndimage

    labels = truth.labels
    weight = {name: dye.per_um3 for name, dye in physics.STRUCTURE_DYE.items()}
    density = np.where(labels["cell"] > 0, np.float32(weight["cytosol"]), np.float32(weight["extracellular"]))
    density = np.where(labels["nucleus"] > 0, np.float32(weight["nucleoplasm"]), density)
    density = np.where(labels["nucleolus"] > 0, np.float32(weight["nucleolus"]), density)
    density = np.where(labels["lipid_droplet"] > 0, np.float32(0), density)
    rng = np.random.default_rng(np.random.SeedSequence(state.seed, spawn_key=(8,)))
    texture = ndimage.gaussian_filter(
        rng.standard_normal(density.shape, np.float32), [0.3 / size for size in truth.voxel_size_um], mode="wrap"
    )
    deviation = float(texture.std())
    if deviation > 0:
        density = density * np.exp(0.15 * texture / deviation)
    density = np.pad(density, [(margin, margin) for margin in _MARGIN], mode="edge")
    shares = _shares(physics.peak_of("cytosol", ratio_contrast=state.ratio_contrast), "cytosol", state)
    light = np.empty((len(maps), *density.shape), np.float32)
    light[:] = density * np.float32(np.prod(truth.voxel_size_um))
    if not np.array_equal(maps[1], maps[0]):
        matrix = maps[0, :, :3] @ np.linalg.inv(maps[1, :, :3])  # from a voxel of red to where its light comes from
        offset = maps[0, :, 3] - matrix @ maps[1, :, 3]
        ndimage.affine_transform(light[0], matrix, offset, output=light[1], order=1, mode="nearest")
        light[1] *= np.float32(abs(np.linalg.det(matrix)))
    light *= shares.astype(np.float32)[:, None, None, None]
    if state.stain in ("nucleus", "cytosol", "extracellular", "cell"):
        where = np.pad(labels[state.stain] > 0, [(margin, margin) for margin in _MARGIN], mode="edge")
        light[2] += np.float32(2.0 * np.prod(truth.voxel_size_um)) * where
    return light


def _maps(truth: Rendered, chromatic: ChromaticShift, *, n_channels: int) -> NDArray[np.float64]:
    """Per channel, µm -> index of the voxel in the field with its margin (C, 3, 4); the red one bends."""
    origin, step = np.array(truth.origin_um), np.array(truth.voxel_size_um)
    plain = np.column_stack([np.diag(1.0 / step), -origin / step - 0.5 + np.array(_MARGIN)])
    middle = origin + 0.5 * step * np.array(truth.ri.shape)
    matrix = chromatic.matrix()
    bent = np.column_stack([matrix, middle - matrix @ middle + np.array(chromatic.shift_um)])
    red = np.column_stack([plain[:, :3] @ bent[:, :3], plain[:, :3] @ bent[:, 3] + plain[:, 3]])
    return np.stack([plain, red, plain][:n_channels])


def _exposure(shape: tuple[int, ...], suffered: NileRedDegradation) -> NDArray[np.float32]:
    """Share of the light (Z, Y, X) that bleaching and the uneven illumination leave."""
    z = np.linspace(0.0, 1.0, shape[0])[:, None, None]
    y, x = (np.linspace(-1.0, 1.0, size) for size in shape[1:])
    even = 1.0 - suffered.vignetting * 0.5 * (y[:, None] ** 2 + x[None] ** 2)
    return np.asarray((1.0 - suffered.bleaching) ** z * even, np.float32)


def _honeycomb(
    shape: tuple[int, ...], voxel: VoxelSize, lateral_um: float, amplitude: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The pattern (Z, Y, X) around 1 that a reconstruction of structured illumination leaves: noise of three
    orientations at the edge of the band."""
    y, x = np.arange(shape[1]) * voxel[1], np.arange(shape[2]) * voxel[2]
    total = np.zeros(shape, np.float32)
    period = max(1.6 * lateral_um, 2.5 * voxel[1])
    for angle in rng.uniform(0, np.pi) + np.array([0, 1, 2]) * np.pi / 3:
        place = 2 * np.pi / period * (np.sin(angle) * y[:, None] + np.cos(angle) * x[None])
        phase = np.cumsum(rng.normal(0, 0.5, shape[0]))
        total += np.cos(place[None] + phase[:, None, None]).astype(np.float32)
    return 1.0 + np.float32(amplitude / np.sqrt(1.5)) * total


def compartments(view: View) -> Rendered:
    """The truth as masks of a stack have it: each organelle where it is in focus, and ``cytosol`` all of a cell outside
    its nucleus, as in the paper."""
    return replace(view.truth, labels=SeenLabels(view.scene, view.truth, axial_um=IN_FOCUS_UM))


def check_nile_red(instrument: NileRedInstrument, medium_ri: float, voxel_size_um: VoxelSize) -> None:
    """Every grid can be imaged: voxels coarser than the optics stand for binned pixels."""
    del instrument, medium_ri, voxel_size_um


def channel_names(optics: Optics[NileRedInstrument, NileRedState]) -> tuple[str, ...]:
    """Yellow and red, and green where a probe is seen."""
    return ("yellow", "red", "green") if optics.degradation.stain else ("yellow", "red")


INSTRUMENT = Instrument(
    name="nile_red",
    description="two bands of Nile Red",
    quantity="intensity",
    unit="",
    channels=("yellow", "red"),
    variants=VARIANTS,
    default="spinning-disk",
    ranges=RANGES,
    check=check_nile_red,
    draw=draw_nile_red,
    measure=measure_nile_red,
    truth=compartments,
    channels_of=channel_names,
    defaults=DEFAULTS,
    cases=CASES,
    truth_rows=whole_cytosol,
    structures=("cell", *ZHANGHAO_COMPARTMENTS),
    value_name="intensity (counts)",
)
