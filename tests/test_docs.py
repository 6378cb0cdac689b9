"""The documentation does what it says: pages are linked, Python runs, commands are typed as printed.

A new command in README or docs is parsed by itself; :data:`TREATMENTS` says how it is typed besides.
"""

from __future__ import annotations

import glob
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import tifffile
import typer
import zarr
from tests.formats import maker_samples
from typer.testing import CliRunner

from tomocyte.formats import read_volume, write_volume
from tomocyte.volume import LabelName, Volume

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
INDEX = ROOT / "docs" / "index.md"


def blocks(page: Path, language: str) -> list[str]:
    parts = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [text for kind, text in parts if kind == language]


def commands(page: Path) -> list[str]:
    """Lines of a page's shell blocks that call tomocyte, as printed, without their comments."""
    lines = [line for block in blocks(page, "") for line in block.splitlines() if line.startswith("tomocyte ")]
    return [shlex.join(shlex.split(line, comments=True)) for line in lines]


def links(page: Path) -> set[Path]:
    found = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not link.exists()] == []


def test_the_index_leads_to_every_page() -> None:
    assert set((ROOT / "docs").glob("*.md")) - {INDEX} <= links(INDEX)
    assert INDEX in links(ROOT / "README.md")


def test_nothing_that_is_installed_points_to_a_page_that_is_not() -> None:
    """The wheel holds no ``docs/``; an address of the web may have such a part."""
    files = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".yaml", ".json", ".pyi"}]
    pointing = {path.name: re.findall(r"(?<![\w/.-])docs/\S+", path.read_text(encoding="utf-8")) for path in files}
    assert {name: places for name, places in pointing.items() if places} == {}
    assert len(files) > 100


