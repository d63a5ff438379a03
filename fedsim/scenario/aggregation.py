"""Aggregation settings (plain, SecAgg+, CKKS) and their constraints."""

from __future__ import annotations

import importlib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from fedsim.core.checked import Parameters, checked
from fedsim.core.errors import RunError
from fedsim.core.registry import AGGREGATIONS

MODULUS = 2**32
"""Modulus of the sums of SecAgg+."""

SCALE_BITS = 40
"""CKKS represents a value as a multiple of 2 ** -SCALE_BITS."""

POLYNOMIAL_DEGREE = 8192
SLOTS = POLYNOMIAL_DEGREE // 2
"""Number of values in one ciphertext. Three primes with 160 bits in total are well within the 218
bits that the Homomorphic Encryption Standard allows for this degree at 128 bits of security."""

HE_RECORD = "ckks"
"""Name of the record of a message that belongs to the encryption."""


@checked
class Aggregation(Parameters):
    """Settings for computing the weighted mean of a round's uploads.

    An aggregation that hides single uploads has a part on each side, named by import paths
    (``"package.module:function"``), which are resolved when a run needs them.
    """

    hides: ClassVar[bool] = True
    """Whether the server sees only the sum of the uploads."""

    client: ClassVar[str | None] = None
    """Import path of the client's function, a `fedsim.clients.secure.side.Answer`."""

    server: ClassVar[str | None] = None
    """Import path of the server's function, a `fedsim.server.secure.strategy.ProtocolOf`."""

    @property
    def resolution(self) -> float:
        """Step of the multiples to which a client's values are rounded; 0 for none."""
        return 0.0

    def check(self, cohort: int) -> None:
        """Refuse a number of clients in a round that this does not support.

        Raises:
            ValueError: the number is not supported; the message gives the expected one.
        """

    def complete(self) -> None:
        """Refuse an aggregation that hides uploads and lacks one of its sides.

        Raises:
            ValueError: the import path of a side is not set.
        """
        missing = [name for name in ("client", "server") if getattr(self, name) is None]
        if self.hides and missing:
            kind = type(self).__name__
            raise ValueError(
                f"{kind} hides uploads, but {kind}.{missing[0]} is not set; "
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
    """Plain aggregation: the server sees every upload and averages them."""

    hides: ClassVar[bool] = False


@AGGREGATIONS.register("secagg+")
class SecAggPlus(Aggregation):
    """SecAgg+: clients mask their uploads with masks that cancel in the sum.

    Source: Bell et al., CCS 2020 (eprint 2020/704), in Flower's own implementation. Each client
    shares masks with some neighbours; the masks of clients that drop out are reconstructed from
    shares.
    """

    client: ClassVar[str | None] = "fedsim.clients.secure.secagg:masked"
    server: ClassVar[str | None] = "fedsim.server.secure.secagg:protocol"

    shares: Annotated[
        int | None,
        Field(
            ge=3,
            description="a client and its neighbours, an odd number; by default all clients",
        ),
    ] = None
    reconstruction_threshold: Annotated[
        int | None,
        Field(
            ge=2,
            description="shares needed to reconstruct a key; by default more than half of them",
        ),
    ] = None
    clipping_range: Annotated[
        float,
        Field(gt=0, description="maximum absolute value in an upload"),
    ] = 8.0
    quantization_range: Annotated[
        int, Field(ge=2**8, le=2**30, description="number of steps into which the range is divided")
    ] = 2**22

    @property
    @override
    def resolution(self) -> float:
        return 2 * self.clipping_range / self.quantization_range

    def shares_of(self, cohort: int) -> int:
        """Return the number of shares into which each client of a cohort splits its keys."""
        return self.shares or cohort

    def threshold_of(self, cohort: int) -> int:
        """Return the number of shares needed to reconstruct a key."""
        return self.reconstruction_threshold or self.shares_of(cohort) // 2 + 1

    def check(self, cohort: int) -> None:
        """Refuse a cohort that the protocol, or Flower's implementation, does not support."""
        shares, threshold = self.shares_of(cohort), self.threshold_of(cohort)
        if cohort < 3:
            raise ValueError(
                f"secagg+ needs at least 3 clients in a round, not {cohort}; raise the count of "
                "the clients, or federation.fraction"
            )
        if shares > cohort or (shares < cohort and shares % 2 == 0):
            raise ValueError(
                f"secagg+: shares = {shares} with {cohort} clients in a round: expected an odd "
                "number below the number of clients, or all of them"
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
    """CKKS: clients encrypt their uploads, and the server adds ciphertexts without the key.

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
            description="maximum absolute value in an upload",
        ),
    ] = 1024.0

    def check(self, cohort: int) -> None:
        """Refuse a cohort of one client, whose sum would be its upload."""
        if cohort < 2:
            raise ValueError(
                "ckks with one client in a round hides nothing: its sum is that client's upload; "
                "raise the count of the clients, or federation.fraction"
            )


def load_tenseal() -> Any:
    """Import the module ``tenseal`` of the extra ``he``.

    Raises:
        RunError: TenSEAL is not installed.
    """
    try:
        import tenseal  # noqa: PLC0415  (an extra)
    except ImportError:
        raise RunError(
            "federation.aggregation = 'ckks' needs TenSEAL; install it with: "
            "pip install 'fedsim-leakage[he]'"
        ) from None
    return tenseal
