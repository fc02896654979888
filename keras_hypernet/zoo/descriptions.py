"""describe: the facts on an entry's card about its task, data, networks and the paper."""

import dataclasses

from keras_hypernet.data.sources import SOURCES
from keras_hypernet.training.recipe import paper_recipe
from keras_hypernet.zoo.architectures import HIDDEN_UNITS, embedding_dim_of, flat_size

_DOES = {
    "rotation": "Tells by which multiple of 30 degrees an image was rotated, given the image",
    "rotation_set": "Tells by which multiple of 30 degrees an image was rotated, given a set of images of its class",
    "colorization": "Tells the colours of an image from the places of pixels, given the image in grey",
    "synthetic": "Approximates y(x, I), a random network of x and I",
    "approximation": "Approximates y(x), a random convolutional network",
    "classification": "Tells the class of an image",
}
_BY = {
    "hyper": "a hypernetwork",
    "embed": "the embedding method",
    "process": "a conditional neural process",
    "network": "a network of one hidden layer",
    "target": "that network itself",
}
_INITIALIZATION = "Initialization uniform with variance 1 / (3 fan_in)."
_PIXELS = "Pixels scaled as (v / 255 - 0.1307) / 0.3081 on any data."
_TARGET = "The target: convolutions of 20 and 50 channels, kernels of 10 x 10, stride 2, ReLU, and a dense layer."
_TARGET_WEIGHTS = "The target's weights are uniform with variance 1 / (3 fan_in)."

# The facts that the paper's text fixes, its authors' published code, and this project.
_PROVENANCE = {
    "rotation": {
        "text": [
            "Widths of f, e, g and q; SGD with learning rate 0.01, 10 epochs, no regularization.",
            "Twelve classes, the closest of 30 i degrees by |angle - 30 i|, which does not wrap around.",
        ],
        "code": [
            "Nearest-neighbour rotation with zeros outside; pixels scaled as (v / 255 - 0.1307) / 0.3081 on any data.",
            "No biases in g, biases in q; ReLU in g and q on MNIST, ELU on CIFAR-10; batch size 64.",
            _INITIALIZATION,
        ],
        "ours": [],
    },
    "rotation_set": {
        "text": ["That a conditional neural process is an embedding method whose condition is a set."],
        "code": [],
        "ours": [
            "The task. x, its classes, widths, activations and training are those of the paper's rotation task.",
            f"{_INITIALIZATION} {_PIXELS}",
        ],
    },
    "colorization": {
        "text": ["That there is such a task, and that depth and embedding dimension are varied."],
        "code": ["Three outputs, mean squared error."],
        "ours": [
            "g has 10 hidden units (ELU) and biases, 63 weights in all; f and e have width 100.",
            "64 pixels of each image and epoch; SGD with learning rate 0.01, batch size 64, 10 epochs.",
            f"{_INITIALIZATION} {_PIXELS}",
        ],
    },
    "synthetic": {
        "text": [
            "y = <x, h(I)> (the family inner), h with three layers and sigmoid activations; x, I standard normal.",
            "Sizes of f, e, g and q; 30,000 training samples; SGD with learning rate 0.01, batch size 200.",
        ],
        "code": [],
        "ours": [
            "h has width 300 and weights uniform with variance 1 / (3 fan_in); 30 epochs.",
            "The families hadamard and concat, and that their y is centred and scaled to unit variance.",
            "No biases in g, biases in q; all weights uniform with variance 1 / (3 fan_in).",
            "5,000 samples for validation and 10,000 for the test.",
        ],
    },
    "target": {"text": [_TARGET], "code": [], "ours": [_TARGET_WEIGHTS]},
    "approximation": {
        "text": [
            _TARGET,
            "f1 and f2: 100 hidden units (ReLU), 10 outputs; SGD with learning rate 0.01, momentum 0.5; 50 epochs.",
        ],
        "code": [
            "Incoming weights of each unit scaled to unit norm; batch size 64; 10,000 fresh uniform samples an epoch."
        ],
        "ours": ["f1 starts from normal, f2 from uniform weights, biases from zero.", _TARGET_WEIGHTS],
    },
    "classification": {
        "text": ["That such an experiment validates Assumption 2."],
        "code": ["ELU; mean squared error to one-hot labels; Adadelta at the rate 1, rho 0.9; batch size 64."],
        "ours": [f"5 epochs. {_INITIALIZATION} {_PIXELS}"],
    },
}


def describe(blueprint, task, recipe, data_note, other_runs):
    """Returns the fields of a `Card` that follow from a `Blueprint` and its training, as a dict."""
    trained = blueprint.method != "target"
    return {
        "name": blueprint.name,
        "description": f"{_DOES[task.name]}: {_BY[blueprint.method]}.",
        "task": task.config(),
        "data": _data(task, data_note),
        "method": blueprint.method,
        "architecture": _architecture(blueprint.method, task, recipe),
        "recipe": recipe.to_dict() if trained else {},
        "provenance": _provenance(blueprint, task, recipe),
        "deviations": _deviations(blueprint, task, recipe, other_runs) if trained else [],
        "limits": _limits(task),
    }


