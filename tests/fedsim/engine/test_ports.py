"""Nothing listens unless asked: no port inline or in an audit, the loopback alone with Ray."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.core.environment import ONE_MACHINE, prepare, use_cluster
from fedsim.engine import run
from fedsim.engine.observer import Observer
from fedsim.log.schema import LogRecord
from tests.fedsim.engine.audit.apps import Batch, Net, app, audited, batch, train
from tests.fedsim.engine.ports import listening
from tests.fedsim.small import TWENTY_EVALUATIONS, small

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LOOPBACK = ("127.", "::1")
IN_A_PROCESS = """
import json, sys
from pathlib import Path
from fedsim.engine import run
from fedsim.scenario import load_scenario
from tests.fedsim.engine.test_ports import Looking

looking = Looking()
run(load_scenario("case.toml"), Path("run"), engine="ray", observer=looking)
print(json.dumps(sorted(looking.seen)))
"""


class Looking(Observer):
    """Looks for ports at each record."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def on_record(self, record: LogRecord) -> None:
        self.seen |= listening()


def test_ports_are_found_where_there_are_some() -> None:
    before = listening()
    with socket.socket() as one, socket.socket(socket.AF_INET6) as other:
        one.bind(("127.0.0.2", 0))
        one.listen()
        other.bind(("::1", 0))
        other.listen()
        assert listening() - before == {"127.0.0.2", "::1"}


def test_no_port_inline(tmp_path: Path) -> None:
    before, looking = listening(), Looking()
    run(small(TWENTY_EVALUATIONS, "federation.rounds=1"), tmp_path / "run", observer=looking)
    assert looking.seen <= before


def test_no_port_in_an_audit(tmp_path: Path) -> None:
    before, seen = listening(), set[str]()

    def truth(partition: int, server_round: int) -> Batch:
        seen.update(listening())
        return batch(partition, server_round)

    strategy = audited(tmp_path / "run", model=Net, mode="eval", truth=truth, clients=1)
    train(strategy, app(Net, training=False), Net, rounds=1)
    assert seen <= before


def test_a_named_cluster_keeps_its_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ONE_MACHINE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    prepare()
    assert not any(name in os.environ for name in ONE_MACHINE)
    use_cluster("127.0.0.1:6379")
    assert all(os.environ[name] == value for name, value in ONE_MACHINE.items())
    use_cluster("10.0.0.1:6379")
    assert not any(name in os.environ for name in ONE_MACHINE)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_ray_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text(small().to_toml(), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=True,
        capture_output=True,
        text=True,
    )
    seen = json.loads(done.stdout)
    assert seen
    assert all(address.startswith(LOOPBACK) for address in seen), seen
