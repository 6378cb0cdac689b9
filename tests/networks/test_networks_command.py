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
