"""Runs under ``flwr run``: on a SuperLink, with SuperNodes as the clients.

The SuperNodes are started externally, each with its own partition; the server side runs here as a
Flower ServerApp. The private data are recomputed from the scenario for scoring: fedsim is a range
with the private data of its scenario, not a tool for attacking real clients.
"""

import time
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedsim.clients.app import deployed_scenario
from fedsim.engine.run import Engine, run
from fedsim.scenario import Scenario

app = ServerApp()
"""The ServerApp for ``flwr run``."""


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the scenario in the run config, whose ``out`` is the run folder.

    A relative folder would be relative to the SuperLink's working folder, which is unknown: without
    ``out`` the run folder is created in ``fedsim-runs`` in the home folder. It holds records and
    tensors; ``fedsim report`` makes pictures and report from them.
    """
    out = str(context.run_config.get("out", ""))
    default = Path.home() / "fedsim-runs" / time.strftime("%Y%m%d-%H%M%S")
    scenario = Scenario.from_toml(deployed_scenario(context))
    run(scenario, Path(out) if out else default, engine=on_grid(grid))


def on_grid(grid: Grid) -> Engine:
    """Return the engine for clients that were started externally."""

    def engine(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
        server(grid)

    return engine
