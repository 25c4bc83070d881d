"""The objectives by name, and their losses, checked."""

import torch

from paft.errors import WorkError
from paft.training.objectives.objective import Objective, StepRows
from paft.utils.plugins import Part, Registry, make_part, user_code

OBJECTIVES = Registry(
    "objective",
    {
        "cross-entropy": "paft.training.objectives.cross_entropy:CrossEntropy",
        "consistency": "paft.training.objectives.consistency:Consistency",
        "calibration": "paft.training.objectives.calibration:Calibration",
    },
)


def make_objective(setting: Part, key: str = "training.objective") -> Objective:
    """Return the objective of a setting.

    Args:
        setting: a name, ``module:name``, a mapping with ``name`` and further settings, or a class.
        key: the config key of the setting, for messages.

    Raises:
        UserError: there is no such objective, it is no :class:`Objective`, or it refuses a setting.
    """
    return make_part(OBJECTIVES, setting, key, Objective)  # type: ignore[type-abstract]


def loss_of(objective: Objective, rows: StepRows) -> torch.Tensor:
    """Return the objective's loss.

    Raises:
        WorkError: the objective's code fails, or returns anything but a scalar tensor.
    """
    name = f"the objective {type(objective).__name__}"
    with user_code(name):
        loss = objective.loss(rows)
    if not isinstance(loss, torch.Tensor) or loss.ndim:
        shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else ""
        raise WorkError(f"{name} returned a {type(loss).__name__}{shape}; loss() returns a scalar tensor")
    return loss
