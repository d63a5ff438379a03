"""Audits without pictures and reports, which take time."""

import pytest


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "slow" not in request.keywords:
        monkeypatch.setattr("fedsim.api.watch.draw", lambda run, anew=False: None)
        monkeypatch.setattr("fedsim.show.conclude.conclude_run", lambda folder: None)
