"""A Flower app in this process, with the audit around its strategy.

It needs a process of its own, so that the app finds its modules, which may be called ``server.py``
or ``client.py``, as under ``flwr run``.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import Strategy

from fedsim.clients.audit_mod import AuditMod
from fedsim.core.errors import RunError
from fedsim.engine.audit.loading import imported
from fedsim.engine.audit.strategy import Audit
from fedsim.engine.inline import InlineGrid

AuditOf = Callable[[Strategy], Audit]


@dataclass(frozen=True)
class AppFolder:
    """The folder of a Flower app.

    Attributes:
        path: the folder.
        serverapp, clientapp: import paths of the apps.
        run_config: the app's configuration, flat, with dots in its keys.
    """

    path: Path
    serverapp: str
    clientapp: str
    run_config: Mapping[str, bool | float | int | str]

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
            table = tomllib.loads(place.read_text("utf-8"))
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
        return cls(path.absolute(), *apps, {**config, **(changes or {})})


def run_app(app: AppFolder, clients: int, kept: Path, audit_of: AuditOf) -> None:
    """Run an app on the inline engine, with an audit around its first strategy.

    Changes the working folder and the import path of this process to those of the app.

    Args:
        app: the app.
        clients: number of clients.
        kept: folder for the clients' batches.
        audit_of: returns the audit of a strategy.

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

    config = dict(app.run_config)
    grid = InlineGrid(watched, clients, config)
    context = Context(1, 0, {}, RecordDict(), config)
    with _audited(audit_of) as audits:
        server(grid, context)
    if not audits:
        raise RunError(
            f"{app.path}: its ServerApp started no strategy of flwr.serverapp.strategy, around "
            "which the audit is put"
        )


@contextmanager
def _audited(audit_of: AuditOf) -> Iterator[list[Audit]]:
    """Context in which the first strategy that starts is audited."""
    plain = Strategy.start
    audits: list[Audit] = []

    @functools.wraps(plain)
    def start(self: Strategy, *given: Any, **named: Any) -> Any:
        if audits:
            return plain(self, *given, **named)
        audit = audit_of(self)
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


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
