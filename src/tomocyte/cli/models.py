"""``tomocyte models``: list trained models, show, import, export, average and calibrate them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.cli.describe import human_bytes
from tomocyte.cli.listings import ListingCommand, LongCommand
from tomocyte.cli.options import DebugOption
from tomocyte.errors import SettingsError

if TYPE_CHECKING:
    from tomocyte.models import ModelCard, ModelEntry

app = typer.Typer(
    help="Trained models: list, show, import, export, average and calibrate them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
NameArgument = Annotated[
    str,
    typer.Argument(
        help="Name of a model from `tomocyte models list`, or its folder.",
        metavar="NAME",
        autocompletion=completion.models,
    ),
]
ENDINGS = {"zip": ".zip", "onnx": ".onnx", "bioimageio": ".zip"}


@app.command("list", cls=ListingCommand, short_help="List the models that you have.")
def models_list(as_json: JsonOption = False, debug: DebugOption = False) -> None:  # noqa: ARG001
    """List the models that come with tomocyte and those you imported.

    Shown are name, version, modality, structures, size and place. Imported models are in the folder $TOMOCYTE_MODELS,
    or in the data folder of your system if that is not set.
    """
    import json

    from tomocyte.models import list_models, user_folder

    entries = list_models()
    if as_json:
        typer.echo(json.dumps([_row(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        if entry.card is None:
            typer.echo(f"{entry.name:<24} cannot be used: {entry.problem}")
            continue
        card = entry.card
        typer.echo(
            f"{card.name:<24} {card.version:<8} {card.modality:<14} {card.dimensions}-D  "
            f"{', '.join(card.structures):<32} {human_bytes(entry.nbytes):>7}  {_where(entry)}"
        )
    if not entries:
        typer.echo(f"no models; import one with `tomocyte models import` (it goes into {user_folder()}).")


@app.command("show", cls=ListingCommand, short_help="Show a model's card: input, output, scores, limits.")
def models_show(
    name: NameArgument,
    as_json: JsonOption = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Show a model's card: its input and output, its scores on held-out data, and its limits.

    The card is checked for changes; the weights are checked when the model is used, imported or exported.
    """
    from tomocyte.models import find_model, read_card

    folder = find_model(name)
    card = read_card(folder)
    if as_json:
        typer.echo(card.model_dump_json(indent=1))
        return
    for line in _card_lines(card):
        typer.echo(line)
    typer.echo(f"  {'folder':<12} {folder}")


