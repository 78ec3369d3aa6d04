"""The networks. Only this module and those of the training import Torch at the top."""

from typing import Final

import torch
from torch import Tensor, nn

from trainyard_trainer.frameworks.torch import rows as torch_rows
from trainyard_trainer.frameworks.torch import windows as torch_windows

_NORMAL_SPREAD: Final = 0.1
"""Minimum scale of a window, as a share of the series' standard deviation.

So a nearly constant window is not amplified.
"""

_STEP_WIDTH: Final = 4
"""Number of values to which the known features of one step are projected."""

_LARGEST_EMBEDDING: Final = 32


class TabularNetwork(nn.Module):
    """A network of numbers and embedded codes with hidden layers.

    It returns standardized numbers, or one logit per class.
    """

    def __init__(self, description: torch_rows.Description) -> None:
        super().__init__()
        sizes = [len(values) + 1 for values in description.categories.values()]
        widths = [min(_LARGEST_EMBEDDING, round(1.6 * size**0.56)) for size in sizes]
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True))
        self.has_numbers = description.width > 0
        width = description.width + sum(widths)
        layers: list[nn.Module] = []
        for hidden in description.hidden:
            layers += [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(description.dropout)]
            width = hidden
        self.body = nn.Sequential(*layers, nn.Linear(width, max(1, len(description.classes))))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the outputs. The inputs are the tensors of ``torch_rows.tensors_of`` in their order."""
        parts = [inputs[0]] if self.has_numbers else []
        parts += [embed(inputs[-1][:, index]) for index, embed in enumerate(self.embeddings)]
        found: Tensor = self.body(torch.cat(parts, dim=1))
        return found


class ForecastNetwork(nn.Module):
    """A linear map of the window, plus hidden layers for the effects of calendar and regressors.

    Each window is centered and scaled separately, and the forecast is scaled back. So a drift of the level does no
    harm.
    """

    def __init__(self, description: torch_windows.Description) -> None:
        super().__init__()
        length, horizon = description.length, description.horizon
        regressors = len(description.regressor_scales)
        known = description.calendar.columns + regressors
        self.regular = nn.Linear(length, horizon)
        nn.init.constant_(self.regular.weight, 1 / length)
        nn.init.zeros_(self.regular.bias)
        self.direct = nn.Linear(known, 1)
        self.future = nn.Linear(known, _STEP_WIDTH)
        self.past = nn.Linear(regressors, _STEP_WIDTH) if regressors else None
        width = length + horizon * _STEP_WIDTH + (length * _STEP_WIDTH if regressors else 0)
        layers: list[nn.Module] = []
        for hidden in description.hidden:
            layers += [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(description.dropout)]
            width = hidden
        last = nn.Linear(width, horizon)
        # Training starts with only the linear map, which is already a good forecast.
        for parameter in (*last.parameters(), *self.direct.parameters()):
            nn.init.zeros_(parameter)
        self.rest = nn.Sequential(*layers, last)

    def forward(self, window: Tensor, future: Tensor, past: Tensor | None = None) -> Tensor:
        """Return forecasts of shape (rows, horizon). The inputs are the tensors of ``torch_windows.tensors_of``."""
        centre = window.mean(dim=1, keepdim=True)
        spread = torch.sqrt(((window - centre) ** 2).mean(dim=1, keepdim=True) + _NORMAL_SPREAD**2)
        moved = (window - centre) / spread
        parts = [moved, torch.tanh(self.future(future)).flatten(1)]
        if self.past is not None and past is not None:
            parts.append(torch.tanh(self.past(past)).flatten(1))
        forecast = self.regular(moved) + self.direct(future).squeeze(2) + self.rest(torch.cat(parts, dim=1))
        found: Tensor = forecast * spread + centre
        return found
