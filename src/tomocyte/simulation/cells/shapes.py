"""Continuous shapes whose volume and surface do not depend on a voxel size: star-shaped bodies and unions of capsules.

A :class:`StarBody` is a radius for every direction in a stretched frame, so spheres and ellipsoids are exact and any
smooth cell is a table; its volume and area come from Gauss quadrature over the surface. A union of capsules is an array
(N, 7) of z0, y0, x0, z1, y1, x1, radius in µm. To add a shape, give it volume, area, level and points inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.cells import kernels

Float = NDArray[np.float64]

_GAUSS = np.polynomial.legendre.leggauss(3)


@cache
def directions(n_theta: int, n_phi: int) -> Float:
    """Unit vectors z, y, x (n_theta + 1, n_phi, 3) of a table's nodes; theta from the +z axis, both poles included."""
    theta = np.linspace(0.0, np.pi, n_theta + 1)[:, None]
    phi = np.arange(n_phi)[None, :] * (2.0 * np.pi / n_phi)
    ones = np.ones_like(phi)
    sine = np.sin(theta)
    sine[[0, -1]] = 0.0
    grid = np.stack([np.cos(theta) * ones, sine * np.sin(phi), sine * np.cos(phi)], axis=-1)
    grid.setflags(write=False)
    return grid


@cache
def ball_directions(n: int) -> Float:
    """``n`` nearly even unit vectors (n, 3), a Fibonacci lattice."""
    index = np.arange(n) + 0.5
    z = 1.0 - 2.0 * index / n
    phi = index * np.pi * (3.0 - np.sqrt(5.0))
    ring = np.sqrt(1.0 - z**2)
    return np.ascontiguousarray(np.stack([z, ring * np.sin(phi), ring * np.cos(phi)], axis=1))


