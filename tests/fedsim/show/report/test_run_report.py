"""What the report of a run says and holds."""

import json
import re
from pathlib import Path

import pytest

from fedsim.core.errors import RunError
from fedsim.log.folders import RECORDS
from fedsim.log.run import Run
from fedsim.log.schema import Source
from fedsim.show.conclude import conclude_run
from fedsim.show.report.run import run_page, write_run
from fedsim.show.report.write import write_report
from tests.fedsim.show.report.logs import ENDS_SCRIPT, MARKUP, NOISY, PRUNED, UNDEFENDED, Group, Log


def page(folder: Path, log: Log | None = None) -> str:
    return run_page(Run.read((log or Log()).write(folder / "run")))


def text_of(html: str) -> str:
    """Return what stands on the page, without scripts and tags."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_verdict_comes_first(tmp_path: Path) -> None:
    text = text_of(page(tmp_path))
    assert "4 of 6 private pictures leaked, and 1 more partly leaked." in text
    assert "2 pictures leaked only to an attacker who knows the defense" in text
    assert "leaked most: 41.0 dB, where a blind guess has 11.0." in text
    assert text.index("private pictures leaked") < text.index("Simulated federation")


@pytest.mark.parametrize(
    ("meanings", "said"),
    [
        (["leaked"], "1 of 1 private picture leaked."),
        (["partly leaked"], "1 of 1 private picture partly leaked."),
        (["partly leaked", "attack failed"], "1 of 2 private pictures partly leaked."),
        (["leaked", "partly leaked"], "1 of 2 private pictures leaked, and 1 more partly leaked."),
        (["protected"] * 2, "None of 2 private pictures leaked."),
        (["attack failed"] * 2, "leaked, but the attack failed on all of them."),
        (["attack failed", "protected"], "leaked, but the attack failed on 1 of them."),
    ],
)
def test_a_failed_attack_is_never_called_protection(
    tmp_path: Path, meanings: list[str], said: str
) -> None:
    text = text_of(page(tmp_path, Log(groups=[Group("a", meanings)])))
    assert said in text
    assert ("leaked most: " in text) == bool({"leaked", "partly leaked"} & set(meanings))


def test_what_was_simulated_and_what_the_adversary_knew(tmp_path: Path) -> None:
    text = text_of(page(tmp_path))
    assert "6 clients hold a part each of the data set fashion-mnist-mini" in text
    assert "the gradient of 1 picture" in text
    assert "The server attacked with dlg (evaluations 16), in round 1." in text
    assert "It knew the global model that it had sent" in text
    assert "never saw a private picture or a label" in text


def test_failed_and_unscored_attacks_are_visible(tmp_path: Path) -> None:
    html = page(tmp_path)
    text = text_of(html)
    assert "That is not protection" in text
    assert "r0001-c0005-naive: no reconstruction: RuntimeError: no luck" in text
    assert "no score" in text
    assert html.count('class="card"') == 7  # the control too


def test_a_card_shows_the_private_picture_and_each_attacker(tmp_path: Path) -> None:
    html = page(tmp_path, Log(groups=[PRUNED]))
    card = html.split('<article class="card"')[1]
    assert card.count('class="film"') == 2
    assert 'alt="Private picture of client 0, round 1, label 3"' in card
    assert 'alt="Adaptive reconstruction: leaked, 41.0 decibels"' in card
    assert 'data-at="1,4,9,16"' in card
    assert "41.0 dB, blind 11.0" in card


def test_every_picture_of_a_batch_has_a_card(tmp_path: Path) -> None:
    html = page(tmp_path, Log(groups=[UNDEFENDED], batch=3))
    assert "picture 3 of 3" in text_of(html)
    assert html.count('class="card"') == 9


def test_rows_of_the_table_and_baselines(tmp_path: Path) -> None:
    text = text_of(page(tmp_path))
    for words in ("pruning fraction=0.7", "gaussian-noise std=0.1", "positive control"):
        assert words in text
    assert "where a blind guess has 10 %" in text


def test_how_to_reproduce_it(tmp_path: Path) -> None:
    text = text_of(page(tmp_path))
    assert "fedsim run quickstart" in text
    assert "/somewhere" not in text
    assert "seed 7" in text
    assert "torch 2.9" in text
    assert "fashion-mnist-mini" in text


def test_sources_with_links_to_the_papers(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert '<a rel="noreferrer" href="https://arxiv.org/abs/1906.08935">1906.08935</a>' in html
    assert "<code>start</code>" in html


@pytest.mark.parametrize(
    ("status", "said"),
    [(None, "has not ended"), ("interrupted", "was interrupted"), ("failed", "failed")],
)
def test_unfinished_runs_say_so(tmp_path: Path, status: str | None, said: str) -> None:
    assert said in text_of(page(tmp_path, Log(status=status)))


def test_a_run_that_was_killed_at_once(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    lines = (folder / RECORDS).read_text("utf-8").splitlines()
    (folder / RECORDS).write_text(lines[0] + "\n" + lines[1][:10], "utf-8")
    (folder / "scenario.toml").unlink()
    text = text_of(run_page(Run.read(folder)))
    assert "No attack has ended yet." in text
    assert "ended before it had written its scenario" in text


def test_a_control_that_was_not_rebuilt_is_told_before_all_else(tmp_path: Path) -> None:
    text = text_of(page(tmp_path, Log(control="attack failed")))
    assert "The positive control was not reconstructed" in text
    assert text.index("The positive control was not reconstructed") < text.index(
        "Simulated federation"
    )


def test_pictures_that_were_tidied_away_leave_the_rest(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    for file in (folder / "tensors").iterdir():
        file.unlink()
    text = text_of(run_page(Run.read(folder)))
    assert "4 of 6 private pictures leaked, and 1 more partly leaked." in text
    assert "not kept" in text


def test_a_record_cannot_fetch_a_file_from_elsewhere(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    place = folder / RECORDS
    place.write_text(place.read_text("utf-8").replace("tensors/r0001", "../tensors/r0001"), "utf-8")
    with pytest.raises(RunError, match="inside this run folder"):
        write_run(folder)


def test_names_with_markup_are_text(tmp_path: Path) -> None:
    group = Group(MARKUP, ("leaked",), [{"name": ENDS_SCRIPT, "why": MARKUP}])
    log = Log(
        groups=[group],
        title=ENDS_SCRIPT,
        start={
            "command": [MARKUP, ENDS_SCRIPT],
            "versions": {MARKUP: ENDS_SCRIPT},
            "sources": [Source(kind=MARKUP, name=ENDS_SCRIPT, text=f"{MARKUP} {ENDS_SCRIPT}")],
        },
        scenario={"description": ENDS_SCRIPT + MARKUP},
    )
    html = page(tmp_path, log)
    assert "<img src=x" not in html
    assert "<script>document" not in html
    assert html.lower().count("</script>") == len(re.findall(r"<script\b", html))
    assert "&lt;img src=x onerror=" in html


def test_the_page_forbids_itself_every_request(tmp_path: Path) -> None:
    html = page(tmp_path)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data: blob:;")
    assert "unsafe-eval" not in policy[1]
    assert re.search(r"script-src 'nonce-[0-9a-f]{32}'", policy[1])
    outside = set(re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', html))
    assert outside == {"https://arxiv.org/abs/1906.08935"}  # followed only by a click


def test_the_same_log_gives_the_same_page(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    assert run_page(Run.read(folder)) == run_page(Run.read(folder))


def test_charts_are_json_with_every_figure(tmp_path: Path) -> None:
    html = page(tmp_path, Log(rounds=(1, 2)))
    found = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', html, re.DOTALL
    )
    assert found is not None
    charts = json.loads(found[1])
    assert list(charts) == ["groups", "rounds", "clients", "objectives"]


def test_small_enough_to_mail(tmp_path: Path) -> None:
    assert len(page(tmp_path)) < 2.5e6


def test_a_failure_to_write_it_loses_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Log().write(tmp_path / "run")
    (folder / "report.html").mkdir()
    conclude_run(folder)
    assert "the report was not written" in caplog.text


def test_missing_templates_are_told_with_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Flower's bundles, in which `flwr run` takes the project along, hold no HTML.
    monkeypatch.setattr("fedsim.show.report.page.files", lambda package: tmp_path)
    folder = Log().write(tmp_path / "run")
    conclude_run(folder)
    assert "where fedsim itself is installed" in caplog.text
    assert not (folder / "report.html").exists()
    with pytest.raises(RunError, match="where fedsim itself is installed"):
        write_run(folder)


def test_a_log_of_another_shape_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    place = folder / RECORDS
    place.write_text(place.read_text("utf-8").replace('"baselines"', '"other"'), "utf-8")
    with pytest.raises(RunError, match=r"records\.jsonl, line \d+: score\.baselines: Field req"):
        write_run(folder)


@pytest.mark.parametrize("text", ["clients = 3", "seed = 7", "[[clients]]\nname = 'a'", "[data]"])
def test_a_scenario_of_another_shape_is_an_error_that_names_the_run(
    tmp_path: Path, text: str
) -> None:
    folder = Log().write(tmp_path / "run")
    (folder / "scenario.toml").write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"run: this log does not have the form of fedsim"):
        write_run(folder)


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such folder: expected a run folder"):
        write_report(tmp_path / "missing")
    with pytest.raises(RunError, match="there is no run in this folder"):
        write_report(tmp_path)


def test_it_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = Log(groups=[NOISY]).write(tmp_path / "run")
    assert write_report(folder) == folder / "report.html"
    assert write_report(folder, tmp_path / "mine.html").is_file()
    with pytest.raises(RunError, match="cannot be written"):
        write_report(folder, tmp_path / "no" / "such" / "folder.html")


def test_without_charts_it_says_the_same_in_a_small_file(tmp_path: Path) -> None:
    folder = Log().write(tmp_path / "run")
    full = write_report(folder).read_text("utf-8")
    slim = write_report(folder, tmp_path / "slim.html", charts=False).read_text("utf-8")
    assert "4 of 6 private pictures leaked" in text_of(slim)
    assert 'id="plotly"' in full
    assert 'id="plotly"' not in slim
    assert "data-chart" not in slim
    assert "charts-section" not in slim
