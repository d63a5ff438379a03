"""The report of a comparison: from the logs of its runs alone."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fedsim.core.errors import RunError
from fedsim.show.report.comparison import Compares, comparison_page
from fedsim.show.report.write import write_report
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.show.report.conftest import Opened
from tests.fedsim.show.report.logs import ENDS_SCRIPT, write_comparison_log
from tests.fedsim.show.report.test_run_report import text_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison_log(tmp_path_factory.mktemp("comparison") / "it", tiny())


def test_the_recommendation_comes_first(folder: Path) -> None:
    text = text_of(comparison_page(Compares.read(folder)))
    assert text.index("shown to protect") < text.index("The same picture under every defense")
    assert (
        "10 runs · 3 clients each · seeds 0, 1 · attacked first (round 1), last (round 2)" in text
    )


def test_the_same_victim_under_every_defense(folder: Path) -> None:
    html = comparison_page(Compares.read(folder))
    cards = html.split('<article class="card"')[1:]
    assert len(cards) == 2 * 3  # stages and defenses
    noise = next(c for c in cards if "<h4>noise</h4>" in c)
    names = re.search(r"data-names='([^']*)'", noise)
    assert names is not None
    assert json.loads(names[1]) == ["std=0.001 · accuracy 30.0%", "std=0.1 · accuracy 30.0%"]
    assert noise.count('class="film"') == 3
    assert "partly leaked, 15 dB" in noise


def test_every_figure_is_in_the_table_and_the_file(folder: Path) -> None:
    html = comparison_page(Compares.read(folder))
    body = html.split('<table class="sortable">')[1].split("</table>")[0]
    assert body.count("<tr>") == 1 + 2 * (5 + 4)  # stages, strengths with an attacker
    assert "psnr_median_db" in html.split('download="table.csv" href="')[1][:3000]


def test_charts_of_each_stage(folder: Path) -> None:
    html = comparison_page(Compares.read(folder))
    found = re.search(r'id="charts">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    charts = json.loads(found[1])
    stages = ("first", "last")
    assert set(charts) == {f"{kind}-{s}" for kind in ("frontier", "strengths") for s in stages}


def test_missing_runs_are_told(tmp_path: Path) -> None:
    folder = write_comparison_log(tmp_path / "it", tiny(), finished=6)
    assert "4 of 10 runs are not finished" in text_of(comparison_page(Compares.read(folder)))


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    folder = write_comparison_log(tmp_path / "it", tiny(), finished=0)
    with pytest.raises(RunError, match="no run of this comparison is finished yet"):
        write_report(folder)


def test_a_file_that_is_no_comparison_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "comparison.toml").write_text("grid = 3", "utf-8")
    with pytest.raises(RunError, match="not a comparison"):
        write_report(tmp_path)


def test_names_with_markup_are_text(tmp_path: Path) -> None:
    comparison = tiny(f"title='{ENDS_SCRIPT}'", "grid.1.label='<img src=x>'", "stages={'<b>'=1}")
    folder = write_comparison_log(tmp_path / "it", comparison)
    html = comparison_page(Compares.read(folder))
    assert "<img src=x" not in html
    assert "<script>document" not in html
    assert "<b>" not in html.replace("<b>2</b>", "")


def test_links_lead_to_its_runs_only_from_their_folder(folder: Path, tmp_path: Path) -> None:
    compares = Compares.read(folder)
    assert 'href="cells/00-00-none-seed0/report.html"' in comparison_page(compares)
    assert 'href="cells/' not in comparison_page(compares, away=True)


@pytest.mark.browser
def test_a_slider_goes_through_the_strengths(folder: Path, opened: Opened) -> None:
    page = opened(write_report(folder))
    card = page.locator(".card", has=page.locator("h4", has_text="noise")).first
    expect(card.locator("output")).to_have_text("std=0.1 · accuracy 30.0%")
    expect(card.locator(".badge").first).to_have_text("○protected, 6 dB")
    card.locator("input").focus()
    page.keyboard.press("ArrowLeft")
    expect(card.locator("output")).to_have_text("std=0.001 · accuracy 30.0%")
    expect(card.locator(".badge").first).to_have_text("●leaked, 41 dB")
    expect(card.locator("canvas").nth(1)).to_be_visible()
    page.locator('[data-filter="stage"]').select_option("last")
    assert page.locator(".card:visible").count() == 3
    head = page.locator("#table th", has_text="strength")
    head.locator("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.locator('[data-chart="frontier-first"]').scroll_into_view_if_needed()
    expect(page.locator('[data-chart="frontier-first"]')).to_have_attribute("data-drawn", "yes")
