"""``tomocyte run`` and ``tomocyte settings``: the main command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli import completion
from tomocyte.cli.analyse import (
    ConditionsOption,
    ControlOption,
    FolderLevelsOption,
    FromFoldersOption,
    PairedOption,
    compare_and_print,
    show_design,
    split_levels,
)
from tomocyte.cli.describe import count_of, describe, human_bytes, human_seconds
from tomocyte.cli.figures import MovieOption, films_of_run
from tomocyte.cli.options import (
    AxesOption,
    ChannelFileOption,
    ColocalisationOption,
    ContactGapOption,
    ContactsOption,
    DatasetOption,
    DebugOption,
    DiscardOption,
    DryRunOption,
    EditsOption,
    ForceOption,
    Inputs,
    InstrumentOption,
    JsonOption,
    MaskedImagesOption,
    MeasureOption,
    MediumChoiceOption,
    MeshOption,
    ModalityOption,
    NanOption,
    Output,
    PixelSizeOption,
    PlacementsOption,
    QuantityOption,
    RecursiveOption,
    StructureOption,
    TimeStepOption,
    VoxelSizeOption,
    WorkersOption,
    files_of_command,
    shared_settings,
)
from tomocyte.cli.recording import is_quiet, remark
from tomocyte.names import shown_name

if TYPE_CHECKING:
    from tomocyte.ledger.result import Failure, RunResult
    from tomocyte.pipeline.settings import RunSettings

EXIT_SOME_FAILED = 3
EXIT_ALL_FAILED = 4
DIAMETER = "segmentation.object_diameter_um"


def run(
    output: Output,
    inputs: Inputs = None,
    channel_file: ChannelFileOption = None,
    recursive: RecursiveOption = False,
    modality: ModalityOption = "",
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            autocompletion=completion.run_models,
            help="Trained model: its name (`tomocyte models list`) or folder; `classical` for none. Default: auto.",
        ),
    ] = None,
    cascade: Annotated[
        str | None,
        typer.Option(
            "--cascade",
            help="Several networks, one after the other, instead of one model: a YAML file, or the name of a cascade "
            "that ships.",
        ),
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(
            "--cells",
            autocompletion=completion.cell_methods,
            help="How touching cells are separated: {cell_methods}, or the name of a network. Default: auto.",
        ),
    ] = None,
    refine: Annotated[
        str | None,
        typer.Option(
            "--refine",
            autocompletion=completion.refinements,
            help="Refine surfaces at the image's own voxel size: boundary (by the image alone, thin protrusions too), "
            "or the name of a network that sees image and labels. Default: none.",
        ),
    ] = None,
    voxel_size_um: VoxelSizeOption = None,
    pixel_size_um: PixelSizeOption = None,
    medium_ri: MediumChoiceOption = None,
    instrument: InstrumentOption = None,
    quantity: QuantityOption = None,
    object_diameter_um: Annotated[
        float | None,
        typer.Option(
            "--object-diameter-um",
            help="Typical diameter of an object in um, from which the classical engine's scales follow. Default: for "
            "fluorescence, estimated from each image.",
            min=0.0,
        ),
    ] = None,
    structure: StructureOption = None,
    wavelength_um: Annotated[
        float | None,
        typer.Option("--wavelength-um", help="Wavelength in vacuum, in um; converts phase into dry-mass density."),
    ] = None,
    lac_per_um: Annotated[
        float | None,
        typer.Option(
            "--lac-per-um",
            help="Linear absorption coefficient, in 1/um, of one grey value; converts the grey values of soft X-ray "
            "tomograms.",
        ),
    ] = None,
    lac_from_beads: Annotated[
        float | None,
        typer.Option(
            "--lac-from-beads",
            help="Linear absorption coefficient, in 1/um, of polystyrene (1.20 at 517 eV); the beads found then scale "
            "the grey values of soft X-ray tomograms.",
        ),
    ] = None,
    lac_of_medium: Annotated[
        float | None,
        typer.Option(
            "--lac-of-medium",
            help="With --lac-from-beads: that of the medium (ice: 0.11 at 517 eV), for grey values with an offset.",
        ),
    ] = None,
    contrast: Annotated[
        str | None,
        typer.Option("--contrast", help="Whether what absorbs soft X-rays is bright or dark. Default: auto."),
    ] = None,
    axes: AxesOption = None,
    dataset: DatasetOption = None,
    time_step_s: TimeStepOption = None,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel", help="Channel to segment: its name, or its number from 0. All channels are measured."
        ),
    ] = None,
    registration: Annotated[
        str | None,
        typer.Option(
            "--registration",
            help="Lay the other channels on yellow first: auto (as the first frame shows), none, or a file of "
            "`tomocyte register`. Default: none.",
        ),
    ] = None,
    measurements: MeasureOption = None,
    contacts: ContactsOption = False,
    contact_gap_um: ContactGapOption = None,
    placements: PlacementsOption = None,
    mesh: MeshOption = None,
    masked_images: MaskedImagesOption = False,
    colocalisation: ColocalisationOption = False,
    nan: NanOption = "refuse",
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            help="How the confidence of a trained 3-D model is estimated: auto, none, single, flips (takes 8 times as "
            "long), or the names of further models separated by commas (an ensemble).",
        ),
    ] = None,
    uncertainty_map: Annotated[
        bool,
        typer.Option(
            "--uncertainty-map", help="Also write an image of the uncertainty of every voxel beside each mask."
        ),
    ] = False,
    conditions: ConditionsOption = None,
    from_folders: FromFoldersOption = False,
    folder_levels: FolderLevelsOption = None,
    control: ControlOption = None,
    paired: PairedOption = False,
    edits: EditsOption = None,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="YAML file with settings, as `tomocyte settings MODALITY` prints them."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, e.g. segmentation.foreground.method=otsu; may be repeated."),
    ] = None,
    force: ForceOption = False,
    workers: WorkersOption = 1,
    item_timeout_s: Annotated[
        float | None, typer.Option("--item-timeout-s", help="Give up on an input after this many seconds.", min=1.0)
    ] = None,
    trust_times: Annotated[
        bool,
        typer.Option(
            "--trust-times", help="Skip finished inputs whose size and date are unchanged, without reading them."
        ),
    ] = False,
    movie: MovieOption = None,
    dry_run: DryRunOption = False,
    discard_changes: DiscardOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Segment, label and measure every input; write label images, tables and a report.

    Results: a label image per structure (OME-TIFF), objects.csv and .parquet with a data dictionary, status.csv,
    run.json and report.html. If a run is interrupted, the same command continues it; finished inputs are not repeated.
    """
    given = locals()
    from tomocyte.datasets.channel_files import parse_channel_files
    from tomocyte.datasets.inputs import find_inputs
    from tomocyte.figures.movies import check_movie

    named = files_of_command(inputs, channel_file)
    channel_files = parse_channel_files([*channel_file, *named]) if channel_file else {}
    named = [str(path) for path in channel_files.values()][:1] or named
    find_paths = cache(partial(find_inputs, named, axes=axes, is_recursive=recursive))
    run_settings = _run_settings(
        find_paths,
        settings,
        [*(overrides or []), *([] if object_diameter_um is None else [f"{DIAMETER}={object_diameter_um}"])],
        shared_settings(given)
        | {
            "model": model,
            "cascade": cascade,
            "cells": cells,
            "refinement": _refinement(refine),
            "uncertainty": _uncertainty(uncertainty, is_map_written=uncertainty_map),
            "structure": structure,
            "wavelength_um": wavelength_um,
            "lac_per_um": lac_per_um,
            "lac_from_beads": lac_from_beads,
            "lac_of_medium": lac_of_medium,
            "contrast": contrast,
            "channel_files": {name: path.name for name, path in channel_files.items()} or None,
            "channels": None if registration is None else {"registration": registration},
        },
    )
    paths = find_paths()
    is_compared = conditions is not None or from_folders or folder_levels is not None
    design: dict[str, Any] = {
        "conditions": conditions, "levels": split_levels(folder_levels), "is_from_folders": from_folders,
        "control": control,
    }  # fmt: skip
    if is_compared:
        show_design(paths, output, **design)
    if dry_run:
        raise typer.Exit(show_plan(paths, run_settings, output, workers))
    options = {"n_workers": workers, "item_timeout_s": item_timeout_s, "is_trusting_times": trust_times}
    options["is_discarding_changes"] = discard_changes
    if movie is not None:
        check_movie(movie)
    code = run_and_print(paths, run_settings, output, options, is_debug=debug, as_json=as_json)
    if movie is not None and code != EXIT_ALL_FAILED:
        films_of_run(output, movie)
    if is_compared and code != EXIT_ALL_FAILED:
        compare_and_print(output, **design, is_paired=paired, is_printed=not as_json)
    raise typer.Exit(code)


