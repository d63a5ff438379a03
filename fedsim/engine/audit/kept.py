"""Batches that clients of a simulation kept (`fedsim.AuditMod`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from fedsim.clients.audit_mod import file_name
from fedsim.core.errors import RunError


class KeptBatches:
    """The files of `fedsim.AuditMod` as the truth of an audit.

    Args:
        folder: the folder that the clients write to.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser().absolute()

    def read(self, node: int, server_round: int) -> tuple[Tensor, Tensor]:
        """Return the examples of a node in a round, as its model took them, and their labels.

        Raises:
            RunError: the client kept none.
        """
        path = self._path(node, server_round)
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("inputs"), file.get_tensor("labels")

    def facts(self, node: int, server_round: int) -> Mapping[str, Any]:
        """Return the steps, batch size and optimiser of a node's training in a round.

        Raises:
            RunError: the client kept none.
        """
        with safe_open(self._path(node, server_round), framework="pt") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
        return found

    def _path(self, node: int, server_round: int) -> Path:
        path = self.folder / file_name(node, server_round)
        if not path.is_file():
            raise RunError(
                f"{path}: the client kept no batch; expected fedsim.AuditMod among the mods of the "
                "ClientApp, and a training with PyTorch's losses"
            )
        return path
