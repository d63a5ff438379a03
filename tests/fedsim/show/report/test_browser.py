"""The report as a reader has it: in a browser."""

import re
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from playwright.sync_api import Page, expect

from fedsim.show.report.index import write_index
from fedsim.show.report.run import write_run
from tests.fedsim.show.report.conftest import Opened
from tests.fedsim.show.report.logs import ENDS_SCRIPT, MARKUP, Group, Log

pytestmark = pytest.mark.browser

INK = ("--ink", "--faint", "--link")
PAPER = ("--paper", "--raised", "--notice")
SIGNS = ("--leaked", "--protected", "--failed", "--unscored")
STYLE = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
LOADED = """() => [...document.querySelectorAll(".card img")].map(
    picture => picture.complete && picture.naturalWidth > 0
)"""
PIXELS = """card => {
    const canvas = card.querySelector("canvas");
    if (canvas.hidden) return "final";
    return canvas.toDataURL();
}"""
ANOTHER = f"([card, frames]) => !frames.includes(({PIXELS})(card))"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(Log(rounds=(1, 2)).write(tmp_path_factory.mktemp("report") / "run"))


def shown(page: Page) -> list[str]:
    return page.locator(".card:visible h4").all_text_contents()


def test_the_slider_of_a_card_moves_its_picture(report: Path, opened: Opened) -> None:
    page = opened(report)
    card = page.locator(".card").first
    slider = card.locator("input[type=range]")
    assert card.evaluate(PIXELS) == "final"
    slider.focus()
    frames = []
    for key in ("Home", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        expect(card.locator("canvas")).to_be_visible()
        page.wait_for_function(ANOTHER, arg=[card.element_handle(), frames])
        frames.append(card.evaluate(PIXELS))
    assert slider.get_attribute("aria-valuetext") == "9 evaluations, objective 0.01"
    page.keyboard.press("End")
    expect(card.locator("canvas")).to_be_hidden()


def test_the_slider_for_all_moves_those_that_are_seen(report: Path, opened: Opened) -> None:
    page = opened(report)
    page.locator("#all").focus()
    page.keyboard.press("Home")
    expect(page.locator("#all-at")).to_have_text("1 evaluation")
    for card in page.locator(".card").all()[:2]:
        expect(card.locator("output")).to_contain_text("1 evaluation")
    last = page.locator(".card").last
    last.scroll_into_view_if_needed()
    expect(last.locator("output")).to_contain_text("1 evaluation")


def test_play_runs_to_the_end_and_can_be_paused(report: Path, opened: Opened) -> None:
    page = opened(report)
    play = page.locator("#play")
    play.focus()
    page.keyboard.press("Enter")
    expect(play).to_have_attribute("aria-pressed", "true")
    expect(play).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#all-at")).to_have_text("16 evaluations")
    play.click()
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")


def test_those_who_want_little_motion_get_little(report: Path, opened: Opened) -> None:
    page = opened(report, reduced_motion="reduce")
    page.locator("#play").click()
    page.wait_for_timeout(600)
    expect(page.locator("#all-at")).to_have_text("1 evaluation")


def test_filters_hide_cards(report: Path, opened: Opened) -> None:
    page = opened(report)
    assert len(shown(page)) == 14
    for name, value, count in (
        ("client", "client 2", 2),
        ("round", "2", 7),
        ("group", "pruned", 4),
        ("verdict", "unscored", 2),
        ("verdict", "leaked", 10),  # to any of its attackers, and the control
    ):
        choice = page.locator(f'[data-filter="{name}"]')
        choice.select_option(value)
        assert len(shown(page)) == count, value
        expect(page.locator("#shown")).to_have_text(f"{count} of 14 shown")
        choice.select_option("")
    page.locator('[data-filter="round"]').select_option("1")
    page.locator('[data-filter="group"]').select_option("pruned")
    assert len(shown(page)) == 2


def test_cards_in_another_order(report: Path, opened: Opened) -> None:
    page = opened(report)
    page.locator("#order").select_option("client")
    names = [re.sub(r"\s+round.*", "", name) for name in shown(page)]
    assert names[:2] == ["Positive control"] * 2
    assert names[2:] == sorted(names[2:])
    expect(page.locator(".row:visible")).to_have_count(0)
    page.locator("#order").select_option("group")
    expect(page.locator(".row:visible")).to_have_count(4)
    page.locator("#order").select_option("leaked")
    assert shown(page)[-1].startswith("Client 5")


def test_a_table_sorts_by_keyboard(report: Path, opened: Opened) -> None:
    page = opened(report)
    head = page.locator("#table th", has_text="median dB")
    column = "#table tbody td:nth-child(6)"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    figures = [t for t in page.locator(column).all_inner_texts() if t != "–"]
    assert figures == sorted(figures, key=float, reverse=True)
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    figures = [t for t in page.locator(column).all_inner_texts() if t != "–"]
    assert figures == sorted(figures, key=float)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("leakage.csv", "group,defense,attacker,"),
        ("pictures.csv", "round,partition,group,"),
        ("scenario.toml", "title = "),
    ],
)
def test_tables_and_scenario_are_downloaded(
    report: Path, opened: Opened, name: str, first: str
) -> None:
    page = opened(report)
    with page.expect_download() as download:
        page.locator(f'[download="{name}"]').click()
    assert download.value.suggested_filename == name
    assert Path(download.value.path()).read_text("utf-8").startswith(first)


