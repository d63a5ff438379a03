"""The ClientApp with real messages: what leaves a client."""

from collections.abc import Iterator
from typing import Literal

import pytest
import tomli_w
import torch
from pydantic.dataclasses import dataclass as pydantic_dataclass
from torch import Tensor, nn

from fedsim.clients.app import make_client_app
from fedsim.clients.defenses import (
    Fp16,
    GaussianNoise,
    Pruning,
    defense_generator,
    payload_bytes,
    protect,
)
from fedsim.clients.mods import BYTES_KEY
from fedsim.clients.site import site_of
from fedsim.clients.training import Batch, Compute, Trained, gradient, local_training, one_thread
from fedsim.core.errors import UploadError
from fedsim.core.registry import MODELS
from fedsim.models.base import ImageShape, ModelSpec
from fedsim.models.inputs import FrozenBatchNorm2d
from fedsim.scenario import Scenario
from fedsim.server.uploads import digest, read_upload
from tests.clients.defenses.test_contract import STEPS as DEFENSES_OF_STEPS
from tests.clients.defenses.test_contract import TELLING
from tests.fedsim.small import groups, small
from tests.server.wire import (
    arrays_of,
    client_reply,
    context_of,
    global_weights,
    same,
    train_message,
)

PRUNE_THEN_NOISE = "[{name='pruning', fraction=0.5}, {name='gaussian-noise', std=0.01}]"
NOISE_THEN_PRUNE = "[{name='gaussian-noise', std=0.01}, {name='pruning', fraction=0.5}]"


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def undefended(scenario: Scenario, partition: int = 0, server_round: int = 1) -> dict[str, Tensor]:
    """Return what a client computes before its defenses, without an app around it."""
    site = site_of(scenario.to_toml())
    model = site.model(global_weights(scenario))
    batches = site.batches(partition, server_round)
    with one_thread():
        if scenario.federation.upload == "gradient":
            return gradient(model, batches[0]).arrays
        return local_training(model, batches, scenario.federation.learning_rate).arrays


def upload_digest(scenario: Scenario, partition: int = 0, server_round: int = 1) -> str:
    shapes = {k: tuple(v.shape) for k, v in global_weights(scenario).items()}
    upload = read_upload(client_reply(scenario, partition, server_round), partition, shapes)
    assert upload.problem is None
    return digest(upload)


def test_an_undefended_gradient_leaves_as_it_was_computed() -> None:
    scenario = small()
    assert same(arrays_of(client_reply(scenario, 2, 4)), undefended(scenario, 2, 4))


def test_undefended_weights_leave_as_they_were_computed() -> None:
    scenario = small("federation={upload='update', local_steps=3, batch_size=2}")
    assert same(arrays_of(client_reply(scenario, 1, 2)), undefended(scenario, 1, 2))


def test_a_reply_says_bytes_examples_and_loss_and_nothing_of_the_data() -> None:
    scenario = small("federation={upload='update', local_steps=3, batch_size=4}")
    reply = client_reply(scenario)
    assert set(reply.content) == {"arrays", "metrics", "defenses"}
    metrics = dict(reply.content["metrics"])
    assert set(metrics) == {"num-examples", "loss", BYTES_KEY}
    assert metrics["num-examples"] == 12
    sent = arrays_of(reply)
    update = {k: sent[k] - w for k, w in global_weights(scenario).items()}
    assert metrics[BYTES_KEY] == payload_bytes(update)
    assert set(reply.content["arrays"]) == set(global_weights(scenario))


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_an_upload_is_a_function_of_seed_round_and_partition(kind: str) -> None:
    noise = f"clients.0.defenses={NOISE_THEN_PRUNE}"
    scenario = small(noise, f"federation.upload={kind}")
    places = [(0, 1), (1, 1), (0, 2), (2, 7)]
    forward = [upload_digest(scenario, p, r) for p, r in places]
    backward = [upload_digest(scenario, p, r) for p, r in reversed(places)]
    assert forward == backward[::-1]
    assert len(set(forward)) == len(places)
    assert upload_digest(small(noise, "seed=6", f"federation.upload={kind}")) not in forward


def test_a_fresh_app_and_a_fresh_site_give_the_same_upload() -> None:
    scenario = small(f"clients.0.defenses={NOISE_THEN_PRUNE}")
    before = upload_digest(scenario)
    site_of.cache_clear()
    assert upload_digest(Scenario.from_toml(scenario.to_toml())) == before


