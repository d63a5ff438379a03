"""SecAgg+: the sum is right, no single upload is seen, and clients may drop out at any stage."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common import ndarray_to_bytes
from pydantic.dataclasses import dataclass as pydantic_dataclass
from scipy import stats
from torch import nn

from fedsim.attacks import DenseInversion, Observation
from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.core.errors import RunError
from fedsim.core.registry import MODELS
from fedsim.core.vectors import flat, unflat
from fedsim.models.base import ImageShape, ModelSpec
from fedsim.scenario import Scenario
from fedsim.scoring.metrics.baselines import blind_baselines
from fedsim.scoring.metrics.images import psnr
from fedsim.server.federation import upload_shapes
from fedsim.server.secure.strategy import clear_of
from tests.fedsim.small import groups, small
from tests.server.secure.rounds import Fails, dropping, mean_of, plain_uploads, stage_of, train
from tests.server.wire import global_weights, same

SECURE = "federation={aggregation='secagg+', rounds=1, batch_size=2, learning_rate=0.5}"
STEP = 2 * 8.0 / 2**22
"""One step of the quantisation."""


def masked(*overrides: str, clients: int = 4) -> Scenario:
    return small(SECURE, f"clients.0.count={clients}", *overrides)


@pytest.mark.parametrize("kind", ["gradient", "update"])
@pytest.mark.parametrize("clients", [3, 4])
def test_the_mean_is_the_plain_one_to_the_precision_of_the_quantisation(
    kind: str, clients: int
) -> None:
    case = masked(f"federation.upload={kind}", clients=clients)
    result, seen, _ = train(case)
    total = seen.sums[1]
    assert total.problem is None
    assert total.partitions == tuple(range(clients))
    assert total.examples == 2 * clients
    expected = mean_of(plain_uploads(case, range(clients)))
    before = global_weights(case)
    after = result.arrays.to_torch_state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(total.arrays[name].double(), value, atol=STEP, rtol=1e-6)
        step = value if kind == "update" else before[name] - 0.5 * value
        torch.testing.assert_close(after[name].double(), step, atol=STEP, rtol=1e-6)


UNEQUAL = "data.partition={name='sizes', sizes=[5, 1, 3]}"
EPOCHS = "federation.upload=update", "federation.local_epochs=2", UNEQUAL


def test_whole_epochs_of_clients_with_unequal_data_are_weighted_by_their_examples() -> None:
    case = masked(*EPOCHS, clients=3)
    result, seen, _ = train(case)
    total = seen.sums[1]
    assert total.problem is None
    assert [u.metrics["num-examples"] for u in total.uploads] == [5, 1, 3]
    assert total.rounding == 5 * 3 / 9
    uploads = plain_uploads(case, range(3))
    after = result.arrays.to_torch_state_dict()
    for name in uploads[0]:
        value = sum(n * u[name].double() for n, u in zip((5, 1, 3), uploads, strict=True)) / 9
        coarse = total.rounding * STEP
        torch.testing.assert_close(after[name].double(), value, atol=coarse, rtol=1e-6)


@pydantic_dataclass(frozen=True)
class Normed(ModelSpec):
    """A dense layer and a BatchNorm."""

    def architecture(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, num_classes), nn.BatchNorm1d(10))


@pytest.mark.parametrize("kind", ["gradient", "update"])
def test_buffers_of_batchnorm_are_averaged_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS.names()
    monkeypatch.setitem(MODELS._classes, "normed", Normed)
    case = masked("model='normed'", f"federation.upload={kind}", clients=3)
    _, seen, _ = train(case)
    expected = mean_of(plain_uploads(case, range(3)))
    found = seen.sums[1].arrays
    assert found.keys() == expected.keys()
    counters = [k for k in found if k.endswith("num_batches_tracked")]
    variances = [k for k in found if k.endswith("running_var")]
    assert all(found[k] == 1 and found[k].dtype == torch.int64 for k in counters)
    assert counters
    for name in variances:
        torch.testing.assert_close(found[name].double(), expected[name], atol=STEP, rtol=1e-6)


def test_the_same_seed_gives_the_same_sum_behind_other_masks() -> None:
    case = masked()
    (one, seen, spy), (other, again, elsewhere) = train(case), train(case)
    assert same(dict(seen.sums[1].arrays), dict(again.sums[1].arrays))
    assert same(one.arrays.to_torch_state_dict(), other.arrays.to_torch_state_dict())
    for partition, vector in spy.masked().items():
        assert float((vector == elsewhere.masked()[partition]).mean()) < 0.01


def test_masked_vectors_are_uniform_and_tell_nothing_of_the_upload() -> None:
    case = masked("model.hidden=[16]")
    _, _, spy = train(case)
    uploads = [flat(u).numpy() for u in plain_uploads(case, range(4))]
    vectors = spy.masked()
    assert vectors.keys() == {0, 1, 2, 3}
    for partition, upload in enumerate(uploads):
        vector = vectors[partition]
        assert vector.shape == upload.shape
        assert stats.kstest(vector / 2**32, "uniform").pvalue > 1e-6
        assert abs(np.corrcoef(vector, upload)[0, 1]) < 6 / np.sqrt(len(upload))
    for one in range(4):
        for other in range(one):
            correlation = np.corrcoef(vectors[one], vectors[other])[0, 1]
            assert abs(correlation) < 6 / np.sqrt(len(vectors[0]))


def test_the_masks_cancel_in_the_sum_and_not_before() -> None:
    case = masked(clients=3)
    _, _, spy = train(case)
    quantised = np.sum([flat(u).numpy() + 8 for u in plain_uploads(case, range(3))], axis=0) / STEP
    for partitions in ((0,), (0, 1), (1, 2), (0, 1, 2)):
        summed = np.sum([spy.masked()[p] for p in partitions], axis=0) % 2**32
        # Each client's own mask is still on the sum: it comes off in the last stage.
        assert float((np.abs(summed - quantised) < 3).mean()) < 0.01


def test_an_attack_reads_the_upload_and_not_the_masked_vector() -> None:
    case = masked("federation.batch_size=1", "model.hidden=[16]", clients=3)
    _, _, spy = train(case)
    site = site_of(case.to_toml())
    model = site.model(global_weights(case))
    [(images, _)] = site.batches(0, 1)
    values = torch.from_numpy(spy.masked()[0] * STEP - 8)
    read = unflat(values, upload_shapes(case, model))
    shape = tuple(images.shape[1:])
    [open_upload] = plain_uploads(case, [0])
    attack = DenseInversion()
    [leak] = attack.run(model, [Observation(open_upload, shape)])
    [nothing] = attack.run(model, [Observation({k: v.float() for k, v in read.items()}, shape)])
    assert leak.data is not None
    assert float(psnr(leak.data, images)) > 40
    public = site.dataset.test.batch(np.arange(100))[0]
    blind = max(float(v.psnr[0]) for v in blind_baselines(images, public).values())
    assert nothing.data is None or float(psnr(nothing.data, images)) < blind


def test_nothing_else_that_the_server_gets_holds_an_upload() -> None:
    case = masked("model.hidden=[16]")
    _, _, spy = train(case)
    assert spy.replies
    for reply in spy.replies:
        assert not any(len(r) for r in reply.content.array_records.values())
    raw = [flat(u).float().numpy()[:8].tobytes() for u in plain_uploads(case, range(4))]
    everything = b"".join(
        value if isinstance(value, bytes) else b"".join(v for v in value if isinstance(v, bytes))
        for reply in spy.replies
        for record in reply.content.config_records.values()
        for value in record.values()
        if isinstance(value, bytes | list)
    )
    assert not any(piece in everything for piece in raw)


def test_defenses_come_before_the_masks() -> None:
    case = small(SECURE, groups("[{name='pruning', fraction=0.9}]", "[]", "['fp16']"))
    _, seen, _ = train(case)
    expected = mean_of(plain_uploads(case, range(3)))
    for name, value in expected.items():
        found = seen.sums[1].arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)
    told = [bool(u.did) for u in seen.sums[1].uploads]
    assert told == [True, False, True]


def test_what_is_in_the_clear_is_shown() -> None:
    _, seen, _ = train(masked())
    for upload in seen.sums[1].uploads:
        assert not upload.arrays
        assert upload.metrics["num-examples"] == 2
        assert upload.metrics["upload-bytes"] > 8 * 3000
        assert "loss" in upload.metrics


def test_a_private_client_says_nothing_of_its_data_in_the_clear() -> None:
    private = "[{name='local-dp', norm=0.1, noise_multiplier=1.0}]"
    _, seen, _ = train(small(SECURE, groups(private, "['fp16']", private)))
    uploads = seen.sums[1].uploads
    assert [sorted(u.metrics) for u in uploads if not u.did] == [
        ["num-examples", "upload-bytes"]
    ] * 2
    assert [bool(u.did) for u in uploads] == [False, True, False]
    assert clear_of(seen.sums[1]) == (
        "who took part", "num-examples", "upload-bytes", "loss", "defenses"
    )  # fmt: skip


def test_only_the_cohort_takes_part() -> None:
    case = masked("federation.fraction=0.5", "federation.rounds=3", clients=8)
    _, seen, _ = train(case)
    cohorts = [seen.sums[r].partitions for r in (1, 2, 3)]
    assert [len(c) for c in cohorts] == [4, 4, 4]
    assert len(set(cohorts)) > 1


AT = {"making keys": "setup", "sharing keys": "share_keys", "masking": "collect_masked_vectors"}
UNMASK = "unmask"


def fails_at(stage: str, *partitions: int) -> Fails:
    return lambda partition, now: partition in partitions and now == stage


@pytest.mark.parametrize("stage", AT)
def test_who_drops_out_before_the_vector_is_sent_is_no_part_of_the_sum(stage: str) -> None:
    case = masked(clients=5)
    _, seen, _ = train(case, dropping(case, fails_at(AT[stage], 1)))
    total = seen.sums[1]
    assert total.problem is None
    assert total.partitions == (0, 2, 3, 4)
    assert total.dropped == {1: f"{stage}: OSError: out of battery"}
    assert [u.problem for u in total.uploads] == [None, total.dropped[1], None, None, None]
    for name, value in mean_of(plain_uploads(case, [0, 2, 3, 4])).items():
        found = total.arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)


@pytest.mark.parametrize("stage", AT)
def test_two_may_drop_out_when_three_shares_are_enough(stage: str) -> None:
    case = masked(clients=5)
    _, seen, _ = train(case, dropping(case, fails_at(AT[stage], 1, 2)))
    assert seen.sums[1].partitions == (0, 3, 4)
    for name, value in mean_of(plain_uploads(case, [0, 3, 4])).items():
        found = seen.sums[1].arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)


def no_record(reply: Message) -> None:
    reply.content = RecordDict()


def garbage(reply: Message) -> None:
    for record in reply.content.config_records.values():
        for key, value in record.items():
            record[key] = b"garbage" if isinstance(value, bytes) else [b"garbage"]


@pytest.mark.parametrize("damage", [no_record, garbage])
@pytest.mark.parametrize("stage", [*AT.values(), UNMASK])
def test_a_malformed_reply_is_a_drop_out_and_not_the_end_of_the_round(
    stage: str, damage: Callable[[Message], None]
) -> None:
    case = masked(clients=5)
    honest, app = make_client_app(case.to_toml()), ClientApp()

    @app.train()
    def answer(message: Message, context: Context) -> Message:
        asked = stage_of(message)  # the client takes it out of the message
        reply = honest(message, context)
        if context.node_config["partition-id"] == 1 and asked == stage:
            damage(reply)
        return reply

    app.query()(honest)
    _, seen, _ = train(case, app)
    total = seen.sums[1]
    assert total.problem is None
    assert set(total.dropped) == {1}
    assert total.partitions == ((0, 1, 2, 3, 4) if stage == UNMASK else (0, 2, 3, 4))


def test_who_drops_out_after_that_is_unmasked_by_the_others() -> None:
    case = masked(clients=5)
    _, seen, _ = train(case, dropping(case, fails_at(UNMASK, 0, 4)))
    total = seen.sums[1]
    assert total.partitions == (0, 1, 2, 3, 4)
    assert set(total.dropped) == {0, 4}
    assert [u.problem for u in total.uploads] == [None] * 5
    for name, value in mean_of(plain_uploads(case, range(5))).items():
        found = total.arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)


@pytest.mark.parametrize("stage", [*AT.values(), UNMASK])
def test_below_the_threshold_the_round_fails_and_the_model_stays(stage: str) -> None:
    case = masked("federation.rounds=2", clients=5)
    first = dict.fromkeys(range(3), True)

    def fails(partition: int, now: str) -> bool:
        return now == stage and first.pop(partition, False)

    result, seen, _ = train(case, dropping(case, fails))
    total = seen.sums[1]
    assert total.problem is not None
    assert "2 of 5 clients were left" in total.problem
    assert total.partitions == ()
    assert not total.arrays
    assert same(seen.models[1], seen.models[2])
    assert seen.sums[2].problem is None, "the next round is a new one"
    assert not same(seen.models[2], result.arrays.to_torch_state_dict())


def test_neighbours_alone_decide_where_there_are_fewer_shares_than_clients() -> None:
    case = masked(
        "federation.aggregation={name='secagg+', shares=3, reconstruction_threshold=2}", clients=7
    )
    _, seen, _ = train(case, dropping(case, fails_at("collect_masked_vectors", 3)))
    assert seen.sums[1].partitions == (0, 1, 2, 4, 5, 6)
    for name, value in mean_of(plain_uploads(case, [0, 1, 2, 4, 5, 6])).items():
        found = seen.sums[1].arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)


def test_a_value_out_of_range_is_refused_by_its_client() -> None:
    case = small(SECURE, groups("[{name='gaussian-noise', std=5.0}]", *["[]"] * 4))
    _, seen, _ = train(case)
    total = seen.sums[1]
    assert total.partitions == (1, 2, 3, 4)
    assert "outside of ±8" in total.dropped[0]
    assert "clipping_range" in total.dropped[0]


def spoiling(scenario: Scenario, what: str) -> ClientApp:
    """Return an app of which client 1 sends a masked vector that no client should."""
    honest, app = make_client_app(scenario.to_toml()), ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        stage = stage_of(message)  # the client takes it out
        reply = honest(message, context)
        if context.node_config["partition-id"] == 1 and stage.startswith("collect"):
            said = reply.content.config_records["secaggplus_configs"]
            first, vector = said["masked_params"]
            numbers = {
                "short": ndarray_to_bytes(np.zeros(3, dtype=np.int64)),
                "floats": ndarray_to_bytes(np.zeros(3193)),
                "garbage": b"garbage",
            }
            said["masked_params"] = [first, numbers.get(what, vector)]
            if what == "examples":
                reply.content["metrics"]["num-examples"] = 10**6
            if what == "nothing":
                reply.content.clear()
        return reply

    app.query()(honest)
    return app


@pytest.mark.parametrize("what", ["short", "floats", "garbage", "examples", "nothing"])
def test_a_broken_vector_is_that_of_a_client_that_dropped_out(what: str) -> None:
    case = masked(clients=5)
    _, seen, _ = train(case, spoiling(case, what))
    assert seen.sums[1].problem is None
    assert seen.sums[1].partitions == (0, 2, 3, 4)
    for name, value in mean_of(plain_uploads(case, [0, 2, 3, 4])).items():
        found = seen.sums[1].arrays[name].double()
        torch.testing.assert_close(found, value, atol=STEP, rtol=1e-6)


def test_a_run_without_one_sum_is_an_error() -> None:
    case = masked()
    with pytest.raises(RunError, match="no client sent a usable upload in any of the 1 rounds"):
        train(case, dropping(case, lambda partition, stage: bool(stage)))