@dataclass(frozen=True, eq=False)
class StarBody:
    """Points c + B·s·u with 0 ≤ s < r(u): star-shaped about c in a stretched frame.

    Parameters
    ----------
    centre_um : ndarray (3,)
        c, z y x in µm.
    axes_um : ndarray (3, 3)
        B; its columns are the frame's unit vectors in µm.
    radii : ndarray (n_theta + 1, n_phi) float64
        r, bilinear between the nodes of :func:`directions`; above 0.

    Examples
    --------
    >>> round(StarBody.ellipsoid(np.zeros(3), np.array([1.0, 2.0, 3.0])).volume_um3, 3)
    25.133
    """

    centre_um: Float
    axes_um: Float
    radii: Float

    @classmethod
    def ellipsoid(cls, centre_um: Float, semi_axes_um: Float, *, shape: tuple[int, int] = (96, 192)) -> StarBody:
        """An exact ellipsoid with semi-axes z, y, x in µm."""
        radii = np.ones((shape[0] + 1, shape[1]))
        return cls(np.asarray(centre_um, float), np.diag(np.asarray(semi_axes_um, float)), radii)

    @cached_property
    def frame(self) -> Float:
        """Centre and the rows of B⁻¹, (4, 3), as the compiled loops want it."""
        return np.ascontiguousarray(np.vstack([self.centre_um[None], np.linalg.inv(self.axes_um)]))

    def _surface(self) -> tuple[Float, Float, Float]:
        """Points (n, 3), area vectors dA (n, 3) in µm² and solid volume dV (n,) in µm³ at the Gauss nodes."""
        n_theta, n_phi = self.radii.shape[0] - 1, self.radii.shape[1]
        upper, lower = self.radii[:-1], self.radii[1:]
        points, areas, solids = [], [], []
        for a, wa in zip((_GAUSS[0] + 1) / 2, _GAUSS[1] / 2, strict=True):
            edge = upper + a * (lower - upper)
            slope = lower - upper
            theta = (np.arange(n_theta)[:, None] + a) * (np.pi / n_theta)
            for b, wb in zip((_GAUSS[0] + 1) / 2, _GAUSS[1] / 2, strict=True):
                phi = (np.arange(n_phi)[None] + b) * (2 * np.pi / n_phi)
                r = edge + b * (np.roll(edge, -1, 1) - edge)
                r_theta = (slope + b * (np.roll(slope, -1, 1) - slope)) * (n_theta / np.pi)
                r_phi = (np.roll(edge, -1, 1) - edge) * (n_phi / (2 * np.pi))
                weight = wa * wb * (np.pi / n_theta) * (2 * np.pi / n_phi)
                point, area = _patch(theta, phi, r, r_theta, r_phi, self.axes_um)
                points.append(point)
                areas.append(area * weight)
                solids.append((r**3 / 3 * np.sin(theta) * weight * abs(np.linalg.det(self.axes_um))).ravel())
        return np.concatenate(points) + self.centre_um, np.concatenate(areas), np.concatenate(solids)

    @cached_property
    def volume_um3(self) -> float:
        """Volume in µm³."""
        n_theta, n_phi = self.radii.shape[0] - 1, self.radii.shape[1]
        following = np.roll(self.radii, -1, 1)
        total = 0.0
        for a, wa in zip((_GAUSS[0] + 1) / 2, _GAUSS[1] / 2, strict=True):
            left = self.radii[:-1] + a * (self.radii[1:] - self.radii[:-1])
            right = following[:-1] + a * (following[1:] - following[:-1])
            # the mean over φ of the cube of a radius that runs linearly from left to right
            cubes = ((left**2 + right**2) * (left + right) / 4).sum(axis=1)
            total += wa * float((cubes * np.sin((np.arange(n_theta) + a) * (np.pi / n_theta))).sum())
        step = (np.pi / n_theta) * (2 * np.pi / n_phi)
        return float(total / 3 * step * abs(np.linalg.det(self.axes_um)))

    @cached_property
    def surface_area_um2(self) -> float:
        """Area in µm²."""
        return float(np.linalg.norm(self._surface()[1], axis=1).sum())

    def surface_points(self, *, outside_um: float = 0.0) -> tuple[Float, Float]:
        """Points of the surface (n, 3) in µm, moved outwards, and the area (n,) in µm² that each stands for."""
        points, vectors, _ = self._surface()
        area = np.linalg.norm(vectors, axis=1)
        return points + outside_um * vectors / np.maximum(area, 1e-300)[:, None], area

    @property
    def nodes_um(self) -> Float:
        """The table's nodes on the surface, (n_theta + 1, n_phi, 3) in µm."""
        grid = directions(self.radii.shape[0] - 1, self.radii.shape[1])
        nodes: Float = self.centre_um + (self.radii[..., None] * grid) @ self.axes_um.T
        return nodes

    @cached_property
    def bounds_um(self) -> Float:
        """Lowest and highest z, y, x (2, 3) of the nodes in µm."""
        nodes = self.nodes_um.reshape(-1, 3)
        return np.stack([nodes.min(axis=0), nodes.max(axis=0)])

    @cached_property
    def thickness_per_radius_um(self) -> Float:
        """µm across the surface per unit of radius, per node: |B u| · cos(ray, normal)."""
        n_theta, n_phi = self.radii.shape[0] - 1, self.radii.shape[1]
        log_r = np.log(self.radii)
        d_theta = np.gradient(log_r, np.pi / n_theta, axis=0)
        d_phi = (np.roll(log_r, -1, 1) - np.roll(log_r, 1, 1)) * (n_phi / (4 * np.pi))
        theta = np.linspace(0, np.pi, n_theta + 1)[:, None]
        phi = np.arange(n_phi)[None] * (2 * np.pi / n_phi)
        u, e_theta, e_phi = _triad(theta, phi)
        sine = np.maximum(np.sin(theta), np.sin(np.pi / n_theta))[..., None]
        gradient = u - d_theta[..., None] * e_theta - d_phi[..., None] / sine * e_phi  # of (ρ / r) times r, stretched
        physical = gradient @ np.linalg.inv(self.axes_um)
        thickness = 1.0 / np.linalg.norm(physical, axis=-1)
        thickness[0], thickness[-1] = thickness[0].mean(), thickness[-1].mean()
        return np.ascontiguousarray(thickness)

    def levels(self, points_um: Float) -> Float:
        """Radius over the body's radius at points (n, 3): below 1 inside."""
        out: Float = kernels.levels(self.frame, self.radii, np.ascontiguousarray(points_um, dtype=float))
        return out

    def shrunk(self, thickness_um: float) -> StarBody:
        """The body below a skin of that thickness in µm (at most half of the radius)."""
        inner = self.radii - np.minimum(thickness_um / self.thickness_per_radius_um, 0.5 * self.radii)
        return StarBody(self.centre_um, self.axes_um, np.ascontiguousarray(inner))

    def interior(self) -> tuple[Float, Float]:
        """Points inside (n, 3) in µm and the volume (n,) in µm³ that each stands for."""
        surface = self._surface()
        step = max(1, len(surface[2]) // 1500) | 1
        points, _, solid = (item[::step] for item in surface)
        solid = solid * (self.volume_um3 / solid.sum())
        depth = np.cbrt((np.arange(8) + 0.5) / 8)[:, None, None]
        inside = self.centre_um + depth * (points - self.centre_um)[None]
        return inside.reshape(-1, 3), np.tile(solid / 8, 8)


def _triad(theta: Float, phi: Float) -> tuple[Float, Float, Float]:
    """Radial, polar and azimuthal unit vectors z, y, x on a (theta, phi) grid."""
    ones = np.ones(np.broadcast_shapes(theta.shape, phi.shape))
    u = np.stack([np.cos(theta) * ones, np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi)], axis=-1)
    e_theta = np.stack([-np.sin(theta) * ones, np.cos(theta) * np.sin(phi), np.cos(theta) * np.cos(phi)], axis=-1)
    e_phi = np.stack([0 * ones, np.cos(phi) * ones, -np.sin(phi) * ones], axis=-1)
    return u, e_theta, e_phi