@app.command("import", cls=ListingCommand, short_help="Check a model and copy it to your own.")
def models_import(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder or .zip of a model package, or weights of another program: HDF5 of Keras (ACSeg.h5), a state "
            "dictionary of PyTorch (.safetensors, .pt, .pth).",
            metavar="PATH",
        ),
    ],
    facts: Annotated[
        Path | None,
        typer.Option("--facts", help="YAML file with what weights do not say, as fields of a model card."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="One such field, e.g. structures=[background,cell,bead]; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check only; copy nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an imported model of the same name.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Import a model: check it completely, then copy it to your own models.

    No code from a file is ever run. Of a package, card, hashes, every tensor and the self-test are checked first; only
    card.json, weights.safetensors and selftest.safetensors are copied. Weights of another program need to be told
    modality, structures (one per output, in order) and voxel_size_um; a state dictionary also network.name
    (`tomocyte networks`). Layers are matched with the network's, and where the weights come from stands on the card.
    """
    from tomocyte.models.foreign import install_foreign, is_foreign, read_foreign
    from tomocyte.models.installation import check_source, install_model

    is_weights = is_foreign(source)
    if not is_weights and (facts is not None or overrides):
        cure = "Leave out --facts and --set; they are for weights of another program."
        raise SettingsError("E-USAGE", "a model package has its own card.", path=source, cure=cure)
    if is_weights:
        from tomocyte.settings import load_settings, with_overrides

        content = {} if facts is None else load_settings(facts)
        model = read_foreign(source, with_overrides(content, overrides or []))
        card = model.card
        entry = None if dry_run else install_foreign(model, is_overwriting=overwrite)
        if entry is not None and entry.card is not None:
            card = entry.card
        how = "by their order, kind and shape" if model.is_by_order else "by their names"
        typer.echo(f"{model.n_parameters:,} numbers matched with {card.network.name} {how}")
    else:
        card = check_source(source)
        entry = None if dry_run else install_model(source, is_overwriting=overwrite)
    if entry is None:
        for line in _card_lines(card):
            typer.echo(line)
        typer.echo("nothing was imported (--dry-run)")
    else:
        typer.echo(f"imported {entry.name} {card.version} into {entry.folder}")


@app.command("remove", cls=ListingCommand, short_help="Remove a model that you imported.")
def models_remove(
    name: Annotated[str, typer.Argument(help="Name of an imported model.", metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Remove a model that you imported; those that come with tomocyte stay.

    Results that were made with it stay as they are. Export it first if there is no other copy.
    """
    from tomocyte.models import removable_model, remove_model

    entry = removable_model(name)
    if not yes:
        question = f"Remove {entry.name} ({human_bytes(entry.nbytes)}) from {entry.folder}?"
        typer.confirm(question, abort=True, err=True)
    remove_model(name)
    typer.echo(f"removed {entry.name} from {entry.folder}")


@app.command("export", cls=ListingCommand, short_help="Write a model as one file.")
def models_export(
    name: NameArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.", metavar="FILE")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="zip (for `tomocyte models import`), onnx or bioimageio (for other programs; both need "
            "pip install 'tomocyte[export]').",
        ),
    ] = "zip",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Export a model as one file; it is checked before it is written.

    Exporting a model as .zip twice gives identical files. The input of an .onnx file is the normalised image, that of a
    bioimage.io .zip the physical image; both return probabilities.
    """
    from tomocyte.models import export_bioimageio, export_onnx, export_zip, find_model, load_package

    if file_format not in ENDINGS:
        raise SettingsError("E-USAGE", f"unknown --format {file_format!r}.", cure=f"Known: {', '.join(ENDINGS)}.")
    if output.suffix.lower() != ENDINGS[file_format]:
        raise SettingsError("E-USAGE", f"{output.name!r} does not end in {ENDINGS[file_format]}.", cure="Rename FILE.")
    if os.path.lexists(output) and not (overwrite and stat.S_ISREG(output.lstat().st_mode)):
        raise SettingsError("E-USAGE", f"{output} exists.", cure="Replace it with --overwrite, or choose another FILE.")
    if file_format == "zip":
        export_zip(find_model(name), output)
    elif file_format == "onnx":
        export_onnx(load_package(name), output)
    else:
        export_bioimageio(load_package(name), output)
    typer.echo(f"wrote {output} ({human_bytes(output.stat().st_size)})")


@app.command("average", cls=ListingCommand, short_help="Average the weights of two models of the same network.")
def models_average(
    first: Annotated[str, typer.Argument(help="Name or folder of one model.", metavar="FIRST")],
    second: Annotated[str, typer.Argument(help="Name or folder of the other.", metavar="SECOND")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write; must not exist.", metavar="FOLDER")],
    share: Annotated[float, typer.Option("--share", help="Share of SECOND, 0 to 1.")] = 0.5,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Average the weights of two models, of which one was trained on from the other (`--init`).

    What was trained on often gains on new images and loses a little on the old ones; the average keeps most of either.
    Its card has no scores and no calibration: those of the two are of other weights.
    """
    from tomocyte.models import load_package
    from tomocyte.models.averaging import average_models

    card = average_models(load_package(first), load_package(second), output, share=share)
    typer.echo(f"wrote {card.name} {card.version}, {1 - share:g} of {first} and {share:g} of {second}, to {output}")


@app.command("calibrate", cls=LongCommand, short_help="Calibrate a 3-D model on labelled images.")
def models_calibrate(
    name: NameArgument,
    data: Annotated[
        list[Path],
        typer.Option("--data", help="Folder of labelled images that the model was not trained on; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for model/, plots and tables.")],
    split: Annotated[
        str,
        typer.Option(
            "--split", help="Which split of a benchmark to calibrate on; of other folders all images are used."
        ),
    ] = "validation",
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help="A split to check the calibration on, e.g. test; may be repeated."),
    ] = None,
    check_data: Annotated[
        Path | None, typer.Option("--check-data", help="Folder with the splits of --check, if they are not in --data.")
    ] = None,
    cells: Annotated[
        str, typer.Option("--cells", help="How touching cells are separated, as in `tomocyte run --cells`.")
    ] = "auto",
    n_training: Annotated[
        int,
        typer.Option(
            "--n-training", help="Number of training images to learn from what typical images look like.", min=0
        ),
    ] = 60,
    workers: Annotated[
        int, typer.Option("--workers", "-j", help="Number of images predicted at the same time.", min=1)
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model in the output folder.")] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Calibrate a 3-D model on labelled images and write a calibrated copy.

    Learned from labelled images (the validation split, never the training images): calibrated probabilities, 90 %
    intervals of volume and dry mass (of simulated images with exact truth, of index, surface and height too), and what
    typical images look like. Masks do not change. Writes model/,
    calibration.json, objects.csv and a reliability plot for each structure. The original model is not changed.
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison.calibrate import calibrate, calibration_data
    from tomocyte.models import find_model, read_card

    folder = find_model(name)
    data_sets = calibration_data(
        data, read_card(folder), split=split, n_training=n_training, test=check or [], test_folder=check_data
    )
    with task_progress() as callback:
        figures = calibrate(
            folder, data_sets, output, cells=cells, n_workers=workers, is_overwriting=overwrite, callback=callback
        )
    for title, content in figures.items():
        for line in _calibration_lines(title, content):
            typer.echo(line)
    typer.echo(f"model: {output / 'model'}")


def _calibration_lines(title: str, content: dict[str, Any]) -> list[str]:
    kind = "simulated" if content["is_simulated"] else "real"
    lines = [f"{title}: {content['n_images']} {kind} images"]
    for structure, values in content.items():
        if isinstance(values, dict):
            shown = {
                "ECE": f"{_number(values['ece_before'])} -> {_number(values['ece_after'])}",
                "volumes inside their 90 % interval": _number(values["volume_coverage"]),
                "dry masses": _number(values["dry_mass_coverage"]),
                "of objects matched": f"{values['n_matched']:g} of {values['n_objects']:g}",
                "confidence against IoU, Spearman": _number(values["confidence_rank_correlation"]),
            }
            lines.append(f"  {structure:<16} " + ", ".join(f"{key} {value}" for key, value in shown.items()))
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def _where(entry: ModelEntry) -> str:
    return "comes with tomocyte" if entry.place == "bundled" else str(entry.folder)


def _row(entry: ModelEntry) -> dict[str, Any]:
    card = entry.card
    return {
        "name": entry.name,
        "place": entry.place,
        "folder": str(entry.folder),
        "nbytes": entry.nbytes,
        "problem": entry.problem,
        **(
            {}
            if card is None
            else card.model_dump(mode="json", include={"version", "modality", "dimensions", "structures"})
        ),
    }


def _card_lines(card: ModelCard) -> list[str]:
    """The card as lines for people."""
    low, high = card.voxel_size_range
    sizes = " x ".join("any" if size is None else f"{size:g}" for size in card.voxel_size_um)
    options = ", ".join(f"{key} {value}" for key, value in card.network.options.items())
    cuts = ", ".join(f"{structure} {card.threshold_of(structure):g}" for structure in card.structures)
    sections = "" if card.section_axis is None else f", section by section along {card.section_axis}"
    trained = f"{card.training_data or 'not recorded'}{' (simulated data)' if card.is_trained_on_simulated else ''}"
    rows = {
        "about": card.description,
        "input": f"{card.quantity} ({card.modality}), channels {', '.join(card.channels)}, values "
        f"{card.value_range[0]:g} to {card.value_range[1]:g}",
        "voxel size": f"{sizes} um (z, y, x), from {low:g} to {high:g} times that",
        "output": f"probability of {', '.join(card.structures)}; threshold {cuts}",
        "network": f"{card.network.name}, {card.dimensions}-D{sections}{'; ' + options if options else ''}",
        "preparation": f"{card.normalization.kind} normalisation, offset {card.normalization.offset:g}, scale "
        f"{card.normalization.scale:g}; tiles {' x '.join(map(str, card.tile_shape))}",
        "trained on": trained,
        "trained": "" if card.date is None else card.date.isoformat(),
        "paper": card.paper,
        "licence": card.licence,
        "limits": card.limits,
        "calibrated": _calibrated(card),
    }
    lines = [f"{card.name} {card.version}"]
    lines += [f"  {key:<12} " + value.replace("\n", f"\n{'':<15}") for key, value in rows.items() if value]
    lines += [f"  {'held out':<12} {name}: {value}" for name, value in _flat(card.figures)]
    return lines if card.figures else [*lines, f"  {'held out':<12} no scores recorded"]


def _calibrated(card: ModelCard) -> str:
    """What was learned about the model's probabilities, in a line."""
    parts = [f"{name} (on {one.n_objects} matched objects)" for name, one in card.calibration.items()]
    domain = "" if card.domain is None else f"; recognises unusual images (from {card.domain.n_images} training images)"
    return ", ".join(parts) + domain


def _flat(figures: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{above}{name} ")
        else:
            text = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append((f"{above}{name}", text))
    return rows