def run_and_print(
    paths: list[Path],
    settings: RunSettings,
    output: Path,
    options: dict[str, Any],
    *,
    is_debug: bool,
    as_json: bool = False,
) -> int:
    """Work on the inputs, print what came out, and say with which exit code to end."""
    from tomocyte.cli.progress import RunProgress
    from tomocyte.runs.run import run_inputs

    with RunProgress(n_items=len(paths)) as progress:
        result = run_inputs(paths, settings, output, callback=progress.on_event, **options)
    for line in failure_lines(result.failures):
        typer.echo(line, err=True)
    for failure in result.failures:
        if is_debug and failure.traceback:
            typer.echo(failure.traceback, err=True)
    if as_json:
        typer.echo(json.dumps(_as_json(result, len(paths), output), indent=1, ensure_ascii=False))
        return _exit_code(result)
    objects = ", ".join(f"{count} {name}" for name, count in result.n_objects.items())
    typer.echo(
        f"{result.n_done} of {len(paths)} inputs done ({result.n_resumed} in an earlier run), "
        f"{len(result.failures)} failed; {objects or 'no objects'}."
    )
    for note in result.notes:
        remark(f"note: {note}")
    if result.n_implausible:
        typer.echo(
            f"{result.n_implausible} of {len(paths)} inputs have results that cannot be right: "
            "see W-IMPLAUSIBLE in the report, and state `check` in status.csv."
        )
    if not is_quiet():
        typer.echo(f"report: {output / 'report.html'}")
    return _exit_code(result)


