"""A promptable 2-D segmentation model of the user's, in ONNX: image encoder and prompt decoder, or all in one file.

What its tensors are says ``promptable.roles``; the recipe knows those of SAM (Kirillov et al., ICCV 2023), SAM 2 and
EfficientSAM. To give a model another kind of prompt, add its role and its values in :meth:`PromptableModel.masks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import InputError, SettingsError
from tomocyte.papers.acseg.recipe import PromptableSettings

CORNERS = (2, 3)
"""Labels of the two points that stand for a box; 1 is inside, 0 outside, -1 nothing."""
_TYPES = {
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
}
_FAILURES = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")


@dataclass(frozen=True, eq=False)
class Encoded:
    """A plane as the model sees it: its tensors by name, its own shape (Y, X), and pixels of the model per pixel."""

    tensors: dict[str, NDArray[Any]]
    shape: tuple[int, int]
    scale: float


class PromptableModel:
    """Masks of a plane from points or a box, by the files that the settings name.

    Raises
    ------
    SettingsError, InputError
        ``E-MODEL-EXTRA``: onnxruntime is not installed; ``E-NOT-FOUND``; ``E-PROMPTABLE``: a file that cannot be run,
        or a tensor whose role is not known.
    """

    def __init__(self, settings: PromptableSettings) -> None:
        if find_spec("onnxruntime") is None:
            problem = "onnxruntime must be installed to run this model."
            raise SettingsError("E-MODEL-EXTRA", problem, cure="pip install 'tomocyte[export]'")
        self._settings, self._roles = settings, settings.roles
        self._decoder = _session(settings.decoder)
        self._encoder = _session(settings.encoder) if settings.encoder else self._decoder
        produced = {one.name for one in self._encoder.get_outputs()}
        inputs = [*self._encoder.get_inputs(), *self._decoder.get_inputs()]
        unknown = [one.name for one in inputs if one.name not in self._roles and one.name not in produced]
        known = {self._roles.get(one.name) for one in (*inputs, *self._decoder.get_outputs())}
        missing = [role for role in ("image", "masks") if role not in known]
        if unknown or missing:
            names = ", ".join(one.name for one in (*inputs, *self._encoder.get_outputs(), *self._decoder.get_outputs()))
            problem = f"the role of {', '.join(unknown)} is not known" if unknown else f"nothing is the {missing[0]}"
            cure = f"Say it, e.g. --set promptable.roles.{(unknown or ['NAME'])[0]}={(missing or ['points'])[0]}."
            raise SettingsError("E-PROMPTABLE", f"{problem}; the model has: {names}.", cure=cure)

    def encode(self, plane: NDArray[Any]) -> Encoded:
        """Bring a plane (Y, X) to grey values of 0 to 255, the model's size and its normalisation, and encode it."""
        chosen, shape = self._settings, (plane.shape[0], plane.shape[1])
        tensor = next(one for one in self._encoder.get_inputs() if self._roles[one.name] == "image")
        fixed = [n for n in tensor.shape[-3:] if isinstance(n, int) and n > 3]
        side = chosen.side or (max(fixed) if fixed else max(shape))
        scale = side / max(shape)
        low, high = np.nanpercentile(plane, (0.5, 99.5))
        grey = 255 * np.clip((np.nan_to_num(plane, nan=low) - low) / max(high - low, 1e-12), 0, 1)
        size = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
        image = np.zeros((side, side, 3) if fixed else (*size, 3), np.float32)
        image[: size[0], : size[1]] = (_resized(grey, size)[..., None] - chosen.mean) / np.asarray(chosen.sd)
        has_channels_last = len(tensor.shape) == 3 or tensor.shape[-1] == 3
        values = image if has_channels_last else np.moveaxis(image, -1, 0)
        tensors = {tensor.name: values.reshape((1,) * (len(tensor.shape) - 3) + values.shape)}
        return Encoded(tensors if self._encoder is self._decoder else _run(self._encoder, tensors), shape, scale)

    def masks(
        self, encoded: Encoded, points: Sequence[tuple[float, float]], labels: Sequence[int]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Masks (M, Y, X), and the model's score of each, 0 where it gives none.

        Points are y, x in pixels of the plane from its outer corner, with the label 1 inside and 0 outside; a box is
        its first and its last corner with the labels :data:`CORNERS`.
        """
        roles = {self._roles.get(one.name) for one in self._decoder.get_inputs()}
        xy, kinds = np.array(points, np.float64)[:, ::-1] * encoded.scale, np.array(labels)
        box = np.zeros(4)
        if tuple(labels) == CORNERS and "boxes" in roles:
            box, xy, kinds = xy.ravel(), np.zeros((1, 2)), np.array([-1])
        elif self._settings.is_padded and tuple(labels) != CORNERS:
            xy, kinds = np.vstack([xy, np.zeros((1, 2))]), np.append(kinds, -1)
        given = {"points": xy, "labels": kinds, "boxes": box, "size": np.array(encoded.shape), "has_mask": np.zeros(1)}
        tensors = dict(encoded.tensors)
        for one in self._decoder.get_inputs():
            if one.name not in tensors:
                empty = np.zeros([n if isinstance(n, int) else 1 for n in one.shape])
                value = given.get(self._roles[one.name], empty)
                tensors[one.name] = value.reshape((1,) * (len(one.shape) - value.ndim) + value.shape)
        found = {self._roles.get(name, ""): value for name, value in _run(self._decoder, tensors).items()}
        maps = found["masks"].reshape(-1, *found["masks"].shape[-2:]).astype(np.float32)
        scores = np.zeros(len(maps)) if "scores" not in found else found["scores"].ravel().astype(np.float64)
        return np.stack([_on_plane(one, encoded.shape) > self._settings.threshold for one in maps]), scores


def _on_plane(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A map on the plane's own pixels: as it is, or without what pads it to a square, resized."""
    step = max(values.shape) / max(shape)
    part = values[: max(1, round(shape[0] * step)), : max(1, round(shape[1] * step))]
    return values if values.shape == shape else _resized(part, shape)


def _resized(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    from skimage.transform import resize

    return np.asarray(
        resize(values, shape, order=1, preserve_range=True, anti_aliasing=shape < values.shape), np.float32
    )


def _session(path: str) -> Any:
    if not Path(path).is_file():
        raise InputError("E-NOT-FOUND", "no such file.", path=Path(path), cure="Give the .onnx file.")
    return _attempt(lambda: import_module("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"]))


def _run(session: Any, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    feed = {one.name: tensors[one.name].astype(_TYPES.get(one.type, np.float32)) for one in session.get_inputs()}
    return dict(
        zip((one.name for one in session.get_outputs()), _attempt(lambda: session.run(None, feed)), strict=True)
    )


def _attempt(action: Callable[[], Any]) -> Any:
    state: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        return action()
    except tuple(getattr(state, name) for name in _FAILURES) as problem:
        raise InputError("E-PROMPTABLE", f"onnxruntime: {problem}", cure="Check the file, and its roles.") from problem
