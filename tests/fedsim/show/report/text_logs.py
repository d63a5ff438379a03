"""Run folders of texts, written by the run log itself."""

from dataclasses import dataclass

import torch

from fedsim.log.schema import (
    Attacker,
    EmergenceRecord,
    ExampleScore,
    LeakageRecord,
    Meaning,
    RunStarted,
    Verdict,
)
from fedsim.log.writer import RunLog
from tests.fedsim.runs import VERDICTS, changed
from tests.fedsim.show.report.logs import Log, ended_attack

ORIGINAL = ["please", "pay", "the", "bill", "to", "##day"]
FOUND = {
    "leaked": ORIGINAL,
    "partly leaked": ["pay", "please", "the", "cat", "to", "##day"],
    "protected": ["cat", "cat", "dog", "dog", "it", "##s"],
    "attack failed": ["cat", "cat", "the", "dog", "it", "##s"],
}
HOSTILE = ["<script>", "document.title=3", "</script>", "<!--", "&amp;", '"', "##'><b>"]
GUESSES = {
    "common": {"token_accuracy": 10.0, "rouge_l": 8.0},
    "nearest": {"token_accuracy": 50.0, "rouge_l": 40.0},
}


@dataclass
class TextLog(Log):
    """What a run folder of texts is to hold.

    Attributes:
        original: what every text says.
    """

    original: tuple[str, ...] = tuple(ORIGINAL)

    def _start(self) -> RunStarted:
        about = {"modality": "texts", "task": "masked", "chance": 0.1}
        return changed(super()._start(), about)

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
        original = list(self.original)
        found = self._found(meaning)
        tensors = {"original": torch.zeros((self.batch, len(original)), dtype=torch.int64)}
        if found is not None:
            tensors["objectives"] = torch.tensor([10.0**-i for i in range(len(self.frames))])
        saved = log.save_tensors(about["victim"], tensors)
        log.append(ended_attack(about, saved, scored=found is not None))
        for text in range(self.batch):
            log.append(LeakageRecord(**about, score=self._score(text, meaning)))
            log.append(
                EmergenceRecord(
                    victim=about["victim"], example=text, moments=tuple(self._moments(found))
                )
            )

    def _score(self, example: int, meaning: str) -> ExampleScore:
        original, found = self.original, self._found(meaning)
        if found is None:
            return ExampleScore.unscored(example, GUESSES, original=original)
        right = sum(a == b for a, b in zip(found, original, strict=False))
        figure = 100 * right / len(original)
        metrics = dict.fromkeys(("token_accuracy", "rouge_l", "bag_recall"), figure)
        return ExampleScore(
            example=example,
            metrics={**metrics, "exact": float(found == list(original))},
            baselines=GUESSES,
            verdict=VERDICTS.get(Meaning(meaning), Verdict.GUESSING),
            meaning=Meaning(meaning),
            original=original,
            found=tuple(found),
        )

    def _found(self, meaning: str) -> list[str] | None:
        if meaning == "unscored":
            return None
        return list(self.original) if meaning == "leaked" else FOUND[meaning]

    def _moments(self, found: list[str] | None) -> list[tuple[int, tuple[str, ...]]]:
        """Return how a text emerges: from its beginning on."""
        if found is None:
            return []
        size, last = len(found), len(self.frames) - 1
        known = [round(size * i / last) for i in range(last + 1)]
        return [
            (at, (*found[:n], *["salad"] * (size - n)))
            for at, n in zip(self.frames, known, strict=True)
        ]
