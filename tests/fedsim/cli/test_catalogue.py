"""What `fedsim list` and `fedsim show` say."""

import pytest

from fedsim.cli.catalogue import SCENARIOS, describe, entries
from fedsim.core.errors import UnknownNameError
from fedsim.core.parameters import parameters_of
from fedsim.core.registry import REGISTRIES


@pytest.mark.parametrize("kind", [SCENARIOS, *REGISTRIES])
def test_every_entry_has_a_line_and_a_description(kind: str) -> None:
    listed = dict(entries(kind))
    assert listed
    for name, summary in listed.items():
        assert len(summary) > 10
        assert summary.split()[0] in describe(name)


@pytest.mark.parametrize("kind", ["attacks", "defenses"])
def test_every_parameter_is_explained(kind: str) -> None:
    for name in REGISTRIES[kind].names():
        cls = REGISTRIES[kind].get(name)
        for parameter in parameters_of(cls):
            description = cls.__pydantic_fields__[parameter].description
            assert description, f"{name}: {parameter}"
            assert description in describe(name)


def test_choices_are_listed() -> None:
    assert "start ('grey' or 'normal'; default 'grey')" in describe("dlg")


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="'laplacian-noise'"):
        describe("laplace-noise")


def test_a_metric_says_what_its_figure_means() -> None:
    assert describe("psnr").endswith("for pictures in dB: higher is closer")
    assert describe("exact").endswith("for texts: higher is closer")
    assert describe("edit_distance").endswith("for texts in tokens: lower is closer")
