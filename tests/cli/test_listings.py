"""Helps that list what is registered."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.cli.listings import LISTINGS, fill_in
from tomocyte.training import recipe_names


def help_of(*command: str) -> str:
    lines = CliRunner().invoke(app, [*command, "--help"], catch_exceptions=False).output
    return " ".join(lines.split()).replace("- ", "-")  # names are wrapped at hyphens


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run", ("fluorescence, nile_red, odt, qpi or sxt", "watershed, components, as-found")),
        ("settings", ("fluorescence, nile_red, odt, qpi or sxt",)),
        ("convert", (".nii.gz .nii (nifti)",)),
        ("simulate", ("odt (tomograms) or qpi (images)", "ome-tiff or tcf", "HeLa", "macrophage-lps")),
        ("propagate", ("signed-distance: ",)),
        ("train", ("odt-organelles", "osnet-nucleus")),
        ("search", ("scnas-search",)),
        ("crossval", ("osnet-tables",)),
        ("reproduce", ("choi-fig2c", "osnet-fig4")),
    ],
)
def test_helps_name_what_is_registered(command: str, words: tuple[str, ...]) -> None:
    text = help_of(command)
    assert [word for word in words if word not in text] == []
    assert "{" not in text.partition("Options:")[2]
    assert help_of(command) == text  # the second time too


def test_recipes_of_a_kind_are_those_that_the_reader_knows() -> None:
    assert LISTINGS["paper_recipes"]().split(", ") == recipe_names("paper")


def test_other_braces_and_no_text_stay() -> None:
    assert fill_in(None) is None
    assert fill_in("{modality} and {0}") == "{modality} and {0}"
    assert "{" not in "".join(listing() for listing in LISTINGS.values())
