"""Cells over time: growth, spreading, migration, lipid droplets, division and death, with an exact lineage.

A time-lapse is the same plans changed from frame to frame, so the truth needs no tracking. To add an
experiment, add a row to :data:`EXPERIMENTS`; to add a change, a field of :class:`MotionSettings` and its line in
:func:`plan_at`.

References
----------
Trends of macrophage activation (volume and surface up, index down, droplets more and larger at the same index,
nucleolus slightly up at first): Choi et al., bioRxiv 2021, Fig. 4. The rates themselves are starting values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings
from tomocyte.simulation.cells.bodies import build_body, lateral_radius_um
from tomocyte.simulation.cells.conservation import swollen, with_mass
from tomocyte.simulation.cells.field import check_count, fill_scene, floor_of, moved, place_bodies, scatter_debris
from tomocyte.simulation.cells.plan import CellPlan, draw_plan
from tomocyte.simulation.cells.presets import cell_line
from tomocyte.simulation.cells.scene import Scene, Vector
from tomocyte.simulation.cells.settings import SceneSettings, shifted
from tomocyte.simulation.cells.shapes import Float, StarBody
from tomocyte.simulation.cells.truth import weigh

if TYPE_CHECKING:
    import pandas as pd

Fate = Literal["stay", "divide", "die"]
_MITOSIS_H = 1.0
_DEATH_H = 3.0
_RESPREAD_H = 2.0
_ROUNDING_H = 0.7
_CYCLE_H = 8.0


class MotionSettings(Settings):
    """How cells change over time; a rate acts over ``duration_h`` and cells differ by ``variation``."""

    time_step_s: float = Field(default=1800.0, gt=0, le=86400)
    """Seconds between frames."""
    duration_h: float = Field(default=8.0, gt=0, le=240)
    """Hours over which the changes below come about."""
    volume_change: float = Field(default=0.08, gt=-0.9, le=4)
    """Change of the cell's volume, as a fraction."""
    height_change: float = Field(default=0.0, gt=-0.9, le=2)
    """Change of the cell's height, as a fraction; a lower cell of the same volume spreads."""
    spread_change: float = Field(default=0.0, ge=-1, le=1)
    """Change of the spread (0 dome, 1 flat with a thin rim)."""
    roughness_change: float = Field(default=0.0, gt=-0.9, le=4)
    """Change of the unevenness and the spikes, as a fraction."""
    nucleus_change: float = Field(default=0.04, gt=-0.9, le=4)
    """Change of the nuclei's volume, as a fraction."""
    nucleolus_change: float = Field(default=0.0, gt=-0.5, le=1)
    """Change of the nucleoli's radius, as a fraction, reached within the first two hours."""
    concentration_change: float = Field(default=0.0, gt=-0.9, le=1)
    """Change of the cytosol's Δn over the medium, as a fraction; the nucleus follows, droplets do not."""
    droplet_change: float = Field(default=0.2, ge=-1, le=20)
    """Change of the number of lipid droplets, as a fraction."""
    droplet_size_change: float = Field(default=0.0, gt=-0.9, le=4)
    """Change of the droplets' radius, as a fraction."""
    speed_um_per_h: float = Field(default=4.0, ge=0, le=200)
    """Speed of migration."""
    persistence_h: float = Field(default=2.0, gt=0, le=100)
    """Time over which a cell keeps its direction."""
    divisions_per_h: float = Field(default=0.02, ge=0, le=1)
    """Rate of division per cell."""
    division_h: float | None = Field(default=None, gt=0, le=240)
    """Hours after which every cell of the first frame divides, after it has rounded up; ``None``: at random, by
    ``divisions_per_h``."""
    deaths_per_h: float = Field(default=0.003, ge=0, le=1)
    """Rate of apoptosis per cell."""
    variation: float = Field(default=0.25, ge=0, le=1)
    """Spread of the changes among cells, as a fraction of each."""
    keeps_mass: bool = False
    """Whether cells keep what they hold: neighbours that press a cell take no volume from it (it bulges elsewhere), its
    dry mass follows its planned volume and concentration in any shape, and daughters weigh what the mother did."""
    least_distance: float = Field(default=0.55, ge=0, le=3)
    """Least distance of two centres over the sum of both radii. Below about 1.25 cells press against each other, and
    what is pressed away is lost from their volume unless they keep it."""
    margin_um: float = Field(default=0.0, ge=0, le=200)
    """Distance in µm that centres keep from the lateral border; a cell's reach, and it stays whole."""


