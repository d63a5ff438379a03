"""Registries: names in, classes out, third parties through entry points."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

import fedsim.core.registry
from fedsim.core.errors import UnknownNameError
from fedsim.core.registry import REGISTRIES, Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry whose own entries are one class, ``red``, of a module made here."""
    builtin = ModuleType("made_colours")
    monkeypatch.setitem(sys.modules, "made_colours", builtin)
    made = Registry("colour", "made_colours", "fedsim.made_colours")
    made.register("red")(Red)
    return made


class Red:
    """Red, like a rose.

    More on red.
    """


class Blue:
    pass


def test_names_lead_to_classes_and_back(registry: Registry) -> None:
    registry.register("blue")(Blue)
    assert registry.names() == ["blue", "red"]
    assert registry.get("red") is Red
    assert registry.name_of(Red()) == "red"
    assert registry.holds(Red())
    assert not registry.holds(3)


def test_summary_is_the_first_line_of_the_docstring(registry: Registry) -> None:
    registry.register("blue")(Blue)
    assert registry.summary("red") == "Red, like a rose."
    assert registry.summary("blue") == ""


def test_an_unknown_name_offers_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="unknown colour 'rde': did you mean 'red'"):
        registry.get("rde")
    with pytest.raises(UnknownNameError, match="expected one of 'red'"):
        registry.get("green")


def test_a_class_of_another_kind_has_no_name(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="Blue is not a registered colour"):
        registry.name_of(Blue())


def test_a_subclass_is_not_held_under_its_parents_name(registry: Registry) -> None:
    class DarkRed(Red):
        pass

    assert not registry.holds(DarkRed())


def test_a_taken_name_is_refused_but_a_reload_is_not(registry: Registry) -> None:
    with pytest.raises(ValueError, match="the colour name 'red' is taken by Red"):
        registry.register("red")(Blue)
    again = type("Red", (), {})
    again.__qualname__ = Red.__qualname__
    registry.register("red")(again)
    assert registry.get("red") is again


def test_entry_points_are_imported_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("third_party_colours")
    monkeypatch.setitem(sys.modules, "third_party_colours", module)
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        registry.register("blue")(Blue)
        return [EntryPoint("blue", "third_party_colours", group)]

    monkeypatch.setattr(fedsim.core.registry, "entry_points", entry_points)
    assert registry.names() == ["blue", "red"]
    assert registry.get("blue") is Blue
    assert asked == ["fedsim.made_colours"]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_registered_thing_says_what_it_is(kind: str) -> None:
    registry = REGISTRIES[kind]
    assert registry.names()
    assert all(registry.summary(name).endswith((".", ":")) for name in registry.names())
    assert [n for n in registry.names() if n != n.lower() or " " in n] == []
