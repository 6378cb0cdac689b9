"""``tomocyte train nile-red-organelle``: one organelle from stacks with a probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

KIND = "organelle"


def train_organelle(
    content: dict[str, Any],
    changes: dict[str, str | None],
    *,
    data: Path | None,
    output: Path,
    device: str,
    restarts: bool,
    is_dry_run: bool,
) -> dict[str, Any] | None:
    """Prepare the stacks and train; the result of the training, or ``None`` after a dry run.

    Parameters
    ----------
    content : dict
        The recipe, unchecked.
    changes : dict
        Field of the recipe -> what the user gave for it, ``None`` for nothing.
    data : Path or None
    output : Path
    device : str
    restarts, is_dry_run : bool
    """
    from tomocyte.cli.progress import task_progress
    from tomocyte.comparison import OrganelleRecipe
    from tomocyte.comparison import train_organelle as prepare_and_train
    from tomocyte.datasets.probe_stacks import probe_stacks
    from tomocyte.errors import SettingsError
    from tomocyte.ledger import refuse_other_kind
    from tomocyte.training import build_recipe

    given = {name: value for name, value in changes.items() if value is not None}
    recipe = build_recipe({**content, **given}, OrganelleRecipe)
    if data is None:
        raise SettingsError(
            "E-NO-DATA",
            "this recipe has no data of its own.",
            cure="Give --data with the folder of your stacks: yellow, red and green.",
        )
    refuse_other_kind(output, "train")
    if is_dry_run:
        for stack in probe_stacks(data):
            volume = stack.open()
            size = " x ".join(map(str, volume.spatial_shape))
            typer.echo(f"{stack.name}: {size} voxels, {', '.join(path.name for path in stack.files)}")
        checked = recipe.recipe()
        typer.echo(
            f"{checked.name}: {checked.data.structures[0]} by {recipe.foreground}, {checked.loop.n_epochs} epochs"
        )
        typer.echo("nothing written.")
        return None
    with task_progress() as callback:
        result = prepare_and_train(recipe, data, folder=output, device=device, restarts=restarts, callback=callback)
    for stack in result["prepared"]:
        typer.echo(
            f"{stack.name}: {100 * stack.foreground_share:.2f} % foreground in {stack.n_planes_with_foreground} of "
            f"{stack.n_planes} planes, {stack.bleed_through:g} of yellow subtracted"
        )
        if stack.registration:
            typer.echo(f"  laid on yellow (z y x in um): {stack.registration}")
    typer.echo(f"pictures of the truth: {output / 'pictures'}")
    return result
