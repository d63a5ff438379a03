"""Migration of records from older formats to the current one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedsim.core.modality import PICTURES, TEXTS
from fedsim.log.schema import FORMAT

FORMATS = (1, FORMAT)
"""Supported formats."""

Values = dict[str, Any]

_VICTIM = ("kind", "victim", "round", "partition", "group", "attacker")
_SCORE = ("label", "label_found", "verdict", "meaning", "original", "found")


def migrate(values: Values, version: int, modality: str) -> Values:
    """Return a record in the current format.

    Values of a wrong type are not changed, so that the record's model rejects them.

    Args:
        values: the JSON object of the record.
        version: its format, one of `FORMATS`.
        modality: the modality of a log that does not name one, such as the first logs; see
            `unnamed_modality`.
    """
    if version == FORMAT:
        return values
    kind = values.get("kind")
    if kind == "run":
        return _run(values, modality)
    return _CHANGES[kind](values) if isinstance(kind, str) and kind in _CHANGES else values


def unnamed_modality(log: bytes) -> str:
    """Return the modality of a log that does not name it, judged by a metric of texts."""
    return TEXTS if b'"token_accuracy"' in log else PICTURES


def _run(old: Values, modality: str) -> Values:
    # The first versions recorded less.
    random_label = old.get("random_label")
    return {
        "modality": old.get("data_kind", modality),
        "task": "classify",
        "chance": old.get("chance") or random_label or 0.0,
        "random_label": random_label,
        "estimate_s": None,
        "sources": [],
        "command": [],
        **{key: value for key, value in old.items() if key != "data_kind"},
        "format": FORMAT,
        "model": old.get("model")
        or {"parameters": 0, "batch_statistics": 0, "piecewise_linear": 0},
    }


def _upload(old: Values) -> Values:
    return {"privacy": None, "did": {}, **old, "defenses": _components(old.get("defenses"))}


def _sum(old: Values) -> Values:
    return {
        **old,
        "defenses": _components(old.get("defenses")),
        "aggregation": _component(old.get("aggregation")),
    }


def _leakage(old: Values) -> Values:
    about = {key: old[key] for key in _VICTIM if key in old}
    score = {key: old[key] for key in _SCORE if key in old}
    rest = {*about, *score, "image", "baselines"}
    figures = {k: _figure(v) for k, v in old.items() if k not in rest}
    names = ("token_accuracy", "rouge_l") if "token_accuracy" in figures else ("psnr", "ssim")
    score["metrics"] = {} if old.get("verdict") == "unscored" else figures
    score["baselines"] = old.get("baselines")
    if isinstance(score["baselines"], Mapping):
        score["baselines"] = {
            name: dict(zip(names, pair, strict=False)) if isinstance(pair, list) else pair
            for name, pair in score["baselines"].items()
        }
    if "image" in old:
        score["example"] = old["image"]
    return {**about, "score": score}


def _emergence(old: Values) -> Values:
    rest = {key: value for key, value in old.items() if key != "image"}
    return {**rest, "example": old["image"]} if "image" in old else rest


def _figure(value: object) -> object:
    """Convert a boolean to the number that the current format uses."""
    return float(value) if isinstance(value, bool) else value


def _components(tables: object) -> object:
    return [_component(table) for table in tables] if isinstance(tables, list) else tables


def _component(table: object) -> object:
    if not isinstance(table, Mapping):
        return table
    parameters = {key: value for key, value in table.items() if key != "name"}
    return {**({"name": table["name"]} if "name" in table else {}), "parameters": parameters}


_CHANGES = {"upload": _upload, "sum": _sum, "leakage": _leakage, "emergence": _emergence}
