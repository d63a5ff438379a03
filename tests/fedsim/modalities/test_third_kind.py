"""A third kind of data is one folder: here, ``tables`` beside this file."""

import importlib
from collections.abc import Iterator

import pytest

from fedsim.api.watch import run_and_conclude
from fedsim.core.errors import ScenarioError
from fedsim.core.modality import MODALITIES
from fedsim.core.registry import DATASETS, MODELS
from fedsim.log.run import Run
from fedsim.log.schema import Meaning, ReconstructionRecord
from fedsim.scenario import Scenario
from fedsim.show.terminal.table import remarks, summary_table

TOML = """
title = "Rows"

[data]
dataset = "toy-table"

[model]
name = "row-mlp"

[federation]
rounds = 1

[[clients]]
name = "plain"
count = 2

[adversary]
attack = { name = "dlg", evaluations = 150 }
"""


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    """Register the kind for the tests of this module alone: others go through all names."""
    with pytest.MonkeyPatch.context() as patch:
        for registry in (DATASETS, MODELS):
            registry.names()
            patch.setattr(registry, "_classes", dict(registry._classes))
        MODALITIES.names()
        patch.setattr(MODALITIES, "_modalities", dict(MODALITIES._modalities))
        importlib.import_module("tests.fedsim.modalities.tables")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rows") / "run"
    return Run.read(run_and_conclude(Scenario.from_toml(TOML), folder))


def test_it_is_attacked_and_judged(run: Run) -> None:
    assert (run.start.modality, run.start.task, run.start.chance) == ("tables", "classify", 0.5)
    assert run.summary.measure is MODALITIES.get("tables").measure
    assert [(row.group, row.examples) for row in run.summary.rows] == [
        ("plain", 2),
        ("positive control", 1),
    ]
    assert run.summary.rows[0].count(Meaning.LEAKED) == 2
    assert max(run.summary.rows[0].scores) == 100


def test_it_is_told_in_the_terminal(run: Run) -> None:
    assert [column.header for column in summary_table(run.summary).columns][3] == "cells / blind"
    assert "leaked: rows of which most cells are right." in remarks(run.summary)[-1].plain


def test_it_is_drawn_and_reported(run: Run) -> None:
    assert (run.folder / "pictures" / "round-0001.csv").read_text("utf-8").count("\n") == 6
    html = (run.folder / "report.html").read_text("utf-8")
    assert "2 of 2 private rows leaked." in html
    assert "100% of the cells" in html


def test_what_is_for_other_kinds_is_refused() -> None:
    with pytest.raises(ScenarioError, match="model: 'lenet' does not support tables"):
        Scenario.from_toml(TOML.replace('"row-mlp"', '"lenet"'))
    with pytest.raises(ScenarioError, match="attack: 'lamp' does not support tables"):
        Scenario.from_toml(TOML.replace('"dlg"', '"lamp"').replace(", evaluations = 150", ""))
    with pytest.raises(ScenarioError, match=r"defenses\.0: 'mixup' does not support tables"):
        Scenario.from_toml(TOML, overrides=["clients.0.defenses=[{name='mixup', alpha=0.5}]"])


def test_what_is_for_any_kind_is_taken() -> None:
    defenses = (
        "[{name='dp-sgd', norm=1.0, noise_multiplier=0.1}, 'fp16', {name='pruning', fraction=0.1}]"
    )
    Scenario.from_toml(TOML, overrides=[f"clients.0.defenses={defenses}"])


def test_every_attack_is_in_the_log(run: Run) -> None:
    assert len(run.of_kind(ReconstructionRecord)) == 3
