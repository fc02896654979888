"""The claims of the paper, and ours: the experiment and the rule that judge each."""

from keras_hypernet.experiments.claims import CLOSER, EACH_STEP, EACH_STEP_OF_LOSS, WIDE, Claim, better, improves, stays
from keras_hypernet.experiments.modularity import RULES

STAYS = stays("embed")
_RULES = {
    "synthetic_depth": {
        "The hypernetwork is better than the embedding method on synthetic targets, from three layers on.": (
            better(least=3, everywhere=True)
        ),
        "On synthetic targets, the hypernetwork improves with the depth of f.": improves("hyper"),
        "On synthetic targets, the embedding method does not improve with the depth of e.": STAYS,
    },
    "synthetic_embedding_dim": {
        "On synthetic targets, the embedding method does not improve with its dimension, 1,000 times the index.": STAYS,
        "On synthetic targets, the embedding method is worse at any dimension than hypernetworks with a wider f.": (
            better(everywhere=True)
        ),
    },
    "synthetic_sensitivity": {
        "Ours: on synthetic targets, the hypernetwork is better at depths 3 and 6 whatever the paper leaves open.": (
            better(everywhere=True)
        ),
    },
    "assumption_1": {"Two approximators of one target are much closer to each other than to it.": CLOSER},
    "rotation_depth": {
        "On rotations, the hypernetwork is better than the embedding method by a wide margin.": better(wide=WIDE),
        "On rotations, the hypernetwork improves with the depth of f.": improves("hyper"),
        "On rotations, the embedding method does not improve with the depth of e.": STAYS,
    },
    "rotation_embedding_dim": {
        "On rotations, the embedding method does not improve with its dimension, 10,000 times the index.": STAYS,
    },
    "colorization_depth": {
        "On colorization, the hypernetwork is better than the embedding method by a wide margin.": better(wide=WIDE),
        "On colorization, the hypernetwork improves with the depth of f.": improves("hyper"),
        "On colorization, the embedding method does not improve with the depth of e.": STAYS,
    },
    "colorization_embedding_dim": {
        "On colorization, the embedding method does not improve with its dimension, 1,000 times the index.": STAYS,
    },
    "colorization_sensitivity": {
        "Ours: on colorization, the hypernetwork is better at depths 3 and 6 whatever the paper leaves open.": (
            better(everywhere=True)
        ),
    },
    "learning_rate": {
        "The hypernetwork is better whatever the learning rate.": better(everywhere=True, panels=("mnist", "cifar10")),
    },
    "assumption_2": {
        "One more neuron is strictly better.": EACH_STEP,
        "One more neuron is strictly better, by the squared error, which the assumption is about.": EACH_STEP_OF_LOSS,
    },
    "neural_process": {
        "Ours: a neural process tells more from four images of a class than from one.": improves("process"),
    },
    "initialization": {
        "Ours: from a principled initialization, at a learning rate that suits it, the hypernetwork is better, too.": (
            better(wide=WIDE)
        ),
    },
}
CLAIMS = tuple(
    Claim(text, experiment, rule) for experiment, rules in {**RULES, **_RULES}.items() for text, rule in rules.items()
)
