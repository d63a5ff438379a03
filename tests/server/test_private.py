"""What the adversary cannot know: nothing that it is given leads to private data."""

import gc
import inspect
import types
from collections.abc import Iterable

import torch
from flwr.app import ArrayRecord

from fedsim.clients.site import site_of
from fedsim.server.adversary import Adversary
from tests.fedsim.small import TWENTY_EVALUATIONS, small
from tests.server.stubs import Heard, Stub, adversary, uploads_of
from tests.server.wire import global_weights

SHARED_BY_ALL = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


def reachable(roots: Iterable[object]) -> list[object]:
    """Return all objects that these hold, themselves or through others.

    Classes, modules and functions lead to everything that the program has, so they are not
    followed: who calls into the program can read private data with or without an adversary.
    """
    found: dict[int, object] = {}
    todo = list(roots)
    while todo:
        thing = todo.pop()
        if id(thing) not in found and not isinstance(thing, SHARED_BY_ALL):
            found[id(thing)] = thing
            todo += gc.get_referents(thing)
    return list(found.values())


def test_nothing_that_the_adversary_is_given_leads_to_private_data() -> None:
    case = small(TWENTY_EVALUATIONS)
    site, heard = site_of(case.to_toml()), Heard()
    attacker = adversary(case, heard.listeners(), Stub())
    uploads = uploads_of(case)
    attacker.intercept(1, ArrayRecord(global_weights(case)), uploads)
    attacker.finish()
    private = [site.dataset.train, site.dataset.train.images, site.dataset.train.labels]
    private += [site, site.dataset, *site.partitions]
    attacks = [outcome.victim for outcome in heard.outcomes]
    held = {id(thing) for thing in reachable([attacker, uploads, attacks])}
    assert id(site.dataset.test) in held, "the search finds what is there"
    assert not [type(thing) for thing in private if id(thing) in held]


def test_no_tensor_of_the_adversary_equals_a_private_one() -> None:
    case = small(TWENTY_EVALUATIONS)
    site, heard = site_of(case.to_toml()), Heard()
    attacker = adversary(case, heard.listeners(), Stub())
    attacker.intercept(1, ArrayRecord(global_weights(case)), uploads_of(case))
    attacker.finish()
    batches = [site.batches(p, 1)[0][0] for p in range(3)]
    private = [image.flatten() for images in batches for image in images]
    things = reachable([attacker, [o.victim for o in heard.outcomes]])
    tensors = [t for t in things if isinstance(t, torch.Tensor) and t.numel()]
    assert len(tensors) > 10
    for tensor in tensors:
        if tensor.numel() % len(private[0]):
            continue
        rows = tensor.detach().reshape(-1, len(private[0])).float()
        for image in private:
            assert not bool((rows == image).all(1).any())
            assert not bool((rows == (255 * image).round()).all(1).any())


def test_no_parameter_of_the_adversary_is_meant_for_private_data() -> None:
    parameters = set(inspect.signature(Adversary.__init__).parameters) - {"self"}
    told = {"scenario", "plan", "architecture", "public", "listeners", "device"}
    told |= {"threads", "at_once", "in_turns"}  # of its attacks
    told |= {"assumed", "control_apart"}  # loss and normalisation; a time limit of the control
    told |= {"finished"}  # names of victims that it attacked before
    told |= {"solver"}  # where its attacks are computed
    assert parameters == told | {"sizes"}  # numbers of examples, which clients report
    assert set(inspect.signature(Adversary.intercept).parameters) - {"self"} == {
        "server_round",
        "arrays",
        "uploads",
    }
