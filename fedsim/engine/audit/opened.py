"""The open run folder of an audit: recorder, scorer and attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedsim.core.arrays import record_of
from fedsim.core.precision import best_device
from fedsim.engine.audit.doubting import Doubting
from fedsim.engine.audit.examples import AppData, Tensors
from fedsim.engine.audit.plan import AuditPlan
from fedsim.engine.audit.site import AppSite, Said
from fedsim.engine.audit.uploads import (
    EXAMPLES_KEY,
    complete,
    frozen_names,
)
from fedsim.engine.observer import Observer
from fedsim.engine.recorder import Recorder
from fedsim.log.folders import SCENARIO
from fedsim.log.writer import RunLog
from fedsim.scoring import Scorer
from fedsim.server.adversary import Adversary
from fedsim.server.uploads import Sum, Upload
from fedsim.server.victims import Listeners, Outcome

ENGINE = "app"


class OpenFolder:
    """Writes the records of an audited app whose clients are known.

    Args:
        plan: the plan.
        log: the run folder.
        observer: observer of the run.
        said: adds a remark to the log.
        strategy: name of the wrapped strategy.
        rounds: number of rounds.
        nodes: the node of each partition, kept up to date by the caller.
        uploads: uploads of the first round, or their sum.
        sent: the model that was sent in it, by name.
    """

    def __init__(
        self,
        plan: AuditPlan,
        log: RunLog,
        observer: Observer,
        said: Said,
        *,
        strategy: str,
        rounds: int,
        nodes: Mapping[int, int],
        uploads: Sequence[Upload | Sum],
        sent: Mapping[str, Tensor],
    ) -> None:
        self._plan, self._observer, self._said = plan, observer, said
        self._remarks = _freeze(plan, [u.arrays for u in uploads if u.problem is None], sent)
        clear = [complete(upload, plan) for each in uploads for upload in _clear(each)]
        clients = 1 + max([0, *nodes, *(upload.partition for upload in clear)])
        scenario = plan.scenario(strategy, rounds, clients)
        held = {u.partition: int(u.metrics.get(EXAMPLES_KEY, 0)) for u in clear}
        self._site = AppSite(
            scenario,
            _data_of(plan),
            [np.arange(max(1, held.get(p, 0))) for p in range(clients)],
            plan.architecture,
            plan,
            said,
            nodes,
        )
        self._scorer, self._device = Scorer(self._site), best_device()
        self._doubting = Doubting(self._site)
        log.write_text(SCENARIO, scenario.to_toml())
        self.recorder = Recorder(self._site, log, observer)
        first = self.recorder.start(ENGINE, self._device)
        observer.on_start(scenario, log.folder)
        observer.on_record(first)
        observer.on_reader(self._scorer.read)

    def begin(self) -> None:
        """Record the remarks on the model."""
        for text in self._remarks:
            self._said(text, None, None)

    def attack(
        self, server_round: int, sent: Mapping[str, Tensor], uploads: Sequence[Upload]
    ) -> None:
        """Record the uploads of a round, and attack them if it is one of the plan's.

        Args:
            server_round: the round.
            sent: the state of the model that was sent, complete.
            uploads: the uploads, sorted by partition.

        Raises:
            KeyboardInterrupt: the user stopped the training.
        """
        known = [u for u in uploads if u.partition < self._site.scenario.num_clients]
        ready = [complete(u, self._plan) for u in known]
        self.recorder.uploads(server_round, ready)
        usable = [u for u in ready if u.problem is None]
        self._doubting.received(sent, usable)
        self._intercept(server_round, sent, usable)

    def attack_sum(self, server_round: int, sent: Mapping[str, Tensor], total: Sum) -> None:
        """Record the sum of a round's uploads, and attack it if the round is one of the plan's.

        Args:
            server_round: the round.
            sent: the state of the model that was sent, complete.
            total: the sum.

        Raises:
            KeyboardInterrupt: the user stopped the training.
        """
        self.recorder.uploads(server_round, total.uploads)
        self.recorder.total(server_round, total)
        self._intercept(server_round, sent, [] if total.problem is not None else [total])

    def _intercept(
        self, server_round: int, sent: Mapping[str, Tensor], usable: Sequence[Upload | Sum]
    ) -> None:
        if not usable or server_round not in self._plan.rounds:
            return
        adversary = self._adversary(server_round)
        try:
            adversary.intercept(server_round, record_of(sent), usable)
            adversary.finish()
        except BaseException:
            adversary.cancel()
            raise

    def _adversary(self, server_round: int) -> Adversary:
        def on_outcome(outcome: Outcome) -> None:
            try:
                scored = self._scorer.score(outcome)
                self.recorder.outcome(outcome, scored, self._scorer)
                for text in self._doubting.remarks(outcome, scored):
                    self._said(text, server_round, outcome.victim.partition)
            except Exception as error:  # of the auditor's truth, for one
                reason = f"not scored: {type(error).__name__}: {error}"
                self._said(reason, server_round, outcome.victim.partition)

        listeners = Listeners(
            on_outcome=on_outcome,
            on_victims=self._observer.on_victims,
            on_progress=self._observer.on_progress,
            on_round_done=self._observer.on_round_attacked,
        )
        scenario = self._site.scenario
        assert scenario.adversary is not None  # noqa: S101  (every plan has one)
        return Adversary(
            scenario,
            scenario.adversary,
            self._plan.architecture,
            self._plan.public,
            listeners,
            self._device,
            torch.get_num_threads(),  # unchanged: it decides how PyTorch rounds sums
            sizes=[len(own) for own in self._site.partitions],
            assumed=self._plan.assumed,
            control_apart=True,
        )


def _clear(upload: Upload | Sum) -> Sequence[Upload]:
    """Return the visible part of each client's upload."""
    return upload.uploads if isinstance(upload, Sum) else [upload]


def _freeze(
    plan: AuditPlan, uploads: Sequence[Mapping[str, Tensor]], sent: Mapping[str, Tensor]
) -> list[str]:
    """Freeze the parameters that no upload tells, and return remarks on them."""
    own = [k for k, p in plan.architecture.named_parameters() if not p.requires_grad]
    missing, still = frozen_names(plan.architecture, uploads, sent, plan)
    for name in (*missing, *still):
        plan.architecture.get_parameter(name).requires_grad_(False)
    remarks = []
    if own:
        remarks.append(f"the model as stated freezes {len(own)} tensors ({_listed(own)})")
    if missing:
        remarks.append(
            f"the uploads leave out {len(missing)} trained tensors ({_listed(missing)}); "
            "the attack has the others"
        )
    if still:
        remarks.append(
            f"no client changed {len(still)} tensors ({_listed(still)}), which are taken as frozen"
        )
    unsent = [k for k in plan.architecture.state_dict() if sent and k not in sent]
    if unsent:
        remarks.append(
            f"the app does not send {len(unsent)} tensors of the model ({_listed(unsent)}); "
            "those of the stated model are taken, which must be the clients' own"
        )
    return remarks


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _data_of(plan: AuditPlan) -> AppData:
    test = plan.public
    none = Tensors(test.inputs[:0], test.wanted[:0])
    return AppData("own-data", none, test, tuple(map(str, range(plan.outputs))))
