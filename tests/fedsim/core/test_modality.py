from dataclasses import replace

import pytest

from fedsim.core.errors import UnknownNameError
from fedsim.core.modality import MODALITIES, Modalities, suits


def test_the_built_in_ones_are_found_by_their_names() -> None:
    assert {"pictures", "texts"} <= set(MODALITIES.names())
    assert MODALITIES.get("texts").name == "texts"


def test_an_unknown_one_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown modality 'picture'.*'pictures'"):
        MODALITIES.get("picture")


def test_a_name_is_taken_once() -> None:
    own = Modalities("fedsim.core.modality", "fedsim.tests.none")
    pictures = MODALITIES.get("pictures")
    assert own.add(pictures) is pictures
    assert own.add(pictures) is pictures
    with pytest.raises(ValueError, match="'pictures' is taken"):
        own.add(replace(pictures, space="elsewhere:Space"))


@pytest.mark.parametrize("name", ["pictures", "texts"])
def test_a_part_is_resolved_when_it_is_asked_for(name: str) -> None:
    assert MODALITIES.get(name).part("space").modality == name


def test_what_is_for_any_modality_suits_each() -> None:
    assert suits(None, "tables")
    assert suits({"tables"}, "tables")
    assert not suits({"tables"}, "texts")
