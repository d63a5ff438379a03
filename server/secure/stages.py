"""Checks of clients' replies in the stages of SecAgg+ other than the masked vectors."""

from __future__ import annotations

from collections.abc import Collection

from flwr.app import ConfigRecord, Message
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.supercore.primitives.asymmetric import bytes_to_public_key

KEYS, SHARES, UNMASKING = 0, 1, 3
"""Numbers of the stages that are checked here."""


def problem_of(stage: int, reply: Message, nodes: Collection[int]) -> str | None:
    """Return the reason why a reply would end the round for all clients, or None.

    Args:
        stage: number of the stage.
        reply: a reply without an error.
        nodes: the nodes of the round.
    """
    record = reply.content.config_records.get(RECORD_KEY_CONFIGS)
    if record is None:
        return f"the reply has no record {RECORD_KEY_CONFIGS!r}"
    try:
        if stage == KEYS:
            return _keys(record)
        if stage == SHARES:
            return _lists(record, Key.DESTINATION_LIST, Key.CIPHERTEXT_LIST, nodes)
        if stage == UNMASKING:
            return _lists(record, Key.NODE_ID_LIST, Key.SHARE_LIST, nodes)
    except Exception as error:  # untrusted bytes can fail to decode with any exception
        return f"the reply cannot be read: {type(error).__name__}: {error}"
    return None


def _keys(record: ConfigRecord) -> str | None:
    for name in (Key.PUBLIC_KEY_1, Key.PUBLIC_KEY_2):
        key = record[name]
        if not isinstance(key, bytes):
            return f"{name} is not a public key"
        bytes_to_public_key(key)
    return None


def _lists(record: ConfigRecord, ids: str, parts: str, nodes: Collection[int]) -> str | None:
    found, values = record[ids], record[parts]
    if not isinstance(found, list) or not isinstance(values, list) or len(found) != len(values):
        return f"{ids} and {parts} are not lists of the same length"
    if not set(found) <= set(nodes) or len(set(found)) < len(found):
        return f"{ids} are not nodes of this round, each once"
    if not all(isinstance(value, bytes) for value in values):
        return f"{parts} are not bytes"
    return None
