"""The report of a run on texts."""

import csv
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, Page, expect

from fedsim.log.run import Run
from fedsim.log.schema import EmergenceRecord
from fedsim.modalities.texts.lines import found_line, packed, private_line
from fedsim.show.report.comparison import Compares, comparison_page
from fedsim.show.report.index import write_index
from fedsim.show.report.run import run_page, write_run
from fedsim.show.report.write import write_report
from fedsim.show.view import view_of
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.show.report.conftest import Opened
from tests.fedsim.show.report.logs import PRUNED, UNDEFENDED, Group, Log, write_comparison_log
from tests.fedsim.show.report.test_run_report import text_of
from tests.fedsim.show.report.text_logs import FOUND, HOSTILE, ORIGINAL, TextLog

MARKS = "tokens => tokens.map(token => token.className.replace('tok ', ''))"


def page(folder: Path, log: Log | None = None) -> str:
    return run_page(Run.read((log or TextLog()).write(folder / "run")))


def marks(where: Locator) -> list[str]:
    found: list[str] = where.locator(".tok").evaluate_all(MARKS)
    return found


def test_pieces_of_words_are_joined_and_tokens_marked() -> None:
    line = found_line(FOUND["partly leaked"], ORIGINAL)
    assert [t.mark for t in line] == ["close", "close", "right", "wrong", "right", "right"]
    assert [(t.text, t.joined) for t in line[-2:]] == [("to", False), ("day", True)]
    assert {t.mark for t in private_line(ORIGINAL)} == {""}


def test_packed_lines_hold_each_token_once() -> None:
    film = packed([found_line(["to", "to"], ORIGINAL), found_line(["to", "pay"], ORIGINAL)])
    assert film == {
        "tokens": [["to", False, "close"], ["pay", False, "right"]],
        "rows": [[0, 0], [0, 1]],
    }


def test_the_verdict_is_in_tokens(tmp_path: Path) -> None:
    text = text_of(page(tmp_path))
    assert "4 of 6 private texts leaked, and 1 more partly leaked." in text
    assert "leaked most: 100.0% of the tokens, where a blind guess has 10.0." in text
    assert "never saw a private text or a label" in text
    assert "accuracy on masked tokens at the end" in text
    for word in ("PSNR", "dB", "picture"):
        assert word not in text


def test_the_private_text_stands_above_each_attacker(tmp_path: Path) -> None:
    html = page(tmp_path, TextLog(groups=[PRUNED], batch=2))
    card = html.split('<article class="card')[1]
    assert "text 1 of 2" in text_of(card)
    assert card.index("please pay the bill today") < card.index("failed</span>")
    assert card.count('class="film"') == 2
    assert 'data-at="1,4,9,16"' in card
    assert "17% of the tokens, blind 10%" in text_of(card)


def test_a_mark_is_told_by_more_than_its_colour(tmp_path: Path) -> None:
    html = page(tmp_path, TextLog(groups=[Group("a", ["partly leaked"])]))
    assert "Each reconstructed token is marked" in text_of(html)
    assert "close: pay close: please the wrong: cat to day" in text_of(html)


def test_charts_and_tables_have_their_units(tmp_path: Path) -> None:
    html = page(tmp_path, TextLog(rounds=(1, 2)))
    charts = html.split('id="charts">')[1].split("</script>")[0]
    assert list(json.loads(charts)) == ["groups", "rounds", "clients", "objectives"]
    assert "tokens right, %" in charts
    assert "PSNR" not in charts
    heads = html.split('<table class="sortable">')[1].split("</thead>")[0]
    assert [h for h in re.findall(r"<th[^>]*>([^<]*)<", heads) if "%" in h] == [
        "median %",
        "highest %",
        "blind %",
    ]


def test_scores_of_texts_as_csv(tmp_path: Path) -> None:
    html = page(tmp_path)
    address = re.search(r'download="texts.csv" href="data:text/csv;charset=utf-8,([^"]*)"', html)
    assert address is not None
    rows = list(csv.DictReader(io.StringIO(unquote(address[1]))))
    assert next(r["token_accuracy"] for r in rows if r["meaning"] == "leaked") == "100.0"
    assert [r["exact"] for r in rows if r["meaning"] == "unscored"] == [""]


