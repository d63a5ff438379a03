"""A mod checks models before a ClientApp of any kind sees them."""

import pytest
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict

from fedsim.clients.check_mod import CheckMod
from fedsim.clients.defenses import ArchitectureDrift, SingleExampleDominance, WeightStatistics
from fedsim.core.errors import UploadError
from fedsim.engine.flower import identify_task
from tests.server.wire import context_of

identify_task()
SHAPES = {"weight": (8, 20)}


def message(weight: torch.Tensor) -> Message:
    content = RecordDict({"arrays": ArrayRecord({"weight": weight})})
    return Message(content, dst_node_id=1, message_type="train")


def echo(message: Message, context: Context) -> Message:
    content = RecordDict(
        {
            "arrays": message.content.array_records["arrays"],
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    return Message(content, reply_to=message)


def test_it_refuses_warns_or_lets_pass() -> None:
    honest = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    crafted = honest[:1].expand(8, 20).clone()
    refusing = CheckMod([ArchitectureDrift(), WeightStatistics()], SHAPES)
    passed = refusing(message(honest), context_of(0), echo)
    assert passed.content.config_records["defenses"]["1.weight-statistics.flagged"] == 0
    refused = refusing(message(crafted), context_of(0), echo)
    assert refused.has_error()
    assert refused.error.reason == (
        "refused by weight-statistics: 100% of the rows of weight are multiples"
    )
    resized = refusing(message(honest[:5]), context_of(0), echo)
    assert "another architecture than agreed: weight" in resized.error.reason
    warning = CheckMod([WeightStatistics(action="warn")], SHAPES)
    warned = warning(message(crafted), context_of(0), echo)
    assert warned.content.config_records["defenses"]["0.weight-statistics.flagged"] == 1


def test_checks_that_need_data_are_refused() -> None:
    with pytest.raises(ValueError, match="'single-example-dominance' needs the client's batch"):
        CheckMod([SingleExampleDominance()], SHAPES)


def test_other_messages() -> None:
    mod = CheckMod([WeightStatistics()], SHAPES)
    query = Message(RecordDict({}), dst_node_id=1, message_type="query")
    reply = mod(query, context_of(0), lambda m, c: Message(RecordDict({}), reply_to=m))
    assert not reply.content.config_records
    empty = Message(RecordDict({}), dst_node_id=1, message_type="train")
    with pytest.raises(UploadError, match="0 ArrayRecords"):
        mod(empty, context_of(0), echo)
