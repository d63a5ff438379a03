"""Registries: names in, classes out, third parties through entry points."""

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

import fedsim.core.plugins
from fedsim.core.checked import Parameters
from fedsim.core.errors import FedsimWarning, UnknownNameError
from fedsim.core.registry import REGISTRIES, Registry, import_all


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry whose own entries are one class, ``red``, of a module made here."""
    builtin = ModuleType("made_colours")
    monkeypatch.setitem(sys.modules, "made_colours", builtin)
    base = f"{__name__}:Colour"
    made = Registry("colour", "made_colours", "fedsim.made_colours", base)
    made.register("red")(red())
    return made


class Colour(Parameters, ABC):
    @abstractmethod
    def wavelength(self) -> float: ...


def red() -> type[Any]:
    class Red(Colour):
        """Red, like a rose.

        More on red.
        """

        shade: Annotated[float, Field(ge=0)] = 0.5

        def wavelength(self) -> float:
            return 700

    return Red


def blue() -> type[Any]:
    class Blue(Colour):
        def wavelength(self) -> float:
            return 450

    return Blue


def test_names_lead_to_classes_and_back(registry: Registry) -> None:
    made = registry.register("blue")(blue())
    assert registry.names() == ["blue", "red"]
    assert registry.get("blue") is made
    assert registry.name_of(made()) == "blue"
    assert registry.holds(made())
    assert not registry.holds(3)


def test_summary_is_the_first_line_of_the_docstring(registry: Registry) -> None:
    registry.register("blue")(blue())
    assert registry.summary("red") == "Red, like a rose."
    assert registry.summary("blue") == ""


def test_an_unknown_name_offers_the_nearest(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="unknown colour 'rde': did you mean 'red'"):
        registry.get("rde")
    with pytest.raises(UnknownNameError, match="expected one of 'red'"):
        registry.get("green")


def test_a_class_of_another_kind_has_no_name(registry: Registry) -> None:
    with pytest.raises(UnknownNameError, match="Blue is not a registered colour"):
        registry.name_of(blue()())


def test_a_subclass_is_not_held_under_its_parents_name(registry: Registry) -> None:
    class DarkRed(registry.get("red")):  # type: ignore[misc]
        pass

    assert not registry.holds(DarkRed())


def test_a_taken_name_is_refused_but_a_reload_is_not(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"the colour name 'red' is taken by red.*Red of"):
        registry.register("red")(blue())
    again = registry.register("red")(red())
    assert registry.get("red") is again


def test_entry_points_are_imported_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("third_party_colours")
    monkeypatch.setitem(sys.modules, "third_party_colours", module)
    asked = []

    def entry_points(group: str) -> list[EntryPoint]:
        asked.append(group)
        registry.register("blue")(blue())
        return [EntryPoint("blue", "third_party_colours", group)]

    monkeypatch.setattr(fedsim.core.plugins, "entry_points", entry_points)
    assert registry.names() == ["blue", "red"]
    assert asked == ["fedsim.made_colours"]


def test_the_decorator_makes_the_checked_keyword_only_dataclass(registry: Registry) -> None:
    made = registry.get("red")
    assert made() == made(shade=0.5)
    with pytest.raises(AttributeError):
        made().shade = 1.0
    with pytest.raises(ValidationError, match="positional"):
        made(0.5)
    for wrong in (-1.0, float("nan"), float("inf"), "0.5", None):
        with pytest.raises(ValidationError, match="shade"):
            made(shade=wrong)
    with pytest.raises(ValidationError, match="tint"):
        made(tint=1)


def test_a_class_with_a_dataclass_decorator_of_its_own_is_refused(registry: Registry) -> None:
    with pytest.raises(TypeError, match=r"Blue is already a dataclass: remove its own @dataclass"):
        registry.register("blue")(dataclass(frozen=True)(blue()))


def test_a_class_with_another_base_is_refused(registry: Registry) -> None:
    with pytest.raises(TypeError, match=r"int cannot be registered as colour: expected .*Colour"):
        registry.register("seven")(int)


def test_a_class_with_a_missing_method_is_refused(registry: Registry) -> None:
    with pytest.raises(TypeError, match="does not implement wavelength"):
        registry.register("grey")(type("Grey", (Colour,), {}))


def test_all_modules_below_a_package_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "many_colours" / "warm"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner / "amber.py").write_text("")
    (inner / "_draft.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    import_all("many_colours")
    assert "many_colours.warm.amber" in sys.modules


def test_a_broken_plugin_is_a_warning_and_the_rest_goes_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "good_colours", ModuleType("good_colours"))
    group = "fedsim.made_colours"
    entries = [
        EntryPoint("bad", "no_such_colours", group),
        EntryPoint("good", "good_colours", group),
    ]
    monkeypatch.setattr(fedsim.core.plugins, "entry_points", lambda group: entries)
    with pytest.warns(FedsimWarning, match=r"the plugin 'bad' .*no_such_colours.* is skipped"):
        assert registry.names() == ["red"]
    for _ in range(2):
        with pytest.raises(UnknownNameError, match=r"The plugin 'bad' could not be loaded: Module"):
            registry.get("no-such")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_registered_thing_says_what_it_is(kind: str) -> None:
    registry = REGISTRIES[kind]
    assert registry.names()
    assert all(registry.summary(name).endswith((".", ":")) for name in registry.names())
    assert [n for n in registry.names() if n != n.lower() or " " in n] == []
