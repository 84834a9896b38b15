"""The losses: of an answer's tokens, and of a choice from a menu; what texts share is computed
once.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from valueagents.policies.engines.transformers.forward import Forward
from valueagents.policies.engines.transformers.prefix import Prefix, common_length
from valueagents.policies.training.loop import Loss
from valueagents.policies.training.menu_rows import MenuExample
from valueagents.policies.training.rows import Example

if TYPE_CHECKING:
    import torch


def answer_loss(model: Any, device: str, rows: Sequence[Example]) -> "torch.Tensor":
    """The sum of -log p over the answers' tokens.

    The model sees the answer up to its last token; logits exist for the answer's places alone, so
    no token of a question can enter the loss.
    """
    sequences = [row.prompt + row.answer[:-1] for row in rows]
    shared = min(common_length(sequences), *(len(row.prompt) - 1 for row in rows))
    if shared < 1 and len(rows) > 1:  # nothing for padding to attend to: one at a time needs none
        return _added([answer_loss(model, device, [row]) for row in rows])
    prefix = Prefix(Forward(model, device), [()], [])
    if shared:
        prefix = prefix.read([0], [sequences[0][:shared]])
    tails, keep = (
        [sequence[shared:] for sequence in sequences],
        max(len(row.answer) for row in rows),
    )
    _, logits = prefix.predict([0] * len(rows), tails, keep=keep)  # (rows, keep, vocabulary)
    logprobs = logits.float().log_softmax(dim=-1)
    answers = [logprobs.new_tensor(row.answer).long() for row in rows]
    losses = [
        -logprobs[r, -len(answer) :].gather(1, answer[:, None]).sum()
        for r, answer in enumerate(answers)
    ]
    return _added(losses)


def menu_loss(beta: float) -> Loss[MenuExample]:
    """The loss of menus: -log of the probability of a wanted option, summed over menus.

    P(option) is the softmax over the menu of `beta` times the mean log-probability of the option's
    tokens – the reading *likelihood*, normaliser `token`, made sharper. With one wanted and one
    other option this is the reference-free preference loss of SimPO (Meng, Xia & Chen 2024,
    arXiv 2405.14734) without its margin, with more of them the first choice of Plackett and Luce.
    """
    return partial(_menu_loss, beta=beta)


def _menu_loss(
    model: Any, device: str, rows: Sequence[MenuExample], *, beta: float
) -> "torch.Tensor":
    losses = []
    for row, utilities in zip(rows, _mean_logprobs(model, device, rows), strict=True):
        logprobs = (beta * utilities).log_softmax(dim=0)  # (options,)
        losses.append(-logprobs[list(row.wanted)].logsumexp(dim=0))
    return _added(losses)


def _mean_logprobs(model: Any, device: str, rows: Sequence[MenuExample]) -> "list[torch.Tensor]":
    """For each menu the mean log-probability of a token of each option, (options,).

    Questions are read up to their last token, then every option goes on from its own.
    """
    import torch

    prefix = Prefix(Forward(model, device), [()], [])
    prefix = prefix.read([0] * len(rows), [row.prompt[:-1] for row in rows])
    owners = [r for r, row in enumerate(rows) for _ in row.options]
    options = [option for row in rows for option in row.options]
    tails = [(rows[r].prompt[-1], *option[:-1]) for r, option in zip(owners, options, strict=True)]
    keep = max(map(len, options))
    _, logits = prefix.predict(owners, tails, keep=keep)  # (options of all rows, keep, vocabulary)
    logprobs = logits.float().log_softmax(dim=-1)
    means = []
    for k, option in enumerate(options):
        tokens = logprobs.new_tensor(option).long()
        means.append(logprobs[k, -len(option) :].gather(1, tokens[:, None]).mean())
    return list(torch.stack(means).split([len(row.options) for row in rows]))


def _added(losses: "Sequence[torch.Tensor]") -> "torch.Tensor":
    return sum(losses[1:], losses[0])
