"""describe: the facts on an entry's card about its task, data, networks and the paper."""

import keras

from keras_hypernet.common.versions import today, versions
from keras_hypernet.layers import HyperLayer
from keras_hypernet.models import ConditionalModel, ConditionalNeuralProcess, EmbeddingMethod, Hypernetwork
from keras_hypernet.training.loop import evaluate
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
# The field of the recipe that is a size of only one method, and its noun.
_SIZES = {"hyper": ("rank", "width of f's last hidden layer"), "embed": _EMBEDDING, "process": _EMBEDDING}


def describe_model(model, name, task, recipe, seed, **options):
    """Returns all fields of a `Card` except `command` and those that `save_entry` determines; the recipe may be None.

    The model is evaluated on the validation and test splits. Further arguments are those of `describe`.
    """
    method = _method_of(model)
    described = describe(name, method, task, recipe, **{"architecture": _layers_of(model), **options})
    if method == "network":
        described["description"] = f"{task.purpose}: a Keras model."
    metrics = {split: evaluate(model, task, split) for split in ("validation", "test")}
    run = run_of_card(seed, recipe, **{split: metrics[split][task.metric] for split in metrics})
    if recipe is None:
        described["provenance"] = {"text": [], "code": [], "ours": ["The model and its training."]}
        run["learning_rate"] = float(model.optimizer.learning_rate)
    facts = {"seed": seed, "metrics": metrics, "seeds": [run], "versions": versions(), "date": today()}
    return {**described, **facts, "selection": "one training; of how many, is not stated"}


def run_of_card(seed, recipe, validation, test, seconds=None, diverged=None):
    """Returns a run as `Card.seeds` has it; the recipe may be None."""
    rates = {name: getattr(recipe, name, None) for name in ("learning_rate", "gradient_clipnorm")}
    return {"seed": seed, **rates, "validation": validation, "test": test, "seconds": seconds, "diverged": diverged}


def _method_of(model):
    if isinstance(model, ConditionalNeuralProcess):
        return "process"
    if isinstance(model, EmbeddingMethod):
        return "embed"
    return "hyper" if isinstance(model, Hypernetwork) or _has_hyper_layers(model) else "network"


def _has_hyper_layers(layer):
    return isinstance(layer, HyperLayer) or any(map(_has_hyper_layers, getattr(layer, "layers", ())))


def _layers_of(model):
    parts = {"network": model.layers}
    if isinstance(model, ConditionalModel):
        encoder = getattr(model.encoder, "layers", [model.encoder])
        parts = {model.encoder_name: encoder, "primary": model.network.layers}
    return {
        part: " -> ".join(_layer_text(layer) for layer in layers if not isinstance(layer, keras.layers.InputLayer))
        for part, layers in parts.items()
    }


def _layer_text(layer):
    size = getattr(layer, "units", None) or getattr(layer, "filters", None)
    return f"{type(layer).__name__}({size})" if size else type(layer).__name__


def describe(name, method, task, recipe, changes=None, data_note=None, other_runs=None, architecture=None):
    """Returns the fields of a `Card` that follow from a training, as a dict; the recipe may be None.

    The method is one of `build_model`, or `"target"`, the network that a task approximates. `changes` names the fields
    of the recipe that differ from the experiment's; by default, all that differ from the paper's. `architecture` has
    the layers of each part; by default, those of `build_model`. `Card` describes the other arguments.
    """
    if method in task.methods and architecture is None:
        architecture = _layers_of(task.make_model(method, recipe)[0])
    trained, data = method != "target" and recipe is not None, task.data_facts()
    paper = paper_recipe(task) if task.paper_recipe else recipe
    if changes is None and recipe is not None:
        changes = [field for field, value in recipe.to_dict().items() if value != getattr(paper, field)]
    return {
        "name": name,
        "description": f"{task.purpose}: {task.methods.get(method) or _BY[method]}.",
        "task": task.config(),
        "data": {**data, "note": data_note or data["note"], "test_sha256": task.fingerprint()},
        "method": method,
        "architecture": architecture or describe_architecture(task, method, recipe),
        "recipe": recipe.to_dict() if trained else {},
        "provenance": _provenance(method, task, recipe, changes),
        "deviations": _deviations(task, recipe, paper, changes, other_runs) if trained else [],
        "limits": list(task.limits),
    }


def _provenance(method, task, recipe, changes):
    facts = task.target_provenance if method == "target" else task.provenance
    facts = {mark: list(facts.get(mark, ())) for mark in ("text", "code", "ours", *facts)}
    if method != "target" and task.held_out:
        facts["ours"].append(task.held_out)
    field, noun = (None, None) if method in task.methods else _SIZES.get(method, (None, None))
    if size := field and recipe and getattr(recipe, field):
        mark = "ours" if field in changes else task.paper_sizes.get(field, "ours")
        facts[mark].append(f"The {noun}, {size:,}.")
    return facts


def _deviations(task, recipe, paper, changes, other_runs):
    deviations = list(task.deviations)
    # Fields that the experiment varies or fixes are not deviations.
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
