"""Arguments and options that several commands share, and the choices that help texts list.

The choices are copies of names in keras_hypernet, so that help does not import Keras; a test compares them.
"""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

SOURCES = "mnist, cifar10, digits, patches"
INITIALIZATIONS = "fan_in_uniform, hyperfan_in, unit_norm_normal, unit_norm_uniform"
FORMATS = "saved_model, litert, litert_int8, onnx, openvino, safetensors"
EXPERIMENTS = (
    "synthetic_depth, synthetic_embedding_dim, synthetic_sensitivity, synthetic_baseline, synthetic_variance, "
    "modularity_depth, modularity_embedding_dim, modularity_units, modularity_learning_rate, assumption_1, "
    "assumption_2, rotation_depth, rotation_embedding_dim, learning_rate, gradient_clipping, initialization, "
    "neural_process, colorization_depth, colorization_embedding_dim, colorization_sensitivity, baseline, "
    "pareto_toy, pareto_digits, gaussian_process, noisy_views, "
    "hypernetworks_static, hyperparameter_response, continual_digits, continual_polynomials"
)

Entry = Annotated[str, Argument(help="Name of a zoo entry, or path to the folder of an entry (./my_entry).")]
Source = Annotated[
    Path | None,
    Option("--source", help="A .py file of your own tasks, or a .npz file of your own arrays, to load first."),
]
ExperimentName = Annotated[str, Argument(help=f"{EXPERIMENTS}, or all.")]
AsJson = Annotated[bool, Option("--json", help="Print JSON, for programs.")]
Epochs = Annotated[int | None, Option(help="Passes over the training split; by default the paper's.")]
Clipnorm = Annotated[float | None, Option(help="Norm to which larger gradients are scaled down; by default none.")]
Resume = Annotated[bool, Option("--resume", help="Continue where an earlier call stopped.")]
Engine = Annotated[str, Option(help="local, or ray for a cluster.")]
Address = Annotated[str | None, Option(help="Address of the Ray cluster; by default one starts on this machine.")]
Models = Annotated[Path, Option(help="Folder of all exported models.")]


def parse_range(name, text, kind=int):
    """Returns the range, a tuple, of `2:9`, or the choices, a list, of `2,4,8`; None for None.

    `kind` is the type of the values, or a function from a text to a value. Raises ValueError, which names the values
    by `name`, if the text has another form.

    >>> parse_range("`depth`", "2:9"), parse_range("`learning_rate`", "0.001:0.1", float), parse_range("`depth`", "2,4")
    ((2, 9), (0.001, 0.1), [2, 4])
    """
    if text is None:
        return None
    try:
        if ":" in text:
            low, high = text.split(":")
            return kind(low), kind(high)
        return [kind(choice.strip()) for choice in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{name} takes a range, 2:9 (both ends), or choices, 2,4,8. Received: {text!r}") from error
