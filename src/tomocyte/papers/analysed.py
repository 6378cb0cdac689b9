"""Files of an experiment through the whole pipeline, all of them or none counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tomocyte.errors import InputError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import ENDED, Callback, Progress, silent
from tomocyte.runs import run_inputs


def run_all(
    paths: list[Path],
    settings: RunSettings,
    output: Path,
    *,
    masks: Mapping[Path, Mapping[str, Path]] | None = None,
    n_workers: int = 1,
    callback: Callback = silent,
) -> Path:
    """Run every input that is not done yet.

    Parameters
    ----------
    paths : list of Path
    settings : RunSettings
    output : Path
        Folder of the run, made if missing.
    masks : mapping of Path to mapping, optional
        Input -> structure -> file with its masks; then these are measured and nothing is segmented.
    n_workers : int
        Inputs at the same time.
    callback : callable
        Receives events of the step ``analyse``, counting the inputs that ended.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        ``E-REPRODUCE-RUN``: an input could not be analysed; the others are kept.
    """
    ended: set[str] = set()

    def report(event: Progress) -> None:
        if event.state in ENDED:
            ended.add(event.item)
        callback(replace(event, step="analyse", done=len(ended), total=len(paths)))

    result = run_inputs(paths, settings, output, masks=masks, n_workers=n_workers, callback=report)
    if result.failures:
        first = result.failures[0]
        raise InputError(
            "E-REPRODUCE-RUN",
            f"{len(result.failures)} of {len(paths)} inputs could not be analysed; the first, {first.item}: "
            f"{first.code}: {first.message}",
            path=output,
            cure="The others are kept; the same command tries again.",
        )
    return output
