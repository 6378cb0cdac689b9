"""Simulated films with divisions and contacts, tracked and scored by py-ctcmetrics: DET, LNK, TRA, F1 of divisions.

    tomocyte simulate odt --experiment dividing --shape 64 256 256 -n 3 --seed 1 -o films
    tomocyte run films/items/*/*.ome.tif -m odt -o analysed --set tracking.has_repairs=false
    python benchmarks/films.py --films films --runs analysed

Each film is tracked from the truth's masks and from those of ``tomocyte run``, each with dry mass and without, and with
what the segmentation merged or cut repaired and not. Truth and results are label images with numbers of tracks and a
table of the Cell Tracking Challenge. Cells smaller in the field than the smallest that ``tomocyte run`` reports are not
annotated. ``--every 2`` takes every second voxel of each axis, which is eight times faster. The scores of several films
are those of all their objects and links together.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from ctc_metrics.scripts.evaluate import calculate_metrics
from numpy.typing import NDArray

from tomocyte.datasets.labelled import find_items
from tomocyte.formats import read_volume
from tomocyte.labels.dtypes import refit
from tomocyte.labels.stack import LabelStack
from tomocyte.structures import structure
from tomocyte.tracking import Relabeller, TrackingSettings, Tracks
from tomocyte.tracking.files import write_ctc_table
from tomocyte.tracking.files.graph import TrackedObjects
from tomocyte.tracking.graph import Repair
from tomocyte.tracking.lineage import tracks_of
from tomocyte.tracking.link import link_objects
from tomocyte.tracking.objects import MASSES, objects_of_table
from tomocyte.tracking.overlaps import count_overlaps
from tomocyte.tracking.repair import repair_links
from tomocyte.volume import Volume

COUNTS = ("AOGM", "AOGM_0", "AOGM_NS", "AOGM_FN", "AOGM_FP", "AOGM_ED", "AOGM_EA", "AOGM_EC")
"""What it costs to change a result into the truth, and its parts: merged, missing and false objects; false, missing and
wrong links."""
TOLERANCES = (0, 1, 2)
"""Frames by which a division may be early or late."""
VARIANTS = {
    "": (True, True),
    "without dry mass": (False, True),
    "without repair": (True, False),
    "without both": (False, False),
}
"""Name -> whether dry mass counts, whether what was merged or cut is repaired."""


@dataclass(frozen=True, eq=False)
class Sequence:
    """Masks with numbers of tracks, and who came from whom.

    Parameters
    ----------
    masks : callable
        Frame -> labels (Z, Y, X).
    n_frames : int
    lines : (n, 4) int
        Label, first and last frame, parent (0 for none), as in ``res_track.txt``.
    """

    masks: Callable[[int], NDArray[Any]]
    n_frames: int
    lines: NDArray[np.int64]


def sequence_of(numbered: Iterable[NDArray[Any]], parents: dict[int, int], smallest_voxels: int = 0) -> Sequence:
    """Frames of label images whose values are numbers of tracks, as the Cell Tracking Challenge wants them.

    Parameters
    ----------
    numbered : iterable of (Z, Y, X) int
    parents : dict
        Track -> its mother, 0 for none.
    smallest_voxels : int
        Smaller objects become background.
    """
    kept, rows = [], []
    for frame, image in enumerate(numbered):
        tracks, n_voxels = np.unique(image[image > 0], return_counts=True)
        small = tracks[n_voxels < smallest_voxels]
        kept.append(np.where(np.isin(image, small), 0, image) if len(small) else image)
        rows += [(frame, int(track), parents.get(int(track), 0)) for track in tracks[n_voxels >= smallest_voxels]]
    table = pd.DataFrame(rows, columns=["frame", "track_id", "parent_id"])
    table.loc[~table["parent_id"].isin(table["track_id"]), "parent_id"] = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "res_track.txt"
        numbers = write_ctc_table(TrackedObjects(table, np.zeros((0, 2), np.int64)), path)
        lines = np.loadtxt(path, dtype=np.int64, ndmin=2)
    stack = LabelStack(kept[0].shape)
    for frame, image in enumerate(kept):
        new = np.zeros(int(image.max(initial=0)) + 1, np.uint32)
        for (other, track), label in numbers.items():
            if other == frame:
                new[track] = label
        stack.append(refit(new[image]))
    volume = stack.volume()
    return Sequence(lambda frame: volume.planes(frame, 0), len(kept), lines)


def match(truth: NDArray[Any], result: NDArray[Any]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Labels of both, and those that belong together: a result that covers more than half of a true object."""
    reference, n_voxels = np.unique(truth[truth > 0], return_counts=True)
    computed = np.unique(result[result > 0])
    both = (truth > 0) & (result > 0)
    pairs, common = np.unique(np.stack([truth[both], result[both]]).astype(np.int64), axis=1, return_counts=True)
    covers = common > 0.5 * n_voxels[np.searchsorted(reference, pairs[0])]
    return reference.tolist(), computed.tolist(), pairs[0, covers].tolist(), pairs[1, covers].tolist()


