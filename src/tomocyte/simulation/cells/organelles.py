"""What fills a cell: droplets, vesicles, mitochondria, endoplasmic reticulum, Golgi, nuclear reticulum, filopodia.

Every organelle keeps clear of the plasma membrane, of the nuclei and of all earlier organelles, so no two overlap and
each one's volume is its shape's. Random numbers are drawn in full before anything is tried: a cell that grows from
frame to frame keeps its organelles. To add one, write a method of :class:`Filler` and call it in :meth:`Filler.fill`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tomocyte.simulation.cells import kernels
from tomocyte.simulation.cells.bodies import NUCLEOLUS_TABLE, NUCLEUS_TABLE
from tomocyte.simulation.cells.composition import VESICLES
from tomocyte.simulation.cells.endomembranes import golgi_ribbon, reticulum_network
from tomocyte.simulation.cells.plan import CellPlan
from tomocyte.simulation.cells.shapes import Float, StarBody, ball_directions

MAX_DROPLETS = 200
_MAX_VESICLES = 320
_MAX_MITOCHONDRIA = 64
_N_TAKEN = 6000
_N_TAKEN_DETAILED = 24000
_TRIES = 16
_GAP_UM = 0.05
_MARGIN_UM = 0.04
_N_BALL = 32
_VESICLE_UM = {
    "early_endosome": (0.12, 0.25),
    "late_endosome": (0.18, 0.4),
    "lysosome": (0.18, 0.45),
    "peroxisome": (0.1, 0.22),
}

_VACUOLE_SCALE = 2.5
_FLAT = 0.2
"""How far the course of a mitochondrion drawn in detail leaves the horizontal, over that in all directions."""
_THINNEST_UM = 0.13
"""Radius below which nothing is drawn in detail: half a plane of a stack, so that masks do not fall apart."""

Room = tuple[Float, Float, Float, Float]
Objects = dict[str, list[Float]]


def room_of(body: StarBody, holes: list[StarBody], table: tuple[int, int]) -> Room:
    """A body with holes, packed for the compiled loops."""
    frames = np.array([hole.frame for hole in holes]).reshape(-1, 4, 3)
    tables = np.array([hole.radii for hole in holes]).reshape(-1, table[0] + 1, table[1])
    return body.frame, body.radii, frames, tables


@dataclass
class Filler:
    """Places one cell's organelles, in order.

    Parameters
    ----------
    plan : CellPlan
    inner : StarBody
        The body below the plasma membrane.
    nuclei : list of StarBody
    """

    plan: CellPlan
    inner: StarBody
    nuclei: list[StarBody]
    taken: Float = field(default_factory=lambda: np.zeros((_N_TAKEN, 7)))
    n_taken: int = 0

    def __post_init__(self) -> None:
        if self.plan.is_detailed:
            self.taken = np.zeros((_N_TAKEN_DETAILED, 7))
        self.room = room_of(self.inner, self.nuclei, NUCLEUS_TABLE)
        self.ball = ball_directions(_N_BALL)

    def fill(self) -> Objects:
        """Structure -> its objects, each a union of capsules (n, 7)."""
        inclusions = self._inclusions() if self.plan.has_organelles else []
        objects: Objects = {"lipid_droplet": self._droplets()}
        if not self.plan.has_organelles:
            return objects
        objects["golgi"] = self._golgi() if self.plan.kind not in ("mitotic", "apoptotic") else []
        objects["mitochondrion"] = self._mitochondria()
        for name, count in zip(VESICLES, self.plan.n_vesicles, strict=True):
            objects[name] = self._vesicles(name, count)
        objects["lysosome"] = inclusions + objects["lysosome"]
        objects["endoplasmic_reticulum"] = self._reticulum()
        return objects

    def _rule(self, *more: float) -> Float:
        return np.array([_GAP_UM, _MARGIN_UM, self.n_taken, *more])

    def _take(self, tubes: Float) -> None:
        tubes = tubes[: len(self.taken) - self.n_taken]
        self.taken[self.n_taken : self.n_taken + len(tubes)] = tubes
        self.n_taken += len(tubes)

    def _points(self, draws: Float, *, low: float = 0.0) -> Float:
        """Numbers (…, 3) in [0, 1) -> points spread evenly over the body, beyond the share ``low`` of the radius."""
        up = 2.0 * draws[..., 0] - 1.0
        ring = np.sqrt(1.0 - up**2)
        angle = 2.0 * np.pi * draws[..., 1]
        towards = np.stack([up, ring * np.sin(angle), ring * np.cos(angle)], axis=-1) @ self.inner.axes_um.T
        ends = (self.inner.centre_um + towards).reshape(-1, 3)
        reach = 1.0 / self.inner.levels(ends).reshape(up.shape)
        depth = np.cbrt(low**3 + (1.0 - low**3) * draws[..., 2])
        points: Float = self.inner.centre_um + (reach * depth)[..., None] * towards
        return points

    def _place(self, points: Float, radii: Float, count: int) -> list[Float]:
        """Spheres at the first of their candidate points (n, tries, 3) that is free."""
        candidates = np.concatenate([points, points, np.broadcast_to(radii[:, None, None], (*points.shape[:2], 1))], 2)
        candidates = np.ascontiguousarray(candidates[:count])
        attempts = kernels.place_spheres(candidates, self.room, self.ball, self.taken, self._rule())
        placed = [candidates[item, attempt][None].copy() for item, attempt in enumerate(attempts) if attempt >= 0]
        self.n_taken += len(placed)
        return placed

    def _droplets(self) -> list[Float]:
        rng = self.plan.stream("lipid_droplet")
        middle = np.sqrt(np.prod(self.plan.line.droplet_um))
        radii = np.clip(middle * np.exp(rng.normal(0, 0.35, MAX_DROPLETS)), 0.12, 1.6)
        draws = rng.random((MAX_DROPLETS, _TRIES, 3))
        offsets = rng.normal(size=(MAX_DROPLETS, _TRIES, 3))
        n_clusters = int(rng.integers(1, 5))
        is_clustered = rng.random(MAX_DROPLETS) < rng.uniform(0.3, 0.7)
        centres = self._points(rng.random((n_clusters, 3)), low=0.3)[rng.integers(n_clusters, size=MAX_DROPLETS)]
        points = self._points(draws)
        tight = centres[:, None] + offsets * (0.9 + 0.12 * np.arange(_TRIES))[None, :, None]
        points = np.where(is_clustered[:, None, None], tight, points)
        radii = np.minimum(radii * self.plan.droplet_scale, 2.0)
        return self._place(points, radii, min(self.plan.n_droplets, MAX_DROPLETS))

    def _vesicles(self, name: str, count: int) -> list[Float]:
        seeds = self.plan.stream("vesicle").integers(2**63, size=len(VESICLES))
        rng = np.random.default_rng(seeds[VESICLES.index(name)])
        radii = rng.uniform(*_VESICLE_UM[name], _MAX_VESICLES)
        if self.plan.is_detailed:
            radii = np.maximum(radii, _THINNEST_UM)
        if name == "early_endosome" and self.plan.composition.early_delta < 0:
            radii = radii * _VACUOLE_SCALE
        points = self._points(rng.random((_MAX_VESICLES, 6, 3)))
        return self._place(points, radii, min(count, _MAX_VESICLES))

    def _inclusions(self) -> list[Float]:
        """Large lysosomes, placed first so that they find room."""
        rng = np.random.default_rng(self.plan.stream("vesicle").integers(2**63, size=len(VESICLES) + 1)[-1])
        points = self._points(rng.random((2, 60, 3)))
        return self._place(points, rng.uniform(0.8, 1.7, 2), self.plan.n_inclusions)

    def _mitochondria(self) -> list[Float]:
        rng = self.plan.stream("mitochondrion")
        is_network = self.plan.is_network and self.plan.kind not in ("mitotic", "apoptotic")
        n_steps, n_branches = (14, 3) if is_network else (4, 1)
        if self.plan.is_detailed:
            n_steps = 24 if is_network else 10
        starts = self._points(rng.random((_MAX_MITOCHONDRIA, 8, 3)))
        headings = rng.normal(size=(_MAX_MITOCHONDRIA, n_branches, 3))
        noise = rng.normal(size=(_MAX_MITOCHONDRIA, n_branches, n_steps, 4, 3))
        radii = rng.uniform(0.17, 0.32, _MAX_MITOCHONDRIA)
        if self.plan.is_detailed and self.plan.kind != "mitotic":
            headings[..., 0] *= _FLAT
            noise[..., 0] *= _FLAT
        fork = rng.random((_MAX_MITOCHONDRIA, n_branches))
        objects: list[Float] = []
        for item in range(min(self.plan.n_mitochondria, _MAX_MITOCHONDRIA)):
            walks: list[Float] = []
            for branch in range(n_branches):
                joined = np.concatenate(walks) if walks else np.zeros((0, 7))
                tries = starts[item] if branch == 0 else joined[[int(fork[item, branch] * len(joined))], 3:6]
                for point in tries:
                    start = np.concatenate([point, headings[item, branch], radii[[item]]])
                    rule = self._rule(0.45, 0.25)
                    walk = kernels.grow_walk(start, noise[item, branch], self.room, self.ball, self.taken, rule)
                    if len(walk) >= 2:
                        walks.append(walk)
                        break
                if not walks:
                    break
            if walks:
                objects.append(np.concatenate(walks))
                self._take(objects[-1])
        return objects

    def _reticulum(self) -> list[Float]:
        """One object per cell: tubules between near points, denser towards the nucleus."""
        rng = self.plan.stream("endoplasmic_reticulum")
        if self.plan.is_detailed and self.plan.kind not in ("mitotic", "apoptotic"):
            return self._fitting(reticulum_network(self.inner, self.nuclei, rng))
        count = int(np.clip(0.16 * self.inner.volume_um3, 40, 420)) * (3 if self.plan.is_detailed else 1)
        nodes = self._points(rng.random((count, 3)))
        radius = rng.uniform(0.07, 0.13)
        if self.plan.is_detailed:  # a dividing cell: no storeys
            radius = _THINNEST_UM
        if self.nuclei:
            away = np.min([nucleus.levels(nodes) for nucleus in self.nuclei], axis=0)
            nodes = nodes[(away > 1.0) & (rng.random(count) < np.clip(2.2 / away, 0.25, 1.0))]
        if len(nodes) < 4:
            return []
        far = np.linalg.norm(nodes[:, None] - nodes[None], axis=-1)
        near = np.argsort(far, axis=1)[:, 1:4]
        pairs = np.unique(np.sort(np.column_stack([np.repeat(np.arange(len(nodes)), 3), near.ravel()]), axis=1), axis=0)
        pairs = pairs[far[pairs[:, 0], pairs[:, 1]] < 3.0]
        return self._fitting(np.column_stack([nodes[pairs[:, 0]], nodes[pairs[:, 1]], np.full(len(pairs), radius)]))

    def _fitting(self, edges: Float) -> list[Float]:
        """The capsules that find room, as one object."""
        fits = kernels.place_edges(np.ascontiguousarray(edges), self.room, self.ball, self.taken, self._rule())
        if not fits.any():
            return []
        self._take(edges[fits])
        return [edges[fits]]

    def _golgi(self) -> list[Float]:
        """One stack of bent ribbons next to the nucleus."""
        rng = self.plan.stream("golgi")
        if self.plan.is_detailed and self.nuclei:
            return self._fitting(golgi_ribbon(self.inner, self.nuclei[0], rng))
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.2)
        n_layers, n_rows = int(rng.integers(3, 5)), int(rng.integers(4, 8))
        anchors = self._points(rng.random((24, 3)))
        turns = rng.uniform(0, 2 * np.pi, 24)
        if self.nuclei:
            anchors = anchors[np.argsort(self.nuclei[0].levels(anchors) + 10 * (self.nuclei[0].levels(anchors) < 1))]
        for anchor, turn in zip(anchors, turns + angle, strict=True):
            along = np.array([0.0, np.sin(turn), np.cos(turn)])
            across = np.array([0.0, np.cos(turn), -np.sin(turn)])
            s = np.linspace(-1.0, 1.0, 7)
            pieces = []
            for layer in range(n_layers):
                for row in range(n_rows):
                    line = anchor + (1.1 * s)[:, None] * along + (0.35 * s**2 + 0.5 * layer)[:, None] * across
                    line = line + np.array([(row - n_rows / 2) * 1.4 * radius, 0.0, 0.0])
                    pieces.append(np.column_stack([line[:-1], line[1:], np.full(6, radius)]))
            edges = np.ascontiguousarray(np.concatenate(pieces))
            fits = kernels.place_edges(edges, self.room, self.ball, self.taken, self._rule())
            if fits.sum() >= 12:
                self._take(edges[fits])
                return [edges[fits]]
        return []


def nuclear_reticulum(plan: CellPlan, nucleus: StarBody, nucleoli: list[StarBody], number: int) -> list[Float]:
    """Tubes that reach from the nuclear membrane into the nucleus; ``nucleus`` is the body below the membrane."""
    rng = np.random.default_rng(plan.stream("nuclear_reticulum").integers(2**63, size=number + 1)[number])
    room = room_of(nucleus, nucleoli, NUCLEOLUS_TABLE)
    starts, radius = rng.normal(size=(12, 3)), rng.uniform(0.1, 0.18)
    noise = rng.normal(size=(12, 6, 4, 3))
    count = int(rng.integers(0, 4))
    taken = np.zeros((64, 7))
    n_taken = 0
    objects: list[Float] = []
    for start, bend in zip(starts, noise, strict=True):
        if len(objects) >= count:
            break
        towards = nucleus.axes_um @ (start / np.linalg.norm(start))
        reach = 1.0 / float(nucleus.levels((nucleus.centre_um + towards)[None])[0])
        length = float(np.linalg.norm(towards)) * reach
        point = nucleus.centre_um + (1.0 - (radius + 0.1) / length) * reach * towards
        seed = np.concatenate([point, -towards / np.linalg.norm(towards), [radius]])
        rule = np.array([_GAP_UM, 0.01, n_taken, 0.4, 0.3])
        walk = kernels.grow_walk(seed, bend, room, ball_directions(_N_BALL), taken, rule)
        if len(walk) >= 2:
            taken[n_taken : n_taken + len(walk)] = walk
            n_taken += len(walk)
            objects.append(walk)
    return objects


def filopodia(plan: CellPlan, body: StarBody, others: list[StarBody]) -> list[Float]:
    """Thin bent spikes that start in the body's skin and end outside every body, above the floor."""
    rng = plan.stream("filopodium")
    if plan.n_filopodia == 0:
        return []
    draws = rng.normal(size=(plan.n_filopodia, 3))
    lengths, radii = rng.uniform(1.0, 4.0, plan.n_filopodia), rng.uniform(0.1, 0.2, plan.n_filopodia)
    bends = 0.25 * rng.normal(size=(plan.n_filopodia, 3))
    floor = body.bounds_um[0, 0]
    objects: list[Float] = []
    for draw, length, radius, bend in zip(draws, lengths, radii, bends, strict=True):
        draw[0] = 0.5 * abs(draw[0])
        towards = body.axes_um @ (draw / np.linalg.norm(draw))
        root = body.centre_um + towards / float(body.levels((body.centre_um + towards)[None])[0])
        heading = towards / np.linalg.norm(towards)
        bent = heading + bend
        bent /= np.linalg.norm(bent)
        path = np.stack([root - 0.15 * heading, root + 0.5 * length * heading])
        path = np.vstack([path, path[-1] + 0.5 * length * bent])
        path[:, 0] = np.maximum(path[:, 0], floor + radius)
        tubes = np.column_stack([path[:-1], path[1:], np.full(2, radius)])
        samples = np.concatenate([path[1] + s * (path[2] - path[1]) for s in np.linspace(0, 1, 7)[:, None]]).reshape(
            -1, 3
        )
        if all(other.levels(samples).min() > 1.15 for other in others) and body.levels(samples[-1:])[0] > 1.05:
            objects.append(tubes)
    return objects