def test_an_attack_in_one_go_has_no_slider(tmp_path: Path) -> None:
    html = page(tmp_path, TextLog(groups=[UNDEFENDED]))
    assert "Evaluations, client 0" in html
    place = TextLog(groups=[UNDEFENDED]).write(tmp_path / "other")
    records = [r for r in Run.read(place).records if not isinstance(r, EmergenceRecord)]
    html = run_page(Run(place, records, ""))
    assert "Evaluations, client 0" not in html
    assert "please pay the bill" in html


def test_what_is_shown_last_is_what_was_scored(tmp_path: Path) -> None:
    """Some attacks put a text in order after their last look at it."""
    place = TextLog(groups=[Group("a", ["leaked"])]).write(tmp_path / "run")
    moments = {"moments": ((1, ("a",) * 6), (16, ("b",) * 6))}
    records = [
        r.model_copy(update=moments) if isinstance(r, EmergenceRecord) else r
        for r in Run.read(place).records
    ]
    html = run_page(Run(place, records, ""))
    assert 'data-at="1,16,17"' in html


def test_the_view_is_that_of_the_modality(tmp_path: Path) -> None:
    texts = TextLog().write(tmp_path / "texts")
    assert view_of(Run.read(texts)).noun == ("text", "texts")
    assert view_of(Run.read(Log().write(tmp_path / "pictures"))).noun == ("picture", "pictures")
    assert "accuracy on masked tokens at the end" in text_of(run_page(Run.read(texts)))


def test_tokens_with_markup_are_text(tmp_path: Path) -> None:
    html = page(tmp_path, TextLog(groups=[UNDEFENDED], original=tuple(HOSTILE)))
    assert "<script>document" not in html
    assert html.lower().count("</script>") == len(re.findall(r"<script\b", html))
    assert "&lt;script&gt; document.title=3" in html


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(TextLog(rounds=(1, 2)).write(tmp_path_factory.mktemp("texts") / "run"))


def card_of(page: Page, client: str) -> Locator:
    return page.locator(f'.card[data-client="{client}"][data-round="1"]')


@pytest.mark.browser
def test_the_slider_plays_how_a_text_emerged(report: Path, opened: Opened) -> None:
    page = opened(report)
    card = card_of(page, "client 0")
    line = card.locator(".film .line")
    assert marks(line) == ["right"] * 6
    card.locator("input").focus()
    page.keyboard.press("Home")
    expect(line).to_have_text("wrong: salad " * 5 + "wrong: salad", use_inner_text=False)
    page.keyboard.press("ArrowRight")
    assert marks(line) == ["right"] * 2 + ["wrong"] * 4
    told = "4 evaluations, objective 0.1"
    expect(card.locator("output")).to_have_text(told)
    expect(card.locator("input")).to_have_attribute("aria-valuetext", told)
    page.keyboard.press("End")
    expect(line).to_have_text("please pay the bill today")


@pytest.mark.browser
def test_one_slider_and_play_move_all_texts(report: Path, opened: Opened) -> None:
    page = opened(report)
    line = card_of(page, "client 0").locator(".film .line")
    page.locator("#all").focus()
    page.keyboard.press("Home")
    expect(line).to_contain_text("salad")
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#all-at")).to_have_text("16 evaluations")
    expect(line).to_have_text("please pay the bill today")


@pytest.mark.browser
def test_marks_differ_in_style_and_not_in_colour_alone(report: Path, opened: Opened) -> None:
    page = opened(report)
    line = card_of(page, "client 4").locator(".film .line").first
    assert marks(line) == ["close", "close", "right", "wrong", "right", "right"]
    style = "e => getComputedStyle(e).textDecorationLine + getComputedStyle(e).textDecorationStyle"
    styles = {m: line.locator(f".tok.{m}").first.evaluate(style) for m in marks(line)}
    assert styles == {
        "right": "underlinesolid",
        "close": "underlinedotted",
        "wrong": "line-throughsolid",
    }
    expect(page.locator(".marks .tok")).to_have_count(3)


