"""How simulated scenes vary: one settings class with documented ranges, and what a domain shift does to them.

A range is (low, high) and is drawn from uniformly, per field or per cell, as its description states. To add a setting,
add a field here, draw it in ``plan`` or ``composition``, and widen it in :data:`SHIFTS` for held-out domains.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from tomocyte.settings import Settings


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the low end {pair[0]} of a range is above its high end {pair[1]}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
Shift = Literal["none", "mild", "strong"]


class CapillarySettings(Settings):
    """Cells suspended in a glass capillary along z, with beads and the remains of dead cells."""

    inner_radius_um: Range = (5.3, 7.1)
    """Inner radius at the field's middle height in µm, per field; above half of the field the glass is partly or
    wholly out of view."""
    wall_um: Range = (0.15, 0.4)
    """Thickness of the glass in µm, per field."""
    offset_um: Range = (0.0, 0.6)
    """Distance of the axis from the field's middle in µm, per field."""
    tilt_deg: Range = (0.0, 2.0)
    """Angle between the axis and z in degrees, per field."""
    taper: Range = (-0.015, 0.015)
    """Growth of the radius per µm along z, per field."""
    glass_share: float = Field(default=0.35, ge=0, le=1)
    """Share of cells that lie against the glass."""
    glass_press: Range = (0.02, 0.15)
    """How far such a cell is flattened, as a share of its radius, per cell."""
    end_overhang: Range = (0.0, 0.5)
    """Share of a cell's radius that may lie beyond the ends of the field in z, per field."""
    n_beads: tuple[int, int] = (0, 3)
    """Polystyrene beads per field, both ends included; fewer where they do not fit."""
    bead_radius_um: Range = (0.75, 1.6)
    """Radius of a bead in µm, per field (beads of one field differ by 2 %)."""
    bead_contact_share: float = Field(default=0.5, ge=0, le=1)
    """Share of beads that touch a cell; with 1 they touch it in pairs, from opposite sides where there is room."""
    debris_radius_um: Range = (0.15, 1.4)
    """Radius of pieces of dead cells in µm, per piece; ``n_debris`` is their number."""
    elongation: Range = (1.0, 1.3)
    """Length over width of a suspended cell, per cell, besides its unevenness."""
    ruffles: Range = (0.004, 0.02)
    """Standard deviation of fine folds of the membrane as a share of the radius, per cell."""
    n_blebs: tuple[int, int] = (0, 8)
    """Broad bulges of a cell, both ends included."""
    indented_share: float = Field(default=0.35, ge=0, le=1)
    """Share of cells with an indented or lobed nucleus."""
    n_microvilli: tuple[int, int] = (30, 140)
    """Microvilli per cell, both ends included."""
    microvillus_um: Range = (0.25, 0.9)
    """Length of a microvillus in µm."""
    n_filopodia: tuple[int, int] = (2, 14)
    """Filopodia per cell, both ends included."""
    filopodium_um: Range = (0.8, 4.0)
    """Length of a filopodium in µm."""
    protrusion_radius_um: Range = (0.07, 0.11)
    """Radius of microvilli and filopodia in µm, per cell (a filopodium may be half as thick again)."""