@dataclass(frozen=True)
class Experiment:
    """One row of :data:`EXPERIMENTS`."""

    preset: str
    n_cells: int
    n_frames: int
    motion: MotionSettings
    source: str


_CHOI = "Choi et al., bioRxiv 2021, Fig. 4: 17 frames, 30 min; "
_STILL: dict[str, Any] = {"divisions_per_h": 0.0, "deaths_per_h": 0.0, "speed_um_per_h": 2.0}

EXPERIMENTS: dict[str, Experiment] = {
    "culture": Experiment("HeLa", 4, 17, MotionSettings(), "starting values"),
    "dividing": Experiment(
        "HeLa",
        6,
        17,
        MotionSettings(
            volume_change=0.3,
            nucleus_change=0.3,
            speed_um_per_h=8.0,
            divisions_per_h=0.1,
            deaths_per_h=0.0,
            keeps_mass=True,
        ),
        "a culture after its cycle was halted and released, so that half the cells divide within 7 h; growth doubles a "
        "cell in about 20 h; starting values",
    ),
    "macrophage-control": Experiment(
        "RAW 264.7",
        9,
        17,
        MotionSettings(volume_change=0.02, nucleus_change=0.01, droplet_change=0.1, **_STILL),
        _CHOI + "control, n = 9",
    ),
    "macrophage-lps": Experiment(
        "RAW 264.7",
        12,
        17,
        MotionSettings(
            volume_change=0.4,
            height_change=-0.12,
            spread_change=0.4,
            roughness_change=0.3,
            nucleus_change=0.28,
            nucleolus_change=0.03,
            concentration_change=-0.16,
            droplet_change=2.0,
            droplet_size_change=0.3,
            **_STILL,
        ),
        _CHOI + "LPS, n = 12",
    ),
    "macrophage-lps-24h": Experiment(
        "RAW 264.7",
        2,
        5,
        MotionSettings(
            time_step_s=21600.0,
            duration_h=24.0,
            volume_change=0.8,
            height_change=-0.45,
            spread_change=0.8,
            roughness_change=0.8,
            nucleus_change=0.5,
            nucleolus_change=0.03,
            concentration_change=-0.25,
            droplet_change=3.0,
            droplet_size_change=0.4,
            **_STILL,
        ),
        "Choi et al., bioRxiv 2021, Supplementary Fig. 2: lamellipodia after 24 h; the amounts are starting values",
    ),
}
"""Experiments by name."""


