"""DefenseMod in a real ClientApp, with real messages."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity
from torch import Tensor

from fedsim import clients
from fedsim.clients.defenses import (
    Fp16,
    GaussianNoise,
    Int8,
    LocalDP,
    Mixup,
    NoDefense,
    Pruning,
    Soteria,
    defense_generator,
)
from fedsim.clients.mods import DefenseMod
from fedsim.core.errors import UploadError
from fedsim.core.registry import DEFENSES
from tests.clients.defenses.test_contract import STEPS, TELLING

RECEIVED = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "running_mean": torch.tensor([1.0, 2.0]),
    "num_batches_tracked": torch.tensor(3),
}
GRADIENTS = {"weight": torch.tensor([[0.1, -0.2, 0.3], [-0.4, 0.5, -0.6]])}
WEIGHTS = {
    "weight": RECEIVED["weight"] + GRADIENTS["weight"],
    "running_mean": torch.tensor([1.25, 2.5]),
    "num_batches_tracked": torch.tensor(4),
}

Train = Callable[[Message, Context], Message]


@pytest.fixture(autouse=True)
def _task_identity() -> Iterator[None]:
    """Let messages be made outside a run."""
    names = ("_task_id", "_run_id", "_node_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1
    yield
    for name, value in before.items():
        setattr(TaskIdentity, name, value)


def message(
    kind: str = "train",
    config: dict[str, int] | None = None,
    arrays: dict[str, Tensor] | None = None,
) -> Message:
    records = {
        "arrays": ArrayRecord(RECEIVED if arrays is None else arrays),
        "config": ConfigRecord({"server-round": 1} if config is None else config),
    }
    return Message(RecordDict(records), dst_node_id=11, message_type=kind)


def context(**node_config: int) -> Context:
    node = {key.replace("_", "-"): value for key, value in node_config.items()}
    return Context(run_id=1, node_id=11, node_config=node, state=RecordDict(), run_config={})


def replying(arrays: dict[str, Tensor], metrics: bool = True) -> Train:
    def train(msg: Message, ctx: Context) -> Message:
        records: dict[str, ArrayRecord | MetricRecord] = {"arrays": ArrayRecord(arrays)}
        if metrics:
            records["metrics"] = MetricRecord({"num-examples": 8})
        return Message(RecordDict(records), reply_to=msg)

    return train


def run(
    mod: DefenseMod, train: Train, msg: Message | None = None, ctx: Context | None = None
) -> Message:
    app = ClientApp(mods=[mod])
    app.train()(train)
    app.train("again")(train)
    app.evaluate()(train)
    app.query()(train)
    return app(message() if msg is None else msg, context(partition_id=0) if ctx is None else ctx)


def arrays(reply: Message) -> dict[str, Tensor]:
    return dict(reply.content["arrays"].to_torch_state_dict())


def noisy(arrays_: dict[str, Tensor], partition: int, server_round: int) -> dict[str, Tensor]:
    generator = defense_generator(5, partition, server_round)
    return GaussianNoise(std=0.1).protect_upload(arrays_, generator).tensors


def test_gradients_are_defended_themselves() -> None:
    reply = run(DefenseMod([Pruning(fraction=0.5)], "gradients"), replying(GRADIENTS))
    expected = torch.tensor([[0.0, 0.0, 0.0], [-0.4, 0.5, -0.6]])
    assert torch.equal(arrays(reply)["weight"], expected)


def test_reply_says_bytes_and_what_was_done() -> None:
    mod = DefenseMod([Pruning(fraction=0.5), Fp16()], "gradients")
    reply = run(mod, replying(GRADIENTS))
    assert dict(reply.content["metrics"]) == {"num-examples": 8, "upload-bytes": 3 * 2 + 1}
    did = dict(reply.content["defenses"])
    assert set(did) == {"0.pruning.kept_fraction", "1.fp16.rounding_rms", "1.fp16.saturated"}
    assert did["0.pruning.kept_fraction"] == 0.5


def test_report_can_be_left_out() -> None:
    reply = run(DefenseMod([Fp16()], "gradients", report=False), replying(GRADIENTS))
    assert "defenses" not in reply.content
    assert reply.content["metrics"]["upload-bytes"] == 12


def test_a_private_mechanism_is_never_reported_on() -> None:
    reply = run(
        DefenseMod([LocalDP(norm=1.0, noise_multiplier=1.0)], "gradients"), replying(GRADIENTS)
    )
    assert "defenses" not in reply.content


def test_reply_without_metrics_gets_none() -> None:
    reply = run(DefenseMod([Fp16()], "gradients"), replying(GRADIENTS, metrics=False))
    assert set(reply.content) == {"arrays", "defenses"}


def test_of_weights_the_update_is_defended() -> None:
    reply = run(DefenseMod([Pruning(fraction=0.5)], "weights"), replying(WEIGHTS))
    after = arrays(reply)
    small = torch.tensor([[True, True, True], [False, False, False]])
    expected = torch.where(small, RECEIVED["weight"], WEIGHTS["weight"])
    assert torch.equal(after["weight"], expected)
    assert after["running_mean"].tolist() == [1.0, 2.5]
    assert after["num_batches_tracked"] == torch.tensor(4)


def test_only_leaves_buffers_alone() -> None:
    mod = DefenseMod([Pruning(fraction=1.0)], "weights", only={"weight"})
    reply = run(mod, replying(WEIGHTS))
    after = arrays(reply)
    assert torch.equal(after["weight"], RECEIVED["weight"])
    assert torch.equal(after["running_mean"], WEIGHTS["running_mean"])
    assert reply.content["metrics"]["upload-bytes"] == 0 + 2 * 4 + 8


def test_noise_on_weights_is_that_on_the_update() -> None:
    reply = run(DefenseMod([GaussianNoise(std=0.1)], "weights", seed=5), replying(WEIGHTS))
    floats = ("weight", "running_mean")
    expected = noisy({key: WEIGHTS[key] - RECEIVED[key] for key in floats}, 0, 1)
    for key in floats:
        torch.testing.assert_close(arrays(reply)[key], RECEIVED[key] + expected[key])


@pytest.mark.parametrize("defenses", [[], [NoDefense()], [GaussianNoise(std=0.0)]], ids=str)
@pytest.mark.parametrize("uploads", ["gradients", "weights"])
def test_null_defense_gives_the_reply_bit_for_bit(defenses: list, uploads: str) -> None:
    rng = torch.Generator().manual_seed(0)
    received = {"w": torch.randn(10_000, generator=rng) * 100}
    trained = {"w": received["w"] + torch.randn(10_000, generator=rng)}
    mod = DefenseMod(defenses, uploads)
    reply = run(mod, replying(trained), message(arrays=received))
    assert torch.equal(arrays(reply)["w"], trained["w"])


def test_received_weights_are_read_before_training() -> None:
    def train(msg: Message, ctx: Context) -> Message:
        msg.content["arrays"].to_torch_state_dict(keep_input=False)
        return replying(WEIGHTS)(msg, ctx)

    reply = run(DefenseMod([Pruning(fraction=1.0)], "weights"), train)
    assert torch.equal(arrays(reply)["weight"], RECEIVED["weight"])


@pytest.mark.parametrize("kind", ["evaluate", "query"])
def test_other_messages_are_left_alone(kind: str) -> None:
    mod = DefenseMod([Pruning(fraction=1.0)], "gradients", seed=5)
    reply = run(mod, replying(GRADIENTS), message(kind, config={}), context())
    assert torch.equal(arrays(reply)["weight"], GRADIENTS["weight"])
    assert set(reply.content) == {"arrays", "metrics"}


def test_named_train_actions_are_defended() -> None:
    mod = DefenseMod([Pruning(fraction=1.0)], "gradients")
    reply = run(mod, replying(GRADIENTS), message("train.again"))
    assert not arrays(reply)["weight"].any()


def test_error_replies_are_left_alone() -> None:
    def fail(msg: Message, ctx: Context) -> Message:
        return Message(Error(code=2, reason="no data"), reply_to=msg)

    reply = run(DefenseMod([Fp16()], "weights"), fail)
    assert reply.error.reason == "no data"


def test_a_seed_makes_noise_a_function_of_partition_and_round() -> None:
    def noise(partition: int, server_round: int) -> Tensor:
        mod = DefenseMod([GaussianNoise(std=0.1)], "gradients", seed=5)
        msg = message(config={"server-round": server_round})
        return arrays(run(mod, replying(GRADIENTS), msg, context(partition_id=partition)))["weight"]

    assert torch.equal(noise(3, 2), noise(3, 2))
    assert torch.equal(noise(3, 2), noisy(GRADIENTS, 3, 2)["weight"])
    assert not torch.equal(noise(3, 2), noise(2, 3))


def test_without_a_seed_noise_is_fresh() -> None:
    mod = DefenseMod([GaussianNoise(std=0.1)], "gradients")
    replies = [run(mod, replying(GRADIENTS), ctx=context()) for _ in range(2)]
    assert not torch.equal(*(arrays(reply)["weight"] for reply in replies))


def test_two_mods_apply_last_first_and_both_are_noted() -> None:
    app = ClientApp(
        mods=[
            DefenseMod([Int8()], "gradients"),
            DefenseMod([Pruning(fraction=0.5), NoDefense()], "gradients"),
        ]
    )
    app.train()(replying(GRADIENTS))
    reply = app(message(), context())
    assert list(reply.content["defenses"]) == ["0.pruning.kept_fraction", "1.int8.rounding_rms"]


def test_shapes_of_scalars_survive_the_message() -> None:
    reply = run(DefenseMod([Int8()], "gradients"), replying({"t": torch.tensor(0.5)}))
    assert arrays(reply)["t"].shape == ()


def two_records(msg: Message, ctx: Context) -> Message:
    record = ArrayRecord(GRADIENTS)
    return Message(RecordDict({"a": record, "b": record}), reply_to=msg)


@pytest.mark.parametrize(
    ("mod", "train", "msg", "expected"),
    [
        (
            DefenseMod([Fp16()], "weights"),
            replying(GRADIENTS),
            None,
            r"\['num_batches_tracked', 'running_mean'\] are in one of them only.*'gradients'",
        ),
        (
            DefenseMod([Fp16()], "weights"),
            replying({**WEIGHTS, "weight": torch.zeros(3, 2)}),
            None,
            r"'weight' has the shape \(3, 2\), the received one \(2, 3\)",
        ),
        (
            DefenseMod([Fp16()], "gradients"),
            two_records,
            None,
            r"reply has 2 ArrayRecords \['a', 'b'\]; expected exactly one",
        ),
        (
            DefenseMod([Fp16()], "gradients", only=["wieght"]),
            replying(GRADIENTS),
            None,
            r"'only' names \['wieght'\], which the reply does not have; it has \['weight'\]",
        ),
        (
            DefenseMod([Fp16()], "gradients", seed=1),
            replying(GRADIENTS),
            {},
            "'server-round'",
        ),
    ],
    ids=["names", "shapes", "two records", "only", "no round"],
)
def test_what_cannot_be_defended_is_refused(
    mod: DefenseMod, train: Train, msg: dict[str, int] | None, expected: str
) -> None:
    with pytest.raises(UploadError, match=expected):
        run(mod, train, message(config=msg))


def test_a_seed_needs_a_partition() -> None:
    with pytest.raises(UploadError, match="'partition-id'"):
        run(DefenseMod([Fp16()], "gradients", seed=1), replying(GRADIENTS), ctx=context())


def test_weights_need_received_weights() -> None:
    msg = message()
    del msg.content["arrays"]
    with pytest.raises(UploadError, match="message has 0 ArrayRecords"):
        run(DefenseMod([Fp16()], "weights"), replying(WEIGHTS), msg)


def test_unknown_kind_of_upload_is_refused() -> None:
    with pytest.raises(ValueError, match="uploads is 'updates': expected 'gradients'"):
        DefenseMod([Fp16()], "updates")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STEPS)
def test_what_a_mod_would_not_run_is_refused(name: str) -> None:
    defense = DEFENSES.get(name)(**STEPS[name])
    with pytest.raises(ValueError, match=rf"^DefenseMod: '{name}' would do nothing") as caught:
        DefenseMod([Fp16(), defense], "gradients")
    offered = str(caught.value).rpartition(": ")[2].split(", ")
    assert set(TELLING) <= set(offered)
    assert not set(STEPS) & set(offered)


def test_all_that_are_refused_are_named() -> None:
    with pytest.raises(ValueError, match="'mixup', 'soteria' would do nothing"):
        DefenseMod([Mixup(alpha=1.0), Soteria(fraction=0.5)], "weights")


@pytest.mark.parametrize("name", TELLING)
def test_every_defense_of_uploads_is_taken(name: str) -> None:
    DefenseMod([DEFENSES.get(name)(**TELLING[name])], "weights")


def test_an_app_that_defends_its_steps_says_so() -> None:
    mod = DefenseMod([Mixup(alpha=1.0), Pruning(fraction=1.0)], "gradients", steps_defended=True)
    reply = run(mod, replying(GRADIENTS))
    assert not arrays(reply)["weight"].any()
    assert list(reply.content["defenses"]) == ["1.pruning.kept_fraction"]


def test_example_of_the_readme() -> None:
    text = (Path(clients.__file__).parent / "README.md").read_text()
    example = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)[-1]
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(example, namespace)  # noqa: S102
    weights = torch.nn.Linear(4, 2).state_dict()
    reply = namespace["app"](message(arrays=dict(weights)), context())  # type: ignore[operator]
    assert reply.content["metrics"]["upload-bytes"] == 40
    assert list(reply.content["defenses"]) == [
        "0.pruning.kept_fraction",
        "1.gaussian-noise.noise_std",
    ]
    assert isinstance(reply.content["arrays"]["weight"], Array)
