"""``tomocyte consensus``: the labels of several annotators compared, and made one label image."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tomocyte.cli.options import (
    AxesOption,
    DatasetOption,
    DebugOption,
    LabelTableOption,
    PixelSizeOption,
    VoxelSizeOption,
    voxel_size,
)

if TYPE_CHECKING:
    from tomocyte.runs.consensus import Consensus


def consensus(
    annotations: Annotated[
        list[Path], typer.Argument(help="Label images of one image, one per annotator.", metavar="LABELS...")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the label images and tables.")
    ] = None,
    classes: Annotated[
        bool | None,
        typer.Option(
            "--classes/--instances",
            help="Whether a number means the same in all files, or is an object with a number of its file's own. "
            "Default: classes where all labels have names, or there is only one.",
        ),
    ] = None,
    min_agreement: Annotated[
        float,
        typer.Option(
            "--min-agreement",
            min=0.5,
            max=1.0,
            help="Share of the annotators who must agree on a voxel, above 0.5, or it is ignored.",
        ),
    ] = 1.0,
    min_iou: Annotated[
        float, typer.Option("--min-iou", min=0.0, max=1.0, help="Overlap (IoU) from which two objects are the same.")
    ] = 0.5,
    surfaces: Annotated[
        bool, typer.Option("--surfaces/--no-surfaces", help="Distances between surfaces, which take most of the time.")
    ] = True,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    axes: AxesOption = None,
    label_table: LabelTableOption = None,
    dataset: DatasetOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare the files and print the scores; write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; all else on stderr.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Compare the labels of several annotators, and make one label image of them.

    Written are majority.ome.tif (the label of most), staple.ome.tif (the most probable label, with the reliability of
    each annotator) and agreed.ome.tif, in which voxels that not enough agree on have the ignore label, for training;
    pairs.csv with the scores of each pair and annotators.csv with sensitivity and specificity.
    """
    from tomocyte.cli.progress import count_progress
    from tomocyte.formats import ReadOptions
    from tomocyte.runs.consensus import ConsensusSettings, consensus_of_files
    from tomocyte.settings import build_settings

    settings = build_settings(
        ConsensusSettings,
        {
            "kind": None if classes is None else "classes" if classes else "instances",
            "min_agreement": min_agreement,
            "min_iou": min_iou,
            "is_surface_scored": surfaces,
        },
    )
    with count_progress("consensus", None) as bar:

        def callback(n_done: int, n_steps: int) -> None:
            bar.set_total(n_steps)
            bar.set_done(n_done)

        found = consensus_of_files(
            annotations,
            None if dry_run else output,
            settings,
            options=ReadOptions(voxel_size(voxel_size_um, pixel_size_um), axes, None, None, dataset, label_table),
            callback=callback,
        )
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    if not found.is_converged:
        typer.echo("note: STAPLE did not come to an end; its labels are those of its last round.", err=True)
    if as_json:
        typer.echo(json.dumps(_as_json(found), indent=1, ensure_ascii=False))
    else:
        _show(found)
    if output is not None:
        what = f"would write {output}" if dry_run else f"wrote {', '.join(found.files)} in {output}"
        typer.echo(what, err=as_json)


def _show(found: Consensus) -> None:
    """Each pair, each annotator, and how much all agree on."""
    what = "classes, label by label" if found.kind == "classes" else "objects, matched by their overlap"
    typer.echo(f"{found.annotators['annotator'].nunique()} annotators: {what}")
    typer.echo(f"{'dice':>10}{'hd95_um':>10}{'assd_um':>10}{'object_f1':>10}  pair")
    for row in found.pairs.to_dict("records"):
        cells = "".join(f"{_number(row[name]):>10}" for name in ("dice", "hd95_um", "assd_um", "object_f1"))
        typer.echo(f"{cells}  {row['first']} and {row['second']}{_label(found, row['label'], row['name'])}")
    typer.echo(f"{'sensitivity':>12}{'specificity':>12}{'precision':>12}  annotator (by STAPLE)")
    for row in found.annotators.to_dict("records"):
        cells = "".join(f"{_number(row[name]):>12}" for name in ("sensitivity", "specificity", "precision"))
        typer.echo(f"{cells}  {row['annotator']}{_label(found, row['label'], row['name'])}")
    share = found.n_unanimous / found.n_labelled if found.n_labelled else math.nan
    typer.echo(
        f"Of {found.n_labelled} voxels that anybody labelled, all agree on {100 * share:.1f} %; "
        f"{found.n_ignored} are ignored (label {found.ignore_label})."
    )


def _label(found: Consensus, label: int, name: str) -> str:
    if found.kind == "instances":
        return ""
    return f", label {label}{f' ({name})' if name else ''}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _as_json(found: Consensus) -> dict[str, object]:
    """What ``--json`` prints; a score without a value is null."""
    tables = {
        name: [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in row.items()
            }
            for row in table.to_dict("records")
        ]
        for name, table in (("pairs", found.pairs), ("annotators", found.annotators))
    }
    counts = {name: getattr(found, name) for name in ("n_voxels", "n_labelled", "n_unanimous", "n_ignored")}
    return {"kind": found.kind, **counts, "ignore_label": found.ignore_label, **tables, "files": list(found.files)}
