"""The table and the verdicts against numbers worked out by hand, and against the paper's own print."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tomocyte.errors import SettingsError
from tomocyte.evaluation import ScoreTable
from tomocyte.papers.score_tables import PaperTable, judge_orderings, load_published, orderings_markdown
from tomocyte.papers.score_tables.published import PublishedRow

SCORES: dict[str, dict[str, list[float]]] = {
    "edge-based": {"dice": [0.3], "f05": [0.2]},
    "Unet16": {"dice": [0.80, 0.84, 0.82, 0.86], "f05": [0.7, 0.7, 0.7, 0.7]},
    "OS-Net": {"dice": [0.90, 0.92, 0.94, math.nan], "f05": [0.95, 0.95, 0.97, 0.93], "pr_auc": [0.96, 0.98]},
}


def table(**properties: Any) -> PaperTable:
    known = {"labels": {"OS-Net": "OS-Net | <ours>"}, "n_parameters": {"Unet16": 2159648, "OS-Net": 3075489}}
    return PaperTable(ScoreTable.of_folds(SCORES), title="Table 1, simulated & small", **{**known, **properties})


def test_markdown_has_mean_and_sd_by_hand() -> None:
    lines = table().markdown().splitlines()
    assert lines[0] == "**Table 1, simulated & small**"
    assert lines[2] == "| Model | DICE | F0.5 | PR (AUC) | Parameters |"
    assert lines[4] == "| edge-based | 0.3000 | 0.2000 |  |  |"
    # 0.80 0.84 0.82 0.86: mean 0.83, squares 9 1 1 9 e-4 over 3
    assert lines[5] == f"| Unet16 | 0.8300 ({math.sqrt(20e-4 / 3):.4f}) | 0.7000 (0.0000) |  | 2,159,648 |"
    assert lines[6].startswith("| OS-Net \\| <ours> | 0.9200 (0.0200) |")
    assert "0.9700 (0.0141) | 3,075,489 |" in lines[6]
    assert lines[-1] == "Mean (SD) over 1 to 4 folds; SD with n - 1."


def test_columns_come_in_the_papers_order() -> None:
    scores = {"m": {"pr_auc": [1.0], "f05_as_published": [1.1], "f05": [0.9], "jaccard": [0.8], "dice": [0.9]}}
    headings = PaperTable(ScoreTable.of_folds(scores)).cells()[0]
    assert headings == ["Model", "DICE", "Jaccard", "F0.5", "F0.5 as published", "PR (AUC)", "Parameters"]


def test_csv_gives_the_numbers_back() -> None:
    frame = pd.read_csv(io.StringIO(table().csv()))
    assert frame["model"].tolist() == ["edge-based", "Unet16", "OS-Net | <ours>"]
    assert frame["dice_mean"].tolist() == pytest.approx([0.3, 0.83, 0.92])
    assert frame["dice_n_folds"].tolist() == [1, 4, 3]
    assert math.isnan(frame["dice_sd"][0])
    assert frame["dice_sd"][2] == pytest.approx(0.02)
    assert "3075489\n" in table().csv()
    evil = PaperTable(ScoreTable.of_folds({"=cmd()": {"dice": [0.5]}})).csv()
    assert "'=cmd()" in evil


def test_html_is_escaped_and_the_same_cells() -> None:
    html = table().html()
    assert "OS-Net | &lt;ours&gt;" in html
    assert "<ours>" not in html
    assert "simulated &amp; small" in html
    assert [len(re.findall("<t[hd]", row)) for row in re.findall("<tr>.*?</tr>", html)] == [5, 5, 5, 5]
    body = ET.fromstring(html[: html.index("</table>") + len("</table>")])
    assert [["".join(cell.itertext()) for cell in row] for row in body.iter("tr")] == table().cells()


def test_the_papers_values_stand_beside() -> None:
    published = load_published().table("table-1").rows
    heading, _, unet, osnet = table(published=published).cells()
    row = dict(zip(heading, osnet, strict=True))
    assert row["DICE, paper"] == "0.9131 (0.0131)"
    assert row["PR (AUC), paper"] == "0.9344 (0.0124)"
    assert "F0.5, paper" not in row  # the paper printed another quantity under this name
    assert (row["Parameters"], row["Parameters, paper"]) == ("3,075,489", "2,770,848")
    assert dict(zip(heading, unet, strict=True))["DICE, paper"] == "0.8496 (0.0322)"
    frame = table(published=published).frame()
    assert frame["dice_paper_mean"].tolist()[1:] == [0.8496, 0.9131]
    assert "on real data" in table(published=published).note


def test_unknown_score_is_refused() -> None:
    with pytest.raises(SettingsError, match="E-SCORE"):
        PaperTable(ScoreTable.of_folds({"m": {"accuracy": [0.5]}}))


def test_published_file_is_the_papers_table() -> None:
    """Dice and Jaccard of one mask obey J = D / (2 - D); means over folds nearly do, which finds a mistyped digit."""
    paper = load_published()
    assert paper.doi == "10.1101/478925"
    assert set(paper.labels) <= set(paper.table("table-2-cross-modality").rows)
    assert [len(table.rows) for table in paper.tables.values()] == [9, 10, 2]
    for one in paper.tables.values():
        for row in one.rows.values():
            assert row.mean("jaccard") == pytest.approx(row.mean("dice") / (2 - row.mean("dice")), abs=0.025)
            assert 0 < row.mean("f05_as_published") <= 1.25
    counts = [row.n_parameters for row in paper.table("table-1").rows.values()]
    assert counts[0] == 4 * counts[1]  # type: ignore[operator]
    assert math.isnan(paper.table("table-2-cross-laboratory").rows["edge-based"].mean("pr_auc"))
    with pytest.raises(SettingsError, match="E-TABLE"):
        paper.table("table-9")


def test_the_paper_agrees_with_itself_but_for_ssc() -> None:
    """Its printed means as if they were folds: 0.8692 with SSC is below 0.8694 without, so that claim fails on Dice."""
    one = load_published().table("table-1")
    for score, failing in (("dice", ["SSC"]), ("jaccard", []), ("f05_as_published", ["SSC"])):
        scores = {name: {score: [row.mean(score)]} for name, row in one.rows.items()}
        found = judge_orderings(ScoreTable.of_folds(scores), one, score=score)
        assert [o.claim.text for o in found if o.verdict == "does not hold"] == [
            o.claim.text for o in found if failing and o.claim.second == "Unet16 + GCN" and "SSC" in o.claim.text
        ]
        assert all(o.difference == pytest.approx(o.published_difference) for o in found)
        assert {o.verdict for o in found if o.claim.relation == "similar"} == {"not measured"}  # one fold, no spread


def claim_table(relation: str, second: str | None = "b") -> Any:
    from tomocyte.papers.score_tables.published import PublishedTable

    rows = {name: PublishedRow(dice=(mean,)) for name, mean in (("a", 0.9), ("b", 0.8), ("c", 0.85))}
    claim = {"text": "A is better", "first": "a", "second": second, "relation": relation}
    return PublishedTable.model_validate({"title": "t", "rows": rows, "claims": [claim]})


@pytest.mark.parametrize(
    ("a", "b", "relation", "verdict", "n_agreeing"),
    [
        ([0.90, 0.92, 0.91], [0.80, 0.91, 0.90], "above", "holds", 3),
        ([0.90, 0.92, 0.91], [0.80, 0.93, 0.90], "above", "holds on average", 2),
        ([0.80, 0.82, 0.81], [0.80, 0.93, 0.90], "above", "does not hold", 0),
        ([0.80, 0.80], [0.80, 0.80], "above", "does not hold", 0),
        ([0.90], [0.80], "above", "holds on average", 1),
        ([0.90, 0.80], [0.5, 0.45], "far-above", "holds", 2),
        ([0.90, 0.80], [0.7, 0.65], "far-above", "does not hold", 2),
        ([0.90, 0.80], [0.3], "far-above", "holds", 2),
        ([0.90, 0.80], [0.86, 0.80], "similar", "holds", 1),  # 0.02 apart, SD 0.07
        ([0.90, 0.91], [0.80, 0.81], "similar", "does not hold", 2),
        ([0.90, math.nan], [math.nan, 0.8], "above", "not measured", 0),
        ([], [0.8], "above", "not measured", 0),
    ],
)
def test_verdicts(a: list[float], b: list[float], relation: str, verdict: str, n_agreeing: int) -> None:
    (found,) = judge_orderings(ScoreTable.of_folds({"a": {"dice": a}, "b": {"dice": b}}), claim_table(relation))
    assert found.verdict == verdict
    assert found.n_agreeing == n_agreeing
    assert found.published_difference == pytest.approx(0.1)
    assert found.sentence.startswith(f"A is better: {verdict}")


def test_best_of_all_names_its_rival() -> None:
    scores = {"a": {"dice": [0.9, 0.8]}, "b": {"dice": [0.7, 0.7]}, "c": {"dice": [0.85, 0.82]}}
    (found,) = judge_orderings(ScoreTable.of_folds(scores), claim_table("above", None), labels={"c": "the third"})
    assert (found.second, found.n_agreeing, found.verdict) == ("c", 1, "holds on average")
    assert found.difference == pytest.approx(0.015)
    assert found.published_difference == pytest.approx(0.05)
    assert found.larger_sd == pytest.approx(math.sqrt(0.005))
    assert "0.0150 DICE above the third on average, higher in 1 of 2 folds" in found.sentence
    assert "less than the spread of the folds (SD 0.0707)" in found.sentence


def test_orderings_as_a_table() -> None:
    scores = {"a": {"dice": [0.9, 0.92]}, "b": {"dice": [0.7, 0.7]}}
    text = orderings_markdown(judge_orderings(ScoreTable.of_folds(scores), claim_table("above")))
    assert "| A is better | holds | +0.2100 | 2 of 2 | +0.1000 |" in text
    assert "Of 1 claims measured, 1 hold in every fold or within the spread, 0 on average only, 0 do not hold." in text


def test_a_claim_about_a_row_that_is_not_there(tmp_path: Path) -> None:
    content = "title: t\nauthors: a\nyear: 2000\ndoi: d\nlabels: {}\ntables:\n  one:\n    title: t\n    rows: {a: {}}\n"
    claims = "    claims: [{text: t, first: a, second: b, relation: above}]\n"
    path = tmp_path / "paper.yaml"
    path.write_text(content, encoding="utf-8")
    assert load_published(path=path).table("one").rows["a"].n_parameters is None
    path.write_text(content + claims, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"E-SETTINGS.*\['b'\]"):
        load_published(path=path)


def test_of_distances_the_lower_one_is_better() -> None:
    """ECE 0.1 beats 0.3 in both folds, though its difference is negative."""
    scores = ScoreTable.of_folds({"a": {"ece": [0.1, 0.1]}, "b": {"ece": [0.3, 0.3]}, "c": {"ece": [0.2, 0.2]}})
    (one,) = judge_orderings(scores, claim_table("above", None), score="ece")
    assert (one.verdict, one.second, one.n_agreeing) == ("holds", "c", 2)
    assert one.difference == pytest.approx(-0.1)
    assert "lower in 2 of 2 folds" in one.sentence
