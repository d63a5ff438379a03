"""A comparison over texts from its file to its tables, drawings and page."""

import csv
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedsim.engine.comparison import run_cells
from fedsim.log.comparison import cell_folder
from fedsim.log.victims import looks
from fedsim.modalities.texts.comparison import bracketed
from fedsim.modalities.texts.measure import TOKENS
from fedsim.show.comparison.tables import terminal_tables
from fedsim.show.comparison.write import Outcome, conclude
from tests.fedsim.engine.tiny import tiny_texts

pytestmark = pytest.mark.slow

Finished = tuple[Path, Outcome]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("texts") / "new"
    done = run_cells(tiny_texts(), folder)
    assert [d.error for d in done] == [None] * 3
    return folder, conclude(tiny_texts(), folder)


def test_leakage_is_told_in_tokens(finished: Finished) -> None:
    none, *_, strong = (r for r in finished[1].results if r.attacker == "naive")
    assert none.measure is TOKENS
    assert none.scores == [100.0, 100.0]
    assert (none.recovered, none.leaked) == (2, 2)
    assert max(strong.scores) < 100
    assert none.accuracy_name == "accuracy on next tokens"
    assert 0 < none.chance < 0.25  # the commonest token's, and not one of four kinds


def test_columns_have_the_names_of_texts(finished: Finished) -> None:
    folder, outcome = finished
    with (folder / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parquet = pq.read_table(folder / "table.parquet").to_pylist()
    shown = [r for r in outcome.results if not r.repeats_naive]
    for row, record, result in zip(rows, parquet, shown, strict=True):
        assert float(row["token_accuracy_worst_percent"]) == max(result.scores)
        assert record["examples"] == 2
        assert record["recovered"] == result.recovered / 2
        assert record["rouge_l_mean"] == pytest.approx(sum(result.second) / 2)
        assert record["accuracy_of"] == "accuracy on next tokens"
    assert not any("psnr" in column or "db" in column for column in rows[0])
    markdown = (folder / "table.md").read_text("utf-8").splitlines()
    assert "tokens right, %" in markdown[0]
    assert "exact" in markdown[0]
    assert r"tokens right, \%" in (folder / "table.tex").read_text("utf-8")
    [table] = terminal_tables(outcome.results)
    assert table.title == "attacked first: % of the tokens (highest), recognisable texts"


def test_the_same_text_under_every_defense(finished: Finished) -> None:
    folder, outcome = finished
    names = {f.name for f in outcome.files}
    victims = {f"victim-first-{a}.{end}" for a in ("naive", "adaptive") for end in ("svg", "txt")}
    assert victims <= names
    assert not any(re.fullmatch(r"victim.*png", name) for name in names)
    text = (folder / "victim-first-naive.txt").read_text("utf-8")
    private = re.search(r"private +(.*\S)", text)
    assert private is not None
    undefended, *_ = (line for line in text.splitlines() if line.startswith("none"))
    assert private[1] in undefended
    assert undefended.split()[-2:] == ["100%", "leaked"]
    assert len(text.strip().splitlines()) == 2 + 1 + 1 + 3
    assert (folder / "victim-first-naive.svg").read_text("utf-8").startswith("<svg")


def test_the_same_text_in_a_sum(tmp_path: Path) -> None:
    plan = '{ name = "secagg+", shares = 3, reconstruction_threshold = 2 }'
    grid = f'grid=[{{}}, {{ label = "sum", set = {{ "federation.aggregation" = {plan} }} }}]'
    attack, width = 'scenario.adversary.attack="bag-of-tokens"', "scenario.model.width=64"
    comparison = tiny_texts("clients=4", "victims=2", "seeds=[5]", attack, width, grid)
    folder = tmp_path / "new"
    assert [d.error for d in run_cells(comparison, folder)] == [None] * 2
    found = conclude(comparison, folder).results
    alone, summed = (r for r in found if r.attacker == "naive")
    assert (alone.leaked, summed.leaked) == (2, 0)
    assert len(summed.scores) == 4
    pairs = [(cell, cell_folder(folder, cell)) for cell in comparison.cells]
    one, other = looks(comparison, pairs, "first", "naive")
    assert one.leakage.partition == 2, "so that it is not the first of the sum"
    assert one.leakage.score.original == other.leakage.score.original
    assert other.leakage.partition is None


def test_marks_without_colours() -> None:
    original = ["please", "pay", "the", "bill", "to", "##day"]
    found = ["pay", "cat", "##s", "bill", "to", "##day"]
    assert bracketed(found, original).plain == "~pay~ [cats] bill today"
    assert bracketed(["<b>", "[x]"], original).plain == "[<b> [x]]"


def test_frontier_and_strengths_are_drawn(finished: Finished) -> None:
    for name in ("frontier-first.png", "strengths-first.png"):
        with Image.open(finished[0] / name) as picture:
            assert min(picture.size) > 100


def test_the_recommendation_speaks_of_texts(finished: Finished) -> None:
    text = (finished[0] / "recommendation.md").read_text("utf-8")
    assert "texts for each figure" in text
    for word in ("picture", "dB", "PSNR"):
        assert word not in text


def test_the_page_has_no_word_of_pictures(finished: Finished) -> None:
    html = (finished[0] / "report.html").read_text("utf-8")
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    body = html[: html.index('id="reproduce"')]
    assert "The same text under every defense" in body
    assert "Each reconstructed token is marked" in body
    for word in ("picture", " dB", "PSNR"):
        assert word not in body
