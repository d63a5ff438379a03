"""Remains of the imprint under differential privacy, beside the bound that its epsilon gives."""

import sys
from pathlib import Path

import pytest

from fedsim.engine.run import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import LeakageRecord, Meaning, UploadRecord
from tests.fedsim.small import groups, small


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dp_sgd", "local_dp", "least", "most"), [(1.5, 1.5, 0, 8), (0.8, 1.2, 6, 8.01)]
)
def test_differential_privacy_leaves_no_picture_of_an_imprint(
    tmp_path: Path, dp_sgd: float, local_dp: float, least: float, most: float
) -> None:
    """``pytest -s`` prints what is left of 16 pictures beside the bound."""
    scenario = small(
        groups(
            "[]",
            f"[{{name='dp-sgd', norm=1.0, noise_multiplier={dp_sgd}}}]",
            f"[{{name='local-dp', norm=1.0, noise_multiplier={local_dp}}}]",
        ),
        "federation={rounds=1, batch_size=16}",
        "adversary={malicious={name='imprint', bins=64}, rounds=[1]}",
    )
    records = list(read_records(run(scenario, tmp_path / "run")))
    privacy = {u.partition: u.privacy for u in of_kind(records, UploadRecord)}
    leaks = [r for r in of_kind(records, LeakageRecord) if r.partition is not None]
    best = {p: [r.score.metrics["psnr"] for r in leaks if r.partition == p] for p in (0, 1, 2)}
    assert privacy[0] is None
    assert sum(x is not None and x > 30 for x in best[0]) >= 8
    for client in (1, 2):
        spent = privacy[client]
        assert spent is not None
        assert spent.epsilon is not None
        assert spent.success is not None
        assert least < spent.epsilon <= most
        assert spent.success < 1
        # A picture that was not isolated has no figure.
        left = [x for x in best[client] if x is not None]
        exposed = sum(r.score.meaning is Meaning.LEAKED for r in leaks if r.partition == client)
        sys.stdout.write(
            f"{('dp-sgd', 'local-dp')[client - 1]}: ε ≤ {spent.epsilon:.2f}, {exposed} of 16 "
            f"pictures leaked, best {max(left, default=0):.1f} dB; of any attack at most "
            f"{spent.success:.0%}, where a guess is right in 1 %\n"
        )
        assert len(best[client]) == len(best[0])
        assert max(left, default=0) <= 20
        assert exposed == 0
