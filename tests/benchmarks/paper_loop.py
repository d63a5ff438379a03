"""The peer: the attack loop of the DLG paper, one victim at a time."""

import torch
from torch import Tensor, nn

from fedsim.attacks import Observation

INNER_ITERATIONS = 20


def plain_dlg(
    model: nn.Module,
    seen: Observation,
    *,
    classes: int,
    outer_iterations: int,
    tolerance: float,
    seed: int,
) -> Tensor:
    """Run the loop of Zhu, Liu, Han 2019, algorithm 1, as their code has it.

    ``torch.optim.LBFGS`` with a learning rate of 1, a history of 100, 20 inner iterations and no
    line search, from N(0, 1) dummies (https://github.com/mit-han-lab/dlg). What is added is the
    end: at the relative objective ``tolerance``, or when the objective is no longer a number.

    Returns:
        The dummy data ``(batch_size, *input_shape)`` on the model's device; may hold NaN.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    data = torch.randn(seen.batch_size, *seen.input_shape, generator=generator)
    logits = torch.randn(seen.batch_size, classes, generator=generator)
    data, logits = (t.to(device).requires_grad_() for t in (data, logits))
    shared = [seen.gradient[name].to(device) for name, _ in model.named_parameters()]
    scale = float(sum(g.square().sum() for g in shared))
    optimizer = torch.optim.LBFGS([data, logits], lr=1, history_size=100, max_iter=INNER_ITERATIONS)

    def closure() -> Tensor:
        optimizer.zero_grad()
        log_probabilities = nn.functional.log_softmax(model(data), dim=-1)
        loss = -(torch.softmax(logits, dim=-1) * log_probabilities).sum(-1).mean()
        dummy = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        pairs = zip(dummy, shared, strict=True)
        distance = torch.stack([(ours - theirs).square().sum() for ours, theirs in pairs]).sum()
        distance.backward(inputs=[data, logits])
        return distance

    for _ in range(outer_iterations):
        before = float(optimizer.step(closure).detach()) / scale
        if not tolerance < before < float("inf"):
            break
    return data.detach()
