"""Ladders from the first rung to the page."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fedsim
from fedsim.api.apps import ladder_notes
from fedsim.api.ladders import Climbed
from fedsim.core.errors import RunError
from fedsim.engine.ladder.trial import Bench
from fedsim.log.ladder import Found, LadderRecord, Rung, read_ladder
from fedsim.log.run import Run
from fedsim.log.schema import Meaning
from fedsim.show.ladder import words
from fedsim.show.ladder.page import ladder_page
from fedsim.show.ladder.table import ladder_table, map_table
from tests.fedsim.engine.ladder.nets import LeNet, Quickstart, seeded

WEAK = {"name": "best", "evaluations": 1, "trials": 1}
PICTURES = torch.rand((12, 1, 6, 6), generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Climbed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = mlp()
    return fedsim.ladder(
        model,
        input_shape=(1, 6, 6),
        learning_rate=0.1,
        local_steps=2,
        public=(PICTURES, LABELS),
        attack=WEAK,
        map_limit_s=60.0,
        out=tmp_path_factory.mktemp("ladder") / "out",
    )


@pytest.mark.slow
def test_the_smooth_rung_leaks_and_the_first_that_does_not_is_named(climbed: Climbed) -> None:
    rungs = climbed.record.rungs
    assert rungs[0].found is not None
    assert rungs[0].found.worst is Meaning.LEAKED
    assert climbed.closes is not None
    assert climbed.closes > 1
    assert rungs[climbed.closes - 1].changed in climbed.headline
    assert climbed.headline.endswith("That is not protection.")
    assert any("evaluations" in line for line in climbed.remarks)


def test_nothing_undefended_is_called_protected(climbed: Climbed) -> None:
    found = [rung.found for rung in climbed.record.rungs]
    found += [cell.found for cell in climbed.record.cells]
    assert all(f is not None and Meaning.PROTECTED not in f.meanings for f in found)


def test_each_rung_is_a_run_folder(climbed: Climbed) -> None:
    for rung in climbed.record.rungs:
        assert rung.folder is not None
        assert Run.read(climbed.folder / rung.folder).summary.status == "finished"


def test_the_map_has_powers_of_two_up_to_the_setting_in_use(climbed: Climbed) -> None:
    places = [(c.batch_size, c.local_steps) for c in climbed.record.cells]
    assert places == [(1, 1), (1, 2)]


def test_the_truth_fits_where_the_equations_are_right(climbed: Climbed) -> None:
    first = climbed.record.rungs[0].found
    assert first is not None
    assert first.explained
    assert first.truth is not None
    assert first.truth < 1e-6


def test_the_page_is_self_contained_and_shows_every_rung(climbed: Climbed) -> None:
    page = climbed.report.read_text("utf-8")
    assert "heatmap" in page
    assert all(rung.changed in page for rung in climbed.record.rungs)
    assert json.loads((climbed.folder / "ladder.json").read_text("utf-8"))["rungs"]


def test_a_folder_with_files_is_refused(climbed: Climbed) -> None:
    with pytest.raises(RunError, match="not empty"):
        fedsim.ladder(mlp, input_shape=(1, 6, 6), learning_rate=0.1, out=climbed.folder)


def too_late(folder: Path, **limits: float) -> Climbed:
    """Return a ladder after a check that none of its rungs and cells was run."""
    late = fedsim.ladder(
        mlp,
        input_shape=(1, 6, 6),
        learning_rate=0.1,
        local_steps=2,
        public=(PICTURES, LABELS),
        attack=WEAK,
        out=folder,
        **limits,
    )
    assert {rung.not_run for rung in late.record.rungs} == {"the time ran out"}
    assert "no rung was run" in late.headline
    assert {cell.found for cell in late.record.cells} == {None}
    return late


def test_rungs_and_cells_without_time_are_shown_as_not_run(tmp_path: Path) -> None:
    late = too_late(tmp_path / "late", time_limit_s=1e-9, map_limit_s=1e-9)
    assert late.report.read_text("utf-8").count("not run") >= len(late.record.rungs)


def test_an_attack_stopped_before_it_began_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Found(examples=1, meanings={Meaning.ATTACK_FAILED: 1}, status="stopped")
    monkeypatch.setattr(Bench, "try_out", lambda *given: stopped)
    too_late(tmp_path / "late", map_limit_s=1.0)


def test_a_rung_without_enough_public_examples_is_not_run(tmp_path: Path) -> None:
    few = fedsim.ladder(
        mlp,
        input_shape=(1, 6, 6),
        learning_rate=0.1,
        batch_size=7,
        public=(PICTURES, LABELS),
        attack=WEAK,
        time_limit_s=1e-9,
        out=tmp_path / "few",
    )
    assert few.record.rungs[-1].not_run == "it needs 7 public examples to attack, and there are 6"


def record(*meanings: Meaning | None) -> LadderRecord:
    """Return a ladder with a rung for each meaning; None for one that was not run."""
    rungs = [
        Rung(
            changed=f"change {i}",
            setting={},
            found=None if m is None else Found(examples=1, meanings={m: 1}, control=True),
            not_run="the time ran out" if m is None else None,
        )
        for i, m in enumerate(meanings)
    ]
    return LadderRecord(
        title="Net",
        attack="best",
        measure="PSNR",
        unit=" dB",
        estimate_s=1.0,
        limit_s=1.0,
        rungs=tuple(rungs),
    )


LEAKED, FAILED = Meaning.LEAKED, Meaning.ATTACK_FAILED


def test_a_door_that_opens_again_is_no_boundary() -> None:
    found = record(LEAKED, FAILED, LEAKED)
    assert found.closes == 1
    assert words.remarks(found)[0].startswith("It leaks again at rung 3")


def test_the_rung_from_which_examples_leak_in_part_only_is_named() -> None:
    found = record(LEAKED, Meaning.PARTLY, FAILED)
    assert words.remarks(found)[0].startswith("From rung 2 (change 1)")


def test_a_rung_that_was_not_run_never_counts_as_closed() -> None:
    found = record(LEAKED, None)
    assert found.closes is None
    assert words.headline(found).endswith("run, 1 of 2. The setting in use was not.")


def test_a_failure_on_the_easiest_rung_says_nothing_about_the_setting() -> None:
    assert "says nothing" in words.headline(record(FAILED, LEAKED))


def test_tables_and_page_of_a_ladder_without_a_map() -> None:
    found = record(LEAKED, None)
    assert ladder_table(found).row_count == 2
    assert map_table(found) is None
    assert "heatmap" not in ladder_page(found).partition("<script")[0]


def test_a_missing_or_broken_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no file 'ladder\.json'"):
        read_ladder(tmp_path)
    (tmp_path / "ladder.json").write_text("{}")
    with pytest.raises(RunError, match="not a ladder"):
        read_ladder(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "shape"), [(LeNet, (1, 28, 28)), (Quickstart, (3, 32, 32))], ids=["lenet", "flower"]
)
def test_a_smooth_model_leaks_at_first(
    make: type[nn.Module], shape: tuple[int, int, int], tmp_path: Path
) -> None:
    found = fedsim.ladder(
        seeded(make),
        input_shape=shape,
        learning_rate=0.1,
        uploads="gradients",
        time_limit_s=600.0,
        out=tmp_path / "out",
    )
    assert found.record.rungs[0].found is not None
    assert found.record.rungs[0].found.worst is Meaning.LEAKED
    assert found.record.narrows == 1


def test_the_ladder_of_an_app_with_secure_aggregation_says_what_its_rungs_are() -> None:
    for name, count in (("plain", 0), ("secagg+", 1)):
        run: Any = SimpleNamespace(scenario={"federation": {"aggregation": {"name": name}}})
        assert len(ladder_notes(run)) == count
