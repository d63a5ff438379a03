"""Aggregation settings (plain, SecAgg+, CKKS) and their constraints."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fedsim.core.checked import Parameters, checked
from fedsim.core.errors import RunError
from fedsim.core.registry import AGGREGATIONS

MODULUS = 2**32
"""SecAgg+ adds whole numbers modulo this."""

SCALE_BITS = 40
"""CKKS holds a value as a multiple of 2 ** -SCALE_BITS."""

POLYNOMIAL_DEGREE = 8192
SLOTS = POLYNOMIAL_DEGREE // 2
"""Values in one ciphertext. With three primes of 160 bits in all this degree is well within the
218 bits that the Homomorphic Encryption Standard allows it at 128 bits of security."""

HE_RECORD = "ckks"
"""The record of a message that belongs to the encryption."""


@checked
class Aggregation(Parameters):
    """The way from a round's uploads to their weighted mean.

    One that hides single uploads has a part on each side, named by import paths
    (``"package.module:function"``), which are resolved when a run needs them.
    """

    hides: ClassVar[bool] = True
    """Whether the server sees the sum of the uploads alone."""

    client: ClassVar[str | None] = None
    """Hides an upload: a function as `fedsim.clients.secure.side.Answer`."""

    server: ClassVar[str | None] = None
    """Computes the mean: a function as `fedsim.server.secure.strategy.ProtocolOf`."""

    def check(self, cohort: int) -> None:
        """Refuse a number of clients in a round that this does not support.

        Raises:
            ValueError: says what was expected.
        """

    def complete(self) -> None:
        """Refuse an aggregation that hides uploads and lacks one of its sides.

        Raises:
            ValueError: says what is missing.
        """
        missing = [name for name in ("client", "server") if getattr(self, name) is None]
        if self.hides and missing:
            kind = type(self).__name__
            raise ValueError(
                f"{kind} does not say how uploads are hidden: {kind}.{missing[0]} is not set; "
                "expected the import path of a function, 'package.module:function', on both "
                "sides (client and server)"
            )

    def side(self, name: Literal["client", "server"]) -> Any:
        """Return the function of one side.

        Raises:
            RunError: there is no such function.
        """
        path = str(getattr(self, name))
        module, _, function = path.partition(":")
        try:
            return getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise RunError(
                f"federation.aggregation: {type(self).__name__}.{name} = {path!r} cannot be "
                f"imported: {error}"
            ) from error


@AGGREGATIONS.register("plain")
class Plain(Aggregation):
    """Every upload reaches the server as it is, and the server adds them up."""

    hides: ClassVar[bool] = False


@AGGREGATIONS.register("secagg+")
class SecAggPlus(Aggregation):
    """Clients mask their uploads so that only the masks' sum, and with it the mean, is known.

    Source: Bell et al., CCS 2020 (eprint 2020/704), in Flower's own implementation. Each client
    shares masks with some neighbours; those of clients that drop out are rebuilt from shares.
    """

    client: ClassVar[str | None] = "fedsim.clients.secure.secagg:masked"
    server: ClassVar[str | None] = "fedsim.server.secure.secagg:protocol"

    shares: Annotated[
        int | None,
        Field(
            ge=3,
            description="a client's neighbours and itself, an odd number; all clients if not set",
        ),
    ] = None
    reconstruction_threshold: Annotated[
        int | None,
        Field(ge=2, description="shares that rebuild a key; more than half of them if not set"),
    ] = None
    clipping_range: Annotated[
        float,
        Field(gt=0, description="greatest absolute value that an upload may hold"),
    ] = 8.0
    quantization_range: Annotated[
        int, Field(ge=2**8, le=2**30, description="steps into which the values' range is cut")
    ] = 2**22

    def shares_of(self, cohort: int) -> int:
        """Return into how many shares each client of a cohort splits its keys."""
        return self.shares or cohort

    def threshold_of(self, cohort: int) -> int:
        """Return how many of these shares rebuild a key."""
        return self.reconstruction_threshold or self.shares_of(cohort) // 2 + 1

    def check(self, cohort: int) -> None:
        """Refuse what the protocol, or Flower's implementation of it, cannot do."""
        shares, threshold = self.shares_of(cohort), self.threshold_of(cohort)
        if cohort < 3:
            raise ValueError(
                f"secagg+ needs at least 3 clients in a round, not {cohort}; raise the count of "
                "the clients, or federation.fraction"
            )
        if shares > cohort or (shares < cohort and shares % 2 == 0):
            raise ValueError(
                f"secagg+: shares = {shares} with {cohort} clients in a round: expected an odd "
                "number below that of the clients, or all of them"
            )
        if threshold >= shares:
            raise ValueError(
                f"secagg+: reconstruction_threshold = {threshold}: expected less than the "
                f"{shares} shares"
            )
        if cohort * self.quantization_range >= MODULUS:
            raise ValueError(
                f"secagg+: the sum of {cohort} uploads with quantization_range = "
                f"{self.quantization_range} does not fit into 32 bits; use "
                f"{(MODULUS - 1) // cohort} or less"
            )


@AGGREGATIONS.register("ckks")
class Ckks(Aggregation):
    """Clients encrypt their uploads and the server adds ciphertexts, for which it has no key.

    Source: Cheon et al., ASIACRYPT 2017 (eprint 2016/421), in TenSEAL's implementation. The
    clients share one key pair and decrypt the sum for the server. Needs the extra ``he``.
    """

    client: ClassVar[str | None] = "fedsim.clients.secure.ckks:encrypted"
    server: ClassVar[str | None] = "fedsim.server.secure.ckks:protocol"

    limit: Annotated[
        float,
        Field(
            gt=0,
            le=2**10,
            description="greatest absolute value that an upload may hold",
        ),
    ] = 1024.0

    def check(self, cohort: int) -> None:
        """Refuse a sum that is one client's upload."""
        if cohort < 2:
            raise ValueError(
                "ckks with one client in a round hides nothing: its sum is that client's upload; "
                "raise the count of the clients, or federation.fraction"
            )


def load_tenseal() -> Any:
    """Return the module ``tenseal``, which is an extra.

    Raises:
        RunError: it is not installed.
    """
    try:
        import tenseal  # noqa: PLC0415  (an extra)
    except ImportError:
        raise RunError(
            "federation.aggregation = 'ckks' needs TenSEAL; install it with: "
            "pip install 'fedsim-leakage[he]'"
        ) from None
    return tenseal
