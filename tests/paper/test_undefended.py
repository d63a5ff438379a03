"""No undefended client is called protected, however short or long its attack was.

Real runs of one round: a client without a defense and the positive control, for 10 seeds of weights
and data, three networks, three batch sizes, and an attack that ends early or late. The rule for
undefended clients alone would make this trivial, so the test also counts the pictures that it alone
saves from the word. Run with ``-s`` to see the table.
"""

# ruff: noqa: T201 - the table is what this is run for

from collections import Counter

import pytest

from fedsim.clients.site import open_site
from fedsim.log.schema import Doubt, ExampleScore, Meaning
from fedsim.scoring import Scorer
from tests.fedsim.small import small
from tests.server.stubs import run_rounds

pytestmark = [pytest.mark.paper, pytest.mark.timeout(3600)]

SEEDS = range(10)
BUDGETS = (60, 400)
NETWORKS = {
    "lenet": "model={name='lenet'}",
    "mlp": "model={name='mlp', hidden=[32]}",
    "convnet": "model={name='convnet', channels=[4, 8], activation='sigmoid'}",
}


def scores(network: str, batch_size: int, evaluations: int, seed: int) -> list[ExampleScore]:
    """Return the scores of an undefended client and of the control."""
    case = small(
        f"seed={seed}",
        NETWORKS[network],
        "federation.rounds=1",
        f"federation.batch_size={batch_size}",
        "clients=[{name='plain', count=1}]",
        f"adversary={{attack={{name='idlg', evaluations={evaluations}}}}}",
    )
    judge = Scorer(open_site(case))
    return [
        score for outcome in run_rounds(case).outcomes for score in judge.score(outcome).leakage
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 8])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_undefended_client_is_protected(network: str, batch_size: int) -> None:
    for evaluations in BUDGETS:
        found = [s for seed in SEEDS for s in scores(network, batch_size, evaluations, seed)]
        meanings = Counter(score.meaning for score in found)
        saved = sum(score.doubts == (Doubt.UNDEFENDED,) for score in found)
        print(
            f"{network}, batch {batch_size}, {evaluations} evaluations: {dict(meanings)}, "
            f"{saved} saved by the rule alone"
        )
        assert len(found) == 2 * batch_size * len(SEEDS)
        assert meanings[Meaning.PROTECTED] == 0
        assert meanings[Meaning.LEAKED] + meanings[Meaning.PARTLY] > 0 or evaluations == BUDGETS[0]
        assert saved == 0
