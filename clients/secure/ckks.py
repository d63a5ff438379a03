"""Client side of homomorphic encryption: keys that the server never sees, and ciphertexts.

TenSEAL's keys cannot be drawn from a seed, so one client of the run, the dealer, makes the key
pair in the first round and sends it to each other client, encrypted with a key that the two agree
on (elliptic-curve Diffie-Hellman, Fernet; both from Flower). The server carries these messages and
gets only the public key. Clients keep their keys in their Flower state.
"""

import time
from collections.abc import Callable

import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    decrypt,
    encrypt,
    generate_shared_key,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

from fedsim.clients.secure.side import ClientSide, examples_of
from fedsim.core.arrays import record_of
from fedsim.core.errors import UploadError
from fedsim.scenario.aggregation import (
    HE_RECORD,
    POLYNOMIAL_DEGREE,
    SCALE_BITS,
    SLOTS,
    Ckks,
    load_tenseal,
)

CLEAR = ("metrics", "defenses")
OWN, SHARED = "ckks-own-key", "ckks-keys"
GUARD_BITS = 60


def encrypted(plan: Ckks, side: ClientSide, message: Message, context: Context) -> Message:
    """Return the reply to a message of one of the stages.

    Raises:
        UploadError: the stage is unknown, or the client cannot answer the message.
    """
    asked = message.content.config_records.get(HE_RECORD, ConfigRecord())
    stages: dict[str, Callable[[ConfigRecord, Context], RecordDict]] = {
        "hello": _hello,
        "deal": _deal,
        "keep": _keep,
        "decrypt": _decrypt,
    }
    stage = str(asked.get("stage"))
    if stage in stages:
        return Message(stages[stage](asked, context), reply_to=message)
    if stage != "encrypt":
        raise UploadError(f"ckks: there is no stage {stage!r}")
    reply = side.train(message, context)
    if reply.has_error():
        raise UploadError(reply.error.reason)
    vector = side.vector_of(plan.limit, "limit")(message, reply)
    return Message(_encrypt(vector, reply, context), reply_to=message)


def _hello(asked: ConfigRecord, context: Context) -> RecordDict:
    """Make the key pair with which this client receives the run's keys."""
    private, public = generate_key_pairs()
    _remember(context, OWN, private_key_to_bytes(private))
    return _said(public=public_key_to_bytes(public))


def _deal(asked: ConfigRecord, context: Context) -> RecordDict:
    """Make the run's keys: all of them for the other clients, the public key for the server."""
    ts = load_tenseal()
    made = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=POLYNOMIAL_DEGREE,
        coeff_mod_bit_sizes=[GUARD_BITS, SCALE_BITS, GUARD_BITS],
        n_threads=1,
    )
    made.global_scale = 2**SCALE_BITS
    keys = made.serialize(save_secret_key=True, save_galois_keys=False, save_relin_keys=False)
    public = made.serialize(save_secret_key=False, save_galois_keys=False, save_relin_keys=False)
    _remember(context, SHARED, keys)
    sealed = [encrypt(_agreed(context, other), keys) for other in _listed(asked, "publics")]
    return _said(context=public, sealed=sealed)


def _keep(asked: ConfigRecord, context: Context) -> RecordDict:
    """Store the run's keys."""
    dealer, sealed = asked["dealer"], asked["sealed"]
    if not isinstance(dealer, bytes) or not isinstance(sealed, bytes):
        raise UploadError("ckks: the dealer's message cannot be read")
    _remember(context, SHARED, decrypt(_agreed(context, dealer), sealed))
    return _said()


def _encrypt(vector: torch.Tensor, reply: Message, context: Context) -> RecordDict:
    """Return ciphertexts of a vector times its number of examples, and the records in the clear."""
    keys, ts = _keys(context), load_tenseal()
    weighted = vector * examples_of(reply)
    began = time.monotonic()
    ciphertexts = [
        ts.ckks_vector(keys, part.tolist()).serialize() for part in torch.split(weighted, SLOTS)
    ]
    content = _said(ciphertexts=ciphertexts, seconds=time.monotonic() - began)
    for name in CLEAR:
        if name in reply.content:
            content[name] = reply.content[name]
    return content


def _decrypt(asked: ConfigRecord, context: Context) -> RecordDict:
    """Return the decrypted vector: the sum, if the server is honest."""
    keys, ts = _keys(context), load_tenseal()
    began = time.monotonic()
    parts = [
        torch.tensor(ts.ckks_vector_from(keys, c).decrypt(), dtype=torch.float64)
        for c in _listed(asked, "ciphertexts")
    ]
    content = _said(seconds=time.monotonic() - began)
    content["arrays"] = record_of({"sum": torch.cat(parts)})
    return content


def _keys(context: Context) -> object:
    if SHARED not in context.state.config_records:
        raise UploadError("ckks: this client was absent when the keys were dealt")
    keys: object = load_tenseal().context_from(_remembered(context, SHARED), n_threads=1)
    return keys


def _agreed(context: Context, other: bytes) -> bytes:
    """Return the key that this client and another agree on."""
    own = bytes_to_private_key(_remembered(context, OWN))
    return generate_shared_key(own, bytes_to_public_key(other))


def _remember(context: Context, name: str, value: bytes) -> None:
    context.state[name] = ConfigRecord({"key": value})


def _remembered(context: Context, name: str) -> bytes:
    value = context.state.config_records[name]["key"]
    if not isinstance(value, bytes):
        raise UploadError(f"ckks: the state {name!r} is damaged")
    return value


def _said(**values: bytes | float | list[bytes]) -> RecordDict:
    return RecordDict({HE_RECORD: ConfigRecord(dict(values))})


def _listed(asked: ConfigRecord, name: str) -> list[bytes]:
    values = asked[name]
    return [v for v in values if isinstance(v, bytes)] if isinstance(values, list) else []
