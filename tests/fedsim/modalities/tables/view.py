"""Rows in reports and in files of their own."""

from collections.abc import Iterator, Sequence

import numpy as np

from fedsim.log.run import Run
from fedsim.show.artefacts import Artefact, Artefacts, Ended
from fedsim.show.report.victims.cards import Attacked, Attempt, Card, attacked, card
from fedsim.show.view import View


class TableView(View):
    noun = ("row", "rows")
    template = "tables/card.html"
    columns = ("cells_right", "mean_error")

    def cards(self, run: Run) -> Sequence[Card]:
        return [_card(run, victim) for victim in attacked(run)]


def _card(run: Run, victim: Attacked) -> Card:
    arrays = run.arrays(victim.pairs[0][1].tensors) or {}
    original = arrays["original"][victim.first.score.example].round(2).tolist()
    attempts = [Attempt(*pair, run.start.measure) for pair in victim.pairs]
    return card(victim, {}, original, attempts)


class TableArtefacts(Artefacts):
    """A CSV file of each round: private rows and reconstructions, in turn."""

    def of_round(self, server_round: int, ended: Sequence[Ended]) -> Iterator[Artefact]:
        arrays = [e.arrays for e in ended if "reconstruction" in e.arrays]
        rows = np.concatenate([a[k] for a in arrays for k in ("original", "reconstruction")])
        yield Artefact(f"round-{server_round:04d}.csv", lambda path: np.savetxt(path, rows))
