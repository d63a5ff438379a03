"""Scenarios of runs that are broken off, and what must be the same when they went on."""

import json
from pathlib import Path
from typing import Any

from fedsim.log.reader import load_tensors, read_records
from fedsim.log.schema import dump
from fedsim.scenario import Scenario
from tests.fedsim.small import small

TIMES = {"seconds", "estimate_s", "started", "command"}
ROUNDS = "federation={rounds=5, batch_size=1, upload='gradient', learning_rate=0.1}"
WEIGHTS = "federation={rounds=5, batch_size=1, upload='update', local_steps=2, learning_rate=0.1}"
DGC = "clients=[{name='a', count=2, defenses=[{name='dgc', fraction=0.5}]}, {name='b', count=1}]"
PRIVATE = (
    "clients=[{name='a', count=3, defenses=[{name='local-dp', noise_multiplier=1.0, norm=1.0}]}]"
)
ATTACK = "attack={name='dlg', evaluations=5}, rounds=[1, 3], adaptive=true"
CASES = {
    "states of clients": (ROUNDS, DGC, f"adversary={{{ATTACK}}}"),
    "secure aggregation": (
        ROUNDS,
        DGC,
        f"adversary={{{ATTACK}}}",
        "federation.aggregation={name='secagg+'}",
    ),
    "local training": (WEIGHTS, f"adversary={{{ATTACK}}}"),
    "rounds together": (
        ROUNDS,
        f"adversary={{{ATTACK}, rounds_together=true}}",
        "data.partition={name='iid', examples=1}",
    ),
    "privacy": (ROUNDS, PRIVATE, f"adversary={{{ATTACK}}}"),
    "malicious": (
        ROUNDS,
        "model={name='mlp', hidden=[16], activation='relu'}",
        "adversary={malicious='trap-weights', rounds=[2, 4]}",
    ),
    "nobody attacks": (ROUNDS,),
}


def case_of(name: str) -> Scenario:
    """Return a scenario of `CASES`."""
    return small(*CASES[name])


def plain(folder: Path) -> list[str]:
    """Return the records of a run without its times, in an order of their own."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in TIMES}
        return value

    found = [without(dump(r)) for r in read_records(folder)]
    for record in found:
        if record["kind"] == "sum":
            record["costs"] = {k: v for k, v in record["costs"].items() if not k.endswith(" s")}
    return sorted(json.dumps(r, sort_keys=True) for r in found)


def same_tensors(one: Path, other: Path) -> bool:
    """Return whether two run folders have the same tensors."""
    names = sorted(p.name for p in (one / "tensors").iterdir())
    if names != sorted(p.name for p in (other / "tensors").iterdir()):
        return False
    pairs = [[load_tensors(f, f"tensors/{n}") for f in (one, other)] for n in names]
    return all(
        a.keys() == b.keys() and all(bool((a[k] == b[k]).all()) for k in a) for a, b in pairs
    )
