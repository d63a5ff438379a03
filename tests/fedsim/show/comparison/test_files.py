"""Tables and figures of a comparison that stand alone, from written logs."""

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pypdfium2 as pdfium
import pytest

from fedsim.log.comparison import cell_folder
from fedsim.log.results import Result, results
from fedsim.scenario.comparison import Comparison
from fedsim.show.comparison.advice import advice
from fedsim.show.comparison.figures import FORMATS, draw_frontier, draw_heat, draw_strengths
from fedsim.show.comparison.heat import heat_maps
from fedsim.show.comparison.latex import as_latex
from fedsim.show.comparison.singles import single_victims
from fedsim.show.comparison.sweeps import sweeps_said
from fedsim.show.comparison.table_files import write_tables
from fedsim.show.comparison.tables import as_records, as_words
from fedsim.show.report.comparison import Compares, comparison_page
from tests.fedsim.engine.tiny import tiny, tiny_sweep
from tests.fedsim.show.comparison.test_advice import result
from tests.fedsim.show.report.logs import write_comparison_log
from tests.fedsim.show.report.test_run_report import text_of

ONE_STRENGTH = "grid.2={label='PRECODE', set={'model'='precode', 'federation.learning_rate'=0.1}}"


def found_in(folder: Path, comparison: Comparison) -> list[Result]:
    places = [(p, cell_folder(folder, p)) for p in comparison.places]
    return results(comparison, places)


