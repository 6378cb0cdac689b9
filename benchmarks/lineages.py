"""Simulated lineages of a tissue, linked again: positions whose links are known, and how many are found.

Nuclei that push each other apart are carried by a smooth field of motion, wander on their own, divide one by one or in
a wave, and are seen with jitter; some are missed. Distances are in µm, and the nuclei stand about 10 µm apart; every
lineage draws its own speed, noise, rate of divisions and distance of new daughters. Run it with
``python benchmarks/lineages.py -n 3``. To try a kind of tissue, add its ranges to :data:`KINDS`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tomocyte.tracking import Tracks, track_objects

Float = NDArray[np.float64]
SPACING_UM = 10.0
N_SUBSTEPS = 4


@dataclass(frozen=True)
class Tissue:
    """Ranges from which each lineage draws, (low, high); lengths over the spacing of nuclei.

    Parameters
    ----------
    n_nuclei : (int, int)
        In the first frame.
    n_frames : (int, int)
    flow : (float, float)
        Typical step of the common motion from frame to frame.
    wander : (float, float)
        Step of the own motion, per axis.
    jitter : (float, float)
        Of the detected centre, per axis; twice along z.
    division_rate : (float, float)
        Per nucleus and frame.
    apart : (float, float)
        Distance of daughters in their first frame.
    growth : (float, float)
        Frames in which the rest of their distance falls to a third.
    lopsided : (float, float)
        By how much of their distance the middle of new daughters lies off the mother, per axis.
    late : (float, float)
        Frames after a division in which both daughters are still seen as one, in the middle of both or near one.
    missing : (float, float)
        Share of nuclei that are not detected.
    size_noise : (float, float)
        Of the logarithm of measured volumes; 0 for positions alone.
    size_power : (float, float)
        Power of the true volume that is measured: 1 where volumes of daughters add up, less for radii of a detector.
    """

    n_nuclei: tuple[int, int] = (50, 150)
    n_frames: tuple[int, int] = (20, 40)
    flow: tuple[float, float] = (0.03, 0.3)
    wander: tuple[float, float] = (0.02, 0.1)
    jitter: tuple[float, float] = (0.02, 0.06)
    division_rate: tuple[float, float] = (0.005, 0.03)
    apart: tuple[float, float] = (0.45, 0.8)
    growth: tuple[float, float] = (0.5, 3.0)
    lopsided: tuple[float, float] = (0.03, 0.15)
    late: tuple[float, float] = (0.0, 0.0)
    missing: tuple[float, float] = (0.0, 0.0)
    size_noise: tuple[float, float] = (0.0, 0.0)
    size_power: tuple[float, float] = (1.0, 1.0)


KINDS = {
    "calm": Tissue(flow=(0.02, 0.1), wander=(0.02, 0.05), jitter=(0.02, 0.04)),
    "moving": Tissue(),
    "fast": Tissue(flow=(0.2, 0.5), wander=(0.08, 0.15), jitter=(0.04, 0.08)),
    "lopsided": Tissue(lopsided=(0.2, 0.4), apart=(0.6, 1.0)),
    "rare": Tissue(division_rate=(0.001, 0.003)),
    "missing": Tissue(missing=(0.01, 0.04)),
    # Daughters that are seen as one at first; drawn after a look at the lineage of TGMM in docs/tracking.md.
    "late": Tissue(late=(3.0, 12.0), flow=(0.02, 0.2), wander=(0.02, 0.08)),
    "sized": Tissue(flow=(0.2, 0.5), wander=(0.08, 0.15), size_noise=(0.05, 0.15)),
    "radii": Tissue(flow=(0.2, 0.5), wander=(0.08, 0.15), size_noise=(0.05, 0.15), size_power=(0.3, 0.7)),
}


@dataclass(frozen=True)
class Lineage:
    """Positions and their true links.

    Parameters
    ----------
    table : DataFrame
        ``frame, label, z_um, y_um, x_um``, rows of a frame in any order.
    links : set of (int, int)
        Rows of the table, earlier and later; across frames in which a nucleus was missed, too.
    """

    table: pd.DataFrame
    links: set[tuple[int, int]]


def simulate(tissue: Tissue, rng: np.random.Generator) -> Lineage:
    """One lineage of a kind of tissue."""
    drawn = {f.name: rng.uniform(*getattr(tissue, f.name)) for f in fields(tissue)}
    n, n_frames = int(drawn["n_nuclei"]), int(drawn["n_frames"])
    thickness = rng.choice([1.5, 4.0])
    side = np.sqrt(n / thickness)
    size = np.array([thickness, side, side]) * SPACING_UM
    places = _relaxed(rng.uniform(-0.5, 0.5, (n, 3)) * size, size, 60)
    modes = _modes(size, rng)
    drift = rng.normal(0, drawn["flow"] / 3, 3) * SPACING_UM
    wave = rng.random() < 0.5, rng.uniform(0, n_frames), rng.uniform(2, 5)
    track = np.arange(n)
    sister, axis, age = np.full(n, -1), np.zeros((n, 3)), np.zeros(n)
    hidden, share = np.zeros(n), np.zeros(n)
    own, n_tracks = np.zeros((n, 3)), n
    sizes = rng.spawn(1)[0]
    volume = 300.0 * sizes.lognormal(0, 0.1, n) * 2 ** sizes.uniform(0, 1, n)
    rows, offset = [], np.zeros(3)
    parents: dict[int, int] = {}
    resting = rng.uniform(0, 8, n)
    for frame in range(n_frames):
        if frame:
            step = drawn["flow"] * SPACING_UM * _flow(modes, places, frame)
            own = 0.6 * own + 0.8 * rng.normal(0, drawn["wander"] * SPACING_UM, own.shape)
            before = places.copy()
            for _ in range(N_SUBSTEPS):
                places = places + (step + own) / N_SUBSTEPS + _push(places, sister, axis, age, drawn)
            places = before + np.clip(places - before, -SPACING_UM, SPACING_UM)
            offset = offset + drift
            age, resting, volume = age + 1, resting - 1, np.minimum(1.04 * volume, np.maximum(volume, 600.0))
            shown = np.flatnonzero((hidden > 0) & (hidden <= age))
            for new in shown:
                other = sister[new]
                parents |= {n_tracks: track[other], n_tracks + 1: track[other]}
                track[[other, new]] = n_tracks, n_tracks + 1
                n_tracks, hidden[new] = n_tracks + 2, 0.0
            rate = drawn["division_rate"]
            if wave[0]:
                rate *= 0.3 + 4.0 * np.exp(-0.5 * ((frame - wave[1]) / wave[2]) ** 2)
            dividing = np.flatnonzero((rng.random(len(places)) < rate) & (resting <= 0))
            for mother in dividing:
                direction = rng.normal(0, 1, 3) * np.array([0.6, 1, 1])
                direction /= np.linalg.norm(direction)
                apart = drawn["apart"] * SPACING_UM * rng.uniform(0.8, 1.2)
                middle = places[mother] + rng.normal(0, drawn["lopsided"], 3) * apart
                places[mother] = middle - 0.5 * apart * direction
                places = np.concatenate([places, middle[None] + 0.5 * apart * direction])
                late = rng.uniform(0, 2) * drawn["late"]
                if late < 1:
                    parents |= {n_tracks: track[mother], n_tracks + 1: track[mother]}
                    track[mother] = n_tracks
                    track = np.append(track, n_tracks + 1)
                    n_tracks += 2
                else:
                    track = np.append(track, track[mother])
                hidden, share = np.append(hidden, late if late >= 1 else 0.0), np.append(share, rng.uniform(0.0, 0.5))
                sister[mother], age[mother], resting[mother] = len(places) - 1, 0, 10 + int(late)
                sister = np.append(sister, mother)
                axis[mother] = -direction
                axis = np.concatenate([axis, direction[None]])
                age, resting = np.append(age, 0.0), np.append(resting, 10.0 + int(late))
                part = np.clip(sizes.normal(0.5, 0.05), 0.2, 0.8)
                volume = np.append(volume, (1 - part) * volume[mother])
                volume[mother] *= part
                own[mother] *= 0.3
                own = np.concatenate([own, own[mother][None]])
        noise = rng.normal(0, drawn["jitter"] * SPACING_UM, places.shape) * np.array([2.0, 1.0, 1.0])
        centres = places.copy()
        covered = np.flatnonzero(hidden > 0)
        centres[sister[covered]] += share[covered, None] * (places[covered] - places[sister[covered]])
        seen = rng.permutation(np.flatnonzero((rng.random(len(places)) >= drawn["missing"]) & (hidden == 0)))
        measured = volume.copy()
        measured[sister[covered]] += volume[covered]
        measured = 400.0 * (measured / 400.0) ** drawn["size_power"]
        measured *= sizes.lognormal(0, drawn["size_noise"], len(measured))
        rows.append(
            pd.DataFrame((centres + noise + offset)[seen], columns=["z_um", "y_um", "x_um"]).assign(
                frame=frame, label=np.arange(len(seen)) + 1, track=track[seen], volume_um3=measured[seen]
            )
        )
    table = pd.concat(rows, ignore_index=True)
    if not drawn["size_noise"]:
        table = table.drop(columns="volume_um3")
    return Lineage(table.drop(columns="track"), _links(table, parents))


def _modes(size: Float, rng: np.random.Generator) -> list[tuple[Float, Float, float, float]]:
    """Waves of motion about as long as the tissue: wave vector, amplitude, phase, frequency."""
    return [
        (
            rng.normal(0, 1, 3) * 2 * np.pi / (1.5 * size.max()),
            rng.normal(0, 1, 3) * np.array([0.4, 1, 1]) / np.sqrt(2),
            float(rng.uniform(0, 2 * np.pi)),
            float(rng.normal(0, 0.15)),
        )
        for _ in range(4)
    ]


def _flow(modes: list[tuple[Float, Float, float, float]], places: Float, frame: float) -> Float:
    """(n, 3): common motion, about 1 long."""
    return sum(
        amplitude * np.cos(places @ vector + phase + frequency * frame)[:, None] / np.sqrt(len(modes)) * 1.2
        for vector, amplitude, phase, frequency in modes
    )  # type: ignore[return-value]


def _push(places: Float, sister: NDArray[np.int64], axis: Float, age: Float, drawn: dict[str, float]) -> Float:
    """(n, 3): neighbours push each other apart, new daughters move apart along their axis."""
    pairs = cKDTree(places).query_pairs(SPACING_UM, output_type="ndarray")
    a, b = pairs.T
    line = places[b] - places[a]
    distance = np.linalg.norm(line, axis=1)
    reach = np.full(len(pairs), SPACING_UM)
    young = (sister[a] == b) & (sister[b] == a) & (age[a] < 8)
    reach[young] = 0.0
    push = 0.12 * np.maximum(reach - distance, 0) / np.maximum(distance, 1e-6)
    move = np.zeros_like(places)
    np.add.at(move, a, -push[:, None] * line)
    np.add.at(move, b, push[:, None] * line)
    rest = (0.95 - drawn["apart"]) * SPACING_UM
    speed = 0.5 * rest / drawn["growth"] * np.exp(-age / drawn["growth"]) / N_SUBSTEPS
    return move + np.where(age < 8, speed, 0.0)[:, None] * axis


def _relaxed(places: Float, size: Float, n: int) -> Float:
    """Places that are about evenly apart."""
    none = np.full(len(places), -1)
    still = {"apart": 0.95, "growth": 1.0}
    for _ in range(n):
        places = places + 2.0 * _push(places, none, np.zeros_like(places), np.full(len(places), 9.0), still)
        places = np.clip(places, -0.5 * size, 0.5 * size)
    return places


def _links(table: pd.DataFrame, parents: dict[int, int]) -> set[tuple[int, int]]:
    rows = {int(track): part.index.tolist() for track, part in table.groupby("track")}
    links = {(a, b) for row in rows.values() for a, b in itertools.pairwise(row)}
    return links | {(rows[old][-1], rows[new][0]) for new, old in parents.items() if old in rows and new in rows}


def links_of(table: pd.DataFrame, tracks: Tracks) -> set[tuple[int, int]]:
    """Links of tracks, as rows of the table that was tracked."""
    rows = {int(track): part.index.to_numpy() for track, part in table.groupby(tracks.objects["track_id"].to_numpy())}
    ordered = {track: row[np.argsort(table["frame"].to_numpy()[row])].tolist() for track, row in rows.items()}
    links = {(a, b) for row in ordered.values() for a, b in itertools.pairwise(row)}
    born = tracks.tracks[tracks.tracks["parent_id"] > 0]
    pairs = zip(born["track_id"], born["parent_id"], strict=True)
    return links | {(ordered[int(old)][-1], ordered[int(new)][0]) for new, old in pairs}


def divisions_of(links: Iterable[tuple[int, int]]) -> set[tuple[int, tuple[int, ...]]]:
    """Mothers with both daughters."""
    after: dict[int, list[int]] = {}
    for a, b in links:
        after.setdefault(a, []).append(b)
    return {(a, tuple(sorted(found))) for a, found in after.items() if len(found) == 2}


def f1(truth: set, found: set) -> float:  # type: ignore[type-arg]
    """Twice the common ones over all; 1 where both are empty."""
    return 2 * len(truth & found) / (len(truth) + len(found)) if truth or found else 1.0


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Simulated lineages of a tissue, linked again.")
    parser.add_argument("-n", type=int, default=3, help="lineages per kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, nargs="*", default=list(KINDS))
    parser.add_argument("-o", "--output", type=Path, help="table of all lineages, CSV")
    options = parser.parse_args(argv)
    rows = []
    for kind in options.kind:
        for number in range(options.n):
            rng = np.random.default_rng([options.seed, list(KINDS).index(kind), number])
            lineage = simulate(KINDS[kind], rng)
            found = links_of(lineage.table, track_objects(lineage.table))
            true_divisions, divisions = divisions_of(lineage.links), divisions_of(found)
            rows.append(
                {
                    "kind": kind,
                    "number": number,
                    "n_positions": len(lineage.table),
                    "n_divisions": len(true_divisions),
                    "link_f1": f1(lineage.links, found),
                    "division_f1": f1(true_divisions, divisions),
                    "n_found": len(divisions),
                    "n_right": len(divisions & true_divisions),
                }
            )
    table = pd.DataFrame(rows)
    if options.output:
        table.to_csv(options.output, index=False)
    groups = table.groupby("kind", sort=False)
    mean = groups[["n_positions", "n_divisions", "link_f1"]].mean()
    total = groups[["n_divisions", "n_found", "n_right"]].sum()
    mean["division_f1"] = 2 * total["n_right"] / (total["n_divisions"] + total["n_found"])
    print(mean.round(4).to_string())


if __name__ == "__main__":
    main()
