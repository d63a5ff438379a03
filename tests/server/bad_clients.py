"""Client apps of which one client does harm, by accident or not."""

from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from fedsim.clients.app import make_client_app
from fedsim.scenario import Scenario

BAD = 1
Damage = Callable[[Message], Message | None]


def with_one_bad_client(scenario: Scenario, damage: Damage, bad: int = BAD) -> ClientApp:
    """Return a scenario's app, in which ``damage`` is done to every upload of one client."""
    honest, app = make_client_app(scenario.to_toml()), ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        reply = honest(message, context)
        if context.node_config["partition-id"] == bad:
            return damage(reply) or reply
        return reply

    @app.query()
    def query(message: Message, context: Context) -> Message:
        return honest(message, context)

    return app


def arrays(reply: Message) -> ArrayRecord:
    """Return the arrays of an honest reply."""
    return reply.content.array_records["arrays"]


def first(reply: Message) -> str:
    """Return the name of the first tensor of an honest reply."""
    return next(iter(arrays(reply)))


def set_first(reply: Message, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the first tensor of an honest reply."""
    name = first(reply)
    arrays(reply)[name] = Array(np.asarray(change(arrays(reply)[name].numpy())))


def send_nan(reply: Message) -> None:
    """Send a NaN."""
    set_first(reply, lambda x: x * np.nan)


def send_another_shape(reply: Message) -> None:
    """Send a tensor of another shape."""
    set_first(reply, lambda x: x[..., :1])


def send_complex(reply: Message) -> None:
    """Send complex numbers."""
    set_first(reply, lambda x: x.astype(np.complex64))


def leave_a_tensor_out(reply: Message) -> None:
    """Send all tensors but one."""
    del arrays(reply)[first(reply)]


def send_a_tensor_more(reply: Message) -> None:
    """Send one tensor too many."""
    arrays(reply)["extra"] = Array(np.zeros(3))


def send_garbage(reply: Message) -> None:
    """Send bytes that are no tensor."""
    arrays(reply)[first(reply)] = Array("float32", (4,), "numpy.ndarray", b"garbage")


def send_two_records(reply: Message) -> None:
    """Send the arrays twice."""
    reply.content["again"] = arrays(reply)


def send_no_metrics(reply: Message) -> None:
    """Send the arrays alone."""
    del reply.content["metrics"]


def send_more_than_the_model_holds(reply: Message) -> None:
    """Send doubles that are finite, but not in the model's single precision."""
    set_first(reply, lambda x: np.full(x.shape, 1e300))


def claim_a_trillion_examples(reply: Message) -> None:
    """Claim more examples than the round asked for."""
    reply.content.metric_records["metrics"]["num-examples"] = 10**12


def claim_infinite_examples(reply: Message) -> None:
    """Claim a weight beside which all others vanish."""
    reply.content.metric_records["metrics"]["num-examples"] = float("inf")


def fail(reply: Message) -> None:
    """Fail."""
    raise RuntimeError("out of battery")


def reply_with_nothing(reply: Message) -> Message:
    """Send an empty reply."""
    reply.content = RecordDict()
    return reply


UNUSABLE: dict[Damage, str] = {
    send_nan: "holds NaN",
    send_another_shape: "has shape",
    send_complex: "complex64",
    leave_a_tensor_out: "is missing",
    send_a_tensor_more: "'extra'",
    send_garbage: "cannot be decoded",
    send_two_records: "found 2",
    send_no_metrics: "found 0",
    claim_infinite_examples: "num-examples is inf",
    claim_a_trillion_examples: "num-examples is 1e+12: expected a whole number from 1 to 2",
    send_more_than_the_model_holds: "do not fit the model's torch.float32",
    fail: "out of battery",
    reply_with_nothing: "found 0",
}


def rename_everything(reply: Message) -> None:
    """Send usable arrays and metrics under names of its own."""
    record, metrics = arrays(reply), reply.content.metric_records["metrics"]
    reply.content = RecordDict({"my arrays": record, "my metrics": metrics})


def send_metrics_of_its_own(reply: Message) -> None:
    """Send one metric more, and one less, than the others."""
    metrics = reply.content.metric_records["metrics"]
    metrics["mine"] = 3.0
    del metrics["loss"]


def send_a_list_of_losses(reply: Message) -> None:
    """Send a list where others have a number."""
    reply.content.metric_records["metrics"]["loss"] = [1.0, 2.0]


def send_only_examples(reply: Message) -> None:
    """Send nothing but what is asked for."""
    examples = reply.content.metric_records["metrics"]["num-examples"]
    reply.content["metrics"] = MetricRecord({"num-examples": examples})


def send_doubles(reply: Message) -> None:
    """Send the same values in a wider type."""
    for name, array in list(arrays(reply).items()):
        arrays(reply)[name] = Array(array.numpy().astype(np.float64))


ODD_BUT_USABLE: list[Damage] = [
    rename_everything,
    send_metrics_of_its_own,
    send_a_list_of_losses,
    send_only_examples,
    send_doubles,
]
