"""Announcements by which clients compare the models that they received.

A server relays them and cannot forge them without the clients' common key.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from torch import Tensor

from fedsim.core.seeds import derive

ANNOUNCE = "announce"
"""Action of the query by which a server asks for an announcement, ``query.announce``."""

AGREEMENT_RECORD = "agreement"
"""Name of the ConfigRecord with announcements in a message."""


def model_digest(weights: Mapping[str, Tensor]) -> bytes:
    """Return the SHA-256 of a model's tensors with their names, types and shapes."""
    whole = hashlib.sha256()
    for name, array in sorted(weights.items()):
        value = array.detach().cpu().contiguous()
        whole.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        whole.update(value.numpy().tobytes())
    return whole.digest()


def simulated_key(seed: int) -> bytes:
    """Return the clients' common key in a simulation; real clients agree on one themselves."""
    return hashlib.sha256(f"agreement {derive(seed, 'agreement')}".encode()).digest()


def tag_of(key: bytes, client: int, server_round: int, digest: bytes) -> bytes:
    """Return the tag with which a client vouches for what it received."""
    return hmac.new(key, f"{client} {server_round} ".encode() + digest, hashlib.sha256).digest()


def vouched(
    key: bytes,
    own: int,
    server_round: int,
    clients: Sequence[int],
    digests: Sequence[bytes],
    tags: Sequence[bytes],
) -> dict[int, bytes]:
    """Return the digests of other clients whose tags are right, by client.

    Args:
        key: the clients' common key.
        own: the client that compares.
        server_round: the round.
        clients: the clients that announced.
        digests: what each received.
        tags: the tag of each.
    """
    return {
        client: digest
        for client, digest, tag in zip(clients, digests, tags, strict=False)
        if client != own and hmac.compare_digest(tag, tag_of(key, client, server_round, digest))
    }
