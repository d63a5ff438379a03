"""A module and a data set of one's own in a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

import fedsim
from fedsim.core import plugins
from fedsim.core.errors import DataError, RunError, ScenarioError
from fedsim.core.registry import DATASETS, LOSSES, MODELS
from fedsim.data import load_dataset, register_data
from fedsim.log.schema import Doubt, LeakageRecord, Meaning, ReconstructionRecord, UploadRecord
from fedsim.models import register_model
from fedsim.show.explain import explain

PLAN = {
    "title": "Own parts",
    "seed": 1,
    "federation": {"rounds": 1},
    "clients": [{"name": "open", "count": 2}],
    "adversary": {"attack": "best"},
}


@pytest.fixture(autouse=True)
def _registered_for_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (MODELS, DATASETS, LOSSES):
        registry.names()  # finds the others first
        monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.setattr(plugins, "_LOADED", dict(plugins._LOADED))


class Net(nn.Module):
    """A network of two heads' form that returns a mapping, with dropout and in place."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(64, 40)
        self.drop = nn.Dropout(0.5)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(40, num_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.act(self.drop(self.body(x.flatten(1))))
        return {"features": features, "logits": self.head(features)}


def noise(count: int = 30) -> TensorDataset:
    """Return pictures of noise, 8 x 8, in three classes."""
    pictures = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return TensorDataset(pictures, torch.arange(count) % 3)


def scores(run: fedsim.Run) -> list[float]:
    return [float(row["score"] or 0) for row in run.table()]  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_class_with_a_mapping_as_output_and_a_torch_data_set(tmp_path: Path) -> None:
    run = fedsim.run(PLAN, model=Net, data=noise(), out=tmp_path / "run")
    assert min(scores(run)) > 40  # pictures are stored as bytes
    assert run.table()[0]["leaked"] == 2
    assert 'name = "own"' in (run.folder / "scenario.toml").read_text("utf-8")
    again = fedsim.run(PLAN, model=lambda: Net(3), data=noise(), out=tmp_path / "again")
    assert scores(again) == scores(run)


def test_the_same_name_never_means_what_it_meant_before(tmp_path: Path) -> None:
    plan = {**PLAN, "adversary": {"attack": "dense"}}
    wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.Tanh(), nn.Linear(50, 3))
    for number, model in enumerate((wide, wide[:3].append(nn.Linear(50, 4)))):
        run = fedsim.run(plan, model=model, data=noise(), out=tmp_path / str(number))
        started: Any = run.records[0]
        assert started.model.parameters == sum(p.numel() for p in model.parameters())


def test_frozen_layers_are_named_and_the_rest_is_attacked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the head is uploaded, and still tells its inputs, from which the picture follows."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 80), nn.Softplus(), nn.Linear(80, 3))
    model[1].requires_grad_(False)
    plan = {**PLAN, "adversary": {"attack": {"name": "best", "evaluations": 400}}}
    run = fedsim.run(plan, model=model, data=noise(), out=tmp_path / "run", live=True)
    assert "5200 of 5443 parameters are frozen" in " ".join(capsys.readouterr().out.split())
    started: Any = run.records[0]
    assert started.model.frozen == 64 * 80 + 80
    assert started.model.parameters == 80 * 3 + 3
    table = run.table()
    assert float(table[0]["score"] or 0) > float(table[0]["blind"] or 0) + 5  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_transformer_of_hugging_faces_gives_its_picture_away(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")

    def make(num_classes: int) -> Any:
        config = transformers.ViTConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            image_size=8, patch_size=2, num_channels=1, num_labels=num_classes,
            hidden_dropout_prob=0.1,
        )  # fmt: skip
        return transformers.ViTForImageClassification(config)

    run = fedsim.run(PLAN, model=make, data=noise(), out=tmp_path / "run")
    assert min(scores(run)) > 40


