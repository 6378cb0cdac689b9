"""Fig. 5 with models made here: they take the pixels that are nearly as bright as the one a prompt points at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tomocyte.errors import InputError, SettingsError
from tomocyte.papers.acseg.fields import SegmentedField
from tomocyte.papers.acseg.promptable import CORNERS, PromptableModel
from tomocyte.papers.acseg.promptable_slices import planes_of, promptable_experiment
from tomocyte.papers.acseg.prompts import automatic_masks, box_prompt, masks_of_cells, point_prompt
from tomocyte.papers.acseg.recipe import PromptableRecipe, PromptableSettings
from tomocyte.training.recipe import build_recipe, load_recipe

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

SIDE = 64
PLANE = (30, 40)


def shipped(*overrides: str) -> PromptableRecipe:
    recipe = build_recipe(load_recipe("acseg-fig5", overrides), PromptableRecipe)
    assert isinstance(recipe, PromptableRecipe)
    return recipe


def settings(**changes: Any) -> PromptableSettings:
    plain: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "sd": (255.0, 255.0, 255.0), "threshold": 0.0}
    return shipped().promptable.model_copy(update={**plain, **changes})


def tensor(name: str, shape: list[int | str]) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> str:
    initial = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = onnx.helper.make_graph(nodes, "toy", inputs, outputs, initializer=initial)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


def bright_as_the_point(image: str) -> tuple[list[Any], dict[str, Any]]:
    """Nodes: 0.1 - |image - value at the first point|, as logits (1, 1, side, side); x is the first coordinate."""
    make = onnx.helper.make_node
    nodes = [
        make("Slice", ["point_coords", "zero", "one", "axis1"], ["first"]),  # (1, 1, 2)
        make("Reshape", ["first", "pair"], ["xy"]),
        make("Floor", ["xy"], ["floor"]),
        make("Cast", ["floor"], ["place"], to=onnx.TensorProto.INT64),
        make("Gather", ["place", "yx"], ["row_column"]),
        make("Reshape", [image, "plane"], ["values"]),
        make("Reshape", ["row_column", "index_shape"], ["index"]),
        make("GatherND", ["values", "index"], ["level"]),
        make("Sub", ["values", "level"], ["step"]),
        make("Abs", ["step"], ["distance"]),
        make("Sub", ["width", "distance"], ["logits"]),
        make("Reshape", ["logits", "map_shape"], ["masks"]),
    ]
    constants = {
        "zero": np.array([0]), "one": np.array([1]), "axis1": np.array([1]), "pair": np.array([2]),
        "yx": np.array([1, 0]), "plane": np.array([SIDE, SIDE]), "index_shape": np.array([1, 2]),
        "width": np.float32(0.1), "map_shape": np.array([1, 1, SIDE, SIDE]),
    }  # fmt: skip
    return nodes, constants


def encoder_and_decoder(folder: Path) -> dict[str, str]:
    """The encoder keeps the first channel; the decoder wants the points as SAM's does, and the masks' score is 0.9."""
    make = onnx.helper.make_node
    encoder = saved(
        folder / "encoder.onnx",
        [make("Slice", ["images", "zero", "one", "axis1"], ["embedding"])],
        [tensor("images", [1, 3, SIDE, SIDE])],
        [tensor("embedding", [1, 1, SIDE, SIDE])],
        {"zero": np.array([0]), "one": np.array([1]), "axis1": np.array([1])},
    )
    nodes, constants = bright_as_the_point("embedding")
    nodes += [make("Identity", ["nine"], ["iou_predictions"])]
    points = [tensor("point_coords", [1, "n", 2]), tensor("point_labels", [1, "n"])]
    decoder = saved(
        folder / "decoder.onnx",
        nodes,
        [tensor("embedding", [1, 1, SIDE, SIDE]), *points, tensor("mask_input", [1, 1, 16, 16])],
        [tensor("masks", [1, 1, SIDE, SIDE]), tensor("iou_predictions", [1, 1])],
        {**constants, "nine": np.array([[0.9]], np.float32)},
    )
    return {"encoder": encoder, "decoder": decoder}


def in_one_file(folder: Path) -> dict[str, str]:
    """Image and points go in together; the image has its channels last."""
    nodes, constants = bright_as_the_point("grey")
    nodes.insert(0, onnx.helper.make_node("Slice", ["picture", "zero", "one", "axis2"], ["grey"]))
    points = [tensor("point_coords", [1, "n", 2]), tensor("point_labels", [1, "n"])]
    outputs = [tensor("masks", [1, 1, SIDE, SIDE])]
    constants["axis2"] = np.array([2])
    return {
        "decoder": saved(folder / "all.onnx", nodes, [tensor("picture", [SIDE, SIDE, 3]), *points], outputs, constants)
    }


def scene() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Two cells of 0.5 and 0.8 on 0.1, and a column of 1.0 that is none."""
    truth = np.zeros(PLANE, np.uint8)
    truth[4:14, 4:14], truth[16:26, 18:32] = 1, 2
    image = np.full(PLANE, 0.1, np.float32)
    image[truth == 1], image[truth == 2] = 0.5, 0.8
    image[:, 36:38] = 1.0
    return image, truth


