"""``tomocyte labels-from-stain``: labels for evaluation and training from fluorescence beside an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tomocyte.cli.options import AxesOption, DebugOption, VoxelSizeOption


def labels_from_stain(
    file: Annotated[Path, typer.Argument(help="File with an image and its stain, e.g. a TCF.", metavar="FILE")],
    dataset: Annotated[str, typer.Option("--dataset", help="The stain inside FILE, e.g. 3DFL/CH0.")],
    structure: Annotated[str, typer.Option("--structure", help="What the stain shows, e.g. nucleus.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label image to write, e.g. c1_nucleus.ome.tif.")],
    image_dataset: Annotated[
        str | None, typer.Option("--image-dataset", help="The image inside FILE, where there are several.")
    ] = None,
    registration: Annotated[
        Literal["file", "none", "image"],
        typer.Option(
            "--registration", help="How the stain is laid on the image: by FILE, centre on centre, by the images."
        ),
    ] = "file",
    method: Annotated[
        Literal["otsu", "adaptive", "top-hat"], typer.Option("--method", help="How the stain is thresholded.")
    ] = "otsu",
    factor: Annotated[float, typer.Option("--factor", help="Times Otsu's threshold.", min=0.01, max=20)] = 1.0,
    min_volume_um3: Annotated[
        float, typer.Option("--min-volume-um3", help="Leave out smaller objects.", min=0.0)
    ] = 0.0,
    voxel_size_um: VoxelSizeOption = None,
    axes: AxesOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Make labels on the grid of an image from the fluorescence that was recorded with it.

    They are truth for `tomocyte evaluate` and `tomocyte train` as far as the stain is; look at them first.
    """
    from tomocyte.channels.foreground import ForegroundMethod
    from tomocyte.formats import ReadOptions, read_volume
    from tomocyte.runs.convert import refuse_existing
    from tomocyte.runs.labels_from_stain import labels_from_stain as make
    from tomocyte.runs.labels_from_stain import write_stain_labels
    from tomocyte.structures import canonical_name

    if not overwrite:
        refuse_existing(output)
    image = read_volume(file, ReadOptions(voxel_size_um, axes, dataset=image_dataset))
    stain = read_volume(file, ReadOptions(None, axes, dataset=dataset))
    labels = make(
        image,
        stain,
        ForegroundMethod(method=method, factor=factor),
        registration=registration,
        min_volume_um3=min_volume_um3,
    )
    name = canonical_name(structure)
    write_stain_labels(output, labels, name)
    counts = ", ".join(map(str, labels.n_objects[:10])) + (", …" if len(labels.n_objects) > 10 else "")
    typer.echo(f"{name}: {counts} objects; the stain was laid on the image by {labels.placement}")
    typer.echo(f"wrote {output}")