def _provenance(blueprint, task, recipe):
    method, changes = blueprint.method, blueprint.changes
    facts = _PROVENANCE["target" if method == "target" else task.name]
    facts = {mark: list(sentences) for mark, sentences in facts.items()}
    if method != "target" and task.name != "synthetic":
        facts["ours"].append(_validation(task))
    # Fig. 1(a) has 1,000 dimensions, Fig. 1(b) 100; on the embedding of 1(b) the text contradicts itself.
    figure = {1000: "1a", 100: "1b"}.get(task.dim) if task.name == "synthetic" and task.family == "inner" else None
    if method == "hyper" and recipe.rank:
        mark = "text" if figure == "1b" and "rank" not in changes else "ours"
        facts[mark].append(f"The width of f's last hidden layer, {recipe.rank}.")
    if method in ("embed", "process") and recipe.embedding_dim:
        mark = "code" if task.name == "rotation" else "text" if figure == "1a" else "ours"
        mark = "ours" if "embedding_dim" in changes else mark
        facts[mark].append(f"The embedding dimension, {recipe.embedding_dim:,}.")
    return facts


def _validation(task):
    if task.data in ("mnist", "cifar10"):
        return "The last 5,000 training examples are held out for validation (the paper has no validation split)."
    if task.data in SOURCES:
        return "Some of the images are held out for validation."
    return "The samples for validation are drawn apart (the paper has no validation split)."


def _data(task, note):
    name = getattr(task, "data", task.name)
    origin, license = "Drawn by NumPy's default_rng, as the task says.", "none needed"
    default = "Drawn anew wherever they are needed; nothing has to be downloaded."
    if name in SOURCES:
        source = SOURCES[name]
        origin, license, default = source.origin, source.license, source.note
    facts = {"name": name, "origin": origin, "license": license, "note": note or default}
    return {**facts, "test_sha256": task.fingerprint()}


def _architecture(method, task, recipe):
    activation, outputs = recipe.activation, task.num_outputs
    features = flat_size(task.x_shape)
    if method == "target":
        convolutions = "10 x 10 convolutions, stride 2, of 20 and 50 channels (relu)"
        return {"network": f"{' x '.join(map(str, task.x_shape))}, {convolutions} -> {outputs}, with biases"}
    if method == "network":
        return {"network": f"{features} -> {recipe.width} ({activation}) -> {outputs}, with biases"}
    # A neural process embeds each member of its set.
    condition_shape = task.condition_shape[1:] if method == "process" else task.condition_shape
    widths = [flat_size(condition_shape)] + [recipe.width] * (recipe.depth - 2)
    if method == "hyper":
        hidden = " -> ".join(map(str, [*widths, recipe.rank or recipe.width]))
        biases = "with biases" if task.generates_biases else "no biases"
        primary = f"{features} -> {HIDDEN_UNITS} ({activation}) -> {outputs}, {biases}, all weights generated"
        return {"generator": f"{hidden} (relu), then linear to the weights of g", "primary": primary}
    hidden = " -> ".join(map(str, [*widths, recipe.width]))
    embedding_dim = embedding_dim_of(task, recipe)
    primary = f"{features + embedding_dim} -> {HIDDEN_UNITS} ({activation}) -> {outputs}, with biases"
    embedding = f"{hidden} (relu) -> {embedding_dim}"
    if method == "process":
        embedding = f"of each member, {embedding}; then the mean over the set"
    return {"embedding": embedding, "primary": primary}


def _deviations(blueprint, task, recipe, other_runs):
    data = getattr(task, "data", None)
    deviations = []
    if data in ("mnist", "cifar10"):
        deviations.append("Trained on 5,000 images fewer than the paper, which are the validation split.")
    elif data in SOURCES:
        deviations.append(f"The data set {data} is not one of the paper's.")
    # Fields that the experiment varies or fixes are no deviations.
    _, expected = dataclasses.replace(blueprint, changes={}).setup(0)
    varied = {"seed", "depth", *(name for name in ("rank", "embedding_dim") if name not in blueprint.changes)}
    paper = {**paper_recipe(task).to_dict(), "initialization": expected.initialization}
    for name, value in recipe.to_dict().items():
        if name not in varied and value != paper[name]:
            deviations.append(f"{name} is {value}; the paper's is {paper[name]}.")
    if other_runs:
        diverged = sum(run["diverged"] is not None for run in other_runs["runs"])
        deviations.append(
            f"Of {len(other_runs['runs'])} runs by the recipe of other_runs, for comparison, {diverged} diverged."
        )
    return deviations


def _limits(task):
    if task.name in ("rotation", "rotation_set"):
        height, width, _ = task.x_shape
        limits = [
            f"Rotation of {height} x {width} images like those of {task.data} about their centre; nothing else.",
            "Angles from 345 to 360 degrees are class 11 and not class 0, as the paper defines the labels.",
        ]
        if task.name == "rotation_set":
            limits.append(f"Trained and measured with sets of {task.members}; of other sizes nothing was measured.")
        return limits
    if task.name == "colorization":
        height, width, _ = task.condition_shape
        return [
            f"Colours of {height} x {width} images like those of {task.data}. With so small a g, they are smooth in "
            "space: it colours regions, not details."
        ]
    if task.name == "classification":
        return ["A network as small as the experiment asks for: far from the accuracy that its data allows."]
    return ["The task is one random function: the model is of no use but to study how that is approximated."]
