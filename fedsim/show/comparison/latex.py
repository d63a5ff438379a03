"""Tables of a comparison for papers, in LaTeX with the package ``booktabs``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from fedsim.core.measures import Measure
from fedsim.log.results import Result
from fedsim.scenario.grid import slug
from fedsim.show.comparison.tables import WORDS, as_words

_LETTERS = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau "
    "upsilon varphi chi psi omega"
)
_SIGNS = {
    **{"≥": r"$\ge$", "≤": r"$\le$", "±": r"$\pm$", "–": "--", "−": "$-$", "∞": r"$\infty$"},
    **{
        sign: rf"$\{name}$"
        for sign, name in zip("αβγδεζηθικλμνξπρστυφχψω", _LETTERS.split(), strict=True)
    },
}
"""Signs that pdfLaTeX does not know, and that names of defenses are likely to have."""

_PREAMBLE = r"""% \usepackage{booktabs, graphicx}
% Names in other scripts than Latin and Greek need LuaLaTeX or XeLaTeX and a font that has them."""
_STAGE = "stage"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{sign: rf"\{sign}" for sign in "$&#_%"},
    "^": r"\^{}",
    "~": r"\~{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
}


def as_latex(results: Sequence[Result], title: str) -> str:
    """Return a table for each stage, with a caption, a label and numbers aligned to the right.

    Args:
        results: results of all stages.
        title: title of the comparison, which begins the captions.
    """
    stages = list(dict.fromkeys(r.stage for r in results))
    return "\n\n".join([_PREAMBLE, *(_table(results, stage, title) for stage in stages)]) + "\n"


def _table(results: Sequence[Result], stage: str, title: str) -> str:
    """Return the table of one stage."""
    own = [r for r in results if r.stage == stage]
    rows = [{k: v for k, v in row.items() if k != _STAGE} for row in as_words(own)]
    heads = list(rows[0])
    body: str = tabulate(
        [list(row.values()) for row in rows],
        headers=heads,
        tablefmt="latex_booktabs",
        disable_numparse=True,
        colalign=["left" if head in WORDS else "right" for head in heads],
    )
    # After a row's end LaTeX takes these signs for a part of the command.
    body = re.sub(r"(\\\\\n\s*)([\[*])", r"\1{}\2", body)
    caption = escaped(f"{title}, attacked {stage}. {_caption(own[0].measure, own[0])}")
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{slug(title)}-{slug(stage)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        body + "%",
        "}",
        r"\end{table}",
    ]
    return _signs("\n".join(lines))


def _caption(measure: Measure, first: Result) -> str:
    return (
        f"{measure.caption}: mean over all attacked {measure.things}, with its standard deviation "
        f"and its highest; blind: the best guess without any upload. Recognisable, partly: "
        f"{measure.things} that leaked, fully or in part, of those attacked. Accuracy: "
        f"{first.accuracy_name} at the end."
    )


def escaped(text: str) -> str:
    """Return text without commands of LaTeX."""
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def _signs(text: str) -> str:
    for sign, command in _SIGNS.items():
        text = text.replace(sign, command)
    return text
