"""Batches that the replicas of a `tf.distribute` strategy can share."""

# Evaluated at once by each replica.
_EXAMPLES_OF_A_REPLICA = 100


def evaluation_dataset(model, task, split):
    """A split in batches; for several replicas in such that the first can be divided evenly."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    if replicas == 1:
        return task.evaluation_dataset(split)
    number = task.num_examples(split)
    if number < replicas:
        raise ValueError(
            f"The {split} split must have an example for each of {replicas} replicas. Received: {number} examples"
        )
    # Keras takes the mean of the replicas' first parts, to build what is built already, so they must have one shape.
    return task.evaluation_dataset(split, batch_size=replicas * min(_EXAMPLES_OF_A_REPLICA, number // replicas))


def prepare_replicas(model, task, recipe, replicas, number):
    """Builds what Keras would build of the mean over the replicas' first batches, which is float32 even for pixels."""
    if recipe.batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of {replicas}, the number of replicas. Received: {recipe.batch_size}"
        )
    if number < recipe.batch_size and number % replicas:
        raise ValueError(
            f"A training of one batch must be of a multiple of {replicas}, the number of replicas. Received: {number} "
            "examples"
        )
    inputs, targets = next(iter(task.evaluation_dataset("validation", batch_size=replicas)))
    model.test_on_batch(inputs, targets)
    model.reset_metrics()
