"""The report of a comparison while it runs."""

import shutil
import webbrowser
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fedsim.log.comparison import cell_folder
from fedsim.show.report import comparison
from fedsim.show.report.following import Following
from tests.fedsim.engine.tiny import tiny
from tests.fedsim.show.report.conftest import Opened
from tests.fedsim.show.report.logs import write_comparison_log

REFRESH = 'http-equiv="refresh"'


@pytest.fixture
def opened_pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pages: list[str] = []

    def opens(url: str) -> bool:
        pages.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", opens)
    return pages


def without_a_run(folder: Path) -> Path:
    """Write a comparison's folder from which one run is missing, and return the run's place."""
    plan = tiny()
    write_comparison_log(folder, plan)
    missing = cell_folder(folder, plan.places[-1])
    shutil.move(missing, folder.parent / "later")
    return missing


def test_it_is_opened_once_and_read_again_until_the_end(
    tmp_path: Path, opened_pages: list[str]
) -> None:
    folder = tmp_path / "it"
    without_a_run(folder)
    report = Following(folder)
    report.write()
    report.write()
    page = folder / "report.html"
    assert opened_pages == [page.as_uri()]
    assert REFRESH in page.read_text("utf-8")
    comparison.write_comparison(folder)
    assert REFRESH not in page.read_text("utf-8")


def test_nothing_is_opened_before_a_run_is_finished(
    tmp_path: Path, opened_pages: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "comparison.toml").write_text(tiny().to_toml())
    Following(tmp_path).write()
    assert not opened_pages
    assert "no run of this comparison is finished yet" in caplog.text


@pytest.mark.browser
def test_a_browser_shows_the_next_run_by_itself(
    tmp_path: Path, opened: Opened, opened_pages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "REFRESH_S", 1)
    folder = tmp_path / "it"
    missing = without_a_run(folder)
    report = Following(folder)
    report.write()
    page = opened(folder / "report.html")
    expect(page.get_by_text("1 of 10 runs")).to_be_visible()
    shutil.move(tmp_path / "later", missing)
    report.write()
    expect(page.get_by_text("1 of 10 runs")).to_have_count(0)
