"""The glass capillary that holds suspended cells: a slightly tapered, slightly tilted tube along z, and who meets it.

The inside is a cone of revolution about a straight axis; the wall has the same thickness everywhere. Distances are
taken in the plane z = constant, which for tilts of a few degrees differs from the true ones by less than 0.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tomocyte.simulation.cells.settings import CapillarySettings
from tomocyte.simulation.cells.shapes import Float, StarBody

GLASS_RI = 1.461
"""Fused silica at 532 nm."""


@dataclass(frozen=True, eq=False)
class Capillary:
    """A tube along z.

    Parameters
    ----------
    axis_um : ndarray (2,)
        y, x of the axis at z = 0.
    slope : ndarray (2,)
        dy/dz and dx/dz of the axis.
    inner_um : float
        Inner radius at z = 0.
    taper : float
        Growth of the radius per µm of z.
    wall_um : float
        Thickness of the glass.
    height_um : float
        The length in z that volume and area are counted over: the height of the field.
    ri, outside_ri : float
        Refractive index of the glass and beyond it.

    Examples
    --------
    >>> tube = Capillary(np.zeros(2), np.zeros(2), 6.0, 0.0, 0.5, 10.0)
    >>> round(tube.volume_um3, 2), round(tube.depth_um(np.array([[5.0, 0.0, 4.0]]))[0], 2)
    (196.35, 2.0)
    """

    axis_um: Float
    slope: Float
    inner_um: float
    taper: float
    wall_um: float
    height_um: float
    ri: float = GLASS_RI
    outside_ri: float = 1.0

    def with_values(self, glass: float, outside: float) -> Capillary:
        """The same tube with another quantity than the refractive index."""
        return replace(self, ri=glass, outside_ri=outside)

    @property
    def frame(self) -> Float:
        """Axis (2), slope (2), inner radius, taper and wall, (7,), as the compiled loop wants them."""
        return np.array([*self.axis_um, *self.slope, self.inner_um, self.taper, self.wall_um], dtype=float)

    def radius_um(self, z_um: float) -> float:
        """Inner radius at a height."""
        return self.inner_um + self.taper * z_um

    def centre_um(self, z_um: float) -> Float:
        """y, x of the axis at a height."""
        centre: Float = self.axis_um + self.slope * z_um
        return centre

    def depth_um(self, points_um: Float) -> Float:
        """Distance (n,) of points (n, 3) from the glass, positive in the lumen."""
        away = points_um[:, 1:] - (self.axis_um + self.slope * points_um[:, :1])
        depth: Float = self.inner_um + self.taper * points_um[:, 0] - np.linalg.norm(away, axis=1)
        return depth

    @property
    def volume_um3(self) -> float:
        """Volume of the glass over the field's height in µm³."""
        inner, end = self.inner_um, self.inner_um + self.taper * self.height_um
        return float(np.pi * self.height_um * self.wall_um * (inner + end + self.wall_um))

    @property
    def surface_area_um2(self) -> float:
        """Area of the inner and the outer side over the field's height in µm²."""
        middle = self.inner_um + 0.5 * self.taper * self.height_um
        return float(2 * np.pi * self.height_um * (2 * middle + self.wall_um) * np.hypot(1.0, self.taper))

    def cut(self, body: StarBody) -> StarBody:
        """The body pressed flat against the glass: each ray ends where the glass begins."""
        nodes = body.nodes_um.reshape(-1, 3)
        is_beyond = self.depth_um(nodes) < 0
        if not is_beyond.any():
            return body
        rays = nodes[is_beyond] - body.centre_um
        low, high = np.zeros(len(rays)), np.ones(len(rays))
        for _ in range(24):
            middle = 0.5 * (low + high)
            is_in = self.depth_um(body.centre_um + middle[:, None] * rays) > 0
            low, high = np.where(is_in, middle, low), np.where(is_in, high, middle)
        share = np.ones(len(nodes))
        share[is_beyond] = low
        return replace(body, radii=np.ascontiguousarray(body.radii * share.reshape(body.radii.shape)))


def draw_capillary(
    settings: CapillarySettings, extent_um: tuple[float, float, float], rng: np.random.Generator
) -> Capillary:
    """One field's capillary; its axis crosses the middle height near the middle of the field."""
    towards, tilt_towards = rng.uniform(0, 2 * np.pi, 2)
    offset = rng.uniform(*settings.offset_um) * np.array([np.sin(towards), np.cos(towards)])
    tilt = np.tan(np.deg2rad(rng.uniform(*settings.tilt_deg)))
    slope = tilt * np.array([np.sin(tilt_towards), np.cos(tilt_towards)])
    taper = float(rng.uniform(*settings.taper))
    middle = 0.5 * extent_um[0]
    axis = 0.5 * np.array(extent_um[1:]) + offset - slope * middle
    inner = float(rng.uniform(*settings.inner_radius_um)) - taper * middle
    return Capillary(axis, slope, inner, taper, float(rng.uniform(*settings.wall_um)), extent_um[0])