def score(truth: Sequence, result: Sequence) -> dict[str, float]:
    """What py-ctcmetrics says of a result."""
    matches = [match(truth.masks(frame), result.masks(frame)) for frame in range(truth.n_frames)]
    names = ("labels_ref", "labels_comp", "mapped_ref", "mapped_comp")
    together = {name: [one[place] for one in matches] for place, name in enumerate(names)}
    metrics = ["DET", "LNK", "TRA", "BC"]
    return dict(calculate_metrics(result.lines, truth.lines, together, {}, metrics, is_valid=True))


def write_challenge(sequence: Sequence, folder: Path, table: str, prefix: str) -> None:
    """Write masks and lineage as the Cell Tracking Challenge lays them out: a 16-bit TIFF per frame and the table."""
    folder.mkdir(parents=True)
    for frame in range(sequence.n_frames):
        image = sequence.masks(frame).astype(np.uint16)
        tifffile.imwrite(folder / f"{prefix}{frame:03d}.tif", image, photometric="minisblack", compression="zlib")
    np.savetxt(folder / table, sequence.lines, fmt="%d")


def truth_of(labels: Volume, tracks: pd.DataFrame) -> Sequence:
    """The true masks with the numbers of tracks, and the lineage."""
    size = labels.require_voxel_size()
    number = {(f, n): t for f, n, t in tracks[["frame", "label", "track_id"]].itertuples(index=False)}
    smallest = int(np.ceil(structure("cell").smallest_um3 / float(np.prod(size))))
    parents = dict(zip(tracks["track_id"].tolist(), tracks["parent_id"].tolist(), strict=True))

    def frames() -> Iterable[NDArray[Any]]:
        for frame in range(labels.n_frames):
            image = refit(labels.planes(frame, 0))
            new = np.array([number.get((frame, label), 0) for label in range(int(image.max(initial=0)) + 1)])
            yield new[image]

    return sequence_of(frames(), parents, smallest)


def track(table: pd.DataFrame, labels: Volume, *, has_mass: bool, is_repaired: bool) -> tuple[Tracks, Any]:
    """What ``tomocyte run`` does, with and without dry mass, and without the repair."""
    size = labels.require_voxel_size()
    extent = tuple(n * step for n, step in zip(labels.spatial_shape, size, strict=True))
    known = table if has_mass else table.drop(columns=list(MASSES), errors="ignore")
    objects = objects_of_table(known, extent_um=extent)
    overlaps = count_overlaps(objects, ((frame, refit(labels.planes(frame, 0))) for frame in range(labels.n_frames)))
    settings = TrackingSettings()
    links = link_objects(objects, settings, overlaps=overlaps)
    repair = repair_links(objects, links, settings, overlaps=overlaps) if is_repaired else Repair(links, {}, {})
    return tracks_of(objects, repair), links.scales


def result_of(tracks: Tracks, labels: Volume) -> Sequence:
    """Masks with the numbers of tracks, and the lineage that was found."""
    relabeller = Relabeller(tracks)
    frames = (relabeller.frame(frame, refit(labels.planes(frame, 0))) for frame in range(labels.n_frames))
    parents = zip(tracks.tracks["track_id"].tolist(), tracks.tracks["parent_id"].tolist(), strict=True)
    return sequence_of(frames, dict(parents))


def thinned(volume: Volume, every: int) -> Volume:
    """Every n-th voxel of each axis."""
    if every == 1:
        return volume
    kept = [volume.planes(frame, 0)[::every, ::every, ::every] for frame in range(volume.n_frames)]
    size = tuple(every * step for step in volume.require_voxel_size())
    return Volume.from_array(np.stack(kept)[:, None], voxel_size_um=size)


