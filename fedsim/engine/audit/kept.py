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
from fedsim.core.registry import OPTIMIZERS


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


OPTIMIZERS_WATCHED = {
    "SGD": ("momentum", "nesterov", "weight_decay"),
    "Adam": ("beta1", "beta2", "eps", "weight_decay"),
    "AdamW": ("beta1", "beta2", "eps", "weight_decay"),
}


def optimizer_in(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the optimiser of a watched training as a scenario's table.

    Plain SGD if no optimiser was seen; None for one that scenarios do not have.
    """
    name = facts.get("optimiser", "SGD")
    if name not in OPTIMIZERS_WATCHED:
        return None
    found = {key: facts[key] for key in OPTIMIZERS_WATCHED[name] if key in facts}
    return {"name": name.lower(), **found}


def optimizer_of(table: Mapping[str, Any]) -> Any:
    """Return the optimiser of a table of name and parameters."""
    return OPTIMIZERS.get(table["name"])(**{k: v for k, v in table.items() if k != "name"})