@dataclass
class _Track:
    """One cell from its birth to its end."""

    plan: CellPlan
    place: Float
    birth: int
    fate: Fate
    end: int
    is_daughter: bool = False
    mass_pg: float = 0.0
    """At birth, where cells keep their mass; 0 until it is known."""
    velocity: Float = field(default_factory=lambda: np.zeros(2))


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises
    ------
    SettingsError
        ``E-SIM-EXPERIMENT`` with the valid names.
    """
    if name not in EXPERIMENTS:
        raise SettingsError(
            "E-SIM-EXPERIMENT", f"unknown experiment {name!r}.", cure=f"Known: {', '.join(EXPERIMENTS)}."
        )
    return EXPERIMENTS[name]


def simulate_timelapse(
    preset: str,
    n_frames: int,
    *,
    n_cells: int,
    extent_um: Vector,
    settings: SceneSettings | None = None,
    motion: MotionSettings | None = None,
    rng: np.random.Generator,
) -> tuple[list[Scene], pd.DataFrame]:
    """A field over time.

    Parameters
    ----------
    preset : str
        A cell line.
    n_frames : int
        At least 1.
    n_cells : int
        Cells in the first frame, 1 to 40.
    extent_um : tuple of 3 float
        Size z, y, x of the field in µm.
    settings : SceneSettings, optional
        Ranges of geometry and composition. Mitosis and apoptosis come from ``motion``, not from the shares.
    motion : MotionSettings, optional
        What changes; e.g. ``EXPERIMENTS["macrophage-lps"].motion``.
    rng : numpy Generator

    Returns
    -------
    scenes : list of Scene
        One per frame.
    tracks : DataFrame
        ``track_id``, ``parent_id`` (0 = unknown), ``frame``, ``label``; one row per cell and frame.

    Raises
    ------
    SettingsError
        As :func:`tomocyte.simulation.simulate_scene`, and ``E-SIM-FRAMES`` for less than one frame.
    """
    import pandas as pd

    if n_frames < 1:
        raise SettingsError("E-SIM-FRAMES", f"{n_frames} frames cannot be simulated.", cure="Give at least 1.")
    check_count(n_cells)
    motion = motion or MotionSettings()
    ranges = shifted(settings or SceneSettings()).model_copy(update={"mitotic_share": 0.0, "apoptotic_share": 0.0})
    tracks, floor = _first_tracks(preset, n_cells, extent_um=extent_um, ranges=ranges, motion=motion, rng=rng)
    medium_ri = tracks[0].plan.composition.medium_ri
    debris = scatter_debris(extent_um, settings=ranges, medium_ri=medium_ri, rng=rng)
    texture_seed = int(rng.integers(2**63))
    scenes, rows = [], []
    for frame in range(n_frames):
        if frame:
            tracks = _next_frame(tracks, frame, motion=motion, extent_um=extent_um, ranges=ranges)
        if not tracks:
            raise SettingsError("E-SIM-FRAMES", f"every cell has died by frame {frame}.", cure="Lower deaths_per_h.")
        plans = [
            plan_at(
                track.plan,
                frame - track.birth,
                motion,
                fate=track.fate,
                n_frames_left=track.end - frame,
                is_daughter=track.is_daughter,
            )
            for track in tracks
        ]
        bodies = [build_body(plan) for plan in plans]
        _push_apart(tracks, bodies, motion, np.array(extent_um[1:]))
        places = [track.place for track in tracks]
        placed = [moved(body, place, floor) for body, place in zip(bodies, places, strict=True)]
        scene = fill_scene(
            plans,
            swollen(plans, placed, places, floor) if motion.keeps_mass else placed,
            extent_um=extent_um,
            texture_seed=texture_seed,
            debris=debris,
            frame=frame,
            time_s=frame * motion.time_step_s,
        )
        scenes.append(_weighed(scene, tracks, plans) if motion.keeps_mass else scene)
        rows += [
            (track.plan.track_id, track.plan.parent_id, frame, label) for label, track in enumerate(tracks, start=1)
        ]
    return scenes, pd.DataFrame(rows, columns=["track_id", "parent_id", "frame", "label"])


def _weighed(scene: Scene, tracks: list[_Track], plans: list[CellPlan]) -> Scene:
    """The scene with every living cell at the mass that its track has at this time."""
    cells = []
    for cell, track, plan in zip(scene.cells, tracks, plans, strict=True):
        weighed = weigh(scene, cell)
        if not track.mass_pg:
            track.mass_pg = weighed[0] / _gain(track.plan, plan)
        is_alive = plan.kind != "apoptotic"
        cells.append(with_mass(cell, weighed, track.mass_pg * _gain(track.plan, plan)) if is_alive else cell)
    return replace(scene, cells=tuple(cells))


def _gain(birth: CellPlan, now: CellPlan) -> float:
    """Planned mass over that at birth: volume times concentration."""
    thinner = [plan.composition.cytosol_ri - plan.composition.medium_ri for plan in (now, birth)]
    return now.volume_um3 / birth.volume_um3 * thinner[0] / thinner[1]


def plan_at(
    plan: CellPlan,
    n_frames: int,
    motion: MotionSettings,
    *,
    fate: Fate = "stay",
    n_frames_left: int = 0,
    is_daughter: bool = False,
) -> CellPlan:
    """The plan after some frames.

    Parameters
    ----------
    plan : CellPlan
        At birth.
    n_frames : int
        Frames since birth.
    motion : MotionSettings
    fate : {"stay", "divide", "die"}
        How the cell will end.
    n_frames_left : int
        Frames until then.
    is_daughter : bool
        Whether the cell was born by division.
    """
    hours = n_frames * motion.time_step_s / 3600.0
    part = min(hours / motion.duration_h, 1.0)
    own = np.exp(plan.stream("motion").normal(0, motion.variation, 10))
    enlargement = 1.0 + motion.volume_change * own[0] * part
    nucleus = 1.0 + motion.nucleus_change * own[1] * part
    thinner = max(1.0 + motion.concentration_change * own[2] * part, 0.1)
    mix = plan.composition
    spread = float(np.clip(plan.spread + motion.spread_change * own[3] * part, 0.0, 1.0))
    height = plan.height_um * max(1.0 + motion.height_change * own[4] * part, 0.2)
    if is_daughter:  # a daughter is round at first
        young = float(np.exp(-hours / _RESPREAD_H))
        round_um = (6.0 * plan.volume_um3 / np.pi) ** (1 / 3)
        spread, height = spread * (1.0 - young), height + young * 0.8 * max(round_um - height, 0.0)
    changed = replace(
        plan,
        volume_um3=plan.volume_um3 * enlargement,
        height_um=height,
        spread=spread,
        angle=plan.angle + 0.05 * hours * (own[5] - 1.0),
        roughness=plan.roughness * (1.0 + motion.roughness_change * own[6] * part),
        nucleus_share=plan.nucleus_share * nucleus / enlargement,
        nucleolus_scale=plan.nucleolus_scale * (1.0 + motion.nucleolus_change * (1.0 - np.exp(-hours / 0.7))),
        n_droplets=round(
            (plan.n_droplets + (motion.droplet_change > 0)) * (1.0 + motion.droplet_change * own[7] * part)
        ),
        droplet_scale=plan.droplet_scale * (1.0 + motion.droplet_size_change * own[8] * part),
        composition=replace(mix, cytosol_ri=mix.medium_ri + thinner * (mix.cytosol_ri - mix.medium_ri)),
    )
    left_h = n_frames_left * motion.time_step_s / 3600.0
    if fate == "divide" and motion.division_h is not None and not is_daughter:
        changed = _rounding_up(changed, left_h)
    if fate == "divide" and left_h <= _MITOSIS_H:
        return replace(changed, kind="mitotic", n_nuclei=1, stage=float(1.0 - left_h / (_MITOSIS_H + 1e-9)))
    if fate == "die" and left_h <= _DEATH_H:
        return replace(changed, kind="apoptotic", stage=float(1.0 - left_h / (_DEATH_H + 1e-9)))
    return changed


def _rounding_up(plan: CellPlan, left_h: float) -> CellPlan:
    """The plan on its way to a ball, which it is when mitosis begins."""
    share = float(np.clip(1.0 - (left_h - _MITOSIS_H) / _ROUNDING_H, 0.0, 1.0))
    round_um = (6.0 * plan.volume_um3 / np.pi) ** (1 / 3)
    height = plan.height_um + share * 0.7 * max(round_um - plan.height_um, 0.0)
    return replace(plan, height_um=height, spread=plan.spread * (1.0 - share))


def _first_tracks(
    preset: str,
    n_cells: int,
    *,
    extent_um: Vector,
    ranges: SceneSettings,
    motion: MotionSettings,
    rng: np.random.Generator,
) -> tuple[list[_Track], float]:
    line = cell_line(preset)
    seeds = rng.integers(2**63, size=n_cells)
    medium_ri = float(rng.uniform(*ranges.medium_ri))
    plans = [
        draw_plan(line, ranges, seed=int(seed), medium_ri=medium_ri, track_id=number)
        for number, seed in enumerate(seeds, start=1)
    ]
    placed = place_bodies(plans, extent_um, settings=ranges, rng=rng)
    tallest = (
        [build_body(replace(plan, kind="mitotic")) for plan in plans]
        if motion.divisions_per_h or motion.division_h
        else []
    )
    floor = floor_of([build_body(plan) for plan in plans] + tallest, extent_um, ranges)
    tracks = []
    for plan, body in zip(plans, placed, strict=True):
        fate, end = _draw_fate(plan, 0, motion)
        tracks.append(_Track(plan, body.centre_um[1:].copy(), 0, fate, end))
    return tracks, floor


def _draw_fate(plan: CellPlan, birth: int, motion: MotionSettings) -> tuple[Fate, int]:
    """The cell's fate, and the first frame without it."""
    rng = np.random.default_rng(plan.stream("motion").integers(2**63))
    step_h = motion.time_step_s / 3600.0
    if motion.division_h is not None and birth == 0:
        return "divide", max(round(motion.division_h / step_h), 1)
    waits = rng.exponential(1.0, 2) / np.maximum([motion.divisions_per_h, motion.deaths_per_h], 1e-12)
    waits += [_CYCLE_H * (birth > 0), _DEATH_H]  # a daughter does not divide again at once
    first = int(np.argmin(waits))
    fates: tuple[Fate, Fate] = ("divide", "die")
    return fates[first], birth + 1 + int(min(waits[first] / step_h, 1e6))


