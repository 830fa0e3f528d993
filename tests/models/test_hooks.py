"""The residual stream is changed after the layer asked for, whatever a block returns beside it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from toprope.errors import UserError
from toprope.models.hooks import changed


class Block(nn.Module):
    """Adds one; gives its state alone, or with something beside it as some architectures do."""

    def __init__(self, beside: bool) -> None:
        super().__init__()
        self.beside = beside

    def forward(self, state):
        return (state + 1, "weights") if self.beside else state + 1


@pytest.mark.parametrize("beside", [False, True])
def test_a_layers_state_is_changed_while_the_context_is_open(beside):
    blocks = nn.ModuleList([Block(beside) for _ in range(3)])

    def run():
        state = torch.zeros(1, 2, 4)
        for block in blocks:
            state = block(state)
            if beside:
                state, kept = state
                assert kept == "weights"
        return state.flatten().tolist()

    model = SimpleNamespace(name="three", n_layers=3, blocks=blocks)
    with changed(model, 2, lambda state: 10 * state):  # type: ignore[arg-type]
        assert run() == [21.0] * 8
    assert run() == [3.0] * 8
    with (
        pytest.raises(UserError, match="'three' can be changed at layers 1 to 3, not at 4"),
        changed(model, 4, torch.zeros_like),  # type: ignore[arg-type]
    ):
        pass
