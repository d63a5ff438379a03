"""One contestant of the benchmark of clients, in a process of its own.

    python -m tests.benchmarks.clients NAME CLIENTS ROUNDS VICTIMS

It prints a line of JSON: the seconds after imports, the processor time and the peak memory of this
process. All have the same clients, on two CPUs: an MLP on clothes, one example each, one step. From
2,000 clients on, several have the same example.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedsim.core.registry import DATASETS
from fedsim.data.mini import FashionMnistMini
from fedsim.data.types import Dataset, Split
from fedsim.engine import EngineName, run
from fedsim.scenario import Scenario

CPUS = 2
CLOTHES = 2000
ATTACK = '{attack="best", adaptive=false, per_round=%d}'
PLAN = """
title = "Many clients"
model = {{ name = "mlp", hidden = [{hidden}] }}

data = {{ dataset = "{dataset}" }}

[federation]
rounds = {rounds}
upload = "update"
local_steps = 1
batch_size = 1
learning_rate = 0.05
evaluate_every = {rounds}

[[clients]]
name = "plain"
count = {clients}
"""


@DATASETS.register("many-clothes")
class ManyClothes(FashionMnistMini):
    """Clothes, each of them ten times."""

    def load(self, data_dir: Path | None) -> Dataset:
        """Unpack the images."""
        found = super().load(data_dir)
        once = found.train
        train = Split(once.images.repeat(10, 1, 1, 1), once.labels.repeat(10))
        return replace(found, train=train)


@dataclass(frozen=True)
class Size:
    """The size of a run."""

    clients: int
    rounds: int
    victims: int
    hidden: int = 64

    def scenario(self, *, attacked: bool = False) -> Scenario:
        """Return the scenario of this size."""
        more = [f"adversary={ATTACK % self.victims}"] if attacked else []
        dataset = "fashion-mnist-mini" if self.clients <= CLOTHES else "many-clothes"
        text = PLAN.format(
            clients=self.clients, rounds=self.rounds, hidden=self.hidden, dataset=dataset
        )
        return Scenario.from_toml(text, "clients", more)


def fedsim(size: Size, engine: EngineName, *, attacked: bool) -> None:
    """Run the scenario."""
    with tempfile.TemporaryDirectory() as folder:
        run(size.scenario(attacked=attacked), Path(folder) / "run", engine=engine)


def flower(size: Size) -> None:
    """Run Flower's simulation and FedAvg with fedsim's clients, and nothing else of fedsim."""
    from flwr.app import ArrayRecord, Context  # noqa: PLC0415
    from flwr.serverapp import Grid, ServerApp  # noqa: PLC0415
    from flwr.serverapp.strategy import FedAvg  # noqa: PLC0415
    from flwr.simulation import run_simulation  # noqa: PLC0415

    from fedsim.clients.app import make_client_app  # noqa: PLC0415
    from fedsim.clients.site import open_site  # noqa: PLC0415

    scenario, app = size.scenario(), ServerApp()
    start = ArrayRecord(open_site(scenario).architecture.state_dict())

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        while len(list(grid.get_node_ids())) < size.clients:
            time.sleep(0.05)
        FedAvg(fraction_evaluate=0.0).start(grid, start, num_rounds=size.rounds)

    run_simulation(
        server_app=app,
        client_app=make_client_app(scenario.to_toml()),
        num_supernodes=size.clients,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"logging_level": "error", "log_to_driver": False},
        },
    )


CONTESTANTS: dict[str, Callable[[Size], None]] = {
    "flower": flower,
    "ray": lambda size: fedsim(size, "ray", attacked=False),
    "inline": lambda size: fedsim(size, "inline", attacked=False),
    "ray, attacked": lambda size: fedsim(size, "ray", attacked=True),
    "inline, attacked": lambda size: fedsim(size, "inline", attacked=True),
    # As many victims, and no other clients.
    "attack": lambda s: fedsim(Size(s.victims, s.rounds, s.victims), "inline", attacked=True),
}


@dataclass(frozen=True)
class Took:
    """What a contestant took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def took(name: str, size: Size) -> Took:
    """Run a contestant in this process."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CPUS])
    began, before = time.monotonic(), time.process_time()
    CONTESTANTS[name](size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return Took(time.monotonic() - began, time.process_time() - before, peak)


if __name__ == "__main__":
    found = took(sys.argv[1], Size(*map(int, sys.argv[2:])))
    print(json.dumps(asdict(found)), flush=True)  # noqa: T201
    os._exit(0)  # Ray's threads are not waited for