@pytest.mark.browser
def test_texts_are_filtered_and_ordered(report: Path, opened: Opened) -> None:
    page = opened(report)
    for name, value, count in (
        ("client", "client 2", 2),
        ("round", "2", 7),
        ("group", "pruned", 4),
        ("verdict", "unscored", 2),
    ):
        choice = page.locator(f'[data-filter="{name}"]')
        choice.select_option(value)
        expect(page.locator("#shown")).to_have_text(f"{count} of 14 shown")
        choice.select_option("")
    page.locator("#order").select_option("leaked")
    assert "Client 5" in (page.locator(".card h4").last.text_content() or "")


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1200])
def test_hostile_tokens_are_only_seen(tmp_path: Path, opened: Opened, width: int) -> None:
    log = TextLog(groups=[UNDEFENDED], original=tuple(HOSTILE), title="Hostile")
    page = opened(write_run(log.write(tmp_path / "run")), viewport={"width": width, "height": 800})
    card = card_of(page, "client 0")
    expect(card.locator(".private .line")).to_contain_text("<script> document.title=3 </script>")
    card.locator("input").focus()
    for key in ("Home", "End"):
        page.keyboard.press(key)
    expect(card.locator(".film .line")).to_contain_text("<script> document.title=3 </script>")
    assert page.title() == "Hostile · fedsim"
    assert page.locator(".line b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    index = opened(write_index(tmp_path))
    expect(index.locator(".excerpt")).to_contain_text("<script> document.title=3")
    assert index.title().endswith("fedsim")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_can_be_read(report: Path, opened: Opened, scheme: str) -> None:
    from tests.fedsim.show.report.test_browser import STYLE, contrast  # noqa: PLC0415

    page = opened(report, color_scheme=scheme)
    for name in ("--right-ink", "--close-ink", "--faint"):
        ratio = contrast(page.evaluate(STYLE, name), page.evaluate(STYLE, "--raised"))
        assert ratio >= 4.5, f"{name}: {ratio:.1f}"


@pytest.mark.browser
def test_an_index_shows_texts_and_pictures(tmp_path: Path, opened: Opened) -> None:
    TextLog(title="words").write(tmp_path / "one")
    Log(title="shapes").write(tmp_path / "two")
    page = opened(write_index(tmp_path))
    assert page.locator(".runs img").count() == 2
    words = page.locator(".runs li", has_text="words")
    expect(words.locator(".excerpt p").last).to_have_text(
        "Its reconstruction: please pay the bill today"
    )
    expect(words).to_contain_text("4 of 6 private texts leaked, and 1 more partly leaked.")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("comparison") / "it"
    return write_comparison_log(folder, tiny(), log=TextLog)


def test_the_same_text_under_every_defense(compared: Path) -> None:
    html = comparison_page(Compares.read(compared))
    assert "The same text under every defense" in html
    noise = next(c for c in html.split('<article class="card text"')[1:] if ">noise<" in c)
    assert noise.count('class="film') == 3
    assert "partly leaked, 50%" in noise
    assert "tokens right, %" in html.split('id="charts">')[1].split("</script>")[0]
    for word in ("PSNR", " dB", "picture"):
        assert word not in text_of(html)


@pytest.mark.browser
def test_a_slider_shows_the_text_at_each_strength(compared: Path, opened: Opened) -> None:
    page = opened(write_report(compared))
    card = page.locator(".card", has=page.locator("h4", has_text="noise")).first
    naive = card.locator(".film").nth(1)
    expect(naive.locator(".badge")).to_have_text("○protected, 0%")
    assert marks(naive.locator(".line")) == ["wrong"] * 6
    card.locator("input").focus()
    page.keyboard.press("ArrowLeft")
    expect(naive.locator(".badge")).to_have_text("●leaked, 100%")
    assert marks(naive.locator(".line")) == ["right"] * 6
    expect(card.locator(".private .line")).to_have_text("please pay the bill today")
    page.locator("#all").focus()
    page.keyboard.press("Home")
    page.keyboard.press("End")
    expect(naive.locator(".badge")).to_have_text("○protected, 0%")
    empty = "line => { line.replaceChildren(); return getComputedStyle(line, '::before').content; }"
    assert naive.locator(".line").evaluate(empty) == '"no reconstruction"'
    page.locator('[data-chart="frontier-first"]').scroll_into_view_if_needed()
    expect(page.locator('[data-chart="frontier-first"]')).to_have_attribute("data-drawn", "yes")
