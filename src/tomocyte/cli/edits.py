"""``tomocyte edits``: corrections made in another program, as edits and as training images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tomocyte.cli.listings import ListingCommand, LongCommand
from tomocyte.cli.options import DebugOption

if TYPE_CHECKING:
    from tomocyte.corrections.edits import EditList

app = typer.Typer(
    help="Use results that you corrected by hand: apply the corrections, train on them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
RunArgument = Annotated[Path, typer.Argument(help="Output folder of `tomocyte run`.", metavar="RUN")]
ItemArgument = Annotated[
    str, typer.Argument(help="Name of the input, as in the column `item` of the tables.", metavar="ITEM")
]


@app.command("from-labels", cls=ListingCommand, short_help="Turn corrected labels into edits.")
def from_labels(
    run: RunArgument,
    item: ItemArgument,
    structure: Annotated[str, typer.Option("--structure", help="Which structure was corrected: cell, nucleus, …")],
    corrected: Annotated[Path, typer.Option("--corrected", help="The corrected label image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, e.g. edits.yaml.")],
    frame: Annotated[
        int | None,
        typer.Option("--frame", help="The only frame in the corrected image, from 0. Default: all frames.", min=0),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to the edits in an existing output file.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Compare the labels of a run with a label image that you corrected in napari, Fiji or elsewhere; write the edits.

    Save the corrected label image under a new name and with the same size. Deletions, merges, splits, new objects and
    new numbers are recognised; every other change is written as a repaint. Then run again with --edits.
    """
    from tomocyte.corrections.files import edits_as_yaml
    from tomocyte.corrections.from_labels import edits_from_labels, finished_item
    from tomocyte.ledger.atomic import write_atomic

    edits = _pending(output, item, append=append)
    derived = edits_from_labels(finished_item(run, item), structure, corrected, frame=frame, pending=edits.get(item))
    for note in derived.notes:
        typer.echo(f"note: {note}", err=True)
    if not derived.new:
        typer.echo(f"the labels of {structure} are the same as in the run: nothing to write.")
        return
    edits[item] = derived.edits
    write_atomic(output, edits_as_yaml(edits).encode("utf-8"))
    counts = Counter(edit.do for edit in derived.new)
    typer.echo(f"{', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}: wrote {output}")


@app.command("add", cls=ListingCommand, short_help="Correct who becomes whom over time.")
def add(
    run: RunArgument,
    item: ItemArgument,
    edit: Annotated[
        Literal["link", "unlink", "division", "death"], typer.Argument(help="What to correct.", metavar="EDIT")
    ],
    frame: Annotated[int, typer.Option("--frame", help="Frame of the object, from 0.", min=0)],
    label: Annotated[int, typer.Option("--object", help="Label of the object in this frame.", min=1)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, e.g. edits.yaml.")],
    later: Annotated[
        list[int] | None,
        typer.Option("--to", help="Label of the later object; of a division repeated for each daughter.", min=1),
    ] = None,
    to_frame: Annotated[
        int | None, typer.Option("--to-frame", help="Frame of the later objects. Default: the next one.", min=1)
    ] = None,
    note: Annotated[str, typer.Option("--note", help="The reason, for the log.")] = "",
    append: Annotated[bool, typer.Option("--append", help="Add to the edits in an existing output file.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Write an edit of the tracks of a run; then run again with --edits.

    EDIT is link (the object goes on as --to), unlink (its track ends here; with --to only that link is cut), division
    (it divides into --to and --to) or death (this is the last frame in which it lives).
    """
    from tomocyte.corrections.files import edits_as_yaml
    from tomocyte.corrections.from_labels import finished_item
    from tomocyte.corrections.links import link_edit, with_edit
    from tomocyte.ledger.atomic import write_atomic

    edits = _pending(output, item, append=append)
    finished = finished_item(run, item)
    new = link_edit(finished, edit, frame=frame, label=label, later=later or (), to_frame=to_frame, note=note)
    edits[item] = with_edit(finished, new, edits.get(item))
    write_atomic(output, edits_as_yaml(edits).encode("utf-8"))
    typer.echo(f"1 {edit}: wrote {output}")


def _pending(output: Path, item: str, *, append: bool) -> dict[str, EditList]:
    """The edits in an output file that is added to."""
    from tomocyte.corrections.files import load_edits, read_edit_file
    from tomocyte.errors import OutputError

    if output.exists() and not append:
        raise OutputError(
            "E-EXISTS", "already exists.", path=output, cure="Choose another name, or add to it with --append."
        )
    if not output.exists():
        return {}
    content = read_edit_file(output)
    return load_edits(output, [content.item or item] if content.items is None else list(content.items))


@app.command("export", cls=LongCommand, short_help="Export corrected items to fine-tune a model on.")
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for `tomocyte fine-tune --data`.")],
    structures: Annotated[
        list[str] | None, typer.Option("--structure", help="Only this structure; may be repeated. Default: all.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also export items and frames without corrections.")
    ] = False,
    margin_um: Annotated[
        float | None,
        typer.Option(
            "--margin-um",
            min=0.0,
            help="Use labels only within this distance of corrected objects, in um; ignore the rest.",
        ),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="Folder with the input files, if they were moved since the run.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Export corrected items as images with labels, to fine-tune a model on them.

    Only items and frames that were corrected are exported, with all their structures. Training takes every voxel of an
    exported label image as the truth, so check all of it, or give --margin-um.
    """
    from tomocyte.cli.progress import count_progress
    from tomocyte.runs.export_corrected import ExportSettings, export_corrected
    from tomocyte.settings import build_settings

    settings = build_settings(
        ExportSettings, {"is_all": everything, "structures": tuple(structures or ()), "margin_um": margin_um}
    )
    with count_progress("export", None) as bar:
        result = export_corrected(run, output, settings, inputs=inputs, on_item=lambda _: bar.advance())
    structure_counts = ", ".join(f"{name} in {count}" for name, count in result.structures.items())
    typer.echo(
        f"{len(result.items)} items, {result.n_frames} frames ({structure_counts}), "
        f"{len(result.skipped)} without corrections."
    )
    typer.echo(f"next: tomocyte fine-tune MODEL --data {output} -o tuned")