class SceneSettings(Settings):
    """Ranges of the geometry and composition of a scene (starting values: the project's simulation design)."""

    shift: Shift = "none"
    """Domain shift: ``mild`` and ``strong`` move the ranges of :data:`SHIFTS` away from those trained on."""
    medium_ri: Range = (1.334, 1.338)
    """Refractive index of the medium, per field."""
    delta_n_scale: Range = (0.9, 1.1)
    """Factor on the cell line's cytoplasmic Δn, per cell."""
    nucleus_contrast: Range = (0.0015, 0.010)
    """|Δn| between nucleoplasm and cytoplasm, per cell; its sign is the cell line's."""
    nucleus_min_contrast_share: float = Field(default=0.85, ge=0, le=1)
    """Share of cells whose nuclear contrast is at least 0.003."""
    nucleolus_contrast: Range = (0.005, 0.022)
    """Δn of a nucleolus over the nucleoplasm, per cell."""
    lipid_delta_n: Range = (0.055, 0.125)
    """Δn of lipid droplets over the medium, per cell (droplets of one cell differ by a tenth of it)."""
    vesicle_contrast: Range = (0.003, 0.014)
    """Δn of granules and vesicles over the cytosol, per cell."""
    tube_contrast: Range = (0.002, 0.009)
    """Δn of mitochondria, endoplasmic reticulum and Golgi over the cytosol, per cell."""
    rim_contrast: Range = (0.001, 0.005)
    """Δn of the nuclear membrane over the nucleoplasm in :attr:`rim_share` of cells."""
    rim_share: float = Field(default=0.4, ge=0, le=1)
    """Share of cells whose nuclear rim is visible."""
    texture_sigma: Range = (0.0005, 0.0025)
    """Standard deviation of the index within cytosol and nucleus, per cell."""
    texture_fine_um: Range = (0.25, 0.6)
    """Correlation length of the fine texture in µm, per cell."""
    texture_coarse_um: Range = (0.8, 2.5)
    """Correlation length of the coarse texture in µm, per cell."""
    vacuole_share: float = Field(default=0.25, ge=0, le=1)
    """Share of cells whose early endosomes are vacuoles: larger, and darker than the cytosol."""
    vacuole_level: Range = (0.0, 0.7)
    """Δn of a vacuole over the medium, as a fraction of the cytosol's, per cell."""
    inclusion_share: float = Field(default=0.3, ge=0, le=1)
    """Share of cells with one or two large lysosomes (0.8–1.7 µm), easily taken for nucleoli."""
    n_debris: Range = (0, 10)
    """Number of particles in the medium, per field (none above 1000); they carry no label."""
    size_scale: Range = (0.9, 1.1)
    """Factor on the cell line's volume, per cell, in addition to the line's own spread."""
    height_scale: Range = (0.9, 1.15)
    """Factor on the cell line's height, per cell."""
    roughness: Range = (0.6, 1.4)
    """Factor on the unevenness of cell and nucleus, per cell."""
    organelle_scale: Range = (0.5, 1.3)
    """Factor on the numbers of organelles of the cell line, per cell."""
    nucleus_eccentricity: Range = (0.05, 0.6)
    """Distance of a nucleus from the cell's centre over the free distance to the membrane, per cell."""
    crowding: Range = (0.0, 1.0)
    """0 isolated, 0.5 touching, 1 confluent and overlapping, per field; fields too full for it are packed closer."""
    border_overhang: float = Field(default=0.3, ge=0, le=0.9)
    """Share of a cell's radius that may lie beyond the lateral border of the field."""
    floor_um: float | None = Field(default=None, ge=0)
    """Height of the coverslip in µm; ``None`` centres the cells in z."""
    mitotic_share: float = Field(default=0.04, ge=0, le=1)
    """Share of cells in mitosis."""
    apoptotic_share: float = Field(default=0.03, ge=0, le=1)
    """Share of cells that fall apart."""
    plasma_membrane_um: float = Field(default=0.25, gt=0, le=1)
    """Thickness of the labelled plasma membrane in µm (optical, not the bilayer's 5 nm)."""
    nuclear_membrane_um: float = Field(default=0.3, gt=0, le=1)
    """Thickness of the labelled nuclear membrane in µm (optical)."""
    capillary: CapillarySettings | None = None
    """Glass capillary that the cells are suspended in; ``None``: they sit on a coverslip. With it ``floor_um``,
    ``border_overhang`` and ``height_scale`` have no part."""
    has_organelles: bool = True
    """Whether vesicles, mitochondria, endoplasmic reticulum, Golgi and reticulum are made (droplets always are)."""
    endomembranes: Literal["plain", "detailed"] = "plain"
    """``detailed``: the endoplasmic reticulum is a network of tubules with sheets around the nucleus, the Golgi a long
    ribbon, mitochondria lie flat, and nothing is thinner than a fluorescence microscope shows it."""
    vesicle_scale: Range = (1.0, 1.0)
    """Factor on the numbers of endosomes, lysosomes and peroxisomes of the cell line, per cell, besides
    :attr:`organelle_scale`."""

    @model_validator(mode="after")
    def _has_a_floor_or_a_capillary(self) -> SceneSettings:
        """Refuse what has no part in a capillary, where it was changed."""
        if self.capillary is not None:
            changed = [
                name
                for name in ("floor_um", "height_scale", "border_overhang")
                if getattr(self, name) != SceneSettings.model_fields[name].default
            ]
            if changed:
                raise ValueError(
                    f"{', '.join(changed)} has no part in a capillary; leave it out, or set capillary to null "
                    "(capillary.end_overhang says how far cells reach over the ends)"
                )
        return self


SHIFTS: dict[str, dict[str, Range]] = {
    "none": {},
    "mild": {
        "medium_ri": (1.3335, 1.3345),
        "delta_n_scale": (0.8, 0.95),
        "nucleus_contrast": (0.0015, 0.006),
        "texture_sigma": (0.001, 0.0035),
        "size_scale": (0.75, 0.95),
        "roughness": (1.0, 1.8),
        "organelle_scale": (0.9, 1.6),
        "n_debris": (5, 20),
    },
    "strong": {
        "medium_ri": (1.340, 1.348),
        "delta_n_scale": (0.6, 0.8),
        "nucleus_contrast": (0.001, 0.004),
        "nucleolus_contrast": (0.003, 0.010),
        "lipid_delta_n": (0.045, 0.07),
        "vesicle_contrast": (0.006, 0.02),
        "texture_sigma": (0.0015, 0.0045),
        "texture_fine_um": (0.35, 0.9),
        "size_scale": (1.15, 1.6),
        "roughness": (1.4, 2.4),
        "organelle_scale": (1.2, 2.0),
        "n_debris": (10, 40),
        "nucleus_eccentricity": (0.3, 0.8),
    },
}
"""Ranges that replace the defaults under a shift; a range the user changed stays."""


def shifted(settings: SceneSettings) -> SceneSettings:
    """The settings with the ranges of their ``shift`` in place of those left at their defaults."""
    replaced = {
        name: value
        for name, value in SHIFTS[settings.shift].items()
        if getattr(settings, name) == SceneSettings.model_fields[name].default
    }
    return settings.model_copy(update=replaced)
