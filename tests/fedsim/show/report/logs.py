"""Run folders written by the run log itself, with what a test puts in them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import torch

from fedsim.log.comparison import cell_folder
from fedsim.log.schema import (
    ADAPTIVE,
    NAIVE,
    Attacker,
    ExampleScore,
    LeakageRecord,
    Meaning,
    ReconstructionRecord,
    RunEnded,
    RunStarted,
    Source,
    Verdict,
)
from fedsim.log.writer import RunLog
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import distinct
from tests.fedsim.runs import BASELINES, VERDICTS, accuracy, started, upload

MARKUP = '<img src=x onerror="document.title=1">'
ENDS_SCRIPT = "</script><script>document.title=2</script>"
FRAMES = (1, 4, 9, 16)
SIDE = 8


@dataclass(frozen=True)
class Group:
    """Clients that are alike, and what became of them."""

    name: str
    meanings: Sequence[str]
    defenses: Sequence[dict[str, Any]] = ()
    adaptive: str | None = None


UNDEFENDED = Group("undefended", ("leaked", "leaked"))
PRUNED = Group(
    "pruned", ("attack failed", "protected"), [{"name": "pruning", "fraction": 0.7}], "leaked"
)
NOISY = Group("noisy", ("partly leaked", "unscored"), [{"name": "gaussian-noise", "std": 0.1}])
PSNR = {"leaked": 41.0, "partly leaked": 15.0, "protected": 6.0, "attack failed": 5.0}


@dataclass
class Log:
    """What a run folder is to hold."""

    groups: Sequence[Group] = (UNDEFENDED, PRUNED, NOISY)
    title: str = "A run"
    rounds: Sequence[int] = (1,)
    channels: int = 1
    side: int = SIDE
    frames: Sequence[int] = FRAMES
    batch: int = 1
    status: str | None = "finished"
    control: str = "leaked"
    scenario: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write it, and return the folder."""
        torch.manual_seed(3)
        log = RunLog(folder)
        log.write_text("scenario.toml", tomli_w.dumps(self._scenario()))
        log.append(self._start())
        log.append(accuracy(0, 0.1))
        for server_round in self.rounds:
            self._write_round(log, server_round)
            log.append(accuracy(server_round, 0.1 + 0.1 * server_round))
        if self.status is not None:
            log.append(RunEnded(status=self.status, error=None, seconds=61.0))
        log.close()
        return folder

    def _start(self) -> RunStarted:
        about = {
            "title": self.title,
            "seed": 7,
            "versions": {"fedsim": "0.1.0", "torch": "2.9"},
            "command": ("/somewhere/bin/fedsim", "run", "quickstart"),
            "sources": (
                Source(
                    kind="attack",
                    name="dlg",
                    text="Deep Leakage.\n\nZhu et al., arXiv 1906.08935; ``start`` is grey.",
                ),
            ),
        }
        return started(**{**about, **self.start})

    def _scenario(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "description": "What it is for.",
            "seed": 7,
            "data": {"dataset": {"name": "fashion-mnist-mini"}, "partition": {"name": "iid"}},
            "model": {"name": "lenet", "channels": 12},
            "federation": {
                "rounds": max(self.rounds),
                "upload": "gradient",
                "batch_size": self.batch,
                "local_steps": 1,
                "learning_rate": 0.1,
                "fraction": 1.0,
                "aggregation": {"name": "plain"},
            },
            "clients": [
                {"name": g.name, "count": len(g.meanings), "defenses": list(g.defenses)}
                for g in self.groups
            ],
            "adversary": {
                "attack": {"name": "dlg", "evaluations": 16},
                "adaptive": True,
                "victims": "all",
                "every": 1,
                "rounds": list(self.rounds),
            },
            **self.scenario,
        }

    def _write_round(self, log: RunLog, server_round: int) -> None:
        clients = [(g, m) for g in self.groups for m in g.meanings]
        for partition, (group, _) in enumerate(clients):
            values = {"round": server_round, "bytes": 1000.0, "defenses": group.defenses}
            log.append(upload(partition, group.name, **values))
        self._write_victim(log, server_round, None, None, NAIVE, self.control)
        for partition, (group, meaning) in enumerate(clients):
            self._write_victim(log, server_round, partition, group.name, NAIVE, meaning)
            if group.adaptive is not None:
                self._write_victim(
                    log, server_round, partition, group.name, ADAPTIVE, group.adaptive
                )

    def _write_victim(
        self,
        log: RunLog,
        server_round: int,
        partition: int | None,
        group: str | None,
        attacker: Attacker,
        meaning: str,
    ) -> None:
        who = "control" if partition is None else f"c{partition:04d}"
        about = {
            "victim": f"r{server_round:04d}-{who}-{attacker}",
            "round": server_round,
            "partition": partition,
            "group": group,
            "attacker": attacker,
        }
        scored = meaning != "unscored"
        shape = (self.batch, self.channels, self.side, self.side)
        original = torch.rand(shape, generator=torch.Generator().manual_seed(partition or 0))
        tensors = {"original": original}
        if scored:
            last, noise = len(self.frames) - 1, torch.rand(shape)
            shares = [0.9 * i / last for i in range(last + 1)]
            history = [original * share + noise * (1 - share) for share in shares]
            tensors |= {
                "reconstruction": history[-1],
                "matching": torch.arange(self.batch),
                "history": torch.stack(history),
                "evaluations": torch.tensor(self.frames),
                "objectives": torch.tensor([10.0**-i for i in range(last + 1)]),
            }
        saved = log.save_tensors(about["victim"], tensors)
        log.append(ended_attack(about, saved, scored=scored))
        for example in range(self.batch):
            log.append(LeakageRecord(**about, score=self._score(example, meaning)))

    def _score(self, example: int, meaning: str) -> ExampleScore:
        if meaning == Meaning.UNSCORED:
            return ExampleScore.unscored(example, BASELINES, label=3)
        return ExampleScore(
            example=example,
            metrics={"psnr": PSNR[meaning], "ssim": 0.5},
            baselines=BASELINES,
            label=3,
            label_found=3,
            verdict=VERDICTS.get(Meaning(meaning), Verdict.GUESSING),
            meaning=Meaning(meaning),
        )


def ended_attack(about: dict[str, Any], tensors: str, *, scored: bool) -> ReconstructionRecord:
    """Return the record of an attack that found something, or nothing."""
    return ReconstructionRecord(
        **about,
        attack="DLG",
        status="converged" if scored else "failed",
        objective=1e-5 if scored else None,
        truth_objective=1e-6,
        evaluations=16,
        trial=0,
        seconds=1.0,
        approximate=False,
        error=None if scored else "RuntimeError: no luck",
        tensors=tensors,
    )


def write_comparison_log(
    folder: Path, comparison: Comparison, *, finished: int = 99, log: type[Log] = Log
) -> Path:
    """Write a comparison of which so many runs are finished, and return its folder."""
    (folder / "cells").mkdir(parents=True)
    (folder / "comparison.toml").write_text(comparison.to_toml(), "utf-8")
    for number, place in enumerate(distinct(comparison.places)):
        strong = place.order[1] > 0
        group = Group(
            "clients",
            ["protected" if strong else "leaked"] * 2,
            [{"name": "gaussian-noise", "std": place.value}] if place.value else [],
            "partly leaked" if place.value else None,
        )
        status = "finished" if number < finished else None
        log([group], title=place.label, rounds=(1, 2), status=status).write(
            cell_folder(folder, place)
        )
    return folder
