"""Remains of the imprint under differential privacy with an epsilon of at most 8."""

from pathlib import Path

import pytest

from fedsim.engine.run import run
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import LeakageRecord, UploadRecord
from tests.fedsim.small import groups, small


@pytest.mark.slow
def test_differential_privacy_leaves_no_picture_of_an_imprint(tmp_path: Path) -> None:
    scenario = small(
        groups(
            "[]",
            "[{name='dp-sgd', norm=1.0, noise_multiplier=1.5}]",
            "[{name='local-dp', norm=1.0, noise_multiplier=1.5}]",
        ),
        "federation={rounds=1, batch_size=16}",
        "adversary={malicious={name='imprint', bins=64}, rounds=[1]}",
    )
    records = list(read_records(run(scenario, tmp_path / "run")))
    epsilon = {u.partition: u.privacy for u in of_kind(records, UploadRecord)}
    assert epsilon[0] is None
    for private in (epsilon[1], epsilon[2]):
        assert private is not None
        assert private.epsilon is not None
        assert 0 < private.epsilon <= 8
        assert private.success is not None
        assert private.success < 1
    leaks = [r for r in of_kind(records, LeakageRecord) if r.partition is not None]
    best = {p: [r.score.metrics["psnr"] for r in leaks if r.partition == p] for p in (0, 1, 2)}
    assert sum(x is not None and x > 30 for x in best[0]) >= 8
    assert min(len(best[1]), len(best[2])) == len(best[0])
    # A picture that was not isolated has no figure.
    assert max((x for x in [*best[1], *best[2]] if x is not None), default=0) <= 20
