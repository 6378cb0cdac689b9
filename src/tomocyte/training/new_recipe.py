"""A recipe to begin with: every field with its meaning, its default and its range, for labelled images of one's own.

To offer another modality, add its starting values to :data:`STARTS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tomocyte.errors import SettingsError
from tomocyte.settings import commented_lines, with_overrides
from tomocyte.training.recipe import Recipe, build_recipe

_LOOP: dict[str, Any] = {
    "n_epochs": 20,
    "samples_per_epoch": 120,
    "batch_size": 8,
    "optimiser": {"kind": "adam", "learning_rate": 0.002},
    "schedule": {"kind": "cosine", "n_warm_up_steps": 10},
    "ema_decay": 0.98,
}
_SECTIONS: dict[str, Any] = {
    "network": {"name": "osnet", "options": {}},
    "augmentation": "strong-2d",
    "loss": {"kind": "dice+bce", "head_weights": [1, 2]},
    "loop": _LOOP,
}
_VOLUMES: dict[str, Any] = {
    "network": {
        "name": "unet3d",
        "options": {"width": 16, "max_width": 64, "stem_stride": [1, 2, 2], "strides": [[2, 2, 2], [2, 2, 2]]},
    },
    "augmentation": "strong-3d",
    "loss": {"kind": "dice+bce", "head_weights": [1, 2]},
    "loop": {**_LOOP, "batch_size": 2},
}


def _data(modality: str, structure: str, normalization: dict[str, Any], patch: list[int]) -> dict[str, Any]:
    return {
        "modality": modality,
        "structures": [structure],
        "targets": "mask-and-core",
        "normalization": normalization,
        "patch_shape": patch,
        "sections": "all",
        "object_share": 0.5,
    }


STARTS: dict[str, dict[str, Any]] = {
    "qpi": {**_SECTIONS, "data": _data("qpi", "cell", {"kind": "fixed", "offset": 0.0, "scale": 0.5}, [128, 128])},
    "odt": {
        **_VOLUMES,
        "data": _data("odt", "cell", {"kind": "medium", "offset": 1.337, "scale": 0.02}, [16, 96, 96]),
    },
    "fluorescence": {**_VOLUMES, "data": _data("fluorescence", "nucleus", {"kind": "percentile"}, [16, 64, 64])},
    "sxt": {**_VOLUMES, "data": _data("sxt", "nucleus", {"kind": "percentile"}, [32, 64, 64])},
    "nile_red": {**_VOLUMES, "data": _data("nile_red", "cell", {"kind": "percentile"}, [16, 64, 64])},
}
"""Modality -> the fields in which its recipe differs from the defaults."""


def new_recipe(modality: str, *, name: str) -> str:
    """The commented YAML of a recipe for labelled images of a modality.

    Parameters
    ----------
    modality : str
        One of :data:`STARTS`.
    name : str
        Of the recipe, and of the model that it will make.

    Raises
    ------
    SettingsError
        ``E-RECIPE``: no starting values for this modality, or an impossible name.

    Examples
    --------
    >>> import yaml
    >>> content = yaml.safe_load(new_recipe("qpi", name="mine"))
    >>> build_recipe(content).data.structures
    ('cell',)
    """
    if modality not in STARTS:
        known = ", ".join(STARTS)
        raise SettingsError("E-RECIPE", f"no recipe to begin with for {modality!r}.", cure=f"Use one of: {known}.")
    start = with_overrides({"kind": "train", "name": name, **STARTS[modality]}, [])
    recipe = build_recipe(start)
    head = [
        f"# A training on labelled images of the modality {modality}. Every field is here; most may stay as they are.",
        "# First look at: data.structures, data.targets, data.patch_shape, loop.n_epochs. null means empty.",
        "# The folder: NAME.tif with NAME_instances.tif (a number per object, 0 = background) beside it or in labels/.",
    ]
    if len(recipe.data.patch_shape or ()) == 3:
        head.append(
            "# Images of one plane: network {name: osnet, options: {}}, augmentation strong-2d, patch_shape [96, 96]."
        )
    return "\n".join([*head, *commented_lines(recipe, names=start)]) + "\n"


def recipe_fields(kind: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a recipe by its dotted name, those of its parts behind them.

    Examples
    --------
    >>> dict(recipe_fields())["loop.n_epochs"].default
    100
    """
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}", field
        part = _part(field)
        if part is not None:
            yield from recipe_fields(part, f"{prefix}{name}.")


def _part(field: FieldInfo) -> type[BaseModel] | None:
    """The settings class of a field that is a part of the recipe."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
