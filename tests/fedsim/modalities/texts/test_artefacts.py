"""The drawings of texts."""

import xml.etree.ElementTree as ET
from pathlib import Path

from fedsim.log.schema import ExampleScore, Meaning, Verdict
from fedsim.modalities.texts.artefacts import TextArtefacts
from fedsim.show.artefacts import Ended
from tests.fedsim.runs import reconstruction


def test_texts_are_escaped(tmp_path: Path) -> None:
    """A text that looks like markup is not markup in the file."""
    hostile = ("<script>", "alert", "&", "[bold]", "</svg>")
    score = ExampleScore(
        example=0,
        metrics={"token_accuracy": 100.0},
        baselines={},
        verdict=Verdict.RECOGNISABLE,
        meaning=Meaning.LEAKED,
        original=hostile,
        found=hostile,
    )
    moments = {0: ((1, ("[red]",)), (2, hostile))}
    drawn = list(TextArtefacts().of_victim(Ended(reconstruction("mine"), [score], moments, {})))
    assert [artefact.name for artefact in drawn] == ["mine.svg", "mine.txt"]
    for artefact in drawn:
        artefact.draw(tmp_path / artefact.name)
    svg = (tmp_path / "mine.svg").read_text("utf-8")
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg
    ET.fromstring(svg)  # noqa: S314  (our own file)
    text = (tmp_path / "mine.txt").read_text("utf-8")
    assert "<script> alert & [bold] </svg>" in text
    assert "[red]" in text
