"""The examples of ``clients/README.md`` run."""

import re
import textwrap
from pathlib import Path

import pytest
import torch

from fedsim import clients
from fedsim.clients.defenses import protect
from fedsim.core.registry import DEFENSES


def blocks() -> list[str]:
    text = (Path(clients.__file__).parent / "README.md").read_text()
    found = re.findall(r"^ *```python\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


def test_first_example(capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks()[0], {"__name__": "readme"})  # noqa: S102
    assert capsys.readouterr().out == "237\n{'kept_fraction': 0.5}\n"


def test_added_defense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFENSES, "_classes", dict(DEFENSES._classes))
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(blocks()[1], namespace)  # noqa: S102
    done = protect([DEFENSES.get("sign")(step=0.5)], {"g": torch.tensor([-3.0, 2.0])}, None)
    assert done.tensors["g"].tolist() == [-0.5, 0.5]
    assert done.num_bytes == 1
    assert done.records[0].name == "sign"