def _next_frame(
    tracks: list[_Track], frame: int, *, motion: MotionSettings, extent_um: Vector, ranges: SceneSettings
) -> list[_Track]:
    """Tracks of the frame: moved, divided, or ended."""
    last_id = max(track.plan.track_id for track in tracks)
    result: list[_Track] = []
    for track in tracks:
        _step(track, frame, motion, np.array(extent_um[1:]))
        if frame < track.end:
            result.append(track)
        elif track.fate == "divide":
            result += _daughters(track, frame, motion=motion, ranges=ranges, first_id=last_id + 1)
            last_id += 2
    return result


def _step(track: _Track, frame: int, motion: MotionSettings, lateral: Float) -> None:
    rng = np.random.default_rng(np.random.SeedSequence(track.plan.seed, spawn_key=(1000 + frame,)))
    step_h = motion.time_step_s / 3600.0
    keep = float(np.exp(-step_h / motion.persistence_h))
    kick = rng.normal(size=2) * motion.speed_um_per_h / np.sqrt(2.0)
    is_first = not track.velocity.any()
    track.velocity = kick if is_first else keep * track.velocity + np.sqrt(1 - keep**2) * kick
    moved_to = track.place + track.velocity * step_h
    low, high = _inner(motion, lateral)
    is_out = (moved_to < low) | (moved_to > high)
    track.velocity = np.where(is_out, -track.velocity, track.velocity)
    track.place = np.clip(moved_to, low, high)


