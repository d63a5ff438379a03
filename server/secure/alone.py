"""SecAgg+ of a server that asks one client alone, with a threshold of one.

Flower's client (1.41) takes the number of clients and the threshold from the server, and compares
them with no bound of its own. With a threshold of one it gives the seed of its only mask away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from flwr.app import ConfigRecord, ConfigRecordValues, Message, RecordDict
from flwr.common import bytes_to_ndarray
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.quantization import dequantize
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.secure_aggregation.secaggplus_utils import pseudo_rand_gen
from flwr.serverapp import Grid

from fedsim.core.errors import RunError
from fedsim.scenario.aggregation import MODULUS, SecAggPlus
from fedsim.server.secure.strategy import Protocol, Revealed

Asked = Mapping[str, ConfigRecordValues]
"""Values of one stage's request."""


class Alone(Protocol):
    """The stages of SecAgg+ with one client.

    Args:
        plan: the parameters.
        most_examples: maximum number of examples that a client may claim.
        timeout_s: maximum time of a stage.
    """

    def __init__(self, plan: SecAggPlus, most_examples: int, timeout_s: float) -> None:
        self._plan, self._most, self._timeout_s = plan, most_examples, timeout_s

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run one round with the first of the messages' clients."""
        message = messages[0]
        node = message.metadata.dst_node_id
        try:
            return self._upload(grid, message, node)
        except Exception as error:  # the run continues for any behaviour of a client
            return Revealed(None, dropped={node: str(error)}, problem=f"secagg+: {error}")

    def _upload(self, grid: Grid, message: Message, node: int) -> Revealed:
        def ask(content: RecordDict, asked: Asked) -> RecordDict:
            whole = RecordDict({**content, RECORD_KEY_CONFIGS: ConfigRecord(dict(asked))})
            sent = Message(whole, dst_node_id=node, message_type="train")
            [reply] = grid.send_and_receive([sent], timeout=self._timeout_s)
            if reply.has_error():
                raise RunError(str(reply.error.reason))
            return reply.content

        empty = RecordDict()
        keys = ask(empty, self._setup()).config_records[RECORD_KEY_CONFIGS]
        own = cast(list[bytes], [keys[Key.PUBLIC_KEY_1], keys[Key.PUBLIC_KEY_2]])
        ask(empty, {Key.STAGE: Stage.SHARE_KEYS, str(node): own})
        nobody: Asked = {Key.CIPHERTEXT_LIST: list[bytes](), Key.SOURCE_LIST: list[int]()}
        clear = ask(message.content, {Key.STAGE: Stage.COLLECT_MASKED_VECTORS, **nobody})
        parts = _listed(clear, Key.MASKED_PARAMETERS)
        masked = [bytes_to_ndarray(part) for part in parts]
        lists: Asked = {Key.ACTIVE_NODE_ID_LIST: [node], Key.DEAD_NODE_ID_LIST: list[int]()}
        shares = ask(empty, {Key.STAGE: Stage.UNMASK, **lists})
        seed = combine_shares(_listed(shares, Key.SHARE_LIST))
        mask = pseudo_rand_gen(seed, MODULUS, [m.shape for m in masked])
        ratio, vector = [(m - k) % MODULUS for m, k in zip(masked, mask, strict=True)]
        return Revealed(
            torch.from_numpy(self._values(vector, int(ratio[0]))),
            nodes={node},
            clear={node: clear},
            sizes={node: sum(map(len, parts))},
        )

    def _setup(self) -> Asked:
        return {
            Key.STAGE: Stage.SETUP,
            Key.SAMPLE_NUMBER: 1,
            Key.SHARE_NUMBER: 1,
            Key.THRESHOLD: 1,
            Key.CLIPPING_RANGE: self._plan.clipping_range,
            Key.TARGET_RANGE: self._plan.quantization_range,
            Key.MOD_RANGE: MODULUS,
            Key.MAX_WEIGHT: self._most,
        }

    def _values(self, vector: Any, ratio: int) -> Any:
        limit, steps = self._plan.clipping_range, self._plan.quantization_range
        [values] = dequantize([vector], limit, steps)
        return np.asarray(values, dtype=np.float64) * steps / ratio


def _listed(content: RecordDict, name: str) -> list[bytes]:
    return cast(list[bytes], content.config_records[RECORD_KEY_CONFIGS][name])
