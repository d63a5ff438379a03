"""The page of a ladder, with its heat map, as a reader has it: in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from fedsim.log.ladder import LADDER, Cell, Found, LadderRecord, Rung
from fedsim.log.schema import Meaning
from fedsim.show.ladder.page import write_ladder
from tests.fedsim.show.report.conftest import Opened

pytestmark = pytest.mark.browser

SIZES, STEPS = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16, 25)
TEXTS = """() => [...document.querySelectorAll('[data-chart="map"] svg text')]
    .filter(text => text.textContent.trim() && getComputedStyle(text).opacity !== "0")
    .map(text => { const r = text.getBoundingClientRect();
                   return [text.textContent, r.left, r.top, r.right, r.bottom]; })
    .filter(([text, left, top, right, bottom]) => right > left && bottom > top)"""
WIDTH = "document.documentElement.scrollWidth"


def found(examples: int, leaked: int) -> Found:
    meanings = {Meaning.LEAKED: leaked, Meaning.ATTACK_FAILED: examples - leaked}
    return Found(examples=examples, meanings=meanings, best=31.4, blind=11.2, objective=1e-4)


def rung(changed: str, *, leaked: int) -> Rung:
    setting = {"batch size": "32", "local steps": "25 (1 epoch)", "optimizer": "sgd momentum 0.9"}
    setting |= {"upload": "weights", "mode": "train", "activation": "own", "pooling": "own"}
    return Rung(changed=changed, setting={**setting, "training": "plain"}, found=found(32, leaked))


@pytest.fixture(scope="module")
def page_of_a_ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a ladder with a large map, of which the last column was not run."""
    cells = [
        Cell(
            batch_size=size,
            local_steps=steps,
            found=None if steps == STEPS[-1] else found(size * steps, size * steps // (1 + steps)),
        )
        for size in SIZES
        for steps in STEPS
    ]
    ladder = LadderRecord(
        title="pytorchexample.task:Net",
        attack="best",
        measure="PSNR",
        unit=" dB",
        estimate_s=900.0,
        limit_s=120.0,
        rungs=(
            rung("one example, one step of plain SGD, GELU for relu", leaked=32),
            rung("batches of 32", leaked=0),
        ),
        cells=tuple(cells),
        notes=("An epoch of the ladder has 128 examples; the client's has 800.",),
    )
    folder = tmp_path_factory.mktemp("ladder")
    (folder / LADDER).write_text(ladder.model_dump_json(), "utf-8")
    return write_ladder(folder)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_heat_map_is_drawn_and_no_label_lies_on_another(
    page_of_a_ladder: Path, opened: Opened, width: int
) -> None:
    page = opened(page_of_a_ladder, viewport={"width": width, "height": 900})
    chart = page.locator('[data-chart="map"]')
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("data-drawn", "yes")
    expect(chart.locator(".heatmaplayer image")).to_have_count(1)
    expect(chart.locator("svg text", has_text="not run")).to_have_count(len(SIZES))
    texts = page.evaluate(TEXTS)
    assert len([t for t in texts if " of " in t[0]]) == len(SIZES) * (len(STEPS) - 1)
    assert len([t for t in texts if t[0] == "not run"]) == len(SIZES)
    for place, (one, left, top, right, bottom) in enumerate(texts):
        for other, *(x0, y0, x1, y1) in texts[place + 1 :]:
            apart = x0 >= right - 1 or left >= x1 - 1 or y0 >= bottom - 1 or top >= y1 - 1
            assert apart, f"{one!r} lies on {other!r} at {width} pixels"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_of_a_ladder_is_wider_than_the_window(
    page_of_a_ladder: Path, opened: Opened, width: int
) -> None:
    page = opened(page_of_a_ladder, viewport={"width": width, "height": 900})
    page.locator("#rungs summary").click()
    page.locator("#map").scroll_into_view_if_needed()
    expect(page.locator('[data-chart="map"]')).to_have_attribute("data-drawn", "yes")
    assert page.evaluate(WIDTH) == width