def test_global_random_state_plays_no_part() -> None:
    scenario = small(f"clients.0.defenses={NOISE_THEN_PRUNE}")
    torch.manual_seed(1)
    first = upload_digest(scenario)
    state = torch.get_rng_state()
    assert upload_digest(scenario) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.usefixtures("two_threads")
def test_a_client_computes_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def watched(model: nn.Module, batch: Batch, compute: Compute) -> Trained:
        threads.append(torch.get_num_threads())
        return gradient(model, batch, compute)

    monkeypatch.setattr("fedsim.clients.app.gradient", watched)
    client_reply(small())
    assert threads == [1]


def test_each_client_has_the_defenses_of_its_group_in_the_written_order() -> None:
    scenario = small(groups(PRUNE_THEN_NOISE, NOISE_THEN_PRUNE, "[]", "['fp16']"))
    noise, pruning = GaussianNoise(std=0.01), Pruning(fraction=0.5)
    chains = [[pruning, noise], [noise, pruning], [], [Fp16()]]
    for partition, chain in enumerate(chains):
        reply = client_reply(scenario, partition)
        computed = undefended(scenario, partition)
        expected = protect(chain, computed, defense_generator(scenario.seed, partition, 1))
        assert same(arrays_of(reply), expected.tensors)
        assert reply.content["metrics"][BYTES_KEY] == expected.num_bytes
    filled = arrays_of(client_reply(scenario, 0))["dense1.weight"]
    kept = arrays_of(client_reply(scenario, 1))["dense1.weight"]
    assert int(filled.count_nonzero()) == filled.numel()
    assert int(kept.count_nonzero()) == kept.numel() // 2


def test_a_reply_says_what_its_defenses_did() -> None:
    reply = client_reply(small(groups(PRUNE_THEN_NOISE)))
    did = dict(reply.content["defenses"])
    assert list(did) == ["0.pruning.kept_fraction", "1.gaussian-noise.noise_std"]
    assert did["1.gaussian-noise.noise_std"] == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    "chain",
    [
        "[{name='local-dp', norm=1.0, noise_multiplier=1.0}]",
        "[{name='dp-sgd', norm=1.0, noise_multiplier=1.0}]",
        "['fp16', {name='local-dp', norm=1.0, noise_multiplier=1.0}, 'int8']",
    ],
)
def test_a_private_client_says_nothing_else_of_its_data(chain: str) -> None:
    reply = client_reply(small(groups(chain)))
    assert set(reply.content) == {"arrays", "metrics"}
    assert set(reply.content["metrics"]) == {"num-examples", BYTES_KEY}


def test_clipping_alone_is_not_private_and_says_what_it_did() -> None:
    reply = client_reply(small(groups("[{name='dp-sgd', norm=1.0, noise_multiplier=0.0}]")))
    assert "loss" in reply.content["metrics"]
    assert "0.dp-sgd.clipped_fraction" in reply.content["defenses"]