PLUGIN = """
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from fedsim.data import register_data
from fedsim.models import register_model

register_model("mine", lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
pictures = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
register_data("my-pictures", TensorDataset(pictures, torch.arange(30) % 3))
"""


def test_a_plugin_file_names_both(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN, "utf-8")
    fedsim.load_plugin(file)
    plan = {**PLAN, "model": "mine", "data": {"dataset": "my-pictures"}}
    run = fedsim.run(plan, out=tmp_path / "run")
    assert min(scores(run)) > 40
    started: Any = run.records[0]
    assert "mine.py" in [plugin.name for plugin in started.plugins]


def test_frozen_layers_explain_a_failure(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Softplus(), nn.Linear(8, 3))
    model[1].requires_grad_(False)
    plan = {**PLAN, "adversary": {"attack": {"name": "idlg", "evaluations": 100}}}
    run = fedsim.run(plan, model=model, data=noise(), out=tmp_path / "run")
    causes = [f.cause for e in explain(run.folder) for f in e.findings]
    assert "a part of the model is frozen" in causes


@pytest.mark.parametrize(
    ("own", "where"),
    [
        ({"model": nn.Linear(4, 2)}, r"fedsim\.run\(scenario, model=\.\.\.\)"),
        ({"data": {"dataset": object()}}, r"fedsim\.run\(scenario, data=\.\.\.\)"),
    ],
)
def test_a_part_of_ones_own_among_the_tables_is_told_where_it_goes(
    own: dict[str, Any], where: str
) -> None:
    with pytest.raises(ScenarioError, match=where):
        fedsim.run(PLAN | own)


def test_workers_do_not_know_what_this_process_holds(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="register it in a plugin file"):
        fedsim.run(PLAN, model=Net, engine="ray", out=tmp_path / "run")


def test_a_scenarios_model_and_data_are_what_they_were(tmp_path: Path) -> None:
    plan = {**PLAN, "adversary": None, "model": "lenet"}
    run = fedsim.run(
        plan, model={"name": "mlp", "hidden": [4]}, data={"partition": "iid"}, out=tmp_path / "run"
    )
    assert 'name = "mlp"' in (run.folder / "scenario.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "logits of 3 classes"),
        (lambda: nn.Linear(3, 3), "shape"),
        (lambda: "no module", "returns a str"),
        (lambda needed: nn.Linear(needed, 3), "cannot be made"),
        (nn.Conv2d(1, 3, 8), "logits of 3 classes"),
        (nn.Identity, "logits of 3 classes"),
    ],
)
def test_models_that_do_not_fit(model: Any, expected: str) -> None:
    dataset = load_dataset(register_data("noise of tests", noise())())
    with pytest.raises(DataError, match=expected):
        register_model("wrong of tests", model)().for_data(dataset, 0)


