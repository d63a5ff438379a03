"""A report of 500 victims, in colour: small enough to keep, and quick to open."""

import time
from pathlib import Path

import pytest

from fedsim.show.report.run import write_run
from tests.fedsim.show.report.conftest import Opened
from tests.fedsim.show.report.logs import Group, Log

VICTIMS = 500
MOST_BYTES = 60_000_000
PAINTED = """() => new Promise(done => {
    requestAnimationFrame(() => setTimeout(() => done(performance.now())));
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attacked = Group("all", ["leaked"] * VICTIMS, adaptive="leaked")
    log = Log(groups=[attacked], channels=3, side=32, frames=[2**i for i in range(13)])
    return write_run(log.write(tmp_path_factory.mktemp("many") / "run"))


@pytest.mark.bench
def test_it_can_be_kept_and_opens_quickly(report: Path, opened: Opened) -> None:
    size = report.stat().st_size
    began = time.monotonic()
    page = opened(report)
    painted = page.evaluate(PAINTED)
    seconds = time.monotonic() - began
    print(  # noqa: T201
        f"\n{VICTIMS} victims, naive and adaptive: {size / 1e6:.1f} MB, painted after "
        f"{painted / 1000:.2f} s, {seconds:.2f} s with the browser's page"
    )
    assert size < MOST_BYTES
    card = page.locator(".card").last
    card.scroll_into_view_if_needed()
    card.locator("input").focus()
    page.keyboard.press("Home")
    page.wait_for_selector(".card:last-child canvas:not([hidden])")
