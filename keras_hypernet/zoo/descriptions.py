"""describe: the facts on an entry's card about its task, data, networks and the paper."""

from keras_hypernet.tasks import is_of_package
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.architectures import describe_architecture

_BY = {
    "hyper": "a hypernetwork",
    "embed": "the embedding method",
    "process": "a conditional neural process",
    "network": "a network of one hidden layer",
    "target": "that network itself",
}
_EMBEDDING = ("embedding_dim", "embedding dimension")
# The field of the recipe that is a size of a method's own, and its noun.
_SIZES = {"hyper": ("rank", "width of f's last hidden layer"), "embed": _EMBEDDING, "process": _EMBEDDING}


def describe(name, method, task, recipe, changes=None, data_note=None, other_runs=None):
    """Returns the fields of a `Card` that follow from a training, as a dict.

    Args:
        name: Name of the entry.
        method: As of `build_model`; or `"target"`, the network that a task approximates.
        task, recipe: Task and recipe of the training.
        changes: Names of the fields of the recipe that differ from the experiment's; by default all that differ from
            the paper's.
        data_note: A note on an unusual copy of the data set.
        other_runs: Runs by another recipe; see `Card`.
    """
    trained, data = method != "target", task.data_facts()
    paper = paper_recipe(task) if is_of_package(task) and task.paper_recipe else recipe
    if changes is None:
        changes = [field for field, value in recipe.to_dict().items() if value != getattr(paper, field)]
    return {
        "name": name,
        "description": f"{task.purpose}: {_BY[method]}.",
        "task": task.config(),
        "data": {**data, "note": data_note or data["note"], "test_sha256": task.fingerprint()},
        "method": method,
        "architecture": describe_architecture(task, method, recipe),
        "recipe": recipe.to_dict() if trained else {},
        "provenance": _provenance(method, task, recipe, changes),
        "deviations": _deviations(task, recipe, paper, changes, other_runs) if trained else [],
        "limits": list(task.limits),
    }


def _provenance(method, task, recipe, changes):
    facts = task.target_provenance if method == "target" else task.provenance
    facts = {mark: list(sentences) for mark, sentences in facts.items()}
    if method != "target" and task.held_out:
        facts["ours"].append(task.held_out)
    field, noun = _SIZES.get(method, (None, None))
    if size := field and getattr(recipe, field):
        mark = "ours" if field in changes else task.paper_sizes.get(field, "ours")
        facts[mark].append(f"The {noun}, {size:,}.")
    return facts


def _deviations(task, recipe, paper, changes, other_runs):
    deviations = list(task.deviations)
    # Fields that the experiment varies or fixes are no deviations.
    usual = {"seed", "depth"} | ({"rank", "embedding_dim", "initialization"} - set(changes))
    for name, value in recipe.to_dict().items():
        if name not in usual and value != getattr(paper, name):
            deviations.append(f"{name} is {value}; the paper's is {getattr(paper, name)}.")
    if other_runs:
        diverged = sum(run["diverged"] is not None for run in other_runs["runs"])
        deviations.append(
            f"Of {len(other_runs['runs'])} runs by the recipe of other_runs, for comparison, {diverged} diverged."
        )
    return deviations
