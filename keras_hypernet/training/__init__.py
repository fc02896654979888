"""One training: the recipe, fit and evaluate, checkpoints."""

from keras_hypernet.training.checkpoints import TrainingDivergedError
from keras_hypernet.training.loop import evaluate, fit
from keras_hypernet.training.recipe import Recipe, paper_recipe

__all__ = ["Recipe", "TrainingDivergedError", "evaluate", "fit", "paper_recipe"]
