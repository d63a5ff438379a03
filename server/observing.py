"""Observations of uploads, within the server's threat model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from fedsim.attacks import Assumptions, LocalTraining, Observation
from fedsim.attacks.batch_norm import uploaded_statistics
from fedsim.core.errors import UploadError
from fedsim.data import Examples
from fedsim.scenario import Federation
from fedsim.server.local_training import of_unequal, training_of
from fedsim.server.uploads import Sum, Upload


def examples_of(total: Sum) -> list[int]:
    """Return the number of examples of each client of a sum, as it reported it."""
    return [int(u.metrics["num-examples"]) for u in total.uploads if u.problem is None]


@dataclass(frozen=True, eq=False)
class Observing:
    """Creates observations of a federation's uploads.

    Attributes:
        federation: batch size, local steps and type of uploads.
        architecture: the model, with any weights.
        public: public examples with the clients' shape.
        learning_rate: the clients' learning rate as assumed by the server.
        assumed: the clients' loss and normalisation as assumed by the server.
        server_round: the round of the uploads.
    """

    federation: Federation
    architecture: nn.Module
    public: Examples
    learning_rate: float
    assumed: Assumptions = field(default_factory=Assumptions)
    server_round: int = 1

    def unit(self, examples: int) -> float:
        """Return the units of an observation's gradient per unit of an upload.

        Args:
            examples: size of the client's data.

        Raises:
            UploadError: attacks cannot follow the clients' optimiser.
        """
        if self.federation.upload == "gradient":
            return 1.0
        return self._training(examples).unit

    def observe(self, upload: Upload | Sum, weights: Mapping[str, Tensor]) -> Observation:
        """Return the observation of an upload, or of a sum of uploads.

        Args:
            upload: a usable upload.
            weights: weights of the global model that the clients received, by name.

        Raises:
            FedsimError: the upload does not fit the federation.
        """
        # The mean of clients' mean gradients is that of all their examples as one batch.
        size = self.federation.batch_size * len(upload.partitions)
        apart = upload.rounding
        names = [k for k, p in self.architecture.named_parameters() if p.requires_grad]
        arrays = {k: upload.arrays[k].to(weights[k].dtype) for k in names}
        different = self._different(upload, size)
        shape, lengths = self._shape_of(upload, different)
        statistics = self._statistics(upload, weights, shape)
        if self.federation.upload == "gradient":
            step = apart * self.federation.aggregation.resolution
            observed = Observation(arrays, shape, size, resolution=step)
            return self._completed(observed, lengths, statistics)
        training = self._training(different, len(upload.partitions))
        if isinstance(upload, Sum):
            training = of_unequal(training, self.federation, examples_of(upload))
        before = {k: weights[k] for k in names}
        observed = Observation.from_training(
            before, arrays, training, input_shape=shape, examples=different
        )
        step = apart * training.unit * self.federation.aggregation.resolution
        if observed.training is not None:
            statistics = None
        return self._completed(replace(observed, resolution=step), lengths, statistics)

    def _training(self, examples: int, clients: int = 1) -> LocalTraining:
        return training_of(
            self.federation,
            self.learning_rate,
            examples,
            clients,
            server_round=self.server_round,
        )

    def _completed(
        self,
        observed: Observation,
        lengths: tuple[int, ...] | None,
        statistics: Mapping[str, Tensor] | None,
    ) -> Observation:
        """Return an observation with its assumptions and all else that is visible."""
        loss, normalisation = self.assumed.loss, self.assumed.normalisation
        seen = replace(observed, lengths=lengths, statistics=statistics)
        return replace(seen, loss=loss, normalisation=normalisation)

    def _different(self, upload: Upload | Sum, size: int) -> int:
        """Return the number of different examples behind an upload, as reported.

        As in FedAvg, clients report the number of examples that they trained on, which weighs
        their uploads. Steps that exceed it use examples again.

        Args:
            upload: the upload.
            size: examples per local step.

        Raises:
            UploadError: one step uses more examples than that.
        """
        taken = size * self.federation.local_steps
        if self.federation.upload == "gradient":
            return taken
        said = upload.examples if isinstance(upload, Sum) else upload.metrics["num-examples"]
        if self.federation.local_epochs is not None:
            if said < 1 or said != int(said):
                raise UploadError(f"num-examples is {said}: expected a whole number, at least 1")
            return int(said)
        if said < size or said != int(said):
            raise UploadError(f"num-examples is {said}: expected at least a batch of {size}")
        return min(int(said), taken)

    def _statistics(
        self, upload: Upload | Sum, weights: Mapping[str, Tensor], shape: tuple[int, ...]
    ) -> Mapping[str, Tensor] | None:
        """Return the BatchNorm statistics of the upload's batch, if its buffers give them."""
        if not self.reads_statistics:
            return None
        return uploaded_statistics(
            self.architecture,
            weights,
            upload.arrays,
            input_shape=shape,
            batch_size=self.federation.batch_size,
        )

    @property
    def reads_statistics(self) -> bool:
        """Whether the buffers of one batch are visible: one step, and no sum of several clients."""
        hides: bool = self.federation.aggregation.hides
        return self.federation.takes_one_step and not hides

    def _shape_of(
        self, upload: Upload | Sum, examples: int
    ) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Return the shape of the examples behind an upload, and their lengths if they differ."""
        if self.public.ragged and len(upload.lengths) != examples:
            raise UploadError(
                f"the client reported the lengths of {len(upload.lengths)} examples: "
                f"expected {examples}"
            )
        lengths = upload.lengths if self.public.ragged else None
        return self.public.example_shape(upload.lengths), lengths