def test_pictures_of_pillow_in_mappings_as_hugging_face_has_them() -> None:
    array = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    items = [{"img": Image.fromarray(a), "fine_label": k} for k, a in enumerate(array)]
    dataset = load_dataset(register_data("pillow of tests", items, items)())
    assert dataset.image_shape == (3, 5, 4)  # type: ignore[union-attr]
    images, labels = dataset.train.batch(np.arange(2))
    assert torch.equal((images * 255).round().permute(0, 2, 3, 1).byte(), torch.from_numpy(array))
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (torch.full((1, 2, 2), -1.0), "put it into the model"),
        (torch.zeros(1, 2, 2, dtype=torch.int64) + 300, "expected bytes"),
        (torch.zeros(2, 2, 2), "expected \\(1 or 3, H, W\\)"),
        ("no picture", "example 0 of the data set"),
    ],
)
def test_pictures_that_are_none(picture: Any, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        load_dataset(register_data("wrong of tests", [(picture, 0)])())


def test_data_sets_that_are_none() -> None:
    uneven = [(torch.rand(1, 2, 2), 0), (torch.rand(1, 3, 3), 1)]
    for items, expected in ((uneven, "expected one"), ([], "empty"), ([{"x": 1}], "the keys")):
        with pytest.raises(DataError, match=expected):
            load_dataset(register_data("wrong of tests", items)())


@pytest.mark.slow
def test_a_run_with_a_loss_of_ones_own(tmp_path: Path) -> None:
    def loss(outputs: Tensor, rows: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs, rows) + outputs.square().mean() / 10

    run = fedsim.run(PLAN, model=Net, data=noise(), loss=loss, out=tmp_path / "run")
    found = [r for r in run.records if isinstance(r, ReconstructionRecord)]
    assert len(found) == 3
    assert all(r.explained for r in found)
    assert 'name = "own"' in (run.folder / "scenario.toml").read_text("utf-8")
    with pytest.raises(RunError, match="loss of your own runs in this process only"):
        fedsim.run(PLAN, loss=loss, engine="ray")


@pytest.mark.slow
def test_dropout_draws_the_same_in_each_run_and_leaves_a_doubt(tmp_path: Path) -> None:
    noise_added = {"name": "gaussian-noise", "std": 0.1}
    defended = {**PLAN, "clients": [{"name": "noisy", "defenses": [noise_added]}]}
    plan = {**defended, "adversary": {"attack": {"name": "best", "evaluations": 3}}}
    before = torch.get_rng_state()
    runs = [
        fedsim.run(plan, model=Net, data=noise(), dropout=drawing, out=tmp_path / str(i))
        for i, drawing in enumerate((True, True, False))
    ]
    assert torch.equal(torch.get_rng_state(), before)
    uploads = [[r.digest for r in run.records if isinstance(r, UploadRecord)] for run in runs]
    assert uploads[0] == uploads[1] != uploads[2]
    [said] = [r.score for r in runs[0].records if isinstance(r, LeakageRecord) and not r.is_control]
    assert said.meaning is Meaning.ATTACK_FAILED
    assert {Doubt.APPROXIMATE, Doubt.WRONG_EQUATIONS} <= set(said.doubts)


@pytest.mark.slow  # its import takes seconds
def test_a_data_set_of_hugging_faces(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)) for _ in range(12)]
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog", "owl"])}
    )
    columns = {"img": pictures, "label": [i % 3 for i in range(12)]}
    given = datasets.Dataset.from_dict(columns, features=features)
    held = given.train_test_split(test_size=4, shuffle=False)
    register_data("animals", held["train"], held["test"])
    found = load_dataset(DATASETS.get("animals")())
    assert found.classes == ("cat", "dog", "owl")
    assert (len(found.train), len(found.test)) == (8, 4)
    assert found.train.images[5, 0].tolist() == np.asarray(pictures[5]).tolist()
    run = fedsim.run(PLAN, model=Net, data=given, out=tmp_path / "run")
    assert run.table()[0]["leaked"] == 2
    del features["label"]
    features["labels"] = datasets.Sequence(datasets.Value("int64"))
    rows = [[i % 2, 0, 1, i % 3 // 2] for i in range(12)]
    several = datasets.Dataset.from_dict({"img": pictures, "labels": rows}, features=features)
    told = load_dataset(register_data("signs", several, several)()).train
    assert told.task == "labels"  # type: ignore[union-attr]
    assert told.batch(np.arange(12))[1].tolist() == rows  # type: ignore[union-attr]


def test_a_data_set_of_ones_own_class() -> None:
    class Halves(Dataset[tuple[Tensor, int]]):
        def __init__(self) -> None:
            self.features = {"label": SimpleNamespace(names=["dark", "light"])}  # Hugging Face's

        def __len__(self) -> int:
            return 10

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            return torch.full((3, 4, 4), place / 10), place % 2

    register_data("halves", Halves())
    found = load_dataset(DATASETS.get("halves")())
    assert (len(found.train), len(found.test)) == (8, 2)
    assert found.train.images.shape[1:] == (3, 4, 4)
    assert found.classes == ("dark", "light")