@pytest.fixture(scope="module")
def one() -> Comparison:
    return tiny(ONE_STRENGTH, "grid.1.defenses=[{name='gaussian-noise', std=0.1}]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, one: Comparison) -> Path:
    return write_comparison_log(tmp_path_factory.mktemp("tables") / "it", one)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison_log(tmp_path_factory.mktemp("swept") / "it", tiny_sweep())


def test_a_single_strength_is_in_the_table(folder: Path, one: Comparison) -> None:
    rows = {r["defense"]: r for r in as_records(found_in(folder, one))}
    assert rows["none"]["strength"] == ""
    assert rows["PRECODE"]["strength"] == "model=precode, learning_rate=0.1"
    assert rows["PRECODE"]["value"] is None


def test_the_numbers_of_the_clients_defenses_are_given(tmp_path: Path) -> None:
    comparison = tiny("grid.1.defenses=[{name='gaussian-noise', std=[0.1]}]")
    folder = write_comparison_log(tmp_path / "it", comparison)
    [row] = [r for r in as_words(found_in(folder, comparison)) if r["defense"] == "noise"][:1]
    assert row["strength"].startswith("std=0.1")
    given = [r.given for r in found_in(folder, comparison) if r.label == "noise"]
    assert set(given) == {"std=0.1"}
    singles = single_victims(comparison, [(p, cell_folder(folder, p)) for p in comparison.places])
    assert {r["value"] for r in singles if r["defense"] == "noise"} == {0.1}


def test_no_row_repeats_the_naive_attacker(folder: Path, one: Comparison) -> None:
    found = found_in(folder, one)
    assert {r.attacker for r in found if r.label == "none"} == {"naive", "adaptive"}
    rows = [(r["defense"], r["attacker"]) for r in as_words(found) if r["stage"] == "first"]
    assert rows == [
        ("none", "naive"),
        ("noise", "naive (no countermeasure)"),
        ("PRECODE", "naive (no countermeasure)"),
    ]
    assert len(as_records(found)) == len(as_words(found)) == 2 * 3


def test_a_row_for_each_victim(folder: Path, one: Comparison, tmp_path: Path) -> None:
    places = [(p, cell_folder(folder, p)) for p in one.places]
    singles = single_victims(one, places)
    assert len(singles) == 3 * 2 * 2 * 2  # defenses, seeds, stages, victims
    files = write_tables(found_in(folder, one), singles, one.title, tmp_path)
    with (tmp_path / "victims.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parquet = pq.read_table(tmp_path / "victims.parquet").to_pylist()
    assert len(rows) == len(parquet) == len(singles)
    first = parquet[0]
    assert (first["defense"], first["stage"], first["seed"], first["client"]) == (
        "none", "first", 0, 0,
    )  # fmt: skip
    assert (first["verdict"], first["psnr_db"], first["recovered"]) == ("leaked", 41.0, True)
    assert (folder / str(first["run"])).is_dir()
    assert all(file.is_file() for file in files)


def test_latex_has_caption_label_and_alignment(folder: Path, one: Comparison) -> None:
    text = as_latex(found_in(folder, one), "50 % & more")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert r"\caption{50 \% \& more, attacked first. PSNR, in dB: mean over" in text
    assert r"\label{tab:50-more-first}" in text
    assert r"\begin{tabular}{lllrrrrrrrrr}" in text
    assert "stage" not in text.partition(r"\toprule")[2].partition(r"\midrule")[0]
    assert "≥" not in text


NAMES = ("[local-dp] σ = 1", "*", r"50 % & a_b^2~c {d} $e$ \f #1 <g> | −∞ ± ≥ é", "µ × · “x”")


def named() -> list[Result]:
    """Return results whose names have what LaTeX takes for commands."""
    return [result(name, 0, 0.5, place=i) for i, name in enumerate(("none", *NAMES))]


def test_latex_does_not_take_names_for_commands() -> None:
    text = as_latex(named(), NAMES[2])
    assert r"{}[local-dp] $\sigma$ = 1" in text
    assert "{}* " in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdfLaTeX")
def test_latex_compiles(tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(as_latex(named(), NAMES[2]), "utf-8")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article} \usepackage{booktabs, graphicx} "
        r"\begin{document} \input{table} \end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    printed = pdfium.PdfDocument(tmp_path / "paper.pdf")[0].get_textpage().get_text_range()
    assert "[local-dp]" in printed
    assert "\n* " in printed.replace("\r", "")


def test_heat_maps_of_a_sweep(swept: Path) -> None:
    [score, leaked], _ = heat_maps(found_in(swept, tiny_sweep()))
    assert score.title == "batch by steps, attacked first, naive attacker"
    assert score.names == ("batch_size", "local_steps")
    assert (score.rows, score.columns) == (["1", "2", "4"], ["1", "2"])
    assert [t.text for t in score.tiles[0]] == ["41 dB", "6 dB"]
    assert [t.text for t in leaked.tiles[0]] == ["4/4", "0/4"]
    assert leaked.tiles[0][0].share == 1
    assert "batch_size=1, local_steps=2; mean 6.0 dB" in score.tiles[0][1].told


def test_all_that_counts_as_recovered_has_the_darkest_colour() -> None:
    found = [
        replace(result("sweep", 0, 0.5), settings=(("rows", i), ("columns", 1)), scores=[mean])
        for i, mean in enumerate((100.0, 38.0, 5.0))
    ]
    [[score, _]] = heat_maps(found)
    assert [tile.share for [tile] in score.tiles] == [1, 1, 0]


def test_what_has_not_run_yet_has_no_colour(tmp_path: Path) -> None:
    comparison = tiny_sweep()
    folder = write_comparison_log(tmp_path / "it", comparison)
    finished = [(p, cell_folder(folder, p)) for p in comparison.places][:8]
    [score, _], _ = heat_maps(results(comparison, finished))
    assert score.rows == ["1", "2"]
    assert (score.tiles[1][1].text, score.tiles[1][1].share) == ("–", None)


def test_a_sweep_has_columns_of_its_own_in_the_long_table(swept: Path) -> None:
    rows = as_records(found_in(swept, tiny_sweep()))
    assert [(r["batch_size"], r["local_steps"]) for r in rows[:3]] == [(None, None), (1, 1), (1, 2)]
    assert "psnr_mean_db" in rows[0]


def test_a_sweep_is_told_by_its_extremes_and_is_no_defense(swept: Path) -> None:
    first = advice(tiny_sweep(), found_in(swept, tiny_sweep()))[0]
    assert first.startswith("1 of 6 settings of batch by steps leaked pictures that are ")
    assert "the most leaks at batch_size=1, local_steps=1 (41.0 dB" in first
    assert "nothing here is evidence that one protects" in first
    assert "at most 4 pictures" in advice(tiny_sweep(), found_in(swept, tiny_sweep()))[-1]


def test_pictures_that_are_recognisable_below_30_db_have_leaked(swept: Path) -> None:
    found = [replace(r, scores=[20.0] * len(r.scores)) for r in found_in(swept, tiny_sweep())]
    first, *_ = sweeps_said(found)
    assert first.startswith("1 of 6 settings of batch by steps leaked pictures that are recognis")
    assert "(20.0 dB on average, 4 of 4 pictures leaked)" in first
    [_, leaked], _ = heat_maps(found)
    assert leaked.tiles[0][0].text == "4/4"


def test_the_report_has_the_heat_map(swept: Path) -> None:
    html = comparison_page(Compares.read(swept))
    assert html.count('<table class="plain heat">') == 2 * 2  # stages and figures
    text = text_of(html)
    assert "12 runs" in text
    assert "batch by steps, attacked first, naive attacker" in text


@pytest.mark.slow
def test_figures_in_all_formats_are_the_same_each_time(swept: Path, tmp_path: Path) -> None:
    found = found_in(swept, tiny_sweep())
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_heat(heat_maps(found)[0], tmp_path / name / "heat")
        draw_frontier(found, "first", tmp_path / name / "frontier")
    assert draw_strengths(found, "first", tmp_path / "strengths") == []
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {
        f"{kind}.{end}" for kind in ("heat", "frontier") for end in FORMATS
    }
    assert contents(tmp_path / "a")["heat.pdf"].startswith(b"%PDF")
    assert b"<svg" in contents(tmp_path / "a")["heat.svg"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}
