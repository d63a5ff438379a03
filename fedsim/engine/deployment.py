"""The same run under ``flwr run``: on a SuperLink, with SuperNodes as the clients.

The clients are started by others, each with a partition of its own; here the server side runs
as a Flower ServerApp. What is scored is still recomputed from the scenario: this is a range,
whose private data are those of its scenario, and not a tool to be pointed at real clients.
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
    """Run the scenario that the run config names; its ``out`` is the run folder.

    A relative folder would be one of the SuperLink, which may live anywhere: without ``out`` the
    run goes to ``fedsim-runs`` in the home folder. It holds records and tensors; ``fedsim report``
    makes pictures and report from them.
    """
    out = str(context.run_config.get("out", ""))
    default = Path.home() / "fedsim-runs" / time.strftime("%Y%m%d-%H%M%S")
    scenario = Scenario.from_toml(deployed_scenario(context))
    run(scenario, Path(out) if out else default, engine=on_grid(grid))


def on_grid(grid: Grid) -> Engine:
    """Return the engine for clients that others have started."""

    def engine(server: Callable[[Grid], None], client_app: ClientApp, clients: int) -> None:
        server(grid)

    return engine
