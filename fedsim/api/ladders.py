"""Ladders: where does an attack begin to fail on a model?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedsim.api.display import Table
from fedsim.core.errors import RunError
from fedsim.log.folders import new_folder
from fedsim.log.ladder import LADDER, LadderRecord, read_ladder
from fedsim.show.ladder import words

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fedsim.attacks import Attack
    from fedsim.attacks.assumptions import Numbers
    from fedsim.engine.audit import AuditPlan
    from fedsim.engine.audit.request import Request

DEFAULT = "best"
EVALUATIONS = 300
"""Effort of the default attack on each rung."""


@dataclass(frozen=True, repr=False)
class Climbed:
    """A ladder that was climbed.

    Attributes:
        folder: its folder, with ``ladder.json``, the page ``report.html``, and a run folder for
            each rung.
    """

    folder: Path

    @cached_property
    def record(self) -> LadderRecord:
        """Rungs and map."""
        return read_ladder(self.folder)

    @property
    def headline(self) -> str:
        """Conclusion in one sentence: the first rung at which nothing leaked."""
        return words.headline(self.record)

    @property
    def remarks(self) -> list[str]:
        """Remarks for a reader, and advice on the next attack."""
        return words.remarks(self.record)

    @property
    def closes(self) -> int | None:
        """Number of the first rung, from 1, at which nothing leaked; None if all leaked."""
        found = self.record.closes
        return None if found is None else found + 1

    @property
    def report(self) -> Path:
        """The page, a file to open in a browser."""
        return self.folder / "report.html"

    def table(self) -> Table:
        """Return a row for each rung."""
        return Table(
            [
                {
                    "rung": number,
                    "changed": rung.changed,
                    "verdict": words.verdict(rung.found),
                    "best": None if rung.found is None else rung.found.best,
                    "blind": None if rung.found is None else rung.found.blind,
                    "misfit": None if rung.found is None else rung.found.objective,
                    "truth": None if rung.found is None else rung.found.truth,
                    "control": words.control(rung.found),
                }
                for number, rung in enumerate(self.record.rungs, start=1)
            ]
        )

    def __repr__(self) -> str:
        return "\n".join([self.headline, str(self.table()), *self.remarks, str(self.folder)])


def ladder(  # noqa: PLR0913  (what there is to say about clients)
    model: nn.Module | Callable[[], nn.Module],
    *,
    input_shape: Sequence[int],
    learning_rate: float,
    batch_size: int = 1,
    local_steps: int | None = None,
    local_epochs: int | None = None,
    examples: int | None = None,
    optimizer: str | dict[str, Any] = "sgd",
    schedule: str | dict[str, Any] = "constant",
    max_grad_norm: float | None = None,
    proximal_mu: float = 0.0,
    augmentations: Sequence[str | dict[str, Any]] = (),
    loss: str | dict[str, Any] | Callable[[Any, Any], Tensor] | None = None,
    uploads: Literal["weights", "gradients"] = "weights",
    mode: Literal["train", "eval"] = "train",
    normalisation: tuple[Numbers, Numbers] | None = None,
    value_range: tuple[float, float] = (0.0, 1.0),
    public: tuple[Tensor, Tensor] | None = None,
    attack: str | dict[str, Any] | Attack = "best",
    evaluations: int | None = None,
    time_limit_s: float = 60.0,
    map_limit_s: float = 0.0,
    seed: int = 0,
    out: Path | str | None = None,
    tell: bool = True,
) -> Climbed:
    """Attack one model from the easiest setting to the one in use, one change at a time.

    The first rung is one example, one step of plain SGD, its gradient, eval mode, smooth
    activations and average pooling. Each rung changes one thing, until it is the setting in use.
    Public examples are trained on and attacked, so the truth is known and no private data are
    needed. The map repeats the last rung for smaller batches and fewer local steps.

    Nothing is defended in a ladder: no rung is ever called *protected*.

    Args:
        model: the clients' model, or a function without arguments that makes it. A model keeps its
            weights.
        input_shape: shape of one example as the model takes it.
        learning_rate: the clients' learning rate.
        batch_size: examples in each local step.
        local_steps: number of local steps; 1 by default.
        local_epochs: instead of ``local_steps``: number of passes over a client's examples.
        examples: number of a client's examples, for ``local_epochs``; two batches by default. A
            ladder takes at most 128.
        optimizer: the clients' optimiser, as in `audit`.
        schedule: schedule of the learning rate, as in `audit`.
        max_grad_norm: norm for the clipping of each step's gradient, as in `audit`.
        proximal_mu: weight of FedProx's term, as in `audit`.
        augmentations: random changes of the pictures, as in `audit`.
        loss: the clients' mean loss of a batch; by default the cross-entropy. As in `audit`.
        uploads: whether replies hold the trained weights, or gradients.
        mode: mode of the model's layers when the clients train.
        normalisation: mean and standard deviation with which the clients normalise their data.
        value_range: range of the data before the normalisation.
        public: public examples as the model takes them, and their labels: half are attacked, half
            serve the control and the blind guesses. By default pictures of clothes.
        attack: name of an attack, a table of its name and parameters, or an attack.
        evaluations: largest number of evaluations of the attack on each rung; by default 300 of
            `best`.
        time_limit_s: time limit of all rungs, in seconds.
        map_limit_s: time limit of the map, in seconds; 0 for no map.
        seed: seed of the attacks.
        out: the folder, new or empty; a new one in ``runs`` if None.
        tell: whether to write the estimated time and the progress to standard error.

    Raises:
        FedsimError: an argument is invalid, or the folder cannot be written.
    """
    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.engine.audit.details import TrainingDetails  # noqa: PLC0415  (loads torch)
    from fedsim.engine.audit.making import plan_of  # noqa: PLC0415

    plan = plan_of(
        model=model,
        input_shape=input_shape,
        learning_rate=learning_rate,
        batch_size=batch_size,
        local_steps=local_steps,
        local_epochs=local_epochs,
        optimizer=optimizer,
        loss=loss,
        details=TrainingDetails(schedule, max_grad_norm, proximal_mu, tuple(augmentations)),
        uploads=uploads,
        mode=mode,
        normalisation=normalisation,
        value_range=value_range,
        truth=None,
        public=public,
        defenses=(),
        attack=attack,
        evaluations=evaluations,
        rounds=(1,),
        clients=1,
        time_limit_s=time_limit_s,
        seed=seed,
    )
    folder = new_folder("ladder") if out is None else Path(out)
    return climb(
        plan,
        folder,
        own_public=public is not None,
        examples=2 * batch_size if examples is None else examples,
        time_limit_s=time_limit_s,
        map_limit_s=map_limit_s,
        tell=tell,
    )


def climb(
    plan: AuditPlan,
    folder: Path,
    *,
    own_public: bool,
    examples: int,
    time_limit_s: float = 60.0,
    map_limit_s: float = 0.0,
    tell: bool = False,
    notes: Sequence[str] = (),
) -> Climbed:
    """Climb the ladder of an audit's plan, and write record and page.

    Args:
        plan: the setting in use.
        folder: the folder, new or empty.
        own_public: whether the plan's public examples are the auditor's.
        examples: number of a client's examples.
        time_limit_s: time limit of all rungs, in seconds.
        map_limit_s: time limit of the map, in seconds; 0 for no map.
        tell: whether to write the estimated time and the progress to standard error.
        notes: further remarks for its readers.

    Raises:
        RunError: the folder is not empty or cannot be written, or there are too few examples.
    """
    from fedsim.engine.ladder.bench import bench_of  # noqa: PLC0415
    from fedsim.engine.ladder.climb import Effort, Ladder, Told, Watch  # noqa: PLC0415
    from fedsim.show.ladder.page import write_ladder  # noqa: PLC0415

    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: the folder is not empty: give --out a new one")
    if isinstance(plan.attack, dict) and plan.attack["name"] == DEFAULT:
        plan = replace(plan, attack={"evaluations": EVALUATIONS, **plan.attack})
    bench = bench_of(plan, own=own_public)
    effort = Effort(time_limit_s, map_limit_s)
    found = Ladder(bench, examples, effort, Told() if tell else Watch()).climb(folder)
    found = found.model_copy(update={"notes": (*notes, *found.notes)})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LADDER).write_text(found.model_dump_json(indent=1) + "\n", "utf-8")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None
    write_ladder(folder)
    return Climbed(folder)


def climb_request(request: Request, before: Path | None, folder: Path, limit_s: float) -> Climbed:
    """Climb the ladder of the options of ``fedsim audit``.

    Args:
        request: the options.
        before: file of the weights that were sent; None for those of a new model.
        folder: the folder, new or empty.
        limit_s: time limit of the rungs, and again of the map, in seconds.

    Raises:
        FedsimError: a file or an option is invalid.
    """
    from fedsim.core.environment import prepare  # noqa: PLC0415

    prepare()
    from fedsim.engine.audit.loading import load_tensors  # noqa: PLC0415  (loads torch)
    from fedsim.server.foreign import named_as  # noqa: PLC0415

    plan = request.plan(None, {}, None)
    if before is not None:
        state = plan.architecture.state_dict()
        own = named_as(load_tensors(before), {k: tuple(v.shape) for k, v in state.items()})
        plan.architecture.load_state_dict({**state, **own})
    return climb(
        plan,
        folder,
        own_public=request.public is not None,
        examples=2 * plan.batch_size,
        time_limit_s=limit_s,
        map_limit_s=limit_s,
        tell=True,
    )