def _inner(motion: MotionSettings, lateral: Float) -> tuple[Float, Float]:
    """Lowest and highest place (y, x) of a centre."""
    inset = np.minimum(motion.margin_um, 0.5 * lateral)
    return inset, lateral - inset


def _daughters(
    mother: _Track, frame: int, *, motion: MotionSettings, ranges: SceneSettings, first_id: int
) -> list[_Track]:
    """Two cells of half the volume, apart along the division's axis."""
    last = plan_at(mother.plan, frame - mother.birth, motion)
    axis = np.array([np.sin(last.angle), np.cos(last.angle)])
    apart = 0.55 * (3 * last.volume_um3 / (8 * np.pi)) ** (1 / 3) * 2.0
    seeds = mother.plan.stream("plan").integers(2**63, size=2)
    share = 0.5 + 0.04 * (mother.plan.stream("plan").random() - 0.5)
    pair = []
    for number, (seed, part) in enumerate(zip(seeds, (share, 1.0 - share), strict=True)):
        fresh = draw_plan(
            last.line, ranges, seed=int(seed), medium_ri=last.composition.medium_ri, track_id=first_id + number
        )
        plan = replace(
            fresh,
            parent_id=last.track_id,
            volume_um3=last.volume_um3 * part,
            height_um=last.height_um * 0.9,
            n_droplets=last.n_droplets // 2,
            droplet_scale=last.droplet_scale,
            composition=last.composition,
        )
        fate, end = _draw_fate(plan, frame, motion)
        mass_pg = part * mother.mass_pg * _gain(mother.plan, last)
        place = mother.place + (0.5 - number) * apart * axis
        velocity = mother.velocity.copy()
        pair.append(_Track(plan, place, frame, fate, end, is_daughter=True, mass_pg=mass_pg, velocity=velocity))
    return pair


def _push_apart(tracks: list[_Track], bodies: list[StarBody], motion: MotionSettings, lateral: Float) -> None:
    """Move centres that came too close, so that every cell keeps room for its nucleus."""
    radii = [lateral_radius_um(body) for body in bodies]
    for _ in range(12):
        for i, first in enumerate(tracks):
            for j, second in enumerate(tracks[:i]):
                least = motion.least_distance * (radii[i] + radii[j])
                away = first.place - second.place
                far = float(np.linalg.norm(away))
                if far < least:
                    unit = away / far if far > 1e-9 else np.array([1.0, 0.0])
                    first.place = first.place + 0.5 * (least - far) * unit
                    second.place = second.place - 0.5 * (least - far) * unit
        if motion.margin_um > 0:
            for track in tracks:
                track.place = np.clip(track.place, *_inner(motion, lateral))
