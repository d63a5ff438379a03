"""The ClientApp of honest clients, which train on private data and defend their uploads."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn

from fedsim.clients.announcing import Announcing
from fedsim.clients.check_mod import refusal
from fedsim.clients.defenses import (
    DefendedSteps,
    DefenseRecord,
    defense_generator,
    is_private,
)
from fedsim.clients.defenses.checking import NOT_EXAMINED, Check, Examined, Received, examined
from fedsim.clients.memory import remember, remembered
from fedsim.clients.mods import BYTES_KEY, DefenseMod, note_defenses
from fedsim.clients.secure.answer import answer
from fedsim.clients.site import Site, site_of
from fedsim.clients.training import (
    Batch,
    Trained,
    differentiate,
    drawing_from,
    gradient,
    local_training,
    one_thread,
)
from fedsim.core.agreement import ANNOUNCE, simulated_key
from fedsim.core.arrays import of_kind, record_of, tensors_of
from fedsim.core.errors import UploadError
from fedsim.core.plugins import Plugin
from fedsim.data import LENGTHS_KEY
from fedsim.data.augmentations import augmented
from fedsim.models import draw_from
from fedsim.models.blocks import BLOCK_KEY
from fedsim.scenario import QUICKSTART, load_scenario


def make_client_app(scenario_toml: str, plugins: Sequence[Plugin] = ()) -> ClientApp:
    """Return the ClientApp of a scenario.

    Args:
        scenario_toml: the resolved scenario. Text, because Flower's simulation sends the app to
            its workers with every message; the scenario's data are loaded once per worker.
        plugins: files whose registrations the scenario names; their text travels with the app.
    """

    def scenario_of(context: Context) -> str:
        for plugin in plugins:
            plugin.load()
        return scenario_toml

    return _client_app(scenario_of)


def deployed_scenario(context: Context) -> str:
    """Return the resolved scenario of the run config of ``flwr run``.

    Args:
        context: context of a ClientApp or ServerApp; its run config has ``scenario``, a bundled
            name or a path, and ``overrides``, texts like those of ``--set`` separated by
            semicolons.
    """
    overrides = [o for o in str(context.run_config.get("overrides", "")).split(";") if o.strip()]
    name = str(context.run_config.get("scenario", QUICKSTART))
    return load_scenario(name, overrides).to_toml()


def _client_app(scenario_of: Callable[[Context], str]) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        with one_thread():
            site = site_of(scenario_of(context))
            return answer(site, functools.partial(_train, site), message, context)

    @app.query()
    def partition(message: Message, context: Context) -> Message:
        own = MetricRecord({"partition-id": _partition(context)})
        return Message(RecordDict({"partition": own}), reply_to=message)

    @app.query(ANNOUNCE)
    def announce(message: Message, context: Context) -> Message:
        site = site_of(scenario_of(context))
        return _announcing(site, _partition(context)).announcement(message, context)

    return app


def _announcing(site: Site, partition: int) -> Announcing:
    return Announcing(partition, simulated_key(site.scenario.seed))


def _trained(
    site: Site,
    model: nn.Module,
    batches: Sequence[Batch],
    steps: DefendedSteps,
    server_round: int,
    partition: int,
) -> Trained:
    """Return the gradient of a client's batch, or its weights after local training."""
    federation = site.scenario.federation
    if federation.upload == "gradient":
        return gradient(model, batches[0], steps.compute)
    return local_training(
        model,
        batches,
        federation.learning_rate,
        steps.compute,
        optimizer=federation.optimizer,
        factors=federation.rate_factors(server_round, len(site.partitions[partition])),
        proximal_mu=federation.proximal_mu,
        max_grad_norm=federation.max_grad_norm,
    )


