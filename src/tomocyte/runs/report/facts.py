"""The properties of an input for people, each with its origin.

To show another fact, yield its name and its text from :func:`fact_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tomocyte.runs.report.closure import closure_lines
from tomocyte.runs.report.rounding import rounded


def fact_lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The properties of an input and their origin, as pairs of name and value."""
    origin = facts.get("origin", {})

    def source(name: str) -> str:
        texts = {
            "file": "from the file",
            "user": "given by the user",
            "measured": "measured outside the cells",
            "estimated": "estimated from the image",
            "simulated": "from the simulation",
            "beads": "from the beads",
        }
        return f" ({texts.get(origin[name], origin[name])})" if name in origin else ""

    if "shape_tczyx" in facts:
        frames, channels, *space = facts["shape_tczyx"]
        planar = space[0] == 1
        size = " × ".join(str(n) for n in (space[1:] if planar else space)) + (
            " pixels (y, x)" if planar else " voxels (z, y, x)"
        )
        yield (
            "size",
            size + (f", {frames} frames" if frames > 1 else "") + (f", {channels} channels" if channels > 1 else ""),
        )
    if "voxel_size_um" in facts:
        sizes = [size for size in facts["voxel_size_um"] if size is not None]
        words = "voxel size" if len(sizes) == 3 else "pixel size"
        yield words, " × ".join(f"{size:.4g}" for size in sizes) + " µm" + source("voxel_size_um")
    if "quantity" in facts:
        unit = facts.get("unit", "")
        if facts["quantity"] == "intensity" and facts.get("modality") == "sxt":
            unit = "grey values (not 1/µm)"
        yield (
            "quantity",
            facts["quantity"].replace("_", " ") + (f" in {unit}" if unit not in ("", "1") else "") + source("quantity"),
        )
    if facts.get("quantity") == "refractive_index":
        media = [value for value in facts.get("medium_ri", []) if value is not None]
        low, high = (rounded(float(end), "medium_ri") for end in (min(media), max(media))) if media else ("", "")
        medium = low if low == high else f"{low} to {high}"
        yield (
            "medium RI",
            medium + source("medium_ri") if media else "unknown: concentration and dry mass cannot be computed",
        )
    if facts.get("domain"):
        worst = max(facts["domain"], key=lambda one: one["distance"] / one["limit"])
        verdict = f"different: {worst['what']}" if worst["is_outside"] else "similar"
        times = f"distance {worst['distance'] / worst['limit']:.2f} of the limit"
        yield "compared with the model's training images", f"{verdict} ({times})"
    yield from scale_lines(facts.get("absorption") or ())
    diameters = [value for value in facts.get("object_diameter_um", ()) if value is not None]
    if diameters:
        low, high = (f"{end:.3g}" for end in (min(diameters), max(diameters)))
        yield "object diameter", f"{low if low == high else f'{low} to {high}'} µm" + source("object_diameter_um")
    yield from closure_lines(facts.get("missing_cone") or ())
    if facts.get("n_masked_voxels"):
        yield "voxels without a value", str(facts["n_masked_voxels"])


def scale_lines(scales: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """How beads gave the scale of absorption, frame by frame where frames differ.

    Examples
    --------
    >>> scale = {"method": "proportional", "lac_of_beads_per_um": 1.2, "lac_of_medium_per_um": None,
    ...          "grey_of_beads": [200.0, 210.0], "per_um_of_grey": 0.00585, "offset_grey": 0.0, "relative_sd": 0.0345}
    >>> dict(scale_lines([scale]))["scale of absorption"]
    '2 beads of 1.2 1/µm, grey value 0 as no absorption: 0.00585 1/µm per grey value; beads differ by 3.5 %'
    """
    for number, scale in enumerate(scales):
        n = len(scale["grey_of_beads"])
        medium = (
            "grey value 0 as no absorption"
            if scale["lac_of_medium_per_um"] is None
            else f"medium of {scale['lac_of_medium_per_um']:g} 1/µm: grey value {scale['offset_grey']:.4g} is none"
        )
        spread = "" if scale["relative_sd"] is None else f"; beads differ by {100 * scale['relative_sd']:.1f} %"
        yield (
            "scale of absorption" + (f", frame {number}" if len(scales) > 1 else ""),
            f"{n} {'bead' if n == 1 else 'beads'} of {scale['lac_of_beads_per_um']:g} 1/µm, {medium}: "
            f"{scale['per_um_of_grey']:.4g} 1/µm per grey value{spread}",
        )


def is_planar(facts: Mapping[str, Any]) -> bool:
    """Whether an input has one plane only."""
    return bool(facts.get("shape_tczyx", [1, 1, 0, 0, 0])[2] == 1)
