"""``tomocyte edits``: corrections taken back from another program, and handed on to training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from tomocyte.cli.options import DebugOption

app = typer.Typer(
    help="Results that you corrected by hand: take them back as edits, learn from them. See docs/correction.md.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
RunArgument = Annotated[Path, typer.Argument(help="Folder that `tomocyte run` wrote.", metavar="RUN")]


@app.command("from-labels")
def from_labels(
    run: RunArgument,
    item: Annotated[str, typer.Argument(help="Name in the column item.", metavar="ITEM")],
    structure: Annotated[str, typer.Option("--structure", help="What was corrected: cell, nucleus, …")],
    corrected: Annotated[Path, typer.Option("--corrected", help="The corrected label image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The edits.yaml to write.")],
    frame: Annotated[
        int | None, typer.Option("--frame", help="The one frame that it shows, from 0; else all.", min=0)
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add to the edits in the output file instead of refusing.")
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Write edits that turn the run's own labels into those you corrected in napari, Fiji or elsewhere.

    Save the corrected label image under a new name, with its size unchanged. Deletions, merges, splits, additions and
    new numbers are named as such, everything else becomes a repaint. Then run again with --edits.
    """
    from tomocyte.corrections.files import edits_as_yaml, load_edits, read_edit_file
    from tomocyte.corrections.from_labels import done_item, edits_from_labels
    from tomocyte.errors import OutputError
    from tomocyte.ledger.atomic import write_atomic

    if output.exists() and not append:
        raise OutputError("E-EXISTS", "exists already.", path=output, cure="Choose another name, or --append.")
    known = {}
    if output.exists():
        content = read_edit_file(output)
        known = load_edits(output, [content.item or item] if content.items is None else list(content.items))
    taken = edits_from_labels(done_item(run, item), structure, corrected, frame=frame, pending=known.get(item))
    for note in taken.notes:
        typer.echo(f"note: {note}", err=True)
    if not taken.new:
        typer.echo(f"the labels of {structure} are those of the run: nothing to write.")
        return
    known[item] = taken.edits
    write_atomic(output, edits_as_yaml(known).encode("utf-8"))
    counts = Counter(edit.do for edit in taken.new)
    typer.echo(f"{', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}: wrote {output}")


@app.command("export")
def export(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for `tomocyte fine-tune --data`.")],
    structures: Annotated[
        list[str] | None, typer.Option("--structure", help="Only this one; repeat for several. Else: all.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Items and frames that nobody corrected, too.")] = False,
    margin_um: Annotated[
        float | None,
        typer.Option("--margin-um", min=0.0, help="Trust labels only so far around corrected objects; 255 elsewhere."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option("--inputs", help="Folder where the input files lie now, if they were moved.")
    ] = None,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Write corrected items as images with labels, to fine-tune a model on.

    Only what was corrected is exported: the items, and in them the frames, with all their structures. Everything in an
    exported label image is taken for true, so look at all of it, or give --margin-um.
    """
    from tomocyte.cli.progress import count_progress
    from tomocyte.runs.export_corrected import ExportSettings, export_corrected
    from tomocyte.settings import build_settings

    chosen = build_settings(
        ExportSettings, {"is_all": everything, "structures": tuple(structures or ()), "margin_um": margin_um}
    )
    with count_progress("export", None) as bar:
        result = export_corrected(run, output, chosen, inputs=inputs, on_item=lambda _: bar.advance())
    found = ", ".join(f"{name} in {count}" for name, count in result.structures.items())
    typer.echo(f"{len(result.items)} items, {result.n_frames} frames ({found}), {len(result.skipped)} not corrected.")
    typer.echo(f"next: tomocyte fine-tune MODEL --data {output} -o tuned")