def true_table(truth: pd.DataFrame, labels: Volume) -> pd.DataFrame:
    """Exact places, volumes and masses of the cells that the true masks show."""
    cells = truth[truth["structure"] == "cell"].rename(columns={"is_cut": "is_cut_lateral"})
    present = [np.unique(labels.planes(frame, 0)).tolist() for frame in range(labels.n_frames)]
    shown = {(frame, label) for frame, numbers in enumerate(present) for label in numbers}
    is_shown = [place in shown for place in zip(cells["frame"].tolist(), cells["label"].tolist(), strict=True)]
    names = ["frame", "label", "z_um", "y_um", "x_um", "volume_um3", "dry_mass_pg", "is_cut_lateral"]
    return cells.loc[is_shown, names].reset_index(drop=True)


def pooled(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per variant: the costs of all films over those of making them from nothing, all divisions together."""
    rows = []
    for name, part in scores.groupby("tracked", sort=False):
        total = part.select_dtypes("number").sum()
        row: dict[str, Any] = {"tracked": name, "n_films": len(part), "n_divisions": int(total["gt_divisions"])}
        row["TRA"] = 1.0 - total["AOGM"] / total["AOGM_0"]
        row |= {measure: part[measure].mean() for measure in ("DET", "LNK")}
        for frames in TOLERANCES:
            right, false, missing = (total[f"{kind}_div({frames})"] for kind in ("tp", "fp", "fn"))
            row[f"division F1 ({frames})"] = 2.0 * right / max(2.0 * right + false + missing, 1.0)
        rows.append(row | {name.removeprefix("AOGM_"): int(total[name]) for name in COUNTS[2:]})
    return pd.DataFrame(rows)


def score_film(
    labels: Volume, tracks: pd.DataFrame, sources: dict[str, tuple[pd.DataFrame, Volume]], folder: Path | None = None
) -> pd.DataFrame:
    """Scores of one film: each source of masks and numbers, in each variant; masks and lineages go to the folder."""
    truth = truth_of(labels, tracks)
    if folder is not None:
        write_challenge(truth, folder / "01_GT" / "TRA", "man_track.txt", "man_track")
    rows = []
    for source, (table, masks) in sources.items():
        for variant, (has_mass, is_repaired) in VARIANTS.items():
            found, _ = track(table, masks, has_mass=has_mass, is_repaired=is_repaired)
            name = ", ".join(part for part in (source, variant) if part)
            result = result_of(found, masks)
            rows.append({"tracked": name, **score(truth, result)})
            if folder is not None:
                write_challenge(result, folder / name.replace(", ", "-").replace(" ", "-"), "res_track.txt", "mask")
    return pd.DataFrame(rows)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", required=True, help="folders of tomocyte simulate")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="folders of tomocyte run on them")
    parser.add_argument("--every", type=int, default=1, help="take every n-th voxel of each axis")
    parser.add_argument("-o", "--output", type=Path, help="CSV with the scores of each film")
    parser.add_argument("--challenge", type=Path, help="new folder for all masks and lineages, as the challenge wants")
    options = parser.parse_args(arguments)
    runs = {}
    for folder in options.runs:
        cells = pd.read_csv(folder / "objects.csv", low_memory=False).query("structure == 'cell'")
        runs |= {item: (folder, part.reset_index(drop=True)) for item, part in cells.groupby("item")}
    parts = []
    for item in (item for folder in options.films for item in find_items(folder)):
        labels = thinned(read_volume(item.labels["cell"]), options.every)
        sources = {"true masks": (true_table(pd.read_parquet(item.truth), labels), labels)}
        if item.name in runs:
            folder, table = runs[item.name]
            masks = read_volume(folder / "items" / item.name / "cell.ome.tif")
            sources["tomocyte run"] = (table, thinned(masks, options.every))
        written = options.challenge / item.name if options.challenge else None
        part = score_film(labels, pd.read_parquet(item.tracks), sources, written)
        parts.append(part.assign(film=item.name))
        print(pooled(part).assign(film=item.name).to_string(index=False), flush=True)
    scores = pd.concat(parts, ignore_index=True)
    if options.output:
        scores.to_csv(options.output, index=False)
    print("\nall films")
    print(pooled(scores).to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main(sys.argv[1:])
