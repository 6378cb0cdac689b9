"""How a volume's header is told to people."""

from __future__ import annotations

import math
from typing import Any


def describe(seen: dict[str, Any]) -> list[str]:
    """Lines for ``tomocyte info`` and ``--dry-run``."""
    frames, channels, *space = seen["shape"]
    origin = seen["origin"]
    size = seen["voxel_size_um"]
    voxel = (
        "missing: give --voxel-size-um Z Y X"
        if size is None
        else (" x ".join("-" if math.isnan(part) else f"{part:.6g}" for part in size) + " um (z, y, x)")
    )
    lines = [
        f"shape      T={frames} C={channels} Z={space[0]} Y={space[1]} X={space[2]}, {seen['dtype']}",
        f"voxel size {voxel}{_from(origin, 'voxel_size_um')}",
        f"quantity   {seen['quantity'] or 'not said'}"
        f"{' in ' + seen['unit'] if seen['unit'] not in ('', '1') else ''}{_from(origin, 'quantity')}",
        f"medium RI  {seen['medium_ri'] if seen['medium_ri'] is not None else 'unknown'}{_from(origin, 'medium_ri')}",
    ]
    if frames > 1:
        step = seen["time_step_s"]
        lines.append(f"time step  {'irregular or unknown' if step is None else f'{step:g} s'}{_from(origin, 'time_s')}")
    if "seconds" in seen:
        lines.append(f"forecast   {human_bytes(seen['peak_bytes'])} of memory, {human_seconds(seen['seconds'])}")
    return lines + [f"note       {note}" for note in seen["notes"]]


def _from(origin: dict[str, str], field: str) -> str:
    return f" (from the {origin[field]})" if field in origin else ""


def human_bytes(count: float) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def human_seconds(count: float) -> str:
    """Seconds, or minutes from two minutes on."""
    return f"{count:.0f} s" if count < 120 else f"{count / 60:.0f} min"