def _exit_code(result: RunResult) -> int:
    if result.failures:
        return EXIT_ALL_FAILED if result.n_done == 0 else EXIT_SOME_FAILED
    return 0


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """A line per failure; those that lack the same, so that one option cures them all, share one."""
    groups: dict[tuple[str, ...], list[Failure]] = {}
    for failure in failures:
        is_asking = "--" in failure.cure
        same = (re.sub(r"\d+", "#", failure.problem), failure.cure) if is_asking else (failure.item,)
        groups.setdefault((failure.code, *same), []).append(failure)
    lines = []
    for alike in groups.values():
        first = alike[0]
        names = ", ".join(failure.item for failure in alike[:3]) + (", …" if len(alike) > 3 else "")
        who = first.item if len(alike) == 1 else f"{len(alike)} inputs ({names})"
        lines.append(f"failed: {who}: {first.code}: {first.message}")
    return lines


def _as_json(result: RunResult, n_inputs: int, output: Path) -> dict[str, Any]:
    """What ``--json`` prints; documented with the command line."""
    import pandas as pd

    status = pd.read_csv(output / "status.csv", keep_default_na=False, dtype=str)
    messages = {failure.item: failure for failure in result.failures}
    items = []
    for row in status.to_dict("records"):
        failure = messages.get(row["item"])
        error = None if failure is None else {"code": failure.code, "problem": failure.problem, "cure": failure.cure}
        warnings = [text for text in row["warnings"].split(" | ") if text]
        items.append({"item": row["item"], "state": row["state"], "warnings": warnings, "error": error})
    return {
        "n_inputs": n_inputs,
        "n_done": result.n_done,
        "n_resumed": result.n_resumed,
        "n_failed": len(result.failures),
        "n_implausible": result.n_implausible,
        "n_objects": dict(result.n_objects),
        "items": items,
        "notes": list(result.notes),
        "files": sorted(str(path) for path in output.iterdir() if path.is_file() and not path.name.startswith(".")),
    }


