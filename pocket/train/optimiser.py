"""The optimiser: orthogonalised momentum for matrices and kernels, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_QUINTIC = (3.4445, -4.7750, 2.0315)
_MATCHED = 0.2  # makes an update as large as one of AdamW with the same rate (2502.16982, section 2.2)


class Muon(torch.optim.Optimizer):
    """Momentum whose singular values are all made one (Jordan et al. 2024, "Muon"); kernels count as `out x rest`.

    Rows and columns whose gradient is always zero stay as they are.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step; matrices of one shape are worked on together."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                matrix = self._pushed(parameter, group["momentum"])
                alike[tuple(matrix.shape)].append((parameter, matrix))
            for (rows, columns), found in alike.items():
                updates = orthogonalised(torch.stack([matrix for _, matrix in found]))
                rate = group["lr"] * _MATCHED * max(rows, columns) ** 0.5
                for (parameter, _), update in zip(found, updates, strict=True):
                    parameter.sub_(update.view(parameter.shape), alpha=rate)

    def _pushed(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum with the gradient taken in, as a matrix."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        kept = state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return torch.lerp(parameter.grad, kept, momentum).reshape(len(parameter), -1)


def orthogonalised(matrices: Tensor, rounds: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices, nearly, by a quintic Newton-Schulz iteration: `n r c -> n r c`.

    The rounds are made with the small products `x x^T` alone, which is a third of the work for long rows.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-12)
    a, b, c = _QUINTIC
    square = x @ x.mT
    one = torch.eye(square.shape[-1], dtype=x.dtype, device=x.device)
    whole = one.expand_as(square)
    for _ in range(rounds):
        factor = a * one + b * square + c * square @ square
        whole, square = factor @ whole, factor @ square @ factor
    x = whole @ x
    return x.mT if tall else x


class Both:
    """The two optimisers as one."""

    def __init__(self, module: nn.Module, rate: float) -> None:
        wanted = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
        matrices = [value for name, value in wanted if _is_matrix(name, value)]
        others = [value for name, value in wanted if not _is_matrix(name, value)]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(Muon(matrices, rate))
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.99), weight_decay=0.0))

    def step(self, rate: float) -> None:
        """One step at this learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """What a resumed run needs."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Goes on from `state_dict`."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def _is_matrix(name: str, value: Tensor) -> bool:
    """Tables of embeddings are rows of their own, and first and last layers have few; they go the ordinary way."""
    return value.dim() >= 2 and "embedding" not in name and min(len(value), value[0].numel()) > 16