def iou(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("files", [encoder_and_decoder, in_one_file])
def test_a_point_gives_the_cell_under_it(files: Any, tmp_path: Path) -> None:
    roles = {**shipped().promptable.roles, "picture": "image"}
    model = PromptableModel(settings(**files(tmp_path), roles=roles))
    image, truth = scene()
    found = masks_of_cells(model, image, truth, "points", settings())
    assert found.keys() == {1, 2}
    for label, mask in found.items():
        assert mask.shape == PLANE
        assert iou(mask, truth == label) > 0.8  # 64 pixels for 40: edges are interpolated
    # The same point on another plane: the mask follows the plane, and y and x are not exchanged.
    encoded = model.encode(image)
    (mask,), _ = model.masks(encoded, [(21.0, 30.5)], [1])
    assert iou(mask, truth == 2) > 0.8
    (mask,), scores = model.masks(encoded, [(2.0, 30.5)], [1])
    assert (mask & (truth > 0)).sum() == 0
    assert mask.mean() > 0.6
    assert scores.tolist() == ([pytest.approx(0.9)] if files is encoder_and_decoder else [0.0])


def test_prompts_lie_where_they_should() -> None:
    _, truth = scene()
    (((y, x),), labels) = point_prompt(truth == 2)
    assert (20 <= y <= 22, 22 <= x <= 28, labels) == (True, True, [1])
    assert box_prompt(truth == 2) == ([(16.0, 18.0), (26.0, 32.0)], list(CORNERS))


def test_boxes_and_points_reach_the_model_as_sam_expects_them(tmp_path: Path) -> None:
    """A model that paints its points and labels: x, y and label of each in a row of the map."""
    make = onnx.helper.make_node
    nodes = [
        make("Unsqueeze", ["point_labels", "two"], ["column"]),
        make("Concat", ["point_coords", "column"], ["table"], axis=2),
        make("Unsqueeze", ["table", "one"], ["masks"]),
    ]
    points = [tensor("point_coords", [1, 2, 2]), tensor("point_labels", [1, 2])]
    decoder = saved(
        tmp_path / "echo.onnx", nodes, [tensor("image", [1, 3, SIDE, SIDE]), *points], [tensor("masks", [1, 1, 2, 3])],
        {"two": np.array([2]), "one": np.array([1])},
    )  # fmt: skip
    scale = SIDE / PLANE[1]
    expected = {
        "points": [[28 * scale, 22 * scale, 1], [0, 0, -1]],
        "boxes": [[18 * scale, 16 * scale, 2], [32 * scale, 26 * scale, 3]],
    }
    for prompts, labels in (("points", [1]), ("boxes", list(CORNERS))):
        places = [(22.0, 28.0)] if prompts == "points" else [(16.0, 18.0), (26.0, 32.0)]
        seen = []
        for threshold in np.linspace(-1.5, 60, 124):
            model = PromptableModel(settings(decoder=decoder, threshold=float(threshold)))
            model._roles["image"] = "image"
            encoded = model.encode(np.zeros((2, 3), np.float32))
            (above,), _ = model.masks(type(encoded)(encoded.tensors, (2, 3), scale), places, labels)
            seen.append(above)
        values = np.sum(seen, axis=0) * 0.5 - 1.5
        assert values == pytest.approx(np.array(expected[prompts]), abs=0.51)


def test_a_grid_of_points_finds_all_but_the_background(tmp_path: Path) -> None:
    model = PromptableModel(settings(**encoder_and_decoder(tmp_path)))
    image, truth = scene()
    masks = automatic_masks(model, model.encode(image), settings(grid=12))
    assert sorted(max(iou(mask, truth == label) for mask in masks) > 0.8 for label in (1, 2)) == [True, True]
    assert all(mask.mean() <= 0.6 for mask in masks)
    assert len(masks) <= 5  # two cells, the column, and edges
    assert automatic_masks(model, model.encode(image), settings(grid=12, min_score=0.95)) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"decoder": "nowhere.onnx"}, "E-NOT-FOUND"),
        ({"decoder": "broken.onnx"}, "E-PROMPTABLE"),
        ({"decoder": "all.onnx"}, "E-PROMPTABLE.*picture"),
    ],
)
def test_files_that_cannot_serve(
    changes: dict[str, str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    in_one_file(tmp_path)
    with pytest.raises((InputError, SettingsError), match=code):
        PromptableModel(settings(**changes))


def field(found: NDArray[np.uint8]) -> SegmentedField:
    image, truth = scene()
    nucleus = np.zeros((5, *PLANE), np.uint8)
    return SegmentedField(
        "a", "touching", np.stack([image] * 5), np.stack([truth] * 5), np.stack([found] * 5), {"nucleus": nucleus},
        (0.1, 0.1, 0.1), "linear_absorption_coefficient", "1/um", True,
    )  # fmt: skip


def test_the_comparison_has_both_sides(tmp_path: Path) -> None:
    _, truth = scene()
    ours = truth * (truth == 2)
    recipe = shipped().model_copy(
        update={"promptable": settings(**encoder_and_decoder(tmp_path)), "prompts": ("points",)}
    )
    result = promptable_experiment(recipe, [field(ours)])
    scores = result.tables["scores"].set_index("method")
    assert scores.loc["model", "dice"] == pytest.approx(2 * 140 / (140 + 240))
    assert scores["n_found"].to_dict() == {"model": 1, "promptable, points": 2}
    assert scores.loc["promptable, points", "dice"] > 0.9
    assert scores.loc["promptable, points", "n_nucleus"] == 0
    verdicts = result.tables["claims"].set_index("words")["verdict"]
    assert verdicts["the model is above the promptable one prompted by points"] == "does not hold"
    assert verdicts["… prompted by boxes"] == "not measured"
    assert list(result.pictures) == ["case-touching"]
    assert "No promptable model" not in result.summary


def test_without_a_promptable_model_the_other_side_is_measured() -> None:
    _, truth = scene()
    result = promptable_experiment(shipped("slices=all"), [field(truth)])
    assert "promptable.decoder=DECODER.onnx" in result.summary
    assert result.tables["scores"][["method", "dice"]].values.tolist() == [["model", 1.0]] * 5
    assert set(result.tables["claims"]["verdict"]) == {"not measured", "holds"}


def test_planes_without_cells_are_refused() -> None:
    empty = field(np.zeros(PLANE, np.uint8))
    empty.truth[:] = 0
    with pytest.raises(InputError, match="E-NO-CELLS"):
        promptable_experiment(shipped(), [empty])


def test_the_central_plane_or_the_fullest() -> None:
    _, truth = scene()
    one = field(truth)
    assert planes_of(one, "central") == [2]
    one.truth[2:] = 0
    one.truth[0] = truth * (truth == 1)
    assert planes_of(one, "central") == [1]
    assert planes_of(one, "all") == [0, 1]
