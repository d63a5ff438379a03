"""A Flower app in this process, with the audit around its strategy.

It needs a process of its own, so that the app finds its modules, which may be called ``server.py``
or ``client.py``, as under ``flwr run``.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import Strategy

from fedsim.clients.audit_mod import AuditMod
from fedsim.core.errors import RunError
from fedsim.core.toml import parse_toml
from fedsim.engine.audit.loading import imported
from fedsim.engine.audit.session import Session
from fedsim.engine.audit.strategy import Audit
from fedsim.engine.inline import InlineGrid
from fedsim.server.secure.foreign import AppSum, check_clients, sums_watched

Opened = Callable[[], tuple[Session, Callable[[], None]]]
"""Opens the run folder of an audit; returns it, and what is called after its end."""

CLIENTS = 2
"""Number of clients of a simulation for which an app states none: Flower's since 1.32."""


@dataclass(frozen=True)
class AppFolder:
    """The folder of a Flower app.

    Attributes:
        path: the folder.
        serverapp, clientapp: import paths of the apps.
        run_config: the app's configuration, flat, with dots in its keys.
        clients: number of clients of its default federation; Flower's default if it names none.
    """

    path: Path
    serverapp: str
    clientapp: str
    run_config: Mapping[str, bool | float | int | str]
    clients: int = CLIENTS

    @classmethod
    def read(cls, path: Path, changes: Mapping[str, Any] | None = None) -> AppFolder:
        """Read the ``pyproject.toml`` of an app.

        Args:
            path: the folder.
            changes: values that replace those of the app's configuration.

        Raises:
            RunError: it is not the folder of a Flower app.
        """
        place = path / "pyproject.toml"
        try:
            table = parse_toml(place.read_text("utf-8"))
            components = table["tool"]["flwr"]["app"]["components"]
            apps = str(components["serverapp"]), str(components["clientapp"])
        except FileNotFoundError:
            raise RunError(
                f"{place}: there is no such file: expected the folder of a Flower app"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{place}: expected serverapp and clientapp in [tool.flwr.app.components], as "
                f"'flwr new' writes them: {type(error).__name__}: {error}"
            ) from None
        config = dict(_flat(table["tool"]["flwr"]["app"].get("config", {})))
        unknown = sorted(set(changes or {}) - set(config))
        if unknown:
            raise RunError(f"{place}: the app's configuration has no {unknown[0]!r}")
        federations = table["tool"]["flwr"].get("federations", {})
        return cls(path.absolute(), *apps, {**config, **(changes or {})}, _clients(federations))


def run_app(app: AppFolder, clients: int | None, kept: Path, opened: Opened) -> None:
    """Run an app on the inline engine, with an audit around its first strategy, or of its sums.

    Changes the working folder and the import path of this process to those of the app.

    Args:
        app: the app.
        clients: number of clients; None for the app's.
        kept: folder for the clients' batches.
        opened: opens the run folder.

    Raises:
        RunError: the app cannot be loaded, or started no strategy of Flower's Message API.
    """
    os.chdir(app.path)
    sys.path.insert(0, str(app.path))
    server, client = imported(app.serverapp), imported(app.clientapp)
    if not isinstance(server, ServerApp) or not isinstance(client, ClientApp):
        raise RunError(f"{app.path}: expected a ServerApp and a ClientApp of Flower")
    mod = AuditMod(kept)

    def watched(message: Message, context: Context) -> Message:
        return mod(message, context, client)

    config, number = dict(app.run_config), clients or app.clients
    grid = InlineGrid(watched, number, config)
    context = Context(1, 0, {}, RecordDict(), config)
    sums = _Sums(opened)
    with _audited(opened, number) as audits, sums_watched(number, sums.on_sum), sums:
        server(grid, context)
    if not audits and not sums.seen:
        raise RunError(
            f"{app.path}: its ServerApp started no strategy of flwr.serverapp.strategy, around "
            "which the audit is put, and no secure aggregation of Flower's gave a sum; strategies "
            "of flwr.server.strategy are audited under SecAggPlusWorkflow alone"
        )


class _Sums:
    """Audit of the sums of a secure aggregation; its context is the whole training.

    Args:
        opened: opens the run folder.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._audit: tuple[Session, Callable[[], None]] | None = None

    @property
    def seen(self) -> bool:
        """Whether there was a sum."""
        return self._audit is not None

    def on_sum(self, total: AppSum, grid: Grid) -> None:
        """Audit a sum."""
        if self._audit is None:
            self._audit = self._opened()
            self._audit[0].begin(total.strategy, total.rounds)
        self._audit[0].summed(total, grid)

    def __enter__(self) -> None:
        """Begin; the run folder is opened at the first sum."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Finish the audit whatever happened."""
        if self._audit is not None:
            session, on_end = self._audit
            session.end(error)
            on_end()


@contextmanager
def _audited(opened: Opened, clients: int) -> Iterator[list[Audit]]:
    """Context in which the first strategy that starts is audited."""
    plain = Strategy.start
    audits: list[Audit] = []

    @functools.wraps(plain)
    def start(self: Strategy, *given: Any, **named: Any) -> Any:
        if audits:
            return plain(self, *given, **named)
        check_clients(self, "min_available_nodes", clients)
        audit = Audit(self, *opened())
        audits.append(audit)
        bound = inspect.signature(plain).bind(self, *given, **named)
        bound.apply_defaults()
        evaluate = bound.arguments["evaluate_fn"]
        if evaluate is not None:
            bound.arguments["evaluate_fn"] = audit.measuring(evaluate)
        with audit.auditing(bound.arguments["num_rounds"]), audit.in_place():
            return plain(*bound.args, **bound.kwargs)

    Strategy.start = start  # type: ignore[method-assign]
    try:
        yield audits
    finally:
        Strategy.start = plain  # type: ignore[method-assign]


def _clients(federations: object) -> int:
    """Return the number of clients of a simulation, as ``flwr new`` wrote it before Flower 1.32."""
    named = federations if isinstance(federations, Mapping) else {}
    chosen = named.get(named.get("default"))
    options = chosen.get("options") if isinstance(chosen, Mapping) else None
    found = options.get("num-supernodes") if isinstance(options, Mapping) else None
    return found if isinstance(found, int) and found > 0 else CLIENTS


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
