"""The properties of an input for people, each with its origin.

To show another fact, yield its name and its text from :func:`fact_lines`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    diameters = [value for value in facts.get("object_diameter_um", ()) if value is not None]
    if diameters:
        low, high = (f"{end:.3g}" for end in (min(diameters), max(diameters)))
        yield "object diameter", f"{low if low == high else f'{low} to {high}'} µm" + source("object_diameter_um")
    yield from closure_lines(facts.get("missing_cone") or ())
    if facts.get("n_masked_voxels"):
        yield "voxels without a value", str(facts["n_masked_voxels"])


def is_planar(facts: Mapping[str, Any]) -> bool:
    """Whether an input has one plane only."""
    return bool(facts.get("shape_tczyx", [1, 1, 0, 0, 0])[2] == 1)
