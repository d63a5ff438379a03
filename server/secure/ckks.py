"""Server side of homomorphic encryption: sums of ciphertexts that the server cannot read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from flwr.app import ConfigRecord, ConfigRecordValues, Message, MessageType, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from fedsim.core.arrays import tensors_of
from fedsim.core.errors import RunError, UploadError
from fedsim.scenario import Federation
from fedsim.scenario.aggregation import HE_RECORD, SLOTS, Ckks, load_tenseal
from fedsim.server.eavesdropper import NO_REPLY
from fedsim.server.secure.strategy import Protocol, Revealed
from fedsim.server.uploads import read_clear


@dataclass
class _Round:
    """Intermediate results of one round."""

    clear: dict[int, RecordDict] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    examples: float = 0.0
    seconds: dict[str, float] = field(
        default_factory=lambda: {"encrypting s": 0.0, "adding s": 0.0, "decrypting s": 0.0}
    )


def protocol(
    plan: Ckks, federation: Federation, partitions: Mapping[int, int], most: int
) -> CkksProtocol:
    """Return the protocol of a run.

    Raises:
        RunError: TenSEAL is not installed.
    """
    nodes = sorted(partitions, key=partitions.__getitem__)
    return CkksProtocol(nodes, federation.timeout_s)


class CkksProtocol(Protocol):
    """Encrypted sums. The server relays the clients' sealed keys and holds the public key.

    A client decrypts the sum and sends it back. It would decrypt a single upload just as well:
    uploads are hidden from a server that follows the protocol, and from readers of its memory.

    Args:
        nodes: the nodes of all clients; the first that answers makes the keys.
        timeout_s: maximum time that each stage waits for its clients.

    Raises:
        RunError: TenSEAL is not installed.
    """

    def __init__(self, nodes: Sequence[int], timeout_s: float) -> None:
        self._ts = load_tenseal()
        self._nodes = list(nodes)
        self._timeout_s = timeout_s
        self._public: Any = None
        self.least = 2

    def broken(self, invented: int) -> Protocol:
        """Return the same protocol with the decryption of single uploads, which clients allow."""
        return _Single(self)

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run one round, in the first round after the exchange of keys."""
        dropped: dict[int, str] = {}
        found = _Round()
        try:
            if self._public is None:
                began = time.monotonic()
                self._exchange_keys(grid, dropped)
                found.seconds["keys s"] = time.monotonic() - began
            total = self._total(grid, messages, size, found, dropped)
            if len(found.clear) < self.least:
                raise RunError(
                    f"only {len(found.clear)} encrypted uploads: their sum would hide none of them"
                )
            vector = self._decrypted(grid, list(found.clear), total, found, dropped)
            if vector.shape != (size,) or not bool(torch.isfinite(vector).all()):
                raise RunError("the decrypted sum is not a vector of finite values")
        except Exception as error:  # the run continues for any behaviour of a client
            return Revealed(None, dropped=dropped, costs=found.seconds, problem=f"ckks: {error}")
        return Revealed(
            mean=vector / found.examples,
            nodes=set(found.clear),
            clear=found.clear,
            sizes=found.sizes,
            dropped=dropped,
            costs=found.seconds,
        )

    def _exchange_keys(self, grid: Grid, dropped: dict[int, str]) -> None:
        """Let one client make the keys, and relay them, sealed, to the others."""
        hellos = self._ask(grid, {n: _asking("hello") for n in self._nodes}, "hello", dropped)
        publics = {n: cast(bytes, hellos[n]["public"]) for n in self._nodes if n in hellos}
        if not publics:
            raise RunError("no client answered the exchange of keys")
        dealer, *others = publics
        request = _asking("deal", publics=[publics[n] for n in others])
        deals = self._ask(grid, {dealer: request}, "dealing keys", dropped)
        if dealer not in deals:
            raise RunError(f"the keys could not be made: {dropped[dealer]}")
        sealed = cast(list[bytes], deals[dealer]["sealed"])
        kept = {
            node: _asking("keep", dealer=publics[dealer], sealed=own)
            for node, own in zip(others, sealed, strict=True)
        }
        self._ask(grid, kept, "keeping keys", dropped)
        public = self._ts.context_from(deals[dealer]["context"], n_threads=1)
        if public.is_private():
            raise RunError("the dealer sent the secret key too, which the server must not have")
        self._public = public

    def _total(
        self,
        grid: Grid,
        messages: Sequence[Message],
        size: int,
        found: _Round,
        dropped: dict[int, str],
    ) -> list[Any]:
        """Return the sum of all usable ciphertexts."""
        asked = {}
        for message in messages:
            content = RecordDict({**message.content, **_asking("encrypt")})
            asked[message.metadata.dst_node_id] = content
        total: list[Any] = []
        for node, reply in self._replies(grid, asked, "encrypting", dropped).items():
            began = time.monotonic()
            try:
                parts, examples = self._read(reply, size)
            except Exception as error:  # untrusted bytes can fail to decode with any exception
                dropped[node] = f"encrypting: {error}"
                continue
            total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
            found.seconds["adding s"] += time.monotonic() - began
            said = reply[HE_RECORD]
            found.seconds["encrypting s"] += _seconds(cast(ConfigRecord, said))
            found.examples += examples
            found.clear[node] = reply
            found.sizes[node] = sum(map(len, _ciphertexts(reply)))
        return total

    def _read(self, reply: RecordDict, size: int) -> tuple[list[Any], float]:
        clear = read_clear(reply, 0)
        if clear.problem is not None:
            raise UploadError(clear.problem)
        parts = [self._ts.ckks_vector_from(self._public, c) for c in _ciphertexts(reply)]
        sizes = [min(SLOTS, size - start) for start in range(0, size, SLOTS)]
        if [part.size() for part in parts] != sizes:
            raise UploadError(f"the ciphertexts do not hold the {size} values of an upload")
        return parts, clear.metrics["num-examples"]

    def _decrypted(
        self,
        grid: Grid,
        nodes: Sequence[int],
        total: Sequence[Any],
        found: _Round,
        dropped: dict[int, str],
    ) -> Tensor:
        """Return the sum, from the first client that decrypts it."""
        request = _asking("decrypt", ciphertexts=[part.serialize() for part in total])
        for node in nodes:
            replies = self._replies(grid, {node: request}, "decrypting", dropped)
            if node in replies:
                said = replies[node].config_records[HE_RECORD]
                found.seconds["decrypting s"] = _seconds(said)
                return tensors_of(replies[node].array_records["arrays"])["sum"]
        raise RunError("no client decrypted the sum")

    def _ask(
        self, grid: Grid, asked: Mapping[int, RecordDict], stage: str, dropped: dict[int, str]
    ) -> dict[int, ConfigRecord]:
        replies = self._replies(grid, asked, stage, dropped)
        return {node: r.config_records[HE_RECORD] for node, r in replies.items()}

    def _replies(
        self, grid: Grid, asked: Mapping[int, RecordDict], stage: str, dropped: dict[int, str]
    ) -> dict[int, RecordDict]:
        """Return the replies that are not errors, in the order of the requests."""
        messages = [
            Message(content, dst_node_id=node, message_type=MessageType.TRAIN)
            for node, content in asked.items()
        ]
        came = {
            r.metadata.src_node_id: r
            for r in grid.send_and_receive(messages, timeout=self._timeout_s)
        }
        replies = {}
        for node in asked:
            if node not in came:
                dropped[node] = f"{stage}: {NO_REPLY}"
            elif came[node].has_error():
                dropped[node] = f"{stage}: {came[node].error.reason}"
            elif HE_RECORD not in came[node].content.config_records:
                dropped[node] = f"{stage}: the reply does not follow the protocol"
            else:
                replies[node] = came[node].content
        return replies


class _Single(Protocol):
    """The protocol for one round in which the server decrypts the upload of one client alone."""

    def __init__(self, ckks: CkksProtocol) -> None:
        self._ckks = ckks

    def reveal(
        self, grid: Grid, server_round: int, messages: Sequence[Message], size: int
    ) -> Revealed:
        """Run one round; the next one needs two uploads again."""
        usual, self._ckks.least = self._ckks.least, 1
        try:
            return self._ckks.reveal(grid, server_round, messages, size)
        finally:
            self._ckks.least = usual


def _asking(stage: str, **values: ConfigRecordValues) -> RecordDict:
    return RecordDict({HE_RECORD: ConfigRecord({"stage": stage, **values})})


def _ciphertexts(reply: RecordDict) -> list[bytes]:
    return cast(list[bytes], reply.config_records[HE_RECORD]["ciphertexts"])


def _seconds(said: ConfigRecord) -> float:
    value = said.get("seconds")
    return value if isinstance(value, float) else 0.0