def _patch(theta: Float, phi: Float, r: Float, r_theta: Float, r_phi: Float, axes: Float) -> tuple[Float, Float]:
    """Surface points and area vectors per dθdφ, both (n, 3), of r(θ, φ) stretched by ``axes``."""
    u, e_theta, e_phi = _triad(theta, phi)
    along_theta = (r_theta[..., None] * u + r[..., None] * e_theta) @ axes.T
    along_phi = (r_phi[..., None] * u + (r * np.sin(theta))[..., None] * e_phi) @ axes.T
    return ((r[..., None] * u) @ axes.T).reshape(-1, 3), np.cross(along_phi, along_theta).reshape(-1, 3)


def sphere(centre_um: Float, radius_um: float) -> Float:
    """A sphere as a union of one capsule (1, 7)."""
    return np.concatenate([centre_um, centre_um, [radius_um]])[None].astype(float)


def capsule_frame(tube: Float) -> tuple[Float, Float, Float, float]:
    """Unit vectors along and across a capsule, and its length."""
    along = tube[3:6] - tube[:3]
    length = float(np.linalg.norm(along))
    along = along / length if length > 0 else np.array([1.0, 0.0, 0.0])
    other = np.eye(3)[np.argmin(np.abs(along))]
    across = np.cross(along, other)
    across /= np.linalg.norm(across)
    return along, across, np.cross(along, across), length


MOST_POINTS = 8192


@cache
def _even(n: int, n_dimensions: int) -> Float:
    """``n`` evenly spread points of the unit cube (n, 1 to 3): Kronecker's sequence of the generalised golden ratio."""
    ratio = (1.0, 1.6180339887498949, 1.3247179572447460, 1.2207440846057596)[n_dimensions]
    points: Float = (0.5 + np.arange(1, n + 1)[:, None] / ratio ** np.arange(1, n_dimensions + 1)) % 1.0
    return points


@cache
def unit_ball() -> Float:
    """Evenly spread points of the unit ball: along, across and third coordinate of each (N, 3)."""
    draw = _even(MOST_POINTS, 3)
    up, angle = 2.0 * draw[:, 0] - 1.0, 2 * np.pi * draw[:, 1]
    ring = np.sqrt(1.0 - up**2)
    points: Float = np.cbrt(draw[:, 2:]) * np.stack([up, ring * np.cos(angle), ring * np.sin(angle)], axis=1)
    return points


@cache
def unit_shaft(n_dimensions: int) -> Float:
    """Evenly spread points of a cylinder of length and radius 1, inside it (3) or on its side (2): as the ball's."""
    draw = _even(MOST_POINTS, n_dimensions)
    angle = 2 * np.pi * draw[:, 1]
    ring = np.sqrt(draw[:, 2]) if n_dimensions == 3 else 1.0
    return np.stack([draw[:, 0], ring * np.cos(angle), ring * np.sin(angle)], axis=1)
