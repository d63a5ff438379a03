"""Explanations in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fedsim.show.explain.explanation import Explanation

LIKELY = 0.6
"""Minimum strength for a further cause to be shown as "also"."""


def show(explanations: Sequence[Explanation], console: Console, malice: Sequence[str] = ()) -> None:
    """Print explanations, the most likely cause of each first.

    Args:
        explanations: what to print.
        console: where to print it.
        malice: sentences on a malicious server, which come first.
    """
    for line in malice:
        console.print(Text(f"{line}\n", style="bold red"))
    if not explanations:
        console.print("No attack of this run has ended: there is nothing to explain.")
    controls = [e.case for e in explanations if e.case.is_control]
    missed = [e.case for e in explanations if e.case.is_control and e.findings]
    if missed:
        some = any(case.leaked or case.partly for case in missed)
        whose = "The" if len(missed) == len(controls) else f"The {missed[0].attacker} attacker's"
        console.print(
            Text(
                f"{whose} positive control, an undefended gradient of public data, was "
                f"{'reconstructed in part only' if some else 'not reconstructed either'}: look for "
                "the cause in the attack and the model first, not in a defense.\n",
                style="bold magenta",
            )
        )
    for each in explanations:
        _show(each, console)


def _show(explanation: Explanation, console: Console) -> None:
    case = explanation.case
    told = Text(f"{case.group}, {case.attacker}: ", style="bold")
    told.append(case.count)
    console.print(told)
    if not explanation.findings:
        console.print(Padding(Text("the attack succeeded; nothing to explain"), (0, 0, 1, 2)))
        return
    for position, finding in enumerate(explanation.findings, start=1):
        how = "most likely" if position == 1 else "also" if finding.strength > LIKELY else "perhaps"
        console.print(Padding(Text(f"{position}. {finding.cause} ({how})", style="bold"), (0, 2)))
        console.print(Padding(Text(finding.evidence), (0, 5)))
        console.print(Padding(Text(f"→ {finding.advice}", style="cyan"), (0, 5)))
    console.print()
