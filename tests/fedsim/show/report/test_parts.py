"""The parts of a report, each alone."""

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning
from fedsim.scenario import load_scenario
from fedsim.show.report.charts import COLOURS, plain
from fedsim.show.report.images import (
    FEWEST_FRAMES,
    SMALLEST_SIDE,
    STILLS_BUDGET,
    STRIPS_BUDGET,
    data_uri,
    evenly,
    largest_side,
    most_frames,
    strip,
)
from fedsim.show.report.page import as_csv, prose
from fedsim.show.report.run_charts import run_charts
from fedsim.show.report.words import MEANINGS, counted, duration, knew, moment, simulated, size
from fedsim.show.view import view_of
from tests.fedsim.show.report.logs import FRAMES, MARKUP, UNDEFENDED, Group, Log


def test_every_meaning_has_a_sign_of_its_own() -> None:
    assert set(MEANINGS) == {m.value for m in Meaning}
    assert len({m.sign for m in MEANINGS.values()}) == len(MEANINGS)


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 4, [0]), (10, 4, [0, 3, 6, 9])],
)
def test_frames_are_left_out_evenly(count: int, most: int, expected: list[int]) -> None:
    assert evenly(count, most) == expected


@pytest.mark.parametrize("victims", [1, 10, 500, 5000])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 224, 224)])
def test_the_budgets_hold(victims: int, shape: tuple[int, int, int]) -> None:
    side = largest_side(2 * victims, shape)
    frames = most_frames(victims, shape, side)
    assert 1 <= side <= shape[-1]
    pixels = shape[0] * side**2 * 4 / 3
    assert 2 * victims * pixels <= STILLS_BUDGET * 1.01 or side == SMALLEST_SIDE
    assert victims * frames * pixels <= STRIPS_BUDGET * 1.01 or frames == FEWEST_FRAMES


def test_pictures_become_small_pngs() -> None:
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    assert data_uri(grey, 8).startswith("data:image/png;base64,iVBOR")
    assert len(data_uri(np.repeat(grey, 3, axis=0), 8)) == len(data_uri(grey, 8))
    assert len(strip([grey] * 9, 8)) > len(strip([grey], 8))


def test_cells_that_a_spreadsheet_would_run_are_disarmed() -> None:
    text = unquote(as_csv([["a", "b"], ["=HYPERLINK(1)", -3.5], ["@x", None]]))
    assert text.endswith("a,b\r\n'=HYPERLINK(1),-3.5\r\n'@x,\r\n")


def test_docstrings_become_paragraphs_without_markup() -> None:
    html = prose(f"One ``x < 1``.\nStill one.\n\nTwo: {MARKUP}, arXiv 1906.08935.")
    assert html.startswith("<p>One <code>x &lt; 1</code>. Still one.</p><p>Two: &lt;img")
    assert "<img" not in html


def test_plotly_shows_names_as_they_are() -> None:
    assert plain("<b>&amp;") == "&lt;b&gt;&amp;amp;"


def test_charts_draw_every_baseline_and_every_victim(tmp_path: Path) -> None:
    run = Run.read(Log(groups=[UNDEFENDED], rounds=(1, 2)).write(tmp_path / "run"))
    charts = {c.key: c for c in run_charts(view_of(run).cards(run), run.summary)}
    assert list(charts) == ["groups", "rounds", "clients", "objectives"]
    for key in ("groups", "rounds", "clients"):
        assert any("blind" in str(t["name"]) for t in charts[key].data), key
    assert len(charts["objectives"].data) == 2 * 3
    assert list(charts["objectives"].data[0]["x"]) == list(FRAMES)


def test_many_curves_are_thinned_out_and_it_is_said(tmp_path: Path) -> None:
    group = Group("many", ["leaked"] * 70)
    run = Run.read(Log(groups=[group]).write(tmp_path / "run"))
    charts = {c.key: c for c in run_charts(view_of(run).cards(run), run.summary)}
    assert len(charts["objectives"].data) == 3 + 1
    assert "the best, the median and the worst" in charts["objectives"].caption
    assert "30 clients with less leakage are omitted" in charts["clients"].caption


def test_a_run_without_attacks_has_a_chart_of_its_accuracy_alone(tmp_path: Path) -> None:
    run = Run.read(Log(groups=[]).write(tmp_path / "run"))
    run = Run(
        run.folder, [r for r in run.records if not isinstance(r, LeakageRecord)], run.scenario_text
    )
    assert [c.key for c in run_charts(view_of(run).cards(run), run.summary)] == ["rounds"]


def test_colours_differ() -> None:
    assert len(set(COLOURS)) == len(COLOURS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("federation.aggregation='secagg+'", "the server learns only their sum"),
        ("federation.fraction=0.5", "a round 50% of them, drawn anew each time, upload"),
        ("adversary.per_round=3", "in round 1, 3 victims at most"),
        ("adversary.victims=['undefended']", "of the clients undefended"),
    ],
)
def test_a_scenario_in_words(change: str, said: str) -> None:
    scenario = load_scenario("quickstart", [change]).model_dump(mode="json", exclude_none=True)
    assert said in " ".join(simulated(scenario, ("picture", "pictures")))


def test_what_only_the_sum_tells() -> None:
    scenario = load_scenario("secure-aggregation").model_dump(mode="json", exclude_none=True)
    assert "the sum of a round's uploads, but no single upload" in " ".join(
        knew(scenario, ("picture", "pictures"))
    )


def test_what_the_server_had_asked_for_is_known_to_it() -> None:
    scenario = load_scenario("quickstart").model_dump(mode="json", exclude_none=True)
    plain = "batch size, number of local steps and learning rate."
    assert plain in " ".join(knew(scenario, ("picture", "pictures")))
    scenario["federation"] |= {
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "loss": {"name": "cross-entropy", "smoothing": 0.1},
        "schedule": {"name": "constant", "over": "rounds", "warmup": 2},
        "max_grad_norm": 1.0,
        "proximal_mu": 0.1,
    }
    more = "learning rate, optimiser, loss, schedule, norm for clipping and proximal term."
    assert more in " ".join(knew(scenario, ("picture", "pictures")))


def test_figures_in_words() -> None:
    assert [size(n) for n in (12, 53_704, 2.5e6, 7e9)] == ["12 bytes", "53.7 kB", "2.5 MB", "7 GB"]
    assert [duration(s) for s in (61, 600, 7200)] == ["61 seconds", "10 minutes", "2.0 hours"]
    assert [counted(1, "run"), counted(1200, "run")] == ["1 run", "1,200 runs"]
    assert moment("2026-01-02T03:04:05+0000") == "2026-01-02 03:04"
