"""Groups of clients with data sets of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

import fedsim
from fedsim.clients.site import open_site
from fedsim.core.errors import DataError, RunError, ScenarioError
from fedsim.core.registry import DATASETS, LOSSES, MODELS
from fedsim.log.schema import LeakageRecord, Meaning, UploadRecord

DENSE = [nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 2)]
PLAN = {
    "title": "Two hospitals",
    "seed": 1,
    "federation": {"rounds": 1},
    "clients": [{"name": "north", "count": 2}, {"name": "south", "count": 1}],
    "adversary": {"attack": "best"},
}


@pytest.fixture(autouse=True)
def _registered_for_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (MODELS, DATASETS, LOSSES):
        registry.names()  # finds the others first
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))


def noise(low: float, high: float, side: int = 8) -> TensorDataset:
    seed = round(10 * low)
    drawn = torch.rand(10, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(low + (high - low) * drawn, torch.arange(10) % 2)


def test_each_group_holds_its_own_pictures_alone(tmp_path: Path) -> None:
    own = {"south": (noise(0.6, 1), noise(0.7, 1))}
    run = fedsim.run(
        PLAN, model=nn.Sequential(*DENSE), data=noise(0, 0.4), group_data=own, out=tmp_path / "run"
    )
    text = (run.folder / "scenario.toml").read_text("utf-8")
    site = open_site(fedsim.Scenario.from_toml(text))
    brightest = [site.batches(p, 1)[0][0].max() for p in range(3)]
    assert brightest[0] <= 0.4
    assert brightest[1] <= 0.4
    assert site.batches(2, 1)[0][0].min() >= 0.59
    assert [len(own) for own in site.partitions] == [4, 4, 10]
    assert len(site.dataset.test) == 2 + 10
    scores = [r.score for r in run.records if isinstance(r, LeakageRecord)]
    assert {s.meaning for s in scores} == {Meaning.LEAKED}
    uploads = [r for r in run.records if isinstance(r, UploadRecord)]
    assert [(u.partition, u.group) for u in uploads] == [(0, "north"), (1, "north"), (2, "south")]


def folder_of(place: Path, seed: int) -> str:
    """Write ten grey pictures in two classes, and return the path of their folder."""
    drawn = np.random.default_rng(seed).integers(0, 256, (10, 8, 8), dtype=np.uint8)
    for number, each in enumerate(drawn):
        at = place / ("healthy", "ill")[number % 2]
        at.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each).save(at / f"{number}.png")
    return str(place)


def test_a_scenario_names_a_folder_for_each_group(tmp_path: Path) -> None:
    """No data set of the scenario is loaded then, and the report names those of the groups."""
    groups = [
        {
            "name": name,
            "dataset": {"name": "folder", "path": folder_of(tmp_path / name, i), "size": 8,
                        "channels": 1},
        }
        for i, name in enumerate(("north", "south"))
    ]  # fmt: skip
    plan = {**PLAN, "clients": groups, "model": {"name": "mlp", "hidden": [32]}, "adversary": None}
    site = open_site(fedsim.Scenario.from_tables({**plan, "data": {"data_dir": str(tmp_path)}}))
    assert site.dataset.classes == ("healthy", "ill")
    assert [len(own) for own in site.partitions] == [8, 8]
    run = fedsim.run(plan, out=tmp_path / "run")
    said = run.write_report().read_text("utf-8")
    assert said.count("1 client holds a part of the data set folder") == 2
    assert "of the data set fashion-mnist-mini" not in said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"south": noise(0, 1, side=9)}, r"'north' has \(1, 8, 8\), 'south' has \(1, 9, 9\)"),
        ({"south": TensorDataset(torch.rand(9, 1, 8, 8), torch.rand(9))}, "'south' has 1 numbers"),
        ({"east": noise(0, 1)}, "no client group is named 'east'"),
    ],
)
def test_data_that_do_not_go_together(given: Any, expected: str, tmp_path: Path) -> None:
    with pytest.raises((DataError, RunError), match=expected):
        fedsim.run(
            PLAN,
            model=nn.Sequential(*DENSE),
            data=noise(0, 1),
            group_data=given,
            out=tmp_path / "r",
        )


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"partition": "iid"}, "no dataset of its own"),
        (
            {"dataset": "fashion-mnist-mini", "partition": "shards"},
            "shares its data set 'fashion-mnist-mini' with 'north'",
        ),
        ({"dataset": {"name": "sentences", "texts": ["one"]}}, "does not support"),
    ],
)
def test_groups_that_cannot_be(group: dict[str, Any], expected: str) -> None:
    clients = [{"name": "north", "count": 2}, {"name": "south", **group}]
    with pytest.raises(ScenarioError, match=expected):
        fedsim.Scenario.from_tables({**PLAN, "clients": clients})


def test_groups_with_the_same_data_set_share_it() -> None:
    clients = [{"name": "north", "count": 2}, {"name": "south", "dataset": "fashion-mnist-mini"}]
    site = open_site(fedsim.Scenario.from_tables({**PLAN, "clients": clients}))
    held = np.concatenate(site.partitions)
    assert len(np.unique(held)) == len(held) == len(site.dataset.train)
