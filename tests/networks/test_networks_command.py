"""``tomocyte networks``."""

from __future__ import annotations

import json

import typer
from typer.testing import CliRunner

from tomocyte.cli.networks import networks

app = typer.Typer()
app.command()(networks)


def test_lists_names_counts_and_papers() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 0
    line = next(line for line in done.output.splitlines() if line.startswith("osnet "))
    assert "3,075,489" in line
    assert "2-D" in line
    assert "10.1109/ACCESS.2019.2924255" in done.output


def test_json_holds_every_network_and_its_settings() -> None:
    done = CliRunner().invoke(app, ["--json"])
    rows = {row["name"]: row for row in json.loads(done.output)}
    assert len(rows) == 13
    assert rows["unet64"]["n_parameters"] == 34_517_120
    assert rows["unet64"]["published_parameters"] is None
    assert rows["unet3d"]["dimensions"] == 3
    assert rows["osnet"]["settings"]["properties"]["gcn_kernel"]["default"] == 7
    assert rows["osnet"]["settings"]["additionalProperties"] is False
    assert all(part["description"] for part in rows["osnet"]["settings"]["properties"].values())


def test_the_layers_of_a_network_are_listed_in_the_order_of_computation() -> None:
    """Four maps from one channel by 3 x 3 x 3 kernels: 108 weights; the sizes of an image of four times the divisor."""
    arguments = ["unet3d", "--layers", "--set", "width=4", "--set", "strides=[[1,2,2]]", "--set", "norm=none"]
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert rows[0]["kind"] == "Conv3d 3x3x3"
    assert rows[0]["shape"] == [4, 4, 8, 8]
    assert rows[-1]["kind"] == "Conv3d 1x1x1"
    assert rows[-1]["shape"] == [1, 4, 8, 8]
    assert [4, 4] in [row["shape"][2:] for row in rows]  # below the stride
    done = CliRunner().invoke(app, arguments)
    total = int(done.output.splitlines()[-1].split(" parameters")[0].replace(",", ""))
    assert sum(row["n_parameters"] for row in rows) == total


def test_a_name_alone_shows_its_settings_and_layers_need_one() -> None:
    done = CliRunner().invoke(app, ["osnet"])
    assert "gcn_kernel = 7" in done.output
    assert "3,075,489" in done.output
    assert "fusionnet" not in done.output
    for arguments, code in (
        (["--layers"], "E-USAGE"),
        (["osnet", "--set", "width=4"], "E-USAGE"),
        (["no"], "E-NETWORK"),
    ):
        refused = CliRunner().invoke(app, arguments)
        assert getattr(refused.exception, "code", None) == code, arguments
