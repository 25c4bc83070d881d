"""What is minimised: a scalar from the logits of the answer tokens of one forward. One file per objective."""

from paft.training.objectives.cross_entropy import CrossEntropy
from paft.training.objectives.objective import Objective, StepRows
from paft.training.objectives.registry import OBJECTIVES, loss_of, make_objective

__all__ = ["OBJECTIVES", "CrossEntropy", "Objective", "StepRows", "loss_of", "make_objective"]
