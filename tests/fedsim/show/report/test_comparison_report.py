"""The report of a comparison: from the logs of its runs alone."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fedsim.core.errors import RunError
from fedsim.show.report.comparison import Compares, comparison_page
from fedsim.show.report.write import write_report
from tests.fedsim.engine.tiny import tiny, tiny_sweep
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


NOISES = "grid.1.defenses=[{name='gaussian-noise', std=[0.001,0.003,0.01,0.03,0.1]}]"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_comparison_log(tmp_path_factory.mktemp("many") / "it", tiny(NOISES))
    return write_report(folder)


@pytest.mark.browser
def test_print_has_every_strength_and_no_tool_bar(many: Path, opened: Opened) -> None:
    page = opened(many)
    page.emulate_media(media="print")
    noise = page.locator(".card", has_text="noise").first
    assert [li.text_content() for li in noise.locator(".strengths li strong").all()] == [
        f"std={std} · accuracy 30.0%" for std in ("0.001", "0.003", "0.01", "0.03", "0.1")
    ]
    expect(noise.locator(".shot").first).to_be_visible()
    expect(noise.locator(".pair")).to_be_hidden()
    pictures = {shot.evaluate("e => getComputedStyle(e).backgroundPositionX") for shot in
                noise.locator(".one:nth-child(2) .shot").all()}  # fmt: skip
    assert len(pictures) == 5
    for bar in page.locator(".modebar-container").all():
        expect(bar).to_be_hidden()


@pytest.mark.browser
def test_charts_are_drawn_before_the_page_is_loaded(many: Path, opened: Opened) -> None:
    page = opened(many)  # returns at the load event
    assert page.locator(".chart:not([data-drawn])").count() == 0
    assert page.locator(".chart svg.main-svg").count() > 0


@pytest.mark.browser
def test_no_label_lies_on_another_on_a_telephone(many: Path, opened: Opened) -> None:
    page = opened(many, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    boxes = page.eval_on_selector_all(
        ".card .badge",
        "all => all.map(e => [...e.getClientRects()].map(r => [r.left, r.right, r.top, r.bottom]))",
    )
    flat = [box for badge in boxes for box in badge]
    assert all(right <= 390 for _, right, _, _ in flat)
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert not any(crosses(p, q) for p in a for q in b)


def crosses(a: list[float], b: list[float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def test_a_picture_below_a_blind_guess_is_explained(folder: Path) -> None:
    text = text_of(comparison_page(Compares.read(folder)))
    assert text.count("further from the private one than a blind guess") == 0
    swept = write_comparison_log(folder.parent / "swept", tiny_sweep())
    text = text_of(comparison_page(Compares.read(swept)))
    assert "further from the private one than a blind guess" in text
    assert "reconstructed its undefended positive control, so it works here" in text
