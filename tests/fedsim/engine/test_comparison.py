"""A comparison from its file to its tables and pictures."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from fedsim.core.errors import RunError
from fedsim.engine.comparison import Done, open_folder, run_cells
from fedsim.log.comparison import cell_folder, is_finished
from fedsim.log.folders import RECORDS
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import RoundRecord, UploadRecord
from fedsim.show.comparison.tables import terminal_tables
from fedsim.show.comparison.write import Outcome, conclude
from tests.fedsim.engine.tiny import tiny

Finished = tuple[Path, list[Done], Outcome]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("compared") / "new"
    done = run_cells(tiny(), folder)
    return folder, done, conclude(tiny(), folder)


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_every_cell_is_a_run(finished: Finished) -> None:
    folder, done, _ = finished
    assert [d.error for d in done] == [None] * 10
    assert all(is_finished(cell_folder(folder, d.cell)) for d in done)


def test_results_pool_the_seeds_and_part_stages_and_attackers(finished: Finished) -> None:
    _, _, outcome = finished
    assert [(r.stage, r.name, r.attacker) for r in outcome.results] == [
        (stage, name, attacker)
        for stage in ("first", "last")
        for name in ("none", "noise std=0.001", "noise std=0.1", *BATCHES)
        for attacker in ("naive", "adaptive")
    ]
    for r in outcome.results:
        batch = int(r.strength[-1]) if r.label == "batches" else 1
        assert r.examples == 2 * 2 * batch
        assert len(r.accuracy) == 2
        assert r.controls[0] == 2 * batch
        assert r.known_answer == (r.label == "noise")


BATCHES = ("batches batch_size=2", "batches batch_size=3")


def test_an_attacker_without_an_answer_is_the_naive_one(finished: Finished) -> None:
    for naive, adaptive in zip(finished[2].results[::2], finished[2].results[1::2], strict=True):
        assert (naive.scores == adaptive.scores) == (not adaptive.known_answer)


def test_accuracy_is_the_mean_over_the_last_measurements(finished: Finished) -> None:
    folder, done, once = finished
    twice = conclude(tiny("last_evaluations=2"), folder)
    for seed, cell in enumerate(d.cell for d in done[:2]):
        records = read_records(cell_folder(folder, cell))
        measured = [r.accuracy for r in of_kind(records, RoundRecord)][-2:]
        assert once.results[0].accuracy[seed] == measured[-1]
        assert twice.results[0].accuracy[seed] == pytest.approx(sum(measured) / 2)
    assert "mean over the last 2 measurements" in twice.advice[-1]
    assert "measurements" not in once.advice[-1]


def test_tables_say_the_same(finished: Finished) -> None:
    folder, _, outcome = finished
    with (folder / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parquet = pq.read_table(folder / "table.parquet").to_pylist()
    distinct = [r for r in outcome.results if r.attacker == "naive" or r.known_answer]
    assert len(rows) == len(parquet) == len(distinct)
    for row, record, result in zip(rows, parquet, distinct, strict=True):
        assert row["defense"] == record["defense"] == result.label
        assert float(row["psnr_mean_db"]) == pytest.approx(record["psnr_mean_db"])
        assert record["psnr_worst_db"] == max(result.scores)
        assert record["recognisable"] == result.leaked / result.examples
    markdown = (folder / "table.md").read_text("utf-8").splitlines()
    assert len(markdown) == 2 + len(rows)
    latex = (folder / "table.tex").read_text("utf-8")
    assert r"\toprule" in latex
    assert r"batch\_size=2" in latex
    assert [t.row_count for t in terminal_tables(outcome.results)] == [5, 5]


def test_pictures_are_drawn(finished: Finished) -> None:
    folder, _, outcome = finished
    drawn = {f"{k}-{s}" for k in ("frontier", "strengths") for s in ("first", "last")}
    ends = ("png", "pdf", "svg")
    assert {f"{d}.{e}" for d in drawn for e in ends} <= {f.name for f in outcome.files}
    names = {f"{name}.png" for name in drawn}
    names |= {f"victim-{s}-{a}.png" for s in ("first", "last") for a in ("naive", "adaptive")}
    assert names == {f.name for f in outcome.files if f.suffix == ".png"}
    assert outcome.files[-1].name == "report.html"
    for name in names:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 100


def test_the_recommendation_has_its_evidence(finished: Finished) -> None:
    text = (finished[0] / "recommendation.md").read_text("utf-8")
    assert "| defense" in text
    assert "2 seeds" in text
    assert "fedsim has no countermeasure to: batches" in text


def test_what_is_finished_is_not_run_again(copy: Path, finished: Finished) -> None:
    """A run without its last record was stopped half-way, a missing one never begun."""
    half, gone = (cell_folder(copy, finished[1][i].cell) for i in (0, 3))
    lines = (half / RECORDS).read_text("utf-8").splitlines(keepends=True)
    (half / RECORDS).write_text("".join(lines[:-1]), "utf-8")
    shutil.rmtree(gone)
    partial = conclude(tiny(), copy)
    assert "2 of 10 runs are still missing" in (copy / "recommendation.md").read_text("utf-8")
    assert len(partial.results) == len(finished[2].results)
    told: list[bool] = []
    again = run_cells(tiny(), copy, on_done=lambda done: told.append(done.before))
    assert [not d.before for d in again] == [i in (0, 3) for i in range(10)]
    assert told.count(False) == 2
    for d in finished[1]:
        assert digests(cell_folder(copy, d.cell)) == digests(cell_folder(finished[0], d.cell))
    again = conclude(tiny(), copy).results
    assert [r.scores for r in again] == [r.scores for r in finished[2].results]


def digests(folder: Path) -> list[str | None]:
    return [r.digest for r in of_kind(read_records(folder), UploadRecord)]


def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    comparison = tiny("seeds=[0]", "grid.2.set={'federation.batch_size'=[2, 5000]}")
    done = run_cells(comparison, tmp_path / "new")
    assert [d.error is None for d in done] == [True, True, True, True, False]
    assert "batch_size = 5000" in (done[-1].error or "")
    assert conclude(comparison, tmp_path / "new").results


def test_another_comparisons_folder_is_refused(copy: Path) -> None:
    with pytest.raises(RunError, match="another comparison was begun here"):
        open_folder(tiny("clients=4"), copy)


def test_a_comparison_grows(copy: Path, finished: Finished) -> None:
    more = tiny("seeds=[0, 1, 2]")
    done = run_cells(more, copy)
    assert [d.error for d in done] == [None] * len(done)
    assert sum(d.before for d in done) == len(finished[1])
    assert len(done) > len(finished[1])
    assert len(conclude(more, copy).results) == len(finished[2].results)
    # And shrinks: what it lacks stays in the folder, for the next time.
    assert all(d.before for d in run_cells(tiny(), copy))
    assert all(d.before for d in run_cells(more, copy))


def test_runs_find_their_places_when_strengths_are_added(copy: Path) -> None:
    noise = "[{name='gaussian-noise', std=[0.001, 0.01, 0.1]}, 'fp16']"
    between = tiny(f"grid.1.defenses={noise}")
    done = run_cells(between, copy)
    assert [d.error for d in done] == [None] * len(done)
    assert [d.cell.place for d in done if not d.before] == [
        f"01-01-noise-std-0-01-seed{seed}" for seed in (0, 1)
    ]


def test_a_cell_that_was_broken_off_goes_on(copy: Path, finished: Finished) -> None:
    cell = finished[1][0].cell
    place = cell_folder(copy, cell) / RECORDS
    lines = place.read_bytes().splitlines(keepends=True)
    place.write_bytes(b"".join(lines[:-1]) + b'{"kind": "e')
    before = {p: p.stat().st_mtime_ns for p in (cell_folder(copy, cell) / "tensors").glob("r*")}
    assert before
    done = run_cells(tiny(), copy)
    assert [d.before for d in done].count(False) == 1
    assert digests(cell_folder(copy, cell)) == digests(cell_folder(finished[0], cell))


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(RunError, match="not empty"):
        open_folder(tiny(), tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["mine"]


def test_nothing_run_is_nothing_concluded(tmp_path: Path) -> None:
    open_folder(tiny(), tmp_path / "new")
    assert conclude(tiny(), tmp_path / "new").results == []


def test_a_malicious_record_opens_no_file_outside(copy: Path, finished: Finished) -> None:
    place = cell_folder(copy, finished[1][0].cell) / RECORDS
    records = [json.loads(line) for line in place.read_text("utf-8").splitlines()]
    for record in records:
        if record["kind"] == "reconstruction":
            record["tensors"] = "../../../../etc/passwd"
    place.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    with pytest.raises(RunError, match="no file"):
        conclude(tiny(), copy)