def test_the_keyboard_comes_everywhere(report: Path, opened: Opened) -> None:
    page = opened(report)
    page.evaluate(
        "window.reached = [];"
        "addEventListener('focusin', e => reached.push(e.target.id || e.target.className))"
    )
    for _ in range(16):
        page.keyboard.press("Tab")
    assert {"skip", "theme", "play", "all", "order"} <= set(page.evaluate("reached"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_can_be_read(report: Path, opened: Opened, scheme: str) -> None:
    page = opened(report, color_scheme=scheme)
    colours = {name: page.evaluate(STYLE, name) for name in (*INK, *PAPER, *SIGNS)}
    for paper in PAPER:
        for name in (*INK, *SIGNS):
            ratio = contrast(colours[name], colours[paper])
            assert ratio >= (3 if name in SIGNS else 4.5), f"{name} on {paper}: {ratio:.1f}"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[scheme]
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


def test_charts_are_drawn_when_they_come_near(report: Path, opened: Opened) -> None:
    page = opened(report)
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_attribute("data-drawn", "yes")
        assert chart.locator("svg.main-svg").count() > 0


def test_nothing_is_wider_than_a_telephone(report: Path, opened: Opened) -> None:
    page = opened(report, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_without_scripts_pictures_and_tables_are_there(report: Path, opened: Opened) -> None:
    page = opened(report, java_script_enabled=False)
    assert page.locator(".card").count() == 14
    assert page.locator(".scrub:visible").count() == 0
    assert page.locator("#table tbody tr").count() == 5


def test_it_prints_its_charts_and_pictures(report: Path, opened: Opened) -> None:
    """Every picture of a card stands on paper, however often the file holds equal ones."""
    page = opened(report)
    expect(page.locator(".chart[data-drawn]")).to_have_count(4)
    cards = page.locator(".card img")
    assert cards.count() == 30
    assert page.evaluate(LOADED) == [True] * 30
    assert placed(page.pdf(format="A4")) >= 30


def test_no_card_is_cut_between_pages(report: Path, opened: Opened) -> None:
    page = opened(report)
    page.emulate_media(media="print")
    for width in ("20cm", "12cm"):
        printed = pdfium.PdfDocument(page.pdf(width=width, height="20cm"))
        texts = ["".join(p.get_textpage().get_text_range().split()) for p in printed]
        for card in page.locator(".card").all():
            words = "".join(card.inner_text().split())
            assert any(words in text for text in texts), card.inner_text()


def test_names_with_markup_are_shown_as_text(tmp_path: Path, opened: Opened) -> None:
    groups = [
        Group(MARKUP, ("leaked", "protected"), adaptive="leaked"),
        Group("b" + ENDS_SCRIPT, ("leaked",)),
    ]
    folder = tmp_path / "runs" / "<img src=x onerror=alert(1)>"
    report = write_run(Log(groups=groups, title=ENDS_SCRIPT, rounds=(1, 2)).write(folder))
    page = opened(report)
    assert page.locator("img[src=x]").count() == 0
    expect(page.locator(".kicker")).to_have_text(ENDS_SCRIPT)
    expect(page.locator("#table tbody th").first).to_have_text(MARKUP)
    page.locator("#charts-section").scroll_into_view_if_needed()
    expect(page.locator('[data-chart="groups"]')).to_contain_text(MARKUP)
    assert page.title() == f"{ENDS_SCRIPT} · fedsim"
    index = opened(write_index(tmp_path / "runs"))
    assert index.locator("img[src=x]").count() == 0
    expect(index.locator(".runs h2 a")).to_have_text(ENDS_SCRIPT)


def test_an_index_is_searched_and_sorted(tmp_path: Path, opened: Opened) -> None:
    Log(title="apples").write(tmp_path / "one")
    Log(title="pears", status=None).write(tmp_path / "deep" / "two")
    Log(title="plums", start={"started": "2027-01-01T00:00:00+0000"}).write(tmp_path / "three")
    page = opened(write_index(tmp_path))
    titles = page.locator(".runs li:visible h2")
    assert titles.all_inner_texts()[0] == "plums"
    page.locator("#search").fill("not ended")
    assert titles.all_inner_texts() == ["pears"]
    page.locator("#search").fill("")
    page.locator("#order").select_option("title")
    assert titles.all_inner_texts() == ["apples", "pears", "plums"]
    assert page.locator(".runs img").count() == 6
    for link in page.locator(".runs h2 a").all():
        assert (tmp_path / str(link.get_attribute("href"))).is_file()


def placed(printed: bytes) -> int:
    """Return how many pictures stand on the pages of a PDF."""
    pages = pdfium.PdfDocument(printed)
    return sum(
        len(list(page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE]))) for page in pages
    )


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
