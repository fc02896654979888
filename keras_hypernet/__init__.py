"""Hypernetworks for Keras: layers, models and a pretrained zoo."""

import gc

_collects = gc.isenabled()
gc.disable()  # garbage collections during the imports find nothing, and take time
try:
    from keras_hypernet import bases, continual, layers, serving, theory, tuning
    from keras_hypernet._version import __version__
    from keras_hypernet.bases import initializers
    from keras_hypernet.models import ConditionalNeuralProcess, EmbeddingMethod, Hypernetwork, hypernetize, specialize
    from keras_hypernet.serving.export import export
    from keras_hypernet.tasks import ArrayTask, RotationTask, Task
    from keras_hypernet.training.checkpoints import TrainingDivergedError
    from keras_hypernet.training.loop import evaluate, fit
    from keras_hypernet.training.recipe import Recipe, paper_recipe
    from keras_hypernet.zoo.architectures import build_model
    from keras_hypernet.zoo.card import Card, EntryError
    from keras_hypernet.zoo.store import list_entries, load, push, save_entry, verify_entry
finally:
    if _collects:
        gc.enable()

__all__ = [
    "ArrayTask",
    "Card",
    "ConditionalNeuralProcess",
    "EmbeddingMethod",
    "EntryError",
    "Hypernetwork",
    "Recipe",
    "RotationTask",
    "Task",
    "TrainingDivergedError",
    "__version__",
    "bases",
    "build_model",
    "continual",
    "evaluate",
    "export",
    "fit",
    "hypernetize",
    "initializers",
    "layers",
    "list_entries",
    "load",
    "paper_recipe",
    "push",
    "save_entry",
    "serving",
    "specialize",
    "theory",
    "tuning",
    "verify_entry",
]