STEPS = {
    "dp-sgd": "norm=0.5, noise_multiplier=0.1",
    "instahide": "images=3",
    "mixup": "alpha=1.0",
    "soteria": "fraction=0.3",
    "transform-search": "candidates=2",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(
    "federation",
    ["upload='gradient'", "upload='update', local_steps=2"],
    ids=["gradient", "update"],
)
@pytest.mark.parametrize("model", ["lenet", "{name='convnet', channels=[4, 8]}"])
def test_a_defense_of_steps_changes_what_leaves(name: str, federation: str, model: str) -> None:
    task = f"federation={{{federation}, batch_size=2}}", f"model={model}"
    scenario = small(groups(f"[{{name='{name}', {STEPS[name]}}}]"), *task)
    reply = client_reply(scenario)
    sent, plain = arrays_of(reply), undefended(small(groups("[]"), *task))
    assert {k: v.shape for k, v in sent.items()} == {k: v.shape for k, v in plain.items()}
    assert all(bool(v.isfinite().all()) for v in sent.values())
    changed = {k for k in sent if not torch.equal(sent[k], plain[k])}
    alone = name == "soteria" and scenario.federation.local_steps == 1
    assert changed == ({"head.weight"} if alone else set(sent))
    did = dict(reply.content.config_records.get("defenses", {}))
    assert bool(did) == (name != "dp-sgd")  # whose measures are not private
    assert all(key.startswith(f"0.{name}.") for key in did)
    assert same(sent, arrays_of(client_reply(scenario)))


@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize("defenses", ["[]", "[{name='dp-sgd', norm=1.0, noise_multiplier=0.0}]"])
def test_a_bottleneck_draws_by_the_clients_seed(kind: str, defenses: str) -> None:
    precode = "model={name='precode', base='mlp', bottleneck=4}"
    scenario = small(precode, groups(defenses, defenses), f"federation.upload={kind}")
    state = torch.get_rng_state()
    sent = upload_digest(scenario)
    torch.manual_seed(1)
    assert upload_digest(scenario) == sent
    assert upload_digest(scenario, server_round=2) != sent
    torch.set_rng_state(state)
    assert not same(arrays_of(client_reply(scenario)), undefended(scenario))


def test_one_local_step_gives_back_the_gradient() -> None:
    scenario = small("federation={upload='update', learning_rate=0.5}", "model='lenet'")
    before, after = global_weights(scenario), arrays_of(client_reply(scenario))
    exact = undefended(small("model='lenet'", "federation.batch_size=1"))
    for name, value in exact.items():
        torch.testing.assert_close((before[name] - after[name]) / 0.5, value, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_batch_norm_buffers_are_neither_noised_nor_pruned(kind: str) -> None:
    chain = "[{name='gaussian-noise', std=0.1}, {name='pruning', fraction=1.0}]"
    scenario = small(groups(chain), "model='resnet18'", f"federation.upload={kind}")
    before, computed = global_weights(scenario), undefended(scenario)
    sent = arrays_of(client_reply(scenario))
    buffers = {k for k in before if k.split(".")[-1].startswith(("running", "num_batches"))}
    assert len(buffers) == 3 * 20
    assert same({k: sent[k] for k in buffers}, {k: computed[k] for k in buffers})
    assert not torch.equal(sent["bn1.running_mean"], before["bn1.running_mean"])
    for name in set(before) - buffers:
        expected = torch.zeros_like(before[name]) if kind == "gradient" else before[name]
        assert torch.equal(sent[name], expected)


def toml_table(name: str, parameters: dict[str, float]) -> str:
    lines = tomli_w.dumps({"name": name, **parameters}).splitlines()
    return f"{{{', '.join(lines)}}}"


@pydantic_dataclass(frozen=True)
class Normed(ModelSpec):
    """A convolution, a BatchNorm and a dense layer."""

    mode: Literal["train", "eval"] = "train"

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        norm = nn.BatchNorm2d if self.mode == "train" else FrozenBatchNorm2d
        conv = nn.Conv2d(image_shape[0], 2, 3, stride=4)
        return nn.Sequential(conv, norm(2), nn.Flatten(), nn.Linear(2 * 49, num_classes))


@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize("name", TELLING | DEFENSES_OF_STEPS)
def test_no_defense_touches_batch_norm_buffers(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the values in them, nothing is clipped, noised, rounded or left out."""
    MODELS.names()
    monkeypatch.setitem(MODELS._classes, "normed", Normed)
    mode = "eval" if name == "dp-sgd" else "train"
    task = f"model={{name='normed', mode='{mode}'}}", f"federation.upload={kind}"
    given = dict((TELLING | DEFENSES_OF_STEPS)[name])
    if name == "model-agreement":  # a client alone has nobody to agree with, and refuses
        given["action"] = "warn"
    scenario = small(groups(f"[{toml_table(name, given)}]"), *task)
    sent, before = arrays_of(client_reply(scenario)), global_weights(scenario)
    buffers = {k for k in before if k.split(".")[-1].startswith(("running", "num_batches"))}
    assert len(buffers) == 3
    steps = 1 if mode == "train" else 0
    assert int(sent["1.num_batches_tracked"]) == steps
    assert sent["1.num_batches_tracked"].dtype == torch.int64
    if name in {"mixup", "instahide", "transform-search"}:
        # They are those of the batch that was trained on, which is another one.
        assert not torch.equal(sent["1.running_mean"], before["1.running_mean"])
    else:
        computed = undefended(small(groups("[]"), *task))
        assert same({k: sent[k] for k in buffers}, {k: computed[k] for k in buffers})


def test_a_client_tells_its_partition_when_asked() -> None:
    message = train_message({})
    message.metadata.message_type = "query"
    reply = make_client_app(small().to_toml())(message, context_of(2))
    assert dict(reply.content["partition"]) == {"partition-id": 2}


def test_a_round_that_is_no_number_is_refused() -> None:
    scenario = small()
    message = train_message(global_weights(scenario), server_round="first")
    with pytest.raises(UploadError, match="server-round"):
        make_client_app(scenario.to_toml())(message, context_of(0))


def test_the_number_of_threads_is_restored_even_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="Missing key"):
        make_client_app(small().to_toml())(train_message({}), context_of(0))
    assert torch.get_num_threads() == before
