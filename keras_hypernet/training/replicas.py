"""Batches for the replicas of a `tf.distribute` strategy."""

_EVALUATED_EXAMPLES = 100  # per replica and step


def evaluation_dataset(model, task, split):
    """Returns a split in batches; for several replicas, the first batch is divided evenly."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return task.evaluation_dataset(split)
    number = task.num_examples(split)
    if number < replicas:
        raise ValueError(
            f"The {split} split must have an example for each of {replicas} replicas. Received: {number} examples"
        )
    # Keras averages the first parts of all replicas to build the model, so these parts must have one shape.
    return task.evaluation_dataset(split, batch_size=replicas * min(_EVALUATED_EXAMPLES, number // replicas))


def prepare_replicas(model, task, recipe, replicas, number):
    """Builds the model on real inputs, because Keras would build it on a float32 average, even of uint8 pixels."""
    if recipe.batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of {replicas}, the number of replicas. Received: {recipe.batch_size}"
        )
    if number < recipe.batch_size and number % replicas:
        raise ValueError(f"A single batch must divide evenly among {replicas} replicas. Received: {number} examples")
    model.test_on_batch(*next(iter(task.evaluation_dataset("validation", batch_size=replicas))))
    model.reset_metrics()