def _train(site: Site, message: Message, context: Context) -> Message:
    federation = site.scenario.federation
    uploads_gradient = federation.upload == "gradient"
    block = of_kind(message.content, ConfigRecord)["config"].get(BLOCK_KEY)
    received = tensors_of(of_kind(message.content, ArrayRecord)["arrays"])
    partition, seed = _partition(context), site.scenario.seed
    defenses = site.scenario.group_of(partition).defenses
    checked = NOT_EXAMINED
    if any(isinstance(defense, Check) for defense in defenses):
        checked = _examined(site, message, context, received)
    if checked.refused is not None:
        return refusal(message, checked.refused)
    model = site.model(received, None if block is None else str(block))
    names = [k for k, p in model.named_parameters() if p.requires_grad]
    private = is_private(defenses)
    did: list[DefenseRecord] = []

    def generator(server_round: int, purpose: str) -> torch.Generator:
        return defense_generator(seed, partition, server_round, purpose)

    def honest(message: Message, context: Context) -> Message:
        server_round = of_kind(message.content, ConfigRecord)["config"]["server-round"]
        if not isinstance(server_round, int):
            raise UploadError(f"server-round is {server_round!r}: expected a whole number")
        draw_from(model, generator(server_round, "stochastic layers"))
        chosen = generator(server_round, "augmentation")
        plain = site.batches(partition, server_round)
        batches = [
            (augmented(federation.augmentations, inputs, chosen), labels)
            for inputs, labels in plain
        ]
        different = site.each_once(partition, server_round, plain)
        chance = generator(server_round, "defended steps")
        others = site.private(partition, model, chance)
        loss = site.loss.of_labels
        undefended = functools.partial(differentiate, loss=loss)
        steps = DefendedSteps(defenses, others, chance, undefended, loss)
        defended = [steps.protect(batch) for batch in batches]
        with drawing_from(generator(server_round, "dropout")):
            trained = _trained(site, model, defended, steps, server_round, partition)
        did.extend(
            replace(record, did={**record.did, **checked.did.get(position, {})})
            for position, record in enumerate(steps.records())
        )
        metrics = MetricRecord(
            {
                "num-examples": sum(len(labels) for _, labels in different),
                BYTES_KEY: 0,  # the mod fills it in
            }
        )
        if not private:
            metrics["loss"] = trained.loss
        lengths = site.dataset.train.lengths([x for x, _ in different])
        if lengths:
            # Text attacks are commonly assumed to know them (LAMP, arXiv 2202.08827, section 3).
            metrics[LENGTHS_KEY] = lengths
        content = RecordDict({"arrays": record_of(trained.arrays), "metrics": metrics})
        return Message(content, reply_to=message)

    mod = DefenseMod(
        defenses,
        uploads="gradients" if uploads_gradient else "weights",
        seed=seed,
        only=names,
        steps_defended=True,
    )
    reply = mod(message, context, honest)
    if not reply.has_error() and not private:
        note_defenses(reply.content, did, first=0)
    return reply


def _examined(
    site: Site, message: Message, context: Context, received: Mapping[str, Tensor]
) -> Examined:
    """Return the findings of a client's checks in the received model."""
    partition = _partition(context)
    config = of_kind(message.content, ConfigRecord)["config"]
    block, server_round = config.get(BLOCK_KEY), config["server-round"]

    def model() -> nn.Module:
        return site.model(received, None if block is None else str(block))

    def batch() -> tuple[Tensor, Tensor]:
        return site.batches(partition, int(str(server_round)))[0]

    expected = {k: tuple(v.shape) for k, v in site.architecture.state_dict().items()}
    defenses = site.scenario.group_of(partition).defenses
    announcing = _announcing(site, partition)
    others, own = announcing.others(message), announcing.own(message, context)
    about = Received(received, expected, model, batch, others, own, loss=site.loss.of_labels)
    found = examined(defenses, about, remembered(context, len(defenses)))
    remember(context, found.kept)
    return found


def _partition(context: Context) -> int:
    return int(context.node_config["partition-id"])


app = _client_app(deployed_scenario)
"""The ClientApp for ``flwr run``."""
