"""The endomembranes of an adherent cell in the detail that fluorescence shows: tubules, sheets, Golgi ribbons.

Both functions propose capsules; the caller keeps those that find room. To change how the endoplasmic reticulum looks,
change what :func:`reticulum_network` proposes; the numbers at the top are those that a microscopist would argue about.

References
----------
Tubules meet in threes and enclose polygons, sheets lie around the nucleus: Nixon-Abell et al. 2016,
doi:10.1126/science.aaf3928. Mesh, heights and lengths below are assumed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.simulation.cells.shapes import Float, StarBody

TUBULE_UM = 0.13
"""Radius in µm at which a tubule (0.05 µm in life) is drawn: what a microscope makes of it."""
MESH_UM = (0.85, 1.4)
"""Spacing in µm of the polygons' centres next to the nucleus and at the rim of the cell."""
LAYER_UM = 0.8
"""Height in µm of one storey of the network; thin parts of a cell have one, thick parts several."""
SHEET_REACH_UM = 4.0
"""How far from the nucleus polygons may be filled with a sheet."""
_MOST_LAYERS = 6


def reticulum_network(inner: StarBody, nuclei: list[StarBody], rng: np.random.Generator) -> Float:
    """Capsules (n, 7) of an endoplasmic reticulum: polygons of tubules in storeys, sheets near the nucleus.

    Parameters
    ----------
    inner : StarBody
        The cell below its plasma membrane.
    nuclei : list of StarBody
    rng : numpy Generator
    """
    bounds = inner.bounds_um
    pieces, corners = [], []
    n_layers = int(np.clip((bounds[1, 0] - bounds[0, 0]) / LAYER_UM, 1, _MOST_LAYERS))
    for layer in range(n_layers):
        seeds = _seeds(inner, nuclei, rng)
        if len(seeds) < 8:
            continue
        vertices, edges, cells = _polygons(seeds)
        z, is_there = _heights(inner, vertices, layer, rng)
        points = np.column_stack([z, vertices])
        keep = is_there[edges].all(axis=1) & (rng.random(len(edges)) < 0.93)
        pieces.append(_capsules(points[edges[keep, 0]], points[edges[keep, 1]]))
        pieces.append(_sheets(points, is_there, cells, seeds, nuclei=nuclei, rng=rng))
        corners.append(points[is_there])
    pieces += [_risers(below, above, rng) for below, above in pairwise(corners)]
    tubes = np.concatenate([piece for piece in pieces if len(piece)] or [np.zeros((0, 7))])
    return tubes[rng.permutation(len(tubes))]


def golgi_ribbon(inner: StarBody, nucleus: StarBody, rng: np.random.Generator) -> Float:
    """Capsules (n, 7) of a Golgi ribbon: stacks of bent, perforated cisternae along one flank of the nucleus."""
    radius = rng.uniform(0.13, 0.16)
    angle = rng.uniform(0, 2 * np.pi)
    pieces = [np.zeros((0, 7))]
    for _ in range(int(rng.integers(2, 6))):
        n_pieces = int(rng.integers(5, 12))
        phi = angle + rng.uniform(-0.15, 0.15) + np.arange(n_pieces + 1) * rng.uniform(0.03, 0.06)
        angle = phi[-1] + rng.uniform(-0.1, 0.25)
        towards = np.column_stack([np.zeros_like(phi), np.sin(phi), np.cos(phi)])
        reach = 1.0 / nucleus.levels(nucleus.centre_um + towards)
        away, lift = rng.uniform(0.4, 1.8), rng.uniform(0.3, 0.6)
        trend = np.cumsum(rng.normal(0, 0.12, n_pieces + 1))
        for layer in range(int(rng.integers(3, 6))):
            wiggle = trend + rng.normal(0, 0.03, n_pieces + 1) + layer * 1.1 * radius
            places = (nucleus.centre_um + (reach + away + wiggle)[:, None] * towards)[:, 1:]
            low, high = _column(inner, places)
            height = np.clip(high - low, 0, 3.5)
            first, last = rng.integers(0, 3), len(phi) - rng.integers(0, 3)
            is_whole = (np.arange(len(phi)) >= first) & (np.arange(len(phi)) < last) & (height > 1.0)
            for row in np.arange(-2, 3):
                z = low + lift * height + row * 1.4 * radius + rng.normal(0, 0.04, len(phi))
                is_there = is_whole & (np.abs(row) * 1.4 * radius < 0.36 * height) & (rng.random(len(z)) < 0.95)
                points = np.column_stack([z, places])
                joined = is_there[:-1] & is_there[1:]
                pieces.append(_capsules(points[:-1][joined], points[1:][joined], radius))
    return np.concatenate(pieces)


def _seeds(inner: StarBody, nuclei: list[StarBody], rng: np.random.Generator) -> Float:
    """Centres (n, 2) of polygons on a jittered triangular lattice, thinned out towards the cell's rim."""
    (y0, x0), (y1, x1) = inner.bounds_um[:, 1:]
    step = MESH_UM[0]
    ys, xs = np.meshgrid(
        np.arange(y0 - step, y1 + step, 0.87 * step), np.arange(x0 - step, x1 + step, step), indexing="ij"
    )
    xs = xs + 0.5 * step * (np.arange(len(xs)) % 2)[:, None]
    seeds = np.column_stack([ys.ravel(), xs.ravel()]) + rng.normal(0, 0.22 * step, (ys.size, 2))
    start = rng.uniform(-0.5, 0.5, 2) * step
    away = _distance_um(seeds, nuclei)
    keep = (step / np.interp(away, [0.0, 10.0], MESH_UM)) ** 2
    kept: Float = seeds[rng.random(len(seeds)) < keep] + start
    return kept


