"""Ray's workers: on this machine, or on the cluster that `RAY_ADDRESS` names."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fedsim.core.environment import ADDRESS_VARIABLE, VARIABLES
from fedsim.core.errors import RunError
from fedsim.core.signals import ended_as_interrupts

_PATIENCE = 10.0
"""Seconds to wait for a connection to a cluster."""

_FOUND_BY_RAY = ("auto", "local")
"""Addresses that are not hosts: a cluster of this machine, or none."""


@contextmanager
def ray_workers(
    *, cpus: int | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """Start Ray on this machine, or connect to the cluster that is named; yield its module.

    Meanwhile, SIGTERM and SIGHUP end this process as Ctrl-C does: Ray's own handler of SIGTERM
    kills it with a dump. Ray that was connected before stays so.

    Args:
        cpus: number of CPUs that Ray may use here; all by default.
        variables: environment variables of the workers, besides those of fedsim.

    Raises:
        RunError: there is no cluster at the address, or the address has no port.
        KeyboardInterrupt: the process was asked to end.
    """
    import ray  # noqa: PLC0415  (takes seconds to import)

    ours, address = not ray.is_initialized(), os.environ.get(ADDRESS_VARIABLE)
    if ours:
        # Workers find what this process finds, wherever it was started.
        places = [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        own = {k: os.environ.get(k, v) for k, v in VARIABLES.items()}
        own["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(p for p in places if p))
        try:
            _reach(address)
            ray.init(
                address=address or "local",
                num_cpus=None if address else cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": {**own, **(variables or {})}},
            )
        except (OSError, OverflowError) as error:  # no connection, no such name or no such port
            raise RunError(
                f"no Ray cluster answers at {address}: {error}; start one with `ray start --head`, "
                "or leave the address out"
            ) from None
    try:
        with ended_as_interrupts(always=True):
            yield ray
    finally:
        if ours:
            ray.shutdown()


def _reach(address: str | None) -> None:
    """Connect to an address once: Ray itself tries for minutes.

    Raises:
        OSError: nothing listens there, or the name is unknown.
        RunError: the address has no port.
    """
    if not address or address in _FOUND_BY_RAY:
        return
    host, found, port = address.removeprefix("ray://").rpartition(":")
    if not found or not port.isdigit():
        raise RunError(
            f"{ADDRESS_VARIABLE}={address}: there is no port in it; expected a host and the port "
            "of its Ray cluster, for example 10.0.0.1:6379"
        )
    socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
