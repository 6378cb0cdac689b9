"""``tomocyte analyse``: the conditions of an experiment compared, with the replicate as the unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomocyte.cli.describe import count_of
from tomocyte.cli.figures import show_in_report
from tomocyte.cli.options import DebugOption
from tomocyte.cli.recording import remark

if TYPE_CHECKING:
    from tomocyte.runs.analyse import AnalysisSettings

ConditionsOption = Annotated[
    Path | None,
    typer.Option(
        "--conditions",
        metavar="FILE",
        help="Table (CSV) with the columns path, condition, replicate and, where needed, dish, position, day, "
        "time_zero_s. A path is a file, a folder or a pattern such as 'drug/*.tif'.",
    ),
]
FromFoldersOption = Annotated[
    bool,
    typer.Option(
        "--conditions-from-folders",
        help="The folders of the inputs are the conditions, in them the replicates, in these the dishes.",
    ),
]
FolderLevelsOption = Annotated[
    str | None,
    typer.Option(
        "--folder-levels",
        metavar="LEVELS",
        help="What the folders are, the outermost first, e.g. day/condition/replicate; - for nothing.",
    ),
]
ControlOption = Annotated[
    str | None,
    typer.Option("--control", help="Condition that all others are compared with. Default: all pairs."),
]
PairedOption = Annotated[
    bool,
    typer.Option("--paired", help="Replicates of the same name belong together: the same day, donor or animal."),
]


def analyse(
    results: Annotated[
        Path,
        typer.Argument(help="Folder that `tomocyte run` or `measure` wrote, or a table of objects.", metavar="OUT"),
    ],
    conditions: ConditionsOption = None,
    from_folders: FromFoldersOption = False,
    folder_levels: FolderLevelsOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results. Default: analysis in OUT.")
    ] = None,
    structures: Annotated[
        list[str] | None, typer.Option("--structure", help="Structure to compare; may be repeated. Default: all.")
    ] = None,
    quantities: Annotated[
        list[str] | None,
        typer.Option(
            "--quantity",
            help="Column to compare, or n_per_cell, total_volume_um3 of what lies in cells; may be repeated. Default: "
            "volume, surface, index, concentration, dry mass, numbers.",
        ),
    ] = None,
    summaries: Annotated[
        list[str] | None,
        typer.Option(
            "--summary",
            help="What of a film is compared: mean, change (from the baseline to the end, in %) or rate (per hour); "
            "may be repeated. Default: mean and change.",
        ),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option("--baseline", help="What series are divided by: first (frame), or START:END in seconds."),
    ] = "first",
    band: Annotated[
        str,
        typer.Option(
            "--band",
            help="Bands about the mean of replicates in figures over time: interval, sd or sem; tables hold all three.",
        ),
    ] = "interval",
    control: ControlOption = None,
    paired: PairedOption = False,
    test: Annotated[
        str,
        typer.Option(
            "--test", help="means: t test on the means of replicates; mixed: linear mixed model of all cells."
        ),
    ] = "means",
    effect_percent: Annotated[
        float,
        typer.Option(
            "--effect-percent",
            help="Difference, in % of the control, for which the number of replicates is advised.",
            min=0.1,
            max=1000.0,
        ),
    ] = 20.0,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            help="What is not left out: border (objects cut by the border), flagged, or the name of a flag such as "
            "two-nuclei; may be repeated.",
        ),
    ] = None,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Write tables and sentences only.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the design, compute, and print the sentences; write nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with comparisons and files; all else on stderr.")
    ] = False,
    debug: DebugOption = False,  # noqa: ARG001
) -> None:
    """Compare the conditions of an experiment: is there a difference, how large, how sure.

    The replicate is the unit, not the cell; with one replicate the data are shown without a p value. Objects cut by the
    border and flagged cells are left out and counted. Writes comparison.csv (effects with intervals, tests in words),
    series.csv and series_by_condition.csv of films, cells.csv, figures, and words.md, which is also printed.
    """
    from tomocyte.runs.analyse import AnalysisSettings
    from tomocyte.settings import build_settings

    settings = build_settings(
        AnalysisSettings,
        {
            "structures": structures or (),
            "quantities": quantities or (),
            "summaries": summaries or (),
            "baseline": baseline,
            "band": band,
            "keep": keep or (),
            "comparison": {"test": test, "is_paired": paired, "control": control, "effect_percent": effect_percent},
        },
    )
    analyse_and_print(
        results, settings, conditions=conditions, levels=split_levels(folder_levels), is_from_folders=from_folders,
        output=output, has_figures=not no_figures, is_dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def split_levels(text: str | None) -> tuple[str, ...] | None:
    """The levels of ``--folder-levels``."""
    return None if text is None else tuple(part.strip() for part in text.split("/"))


def show_design(
    paths: list[Path],
    output: Path,
    *,
    conditions: Path | None,
    levels: tuple[str, ...] | None,
    is_from_folders: bool,
    control: str | None,
) -> None:
    """Check the design of a run before it begins, and remark how many inputs and replicates it has."""
    from tomocyte.runs.analyse import check_control, design_of, inputs_of

    inputs = inputs_of(paths, output)
    design = design_of(inputs, conditions=conditions, levels=levels, is_from_folders=is_from_folders)
    check_control(design, control)
    for name in design.conditions:
        n_inputs = sum(entry.condition == name for entry in design.assignments)
        n_replicates = len(design.replicates(name))
        remark(f"condition {name}: {count_of(n_inputs, 'input')}, {count_of(n_replicates, 'replicate')}")
    for notice in design.notices():
        remark(str(notice))


def compare_and_print(
    output: Path,
    *,
    conditions: Path | None,
    levels: tuple[str, ...] | None,
    is_from_folders: bool,
    control: str | None,
    is_paired: bool,
    is_printed: bool,
) -> None:
    """Compare the conditions of a run that is done, with the usual settings."""
    from tomocyte.runs.analyse import AnalysisSettings, analyse_folder
    from tomocyte.statistics import ComparisonSettings

    settings = AnalysisSettings(comparison=ComparisonSettings(control=control, is_paired=is_paired))
    _, words, files = analyse_folder(
        output, conditions=conditions, levels=levels, is_from_folders=is_from_folders, settings=settings
    )
    show_in_report(output, files[0].parent)
    if is_printed:
        typer.echo(words.rstrip())
        remark(f"wrote {files[0].parent} ({len(files)} files)")


def analyse_and_print(
    results: Path,
    settings: AnalysisSettings,
    *,
    conditions: Path | None,
    levels: tuple[str, ...] | None,
    is_from_folders: bool,
    output: Path | None = None,
    has_figures: bool = True,
    is_dry_run: bool = False,
    as_json: bool = False,
) -> None:
    """Analyse a folder and print what came out."""
    from tomocyte.runs.analyse import analyse_folder

    analysis, words, files = analyse_folder(
        results,
        conditions=conditions,
        levels=levels,
        is_from_folders=is_from_folders,
        settings=settings,
        output=output,
        has_figures=has_figures,
        is_dry_run=is_dry_run,
    )
    if files:
        show_in_report(results if results.is_dir() else results.parent, files[0].parent)
    if as_json:
        content: dict[str, Any] = {
            "conditions": {name: list(analysis.design.replicates(name)) for name in analysis.design.conditions},
            "n_tests": sum(bool(one.comparison.test) for one in analysis.tested),
            "notices": [str(notice) for notice in analysis.notices],
            "files": [str(path) for path in files],
        }
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))
        return
    typer.echo(words.rstrip())
    remark("nothing written." if is_dry_run else f"wrote {files[0].parent} ({len(files)} files)")
