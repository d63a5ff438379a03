"""Audits of clients' claims of differential privacy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.api.runs import resolved

if TYPE_CHECKING:
    from fedsim.log.schema import PrivacySpent
    from fedsim.scenario import Scenario


def audit_privacy(
    scenario: str | Path | Mapping[str, Any] | Scenario, /, **overrides: Any
) -> dict[str, PrivacySpent]:
    """Audit the mechanisms of differential privacy of a scenario, without a run.

    Canaries, worst-case private data, pass through the clients' defenses many times; the server
    guesses which of two they were. Its success is a lower bound on epsilon.

    Args:
        scenario: as in `run`.
        overrides: as in `run`.

    Returns:
        For each client group with a mechanism: ``epsilon``, the claimed upper bound after all
        rounds, and all that it depends on; ``claimed`` and ``measured``, the upper and the lower
        bound at 95 % for one upload.

    Raises:
        ScenarioError: the scenario is invalid.
        RunError: an audit refutes a claim.
    """
    opened, _ = resolved(scenario, overrides)

    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.clients.site import open_site  # noqa: PLC0415  (loads torch)
    from fedsim.clients.training import one_thread  # noqa: PLC0415
    from fedsim.scoring.privacy import PrivacyLedger  # noqa: PLC0415

    with one_thread():
        ledger = PrivacyLedger(open_site(opened))
        ledger.audit()
    return ledger.by_group(opened.federation.rounds)
