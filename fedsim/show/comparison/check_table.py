"""Attacks of a malicious server against the checks of clients: who notices what."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from fedsim.log.attack_matrix import Pairing
from fedsim.log.check_counts import CheckCount, added
from fedsim.show.terminal.table import NOTHING

HONEST = "false alarms"
"""Name of the last row."""

CHECK_LEGEND = (
    "Who notices: of all clients with the check that an attack served, over all defenses. refused: "
    "all refused the round. noticed: all suspected it. not: none did. –: not tried. Last row: of "
    "the honest models that were checked. single-example-dominance measures what a client's own "
    "gradient gives away: on an honest model it finds a true leak, and no false alarm."
)


def check_rows(pairs: Sequence[Pairing]) -> tuple[list[str], list[list[str]]]:
    """Return headings, a row for each attack that served clients with checks, and false alarms.

    Both are empty if no client has a check.
    """
    total = added(m.checks for m in pairs)
    if not total:
        return [], []
    rows = []
    for attack in dict.fromkeys(m.attack for m in pairs):
        own = added(m.checks for m in pairs if m.attack == attack)
        if any(count.examined for count in own.values()):
            rows.append([attack, *(_cell(own.get(name, CheckCount())) for name in total)])
    rows.append([HONEST, *(_alarms(count) for count in total.values())])
    return ["attack", *total], rows


def check_csv(pairs: Sequence[Pairing]) -> str:
    """Return a line for each attack and check, with all counts."""
    text = io.StringIO()
    names = ["attack", "check", "examined", "noticed", "refused", "checked"]
    names += ["false_alarms", "true_leaks"]
    writer = csv.writer(text)
    writer.writerow(names)
    for attack in dict.fromkeys(m.attack for m in pairs):
        for name, c in added(m.checks for m in pairs if m.attack == attack).items():
            counts = [c.examined, c.noticed, c.refused, c.checked, c.alarms, c.leaks]
            writer.writerow([attack, name, *counts])
    return text.getvalue()


def _cell(count: CheckCount) -> str:
    if not count.examined:
        return NOTHING
    if not count.noticed:
        return "not"
    if count.noticed < count.examined:
        return f"noticed {count.noticed} of {count.examined}"
    return "refused" if count.refused == count.noticed else "noticed"


def _alarms(count: CheckCount) -> str:
    if not count.checked:
        return NOTHING
    leaks = f", {count.leaks} true leaks" if count.leaks else ""
    return f"{count.alarms} of {count.checked}{leaks}"
