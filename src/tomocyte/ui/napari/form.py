"""A form for any settings class: one field per setting, in the words of its docstring. napari is not needed here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from tomocyte.settings import S, allowed_values, build_settings, unit_of, with_overrides

Kind = Literal["choice", "flag", "text"]


@dataclass(frozen=True)
class FormField:
    """One setting in a form.

    Parameters
    ----------
    name : str
        With dots where it lies in settings of settings.
    kind : {"choice", "flag", "text"}
        One of some words, yes or no, or a value as in YAML.
    default : str
        As it stands in the form at first.
    choices : tuple of str
        Of a choice.
    about : str
        Meaning, unit and range.
    """

    name: str
    kind: Kind
    default: str
    choices: tuple[str, ...]
    about: str


def form_fields(settings: BaseModel, *, without: Sequence[str] = (), prefix: str = "") -> list[FormField]:
    """The fields of a form, in the order of the class; settings inside settings follow one by one.

    Parameters
    ----------
    settings : BaseModel
        With the values that the form shows at first.
    without : sequence of str
        Names that are left out.
    prefix : str
        Before every name.

    Examples
    --------
    >>> from pydantic import Field
    >>> from tomocyte.settings import Settings
    >>> class Blur(Settings):
    ...     sigma_um: float = Field(default=0.5, ge=0, description="Width.")
    ...     kind: Literal["gaussian", "median"] = "median"
    >>> [(field.name, field.kind, field.default, field.about) for field in form_fields(Blur())]
    [('sigma_um', 'text', '0.5', 'Width. [µm; at least 0]'), ('kind', 'choice', 'median', '')]
    """
    content = settings.model_dump(mode="json")
    fields: list[FormField] = []
    for name, field in type(settings).model_fields.items():
        value, dotted = getattr(settings, name), f"{prefix}{name}"
        if dotted in without:
            continue
        if isinstance(value, BaseModel):
            fields += form_fields(value, without=without, prefix=f"{dotted}.")
            continue
        words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        is_choice = bool(words) and all(isinstance(word, str) for word in words)
        kind: Kind = "choice" if is_choice else "flag" if field.annotation is bool else "text"
        limits = "; ".join(part for part in (unit_of(name), "" if is_choice else allowed_values(field)) if part)
        text = " ".join((field.description or "").replace("``", "").split())
        about = " ".join(part for part in (text, f"[{limits}]" if limits else "") if part)
        default = value if is_choice else json.dumps(content[name], ensure_ascii=False)
        fields.append(FormField(dotted, kind, default, tuple(words) if is_choice else (), about))
    return fields


def settings_of(kind: type[S], given: Mapping[str, Any], fields: Sequence[FormField], values: Mapping[str, str]) -> S:
    """The settings that a form says.

    Parameters
    ----------
    kind : type
        Their class.
    given : mapping
        Settings that are not in the form.
    fields : sequence of FormField
    values : mapping of str to str
        Name -> what stands in the form; what is not changed keeps its default.

    Raises
    ------
    SettingsError
        ``E-SETTINGS`` naming each field that is wrong.
    """
    changed = [
        f"{field.name}={json.dumps(values[field.name]) if field.kind == 'choice' else values[field.name]}"
        for field in fields
        if field.name in values and values[field.name] != field.default
    ]
    return build_settings(kind, with_overrides(dict(given), changed))
