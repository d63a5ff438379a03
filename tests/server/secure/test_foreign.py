"""An aggregation of somebody else: it works on both sides, or is refused."""

import itertools
from collections.abc import Mapping, Sequence
from typing import cast

import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedsim.clients.secure.side import ClientSide, examples_of
from fedsim.core.errors import RunError
from fedsim.core.registry import AGGREGATIONS
from fedsim.core.seeds import derive
from fedsim.scenario import Federation
from fedsim.scenario.aggregation import Aggregation
from fedsim.server.secure.strategy import Protocol, Revealed
from tests.fedsim.small import refusal, small
from tests.server.secure.rounds import mean_of, plain_uploads, train

USED = "federation={aggregation='pairwise', rounds=1, batch_size=2}"


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    AGGREGATIONS.names()
    monkeypatch.setattr(AGGREGATIONS, "_classes", dict(AGGREGATIONS._classes))


def pairwise(**sides: str) -> type[Aggregation]:
    """Register the aggregation with these sides."""

    @AGGREGATIONS.register("pairwise")
    class Pairwise(Aggregation):
        """Masks that cancel in the sum, each shared by two clients."""

        client = sides.get("client")
        server = sides.get("server")

    return Pairwise


def both() -> type[Aggregation]:
    return pairwise(client=f"{__name__}:hidden", server=f"{__name__}:protocol")


def mask(partition: int, clients: int, size: int) -> Tensor:
    total = torch.zeros(size, dtype=torch.float64)
    for first, second in itertools.combinations(range(clients), 2):
        generator = torch.Generator().manual_seed(derive(0, "pair", first, second))
        shared = torch.randn(size, generator=generator, dtype=torch.float64)
        total += shared * ((partition == first) - (partition == second))
    return 100 * total


def hidden(plan: Aggregation, side: ClientSide, message: Message, context: Context) -> Message:
    reply = side.train(message, context)
    vector = side.vector_of(1e3, "limit")(message, reply) * examples_of(reply)
    partition = int(context.node_config["partition-id"])
    masked = vector + mask(partition, side.site.scenario.num_clients, len(vector))
    content = RecordDict({k: v for k, v in reply.content.items() if k != "arrays"})
    content["arrays"] = ArrayRecord({"masked": masked})
    return Message(content, reply_to=message)


class PairwiseProtocol(Protocol):
    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        clear, vectors = {}, []
        for reply in grid.send_and_receive(messages):
            arrays = cast(ArrayRecord, reply.content["arrays"]).to_torch_state_dict()
            vectors.append(arrays["masked"])
            clear[reply.metadata.src_node_id] = reply.content
        self.seen += vectors
        examples = sum(examples_of_content(c) for c in clear.values())
        mean = torch.stack(vectors).sum(0) / examples
        return Revealed(mean, set(clear), clear, dict.fromkeys(clear, 8 * size))


def examples_of_content(content: RecordDict) -> int:
    return cast(int, content.metric_records["metrics"]["num-examples"])


MADE: list[PairwiseProtocol] = []


def protocol(
    plan: Aggregation, federation: Federation, partitions: Mapping[int, int], most: int
) -> PairwiseProtocol:
    MADE.append(PairwiseProtocol())
    return MADE[-1]


def test_it_hides_single_uploads_and_reveals_their_mean() -> None:
    both()
    case = small(USED)
    _, seen, _ = train(case)
    plain = plain_uploads(case, range(3))
    expected = mean_of(plain)
    total = seen.sums[1]
    assert total.partitions == (0, 1, 2)
    for name, tensor in total.arrays.items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-5, rtol=1e-4)
    for vector, upload in zip(MADE[-1].seen, plain, strict=True):
        honest = torch.cat([t.double().flatten() for t in upload.values()])
        assert (vector - 2 * honest).norm() > 10 * honest.norm()


@pytest.mark.parametrize("given", [{}, {"client": "a:b"}, {"server": "a:b"}], ids=str)
def test_without_both_sides_it_is_refused(given: dict[str, str]) -> None:
    pairwise(**given)
    missing = "server" if "client" in given else "client"
    message = refusal(USED)
    assert message.startswith("small: federation.aggregation: Pairwise hides uploads, but Pairwise")
    assert f"Pairwise.{missing} is not set; expected the import path of a function" in message


def test_a_side_that_is_not_there_ends_the_run() -> None:
    pairwise(client=f"{__name__}:hidden", server=f"{__name__}:no_such")
    with pytest.raises(RunError, match=r"Pairwise.server = '.*:no_such' cannot be imported"):
        train(small(USED))
