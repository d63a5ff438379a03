"""Run folders of texts, written by the run log itself."""

from dataclasses import dataclass
from typing import Any

import torch

from fedsim.log.files import RunLog
from tests.fedsim.show.report.logs import Log

ORIGINAL = ["please", "pay", "the", "bill", "to", "##day"]
FOUND = {
    "leaked": ORIGINAL,
    "partly leaked": ["pay", "please", "the", "cat", "to", "##day"],
    "protected": ["cat", "cat", "dog", "dog", "it", "##s"],
    "attack failed": ["cat", "cat", "the", "dog", "it", "##s"],
}
HOSTILE = ["<script>", "document.title=3", "</script>", "<!--", "&amp;", '"', "##'><b>"]
GUESSES = {"common": [10.0, 8.0], "nearest": [50.0, 40.0]}


@dataclass
class TextLog(Log):
    """What a run folder of texts is to hold.

    Attributes:
        original: what every text says.
        kind: whether the first record names the kind of data, as it does today.
    """

    original: tuple[str, ...] = tuple(ORIGINAL)
    kind: bool = True

    def _start(self) -> dict[str, Any]:
        about = {"data_kind": "texts", "task": "masked", "chance": 0.1} if self.kind else {}
        return {**super()._start(), **about}

    def _write_victim(
        self,
        log: RunLog,
        server_round: int,
        partition: int | None,
        group: str | None,
        attacker: str,
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
        log.append(
            "reconstruction",
            **about,
            attack="DLG",
            objective=1e-5 if found else None,
            truth_objective=1e-6,
            evaluations=16,
            seconds=1.0,
            approximate=False,
            error=None if found else "RuntimeError: no luck",
            tensors=log.save_tensors(about["victim"], tensors),
        )
        for text in range(self.batch):
            right = sum(a == b for a, b in zip(found or [], original, strict=False))
            figure = None if found is None else 100 * right / len(original)
            log.append(
                "leakage",
                **about,
                image=text,
                token_accuracy=figure,
                rouge_l=figure,
                bag_recall=figure,
                exact=None if found is None else found == original,
                label=None,
                label_found=None,
                original=original,
                found=found,
                baselines=GUESSES,
                meaning=meaning,
            )
            log.append(
                "emergence", victim=about["victim"], image=text, moments=self._moments(found)
            )

    def _found(self, meaning: str) -> list[str] | None:
        if meaning == "unscored":
            return None
        return list(self.original) if meaning == "leaked" else FOUND[meaning]

    def _moments(self, found: list[str] | None) -> list[tuple[int, list[str]]]:
        """Return how a text emerges: from its beginning on."""
        if found is None:
            return []
        size, last = len(found), len(self.frames) - 1
        known = [round(size * i / last) for i in range(last + 1)]
        return [
            (at, found[:n] + ["salad"] * (size - n))
            for at, n in zip(self.frames, known, strict=True)
        ]
