"""Registered things as fields of a pydantic model."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError

from fedsim.core.checked import CodeOnly
from fedsim.core.errors import DataError
from fedsim.core.parameters import named, parameters_of, refuse_unknown
from fedsim.core.registry import DATASETS, Registry

PETS = Registry("pet", "fedsim", "fedsim.made_pets")


@PETS.register("cat")
class Cat:
    lives: Annotated[int, Field(ge=1)] = 9
    nick: str | None = None
    secret: CodeOnly[object] = None


@PETS.register("homeless")
class Homeless:
    def __post_init__(self) -> None:
        raise DataError("it has no home")


class Owner(BaseModel):
    pet: Annotated[Any, *named(PETS)]


def test_a_name_is_short_for_a_table() -> None:
    assert Owner(pet="cat").pet == Cat()
    assert Owner(pet={"name": "cat", "lives": 3}).pet == Cat(lives=3)


def test_a_thing_itself_is_taken_as_it_is() -> None:
    cat = Cat(lives=2)
    assert Owner(pet=cat).pet is cat


def test_it_dumps_its_name_and_what_is_given() -> None:
    assert Owner(pet=Cat(lives=2)).model_dump() == {"pet": {"name": "cat", "lives": 2}}
    dumped = Owner(pet=Cat(nick="Tom", secret=object())).model_dump()
    assert dumped == {"pet": {"name": "cat", "lives": 9, "nick": "Tom"}}


def test_fields_for_code_alone_are_not_parameters() -> None:
    assert list(parameters_of(Cat)) == ["lives", "nick"]
    with pytest.raises(ValidationError, match="unknown key 'secret' in pet 'cat'"):
        Owner(pet={"name": "cat", "secret": 1})


@pytest.mark.parametrize("value", [3, None, [], {}, {"lives": 3}, {"name": 3}, Registry])
def test_what_names_nothing_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="expected the name of one pet, or a table"):
        Owner(pet=value)


def test_problems_of_parameters_keep_their_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Owner(pet={"name": "cat", "lives": 0})
    [problem] = caught.value.errors()
    inner = problem["ctx"]["error"].error
    assert [p["loc"] for p in inner.errors()] == [("lives",)]


def test_errors_of_a_constructor_are_validation_errors() -> None:
    with pytest.raises(ValidationError, match="it has no home"):
        Owner(pet="homeless")


def test_values_are_not_changed_by_validation() -> None:
    table = {"name": "cat", "lives": 3}
    Owner(pet=table)
    assert table == {"name": "cat", "lives": 3}


def test_refuse_unknown_names_the_first_and_the_nearest() -> None:
    refuse_unknown({"a"}, {"a", "b"}, "x")
    with pytest.raises(PydanticCustomError, match="unknown key 'coont' in x: did you mean 'count'"):
        refuse_unknown({"zz", "coont"}, {"count"}, "x")
    with pytest.raises(PydanticCustomError, match="unknown key 'a' in x: it takes no parameters"):
        refuse_unknown({"a"}, set(), "x")


def test_data_sets_of_one_kind_have_one_name() -> None:
    class Holder(BaseModel):
        data: Annotated[Any, *named(DATASETS)]

    assert Holder(data="mnist").model_dump()["data"]["name"] == "mnist"
    assert Holder(data="fashion-mnist").model_dump()["data"]["name"] == "fashion-mnist"
