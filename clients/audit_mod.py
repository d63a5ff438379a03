"""A Flower mod that keeps the batches of a local training, for the audit of a simulation."""

from __future__ import annotations

import json
from pathlib import Path

from flwr.app import Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable
from safetensors.torch import save_file

from fedsim.clients.watching import Watched, watching

ROUND_KEY = "server-round"
MU_KEY = "proximal-mu"
"""Key of FedProx's mu in the messages of Flower's strategy."""


class AuditMod:
    """Keeps the private examples of each local training in files, to score an audit with.

    For simulations alone: the files hold the private data. The client's code, its replies and its
    random states are not changed. Training must run in the client's process, with PyTorch's
    modules and losses (those of ``torch.nn``, or ``torch.nn.functional``).

    Example:
        ``ClientApp(mods=[fedsim.AuditMod("truth")])`` on the clients, and ``truth="truth"`` in
        `fedsim.audit`.

    Args:
        folder: the folder of the files; made absolute at once. Server and clients share it.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder).expanduser().absolute()

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Return the reply of the client app, and keep what it trained on."""
        if message.metadata.message_type.split(".")[0] != MessageType.TRAIN:
            return call_next(message, context)
        place = self.folder / file_name(message.metadata.dst_node_id, round_of(message))
        with watching() as watched:
            reply = call_next(message, context)
        mu = _asked(message, MU_KEY)
        if isinstance(mu, int | float) and mu > 0:
            watched.facts["proximal_mu"] = float(mu)
        keep(watched, place)
        return reply


def round_of(message: Message) -> int:
    """Return the round of a train message, or 0 if it does not say.

    Messages of workflows from before Flower's Message API have it as the name of their group.
    """
    value = _asked(message, ROUND_KEY)
    if isinstance(value, int):
        return value
    group = message.metadata.group_id
    return int(group) if group.isdecimal() else 0


def _asked(message: Message, key: str) -> object:
    """Return a value of a message's configuration, or None."""
    configs = message.content.config_records.values()
    return next((config[key] for config in configs if key in config), None)


def file_name(node: int, server_round: int) -> str:
    """Return the name of the file of a node's batches in a round."""
    return f"{server_round:04d}-{node}.safetensors"


def keep(watched: Watched, path: Path) -> None:
    """Write the examples and facts of a local training to a file; nothing without examples."""
    examples = watched.examples()
    if examples is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs, labels = examples
    sizes = [len(inputs) for inputs, _ in watched.steps]
    facts = {**watched.facts, "steps": len(sizes), "batch_size": max(sizes)}
    if len(set(watched.rates)) > 1:
        facts["rates"] = watched.rates
    scratch = path.with_name(f".{path.name}.part")
    tensors = {"inputs": inputs.contiguous(), "labels": labels.contiguous()}
    save_file(tensors, scratch, metadata={"facts": json.dumps(facts)})
    scratch.replace(path)