PYTHON = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    if page.name != "README.md"  # whose numbers tests/test_readme.py compares
    for number, code in enumerate(blocks(page, "python"))
    if "my_recipe.yaml" not in code  # it trains: tests/comparison/test_train_model.py runs it on small data
]


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs_and_gives_what_its_comment_says(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last line is an expression with a comment, its value is what the comment begins with."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    last, _, comment = code.rstrip().splitlines()[-1].partition("  # ")
    if comment and not last.startswith("print("):
        assert str(eval(last, names)) == comment  # noqa: S307  our own documentation


ALL_COMMANDS = sorted({line for page in PAGES for line in commands(page)})


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    """Verb, options and their values parse; nothing is done yet."""
    from tomocyte.cli import app

    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    context = command.make_context("tomocyte", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
        context = command.make_context(command.name, list(words) if not hasattr(command, "commands") else words)
    assert context.params


def helps(command: Any = None, name: str = "") -> dict[str, str]:
    """Every command -> all words of its help, as written in the source."""
    from tomocyte.cli import app

    command = typer.main.get_command(app) if command is None else command
    texts = [command.help, command.short_help, *(getattr(one, "help", None) for one in command.params)]
    found = {name: " ".join(" ".join(text.split()) for text in texts if text)}
    for verb, inner in getattr(command, "commands", {}).items():
        found |= helps(inner, f"{name} {verb}".strip())
    return found


def spoken_commands() -> set[str]:
    """What pages and helps call ``tomocyte …`` within a sentence or a table, on one line."""
    return {
        text
        for page in (*(page.read_text(encoding="utf-8") for page in PAGES), *helps().values())
        for text in re.findall(r"(?<!`)`(tomocyte [^`\n]+)`(?!`)", page)
        if text != "tomocyte …"  # the page of codes: a verb that only the message knows
    }


def whole_commands() -> list[str]:
    """What helps say to type and needs nothing else: no file, no name in capitals, no value of an option."""
    texts = {text for words in helps().values() for text in re.findall(r"`(tomocyte [^`]+)`", words)}
    listing = {"formats", "networks", "measurements", "list"}
    return sorted(text for text in texts if text.split()[-1] in listing)


@pytest.mark.parametrize("text", whole_commands())
def test_commands_in_helps_are_typed_as_they_stand(text: str) -> None:
    from tomocyte.cli import app

    done = CliRunner().invoke(app, shlex.split(text)[1:], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.count("\n") >= 3


def test_helps_name_commands() -> None:
    assert len(helps()) > 30
    assert {"tomocyte formats", "tomocyte models list", "tomocyte samples list"} <= set(whole_commands())


@pytest.mark.parametrize("text", sorted(spoken_commands()))
def test_commands_in_sentences_name_verbs_and_options_that_exist(text: str) -> None:
    from tomocyte.cli import app

    command: Any = typer.main.get_command(app)
    words = text.split()[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
        if "|" in words:  # `tomocyte models list | show`: each of them
            assert set(words) - {"|"} <= set(command.commands)
            return
    options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options | {"--help"}


Type = Callable[..., str]


@pytest.fixture
def type_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a line of the documentation in a folder of its own, wildcards expanded as a shell does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOMOCYTE_MODELS", str(tmp_path / "library"))

    def type_it(line: str, *more: str, exit_code: int = 0) -> str:
        from tomocyte.cli import app

        assert line in ALL_COMMANDS, f"stands in no page: {line}"
        words = [word for part in shlex.split(line)[1:] for word in (sorted(glob.glob(part)) or [part])]
        done = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        assert done.exit_code == exit_code, done.output
        return done.output

    return type_it


def stained(path: Path) -> None:
    """Two stains of a box."""
    voxels = np.zeros((1, 2, 12, 40, 60), np.uint16)
    voxels[0, :, 3:9, 10:30, 20:50] = 200
    known = {"voxel_size_um": (0.4, 0.3, 0.2), "quantity": "intensity", "channel_names": ("DNA", "Golgi")}
    write_volume(path, Volume.from_array(voxels, **known))


def flat(path: Path, quantity: str, unit: str, n_planes: int = 1) -> None:
    """A box of 1 in 0, in a plane or a volume."""
    voxels = np.zeros((n_planes, 40, 60), np.float32)
    voxels[n_planes // 4 : n_planes - n_planes // 4, 10:30, 20:50] = 1
    size_z = 0.5 if n_planes > 1 else float("nan")
    write_volume(path, Volume.from_array(voxels, voxel_size_um=(size_z, 0.5, 0.5), quantity=quantity, unit=unit))


def ball(path: Path, radius: float = 4.0) -> Path:
    """A ball of RI 1.357 in 1.337 as a file that says everything."""
    sizes = (0.4, 0.2, 0.2)
    z, y, x = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip((26, 48, 56), sizes, strict=True)),
                          indexing="ij")  # fmt: skip
    inside = np.clip(0.5 + (radius - np.sqrt(z**2 + y**2 + x**2)) / 0.4, 0, 1)
    values = (1.337 + 0.02 * inside).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"quantity": "refractive_index", "unit": "1", "medium_ri": 1.337}
    write_volume(path, Volume.from_array(values, voxel_size_um=sizes, **about))  # type: ignore[arg-type]
    return path


ORGANELLES = ["cell", "nucleus", "nucleolus", "lipid_droplet"]


def section_pair(folder: Path, name: str, structures: list[str]) -> None:
    """A labelled ball to learn from: every structure has the same labels."""
    ball(folder / f"{name}.ome.tif")
    image = read_volume(folder / f"{name}.ome.tif")
    mask = (np.array(image.planes(0, 0)) > 1.347).astype(np.uint8)
    labels = Volume.from_array(mask, voxel_size_um=image.voxel_size_um, quantity="labels", unit="")
    for structure in structures:
        write_volume(folder / f"{name}_{structure}.ome.tif", labels)


# How each documented line is tested beyond being understood: the first pattern that it matches decides.
TREATMENTS = {
    r"tomocyte formats|recording.nd2|series.lif|tomogram.mat|plate.zarr|labels\.am|cells\.(seg|mrc|roi)": "formats",
    r"real/|samples get": "needs real data",
    r"--conditions": "typed in tests/runs/analyse/test_statistics_page.py",
    r"tomocyte measure ": "measure",
    r"tomocyte simulate-labels ": "typed in tests/runs/test_simulate_labels.py",
    r"--cascade": "typed in tests/pipeline/stages/test_cascade_stage.py",
    r"crossval": "trains for an hour and has no dry run; tests/training types a small one",
    r"tomocyte figures ": "typed in tests/runs/test_drawing.py",
    r"film.ome.tif|edits add films": "typed in tests/corrections/test_link_edits.py",
    r"tomocyte track ": "typed in tests/cli/test_track_command.py",
    r"tomocyte register |--channel-file|labels-from-stain|-m nile_red stacks": (
        "typed in tests/channels/test_channels_page.py"
    ),
    r"tomocyte plan ": "typed in tests/comparison/test_plan.py",
    r"tomocyte next-volumes ": "typed in tests/comparison/test_next_volumes.py",
    r" propagate |tomocyte next ": "typed in tests/propagation/test_propagation_page.py",
    r"tomocyte consensus ": "typed in tests/cli/test_consensus_command.py",
    r"models import": "typed in tests/models/test_foreign.py",
    r"found/|tuned/model|small/model|FOLDER -o small|fig3-own|MODEL|my-model|other-model|macrophages/items": (
        "needs what an earlier, long line makes"
    ),
    r"from-labels out ITEM|models calibrate": "typed with other names below, or in tests/models",
    r"evaluate .* --classes": "typed in tests/evaluation/test_confusion.py",
    r" (verify|edits|evaluate) |--edits|run cell.TCF -o out$": "session",
    r" accuracy |choi-numbers|fields/items": "takes hours; tests/comparison/test_accuracy.py types the last line",
    r"nile-red-organelle|golgi/model": "typed in tests/comparison/test_organelle.py",
    r"ablate ": "typed in tests/comparison/test_ablation.py",
    r"train fg-net --data": "typed in tests/comparison/test_organelle.py",
    r"train my.yaml": "typed in tests/training/test_new_recipe.py",
    r"--dry-run$|info (cell.TCF|cells.ome.tif)|tomocyte (measurements|settings|networks)": "as printed",
    r" run | simulate | reproduce | search | train | fine-tune ": "dry run",
}


def treatment(line: str) -> str:
    return next((how for pattern, how in TREATMENTS.items() if re.search(pattern, line)), "")


def test_every_line_has_a_treatment_and_every_treatment_a_line() -> None:
    assert [line for line in ALL_COMMANDS if not treatment(line)] == []
    assert {treatment(line) for line in ALL_COMMANDS} == set(TREATMENTS.values())


def test_before_anything_is_written(type_line: Type, tmp_path: Path) -> None:
    """Lines that only look, as printed; of others what ``--dry-run`` behind them says."""
    ball(tmp_path / "cell.TCF")
    ball(tmp_path / "cell.ome.tif")
    ball(tmp_path / "data" / "a.ome.tif")
    stained(tmp_path / "cells.ome.tif")
    flat(tmp_path / "phase.ome.tif", "dry_mass_density", "pg/um2")
    flat(tmp_path / "tomogram.ome.tif", "linear_absorption_coefficient", "1/um", n_planes=12)
    flat(tmp_path / "grey.ome.tif", "intensity", "", n_planes=12)
    for folder, structures in (("my_sections", ["nucleus"]), ("labelled", ORGANELLES), ("mine", ORGANELLES)):
        for name in ("a", "b", "c", "d", "e"):
            section_pair(tmp_path / folder, name, structures)
    before = {path.name for path in tmp_path.iterdir()}
    for line in ALL_COMMANDS:
        if treatment(line) in ("as printed", "dry run"):
            assert type_line(line, *(["--dry-run"] if treatment(line) == "dry run" else []))
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_page_of_measuring(type_line: Type, tmp_path: Path) -> None:
    """Each line as printed; two halves of a ball are two objects, and its mask without an image has its volume."""
    image = read_volume(ball(tmp_path / "cell.TCF"))
    mask = np.array(image.planes(0, 0)) > 1.347
    halves = np.where(np.arange(mask.shape[2]) < 28, 1, 2) * mask
    for name, labels in (("cells", halves), ("nuclei", mask), ("golgi", mask), ("masks/a", mask)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"{name}.tif", labels.astype(np.uint8), metadata={"axes": "ZYX"})
    ball(tmp_path / "images" / "a.ome.tif")
    with h5py.File(tmp_path / "both.h5", "w") as file:
        for name, voxels in (("raw", 1000.0 * mask), ("label", halves)):
            file[name] = voxels
            file[name].attrs["element_size_um"] = (0.4, 0.2, 0.2)
    for line in ALL_COMMANDS:
        if treatment(line) == "measure":
            type_line(line)
    measured = pd.read_csv(tmp_path / "measured" / "objects.csv")
    assert measured["structure"].tolist() == ["cell", "cell"]
    inside = (np.array(image.planes(0, 0))[mask].astype(float) - 1.337).sum() / 0.19 * 0.4 * 0.2 * 0.2
    assert measured["dry_mass_pg"].sum() == pytest.approx(inside, rel=1e-6)
    assert inside == pytest.approx(268.1 * 0.02 / 0.19, rel=0.05)  # its edge is blurred
    forms = pd.read_csv(tmp_path / "forms" / "objects.csv")
    assert forms["volume_um3"].tolist() == pytest.approx([mask.sum() * 0.4 * 0.2 * 0.2])
    assert "mean_ri" not in forms


def test_the_page_of_formats(type_line: Type, tmp_path: Path) -> None:
    """Each line as printed, on small files; what is converted is what was chosen."""
    voxels = np.arange(2 * 4 * 5 * 6, dtype=np.uint16).reshape(1, 2, 4, 5, 6)
    maker_samples.nd2(tmp_path / "recording.nd2", voxels, channels=("DNA", "Golgi"))
    maker_samples.lif(tmp_path / "series.lif", {"first": voxels, "second": voxels + 7})
    scipy.io.savemat(tmp_path / "tomogram.mat", {"ri": voxels[0, 0].transpose(1, 2, 0), "mask": voxels[0, 0] > 3})
    plate = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=3)
    plate.attrs["ome"] = {"version": "0.5", "plate": {"rows": [], "columns": [], "wells": [{"path": "B/12"}]}}
    well = plate.create_group("B/12")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
    field = Volume.from_array(voxels, voxel_size_um=(0.31, 0.17, 0.13), channel_names=("DNA", "Golgi"))
    write_volume(tmp_path / "plate.zarr" / "B" / "12" / "0", field, format_name="ome-zarr")
    named = (LabelName(1, "cell", "#56B4E9"), LabelName(2, "nucleus"))
    labels = Volume.from_array(voxels[0, 0] % 3, voxel_size_um=(0.31, 0.17, 0.13), quantity="labels", label_names=named)
    for name in ("labels.am", "cells.nii.gz", "cells.mrc"):
        write_volume(tmp_path / name, labels)
    table = '# ITK-SnAP Label Description File\n1 86 180 233 1 1 1 "cell"\n'
    (tmp_path / "names.txt").write_text(table)
    (tmp_path / "cells.label.txt").write_text(table + '2 1 2 3 1 1 1 "nucleus"\n')
    in_turn = sorted(ALL_COMMANDS, key=lambda line: [".roi.zip again" in line, ".roi.zip" in line])
    printed = {line: type_line(line) for line in in_turn if treatment(line) == "formats"}
    assert (
        printed["tomocyte info plate.zarr/B/12/0"].split("\n")[2:]
        == printed["tomocyte info plate.zarr --dataset B/12/0"].split("\n")[2:]
    )
    assert read_volume(tmp_path / "field.ome.tif").channel_names == ("DNA", "Golgi")
    assert "DNA, Golgi" in printed["tomocyte info recording.nd2"]
    assert "Give --dataset with one of: first, second." in printed["tomocyte info series.lif"]
    assert '"source": "LIF z Length/(n-1)' in printed["tomocyte info series.lif --dataset second --json"]
    second, tomogram = read_volume(tmp_path / "second.ome.tif"), read_volume(tmp_path / "tomogram.ome.tif")
    np.testing.assert_array_equal(second.frame(0), voxels[0] + 7)
    np.testing.assert_array_equal(tomogram.planes(0, 0), voxels[0, 0])
    assert tomogram.voxel_size_um == (0.3, 0.2, 0.1)
    assert {one.name for one in read_volume(tmp_path / "cells.seg.nrrd").label_names} == {"cell", "nucleus"}
    assert read_volume(tmp_path / "cells.ome.zarr").label_names == named[:1]
    np.testing.assert_array_equal(read_volume(tmp_path / "again.ome.tif").planes(0, 0), voxels[0, 0] % 3)
    assert "label 1    cell #56B4E9" in printed["tomocyte info labels.am"]
    np.testing.assert_array_equal(read_volume(tmp_path / "labels.ome.tif").planes(0, 0), voxels[0, 0] % 3)


@pytest.mark.slow
def test_five_minutes(type_line: Type, tmp_path: Path) -> None:
    """The README's way from a file to corrected tables and on, each line as printed."""
    ball(tmp_path / "cell.TCF")
    assert treatment("tomocyte run cell.TCF -o out") == "session"
    type_line("tomocyte run cell.TCF -o out")
    type_line("tomocyte verify out")
    labels = read_volume(tmp_path / "out" / "items" / "cell" / "cell.ome.tif")
    corrected = np.array(labels.planes(0, 0))
    assert corrected.any()
    corrected[:, :, : corrected.shape[2] // 2] = 0
    fixed = Volume.from_array(corrected, voxel_size_um=labels.voxel_size_um, quantity=labels.quantity, unit=labels.unit)
    write_volume(tmp_path / "fixed.tif", fixed)
    type_line("tomocyte edits from-labels out cell --structure cell --corrected fixed.tif -o edits.yaml")
    type_line("tomocyte run cell.TCF -o out --edits edits.yaml")
    type_line("tomocyte verify out")
    again = np.array(read_volume(tmp_path / "out" / "items" / "cell" / "cell.ome.tif").planes(0, 0))
    assert np.array_equal(again > 0, corrected > 0)
    shutil.copy(tmp_path / "out" / "items" / "cell" / "nucleus.ome.tif", tmp_path / "truth.tif")
    type_line("tomocyte evaluate out/items/cell/nucleus.ome.tif truth.tif")
    type_line("tomocyte edits export out -o mine")
    type_line("tomocyte edits export out -o labelled")
    assert list((tmp_path / "mine").rglob("*cell*"))