def show_plan(
    paths: list[Path],
    settings: RunSettings,
    output: Path,
    workers: int,
    masks: Mapping[Path, Mapping[str, Path]] | None = None,
) -> int:
    """Print what would be done with each input, and say with which exit code to end."""
    from tomocyte.corrections.files import load_edits
    from tomocyte.errors import TomocyteError
    from tomocyte.ledger import item_names, known_items
    from tomocyte.pipeline import preview

    items = item_names(paths, known_items(output))
    edits = {} if settings.edits is None else load_edits(Path(settings.edits), items)
    n_bad, peak, seconds = 0, 0, 0.0
    for item, path in zip(items, paths, strict=True):
        try:
            content = preview(path, settings, edits.get(item), (masks or {}).get(path))
        except TomocyteError as problem:
            n_bad += 1
            typer.echo(f"{shown_name(path)}\n  problem    {problem.code}: {problem.problem} {problem.cure}")
            continue
        peak, seconds = max(peak, content["peak_bytes"]), seconds + content["seconds"]
        typer.echo(shown_name(path))
        for line in describe(content):
            typer.echo(f"  {line}")
    typer.echo(
        f"{count_of(len(paths), 'input')}, {n_bad} with problems; forecast with {count_of(workers, 'worker')}: "
        f"{human_bytes(peak * workers)} of memory, {human_seconds(seconds / workers)}."
    )
    return EXIT_ALL_FAILED if n_bad == len(paths) else EXIT_SOME_FAILED if n_bad else 0


def _run_settings(
    find_paths: Callable[[], list[Path]], file: Path | None, overrides: list[str], flags: dict[str, Any]
) -> RunSettings:
    from tomocyte.datasets.inputs import modality_of_files
    from tomocyte.formats import ReadOptions
    from tomocyte.modalities import modality
    from tomocyte.pipeline.settings import RunSettings
    from tomocyte.segmentation.scales import without_scales
    from tomocyte.settings import build_settings, load_settings, with_overrides

    content = with_overrides({} if file is None else load_settings(file), overrides)
    for part in ("uncertainty", "contacts", "colocalisation", "refinement", "channels"):
        if isinstance(content.get(part), dict) and flags.get(part):
            flags = {**flags, part: {**content[part], **flags[part]}}
    content |= {name: value for name, value in flags.items() if value is not None}
    if "modality" not in content:
        read_options = {name: flags[name] for name in ("voxel_size_um", "axes", "time_step_s", "dataset")}
        content["modality"] = modality_of_files(find_paths(), ReadOptions(**read_options))
    kind = modality(str(content["modality"]))
    if isinstance(content.get("segmentation"), dict):
        content["segmentation"] = _merged(
            without_scales(kind.segmentation, content["segmentation"]), content["segmentation"]
        )
    return build_settings(RunSettings, content)


def _uncertainty(method: str | None, *, is_map_written: bool) -> dict[str, Any] | None:
    """The settings of both options; a word that is no method names further models."""
    settings: dict[str, Any] = {"is_map_written": True} if is_map_written else {}
    if method in ("auto", "none", "single", "flips"):
        settings["method"] = method
    elif method is not None:
        settings |= {"method": "ensemble", "models": [name.strip() for name in method.split(",")]}
    return settings or None


def _refinement(method: str | None) -> dict[str, Any] | None:
    """The settings of the option; a word that is no method names a network."""
    if method is None or method in ("none", "boundary"):
        return None if method is None else {"method": method, "model": None}
    return {"method": "network", "model": method}


def _merged(base: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` laid over ``base``, part by part, so that one --set keeps the modality's other settings."""
    result = dict(base)
    for name, value in above.items():
        is_part = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if is_part else value
    return result


def settings(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="MODALITY", help="Kind of microscopy: {modalities}.", autocompletion=completion.modalities
        ),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option("--modality", "-m", help="The same as MODALITY.", autocompletion=completion.modalities),
    ] = None,
) -> None:
    """Print the settings of a modality as YAML, each with its meaning, unit and range.

    Save it to a file, change what you need, and use it with `tomocyte run --settings FILE`. Lines may be left out.
    """
    from tomocyte.errors import SettingsError
    from tomocyte.modalities import image_modalities
    from tomocyte.modalities import modality as find
    from tomocyte.pipeline.settings import RunSettings
    from tomocyte.settings import commented_lines

    given = {one for one in (name, modality) if one is not None}
    if len(given) != 1:
        cure = f"Name one of {', '.join(image_modalities())}, e.g. `tomocyte settings {image_modalities()[0]}`."
        raise SettingsError("E-USAGE", "one modality is needed.", cure=cure)
    kind = given.pop()
    content = RunSettings(modality=kind, segmentation=find(kind).segmentation)
    typer.echo("\n".join(commented_lines(content)))