def _distance_um(places: Float, nuclei: list[StarBody]) -> Float:
    """Lateral distance in µm to the nearest nucleus's outline; far away where there is none."""
    away = np.full(len(places), 1e3)
    for nucleus in nuclei:
        offset = np.column_stack([np.full(len(places), nucleus.centre_um[0]), places])
        level = nucleus.levels(offset)
        distance = np.linalg.norm(places - nucleus.centre_um[1:], axis=1)
        away = np.minimum(away, distance * (1.0 - 1.0 / np.maximum(level, 1e-6)))
    return away


def _polygons(seeds: Float) -> tuple[Float, NDArray[Any], list[NDArray[Any]]]:
    """Corners (n, 2), edges (m, 2) and, per seed, the corners of the Voronoi polygons that are closed."""
    from scipy.spatial import Voronoi

    diagram = Voronoi(seeds)
    edges = np.array([pair for pair in diagram.ridge_vertices if -1 not in pair]).reshape(-1, 2)
    regions = [np.array(diagram.regions[region], int) for region in diagram.point_region]
    return diagram.vertices, edges, regions


def _column(inner: StarBody, places: Float) -> tuple[Float, Float]:
    """Lowest and highest z in µm inside the body at places (n, 2); equal outside."""
    z = np.linspace(inner.bounds_um[0, 0], inner.bounds_um[1, 0], 41)
    grid = np.column_stack([np.tile(z, len(places)), np.repeat(places, len(z), axis=0)])
    inside = (inner.levels(grid) < 1.0).reshape(len(places), len(z))
    low = z[np.argmax(inside, axis=1)]
    high = z[len(z) - 1 - np.argmax(inside[:, ::-1], axis=1)]
    empty = ~inside.any(axis=1)
    low[empty] = high[empty] = z[0]
    return low, high


def _heights(inner: StarBody, places: Float, layer: int, rng: np.random.Generator) -> tuple[Float, NDArray[Any]]:
    """Height in µm of the corners of an undulating storey, and whether the cell is thick enough for it there."""
    low, high = _column(inner, places)
    margin = TUBULE_UM + 0.08
    room = high - low - 2 * margin
    wave = rng.uniform(0.3, 1.2, (3, 2)) * rng.choice([-1.0, 1.0], (3, 2))
    swell = np.sin(places @ wave.T + rng.uniform(0, 2 * np.pi, 3)).mean(axis=1)
    z = low + margin + (layer + 0.4 + 0.35 * swell + rng.uniform(-0.1, 0.1, len(places))) * LAYER_UM
    if layer == 0:
        z = np.minimum(z, low + margin + 0.5 * np.maximum(room, 0.0))
    return z, (room > 0.0) & (z < high - margin)


def _capsules(starts: Float, ends: Float, radius_um: float = TUBULE_UM) -> Float:
    return np.column_stack([starts, ends, np.full(len(starts), radius_um)])


def _sheets(
    points: Float,
    is_there: NDArray[Any],
    cells: list[NDArray[Any]],
    seeds: Float,
    *,
    nuclei: list[StarBody],
    rng: np.random.Generator,
) -> Float:
    """Polygons near a nucleus filled by plates."""
    if not nuclei:
        return np.zeros((0, 7))
    share = 0.75 * np.clip(1.0 - _distance_um(seeds, nuclei) / SHEET_REACH_UM, 0.0, 1.0)
    pieces = []
    for corners, chance, draw in zip(cells, share, rng.random(len(cells)), strict=True):
        if draw >= chance or len(corners) < 3 or (corners < 0).any() or not is_there[corners].all():
            continue
        pieces.append(_plate(points[corners]))
    return np.concatenate(pieces) if pieces else np.zeros((0, 7))


def _plate(ring: Float) -> Float:
    """Capsules side by side that fill a convex polygon with corners (n, 3) in any order, up to its edge."""
    middle = ring.mean(axis=0)
    away = ring - middle
    slope = np.linalg.lstsq(away[:, 1:], away[:, 0], rcond=None)[0]
    ring = away[np.argsort(np.arctan2(away[:, 1], away[:, 2]))]
    following = np.roll(ring, -1, axis=0)
    low, high = ring[:, 1].min(), ring[:, 1].max()
    n_rows = max(int(np.ceil((high - low) / (1.1 * TUBULE_UM))), 1)
    pieces = []
    for y in low + (np.arange(n_rows) + 0.5) * (high - low) / n_rows:
        crosses = (ring[:, 1] - y) * (following[:, 1] - y) < 0
        if crosses.sum() != 2:
            continue
        share = (y - ring[crosses, 1]) / (following[crosses, 1] - ring[crosses, 1])
        x = ring[crosses, 2] + share * (following[crosses, 2] - ring[crosses, 2])
        ends = np.column_stack([slope[0] * y + slope[1] * x, [y, y], x]) + middle
        pieces.append(_capsules(ends[:1], ends[1:]))
    return np.concatenate(pieces) if pieces else np.zeros((0, 7))


def _risers(below: Float, above: Float, rng: np.random.Generator) -> Float:
    """Tubules that join two storeys where corners lie above each other."""
    if not len(below) or not len(above):
        return np.zeros((0, 7))
    from scipy.spatial import cKDTree

    distance, nearest = cKDTree(below[:, 1:]).query(above[:, 1:])
    keep = (distance < 0.6) & (rng.random(len(above)) < 0.1)
    return _capsules(above[keep], below[nearest[keep]])
