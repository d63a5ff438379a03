"""The example of ``server/README.md`` runs, and sees what it says."""

import re
from pathlib import Path
from typing import Any

import pytest

from fedsim import server
from fedsim.clients.app import make_client_app
from fedsim.clients.site import site_of
from fedsim.engine.inline import InlineGrid
from fedsim.scoring.metrics.images import psnr
from tests.fedsim.small import small
from tests.server.wire import context_of


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(server.__file__).parent / "README.md").read_text("utf-8")
    [example] = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    namespace: dict[str, Any] = {"__name__": "readme"}
    exec(example, namespace)  # noqa: S102
    case = small("model.hidden=[16]", "federation={upload='update', learning_rate=0.1}")
    namespace["main"](InlineGrid(make_client_app(case.to_toml()), 3), context_of(0))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    for partition, found in namespace["seen"].items():
        [(images, labels)] = site_of(case.to_toml()).batches(partition, 1)
        assert lines[partition].endswith(str(labels.tolist()))
        assert float(psnr(found, images)) > 25
