"""TaskEmbedding: a condition from the index of a task."""

from typing import Any

import keras

from keras_hypernet.bases.full import positive


@keras.saving.register_keras_serializable(package="keras_hypernet")
class TaskEmbedding(keras.layers.Embedding):
    """A trained vector for each task, whose entries have a second moment of one at initialization.

    `keras.layers.Embedding` starts with entries of at most 0.05. Generated weights are proportional to the condition,
    so with such an embedding their variance starts a thousand times too small, and they hardly learn.

    Call arguments:
        task_id: int32 tensor `[B]`, of `0` to `num_tasks - 1`.

    Returns:
        A tensor `[B, dim]` of the compute dtype: the condition of a hyper layer, or the input of a generator.

    Args:
        num_tasks: Number of tasks, a positive integer.
        dim: Dimension of the vectors, a positive integer.
        seed: An integer for reproducible initial vectors, or None.
        **kwargs: `name`, `dtype`, `trainable`, `embeddings_regularizer`, `embeddings_constraint`.

    Raises:
        ValueError: If `num_tasks` or `dim` is not a positive integer.

    Example:

    >>> model = keras_hypernet.Hypernetwork(TaskEmbedding(10, dim=8), [keras_hypernet.layers.HyperDense(3)])
    >>> model({"x": keras.ops.ones((2, 5)), "condition": keras.ops.array([0, 9])}).shape
    TensorShape([2, 3])

    Reference: von Oswald et al., "Continual Learning with Hypernetworks", ICLR 2020.
    """

    def __init__(self, num_tasks: int, dim: int, seed: int | None = None, **kwargs: Any) -> None:
        vectors = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
        super().__init__(
            positive("num_tasks", num_tasks), positive("dim", dim), embeddings_initializer=vectors, **kwargs
        )
        self.num_tasks, self.dim, self.seed = num_tasks, dim, seed

    def get_config(self):
        config = super().get_config()
        for name in ("input_dim", "output_dim", "embeddings_initializer"):
            config.pop(name)
        return {**config, "num_tasks": self.num_tasks, "dim": self.dim, "seed": self.seed}
