"""The claims of the paper, and ours: the experiment and the rule that judge each."""

from dataclasses import replace

from keras_hypernet.experiments import MODULES
from keras_hypernet.experiments.claims import EACH_STEP, WIDE, Claim, better, closer, improves, measured_by, stays

STAYS = stays("embed")
EVERYWHERE = better(everywhere=True)
_FIGURE_3 = {
    "On rotations, the hypernetwork is better than the embedding method by a wide margin": better(wide=WIDE),
    "On rotations, the hypernetwork improves with the depth of f": improves("hyper"),
    "On rotations, the embedding method does not improve with the depth of e": STAYS,
}
_AT_BEST = "Ours: on rotations, each method at the depth that validation prefers, the hypernetwork is better"
_PRINCIPLED = (
    "Ours: from a principled initialization, at a learning rate that suits it, the hypernetwork is better, too"
)


def _at_both_counts(rules):
    """Rules at the depths of the paper's text, 2 to 9, and at those of the authors' code, 4 to 11."""
    text = {f"{claim}.": replace(rule, last=9) for claim, rule in rules.items()}
    return text | {f"{claim}, at 4 to 11 layers.": replace(rule, first=4) for claim, rule in rules.items()}


_RULES = {
    "synthetic_depth": {
        "The hypernetwork is better than the embedding method on synthetic targets, from three layers on.": (
            replace(EVERYWHERE, first=3)
        ),
        "On synthetic targets, the hypernetwork improves with the depth of f.": improves("hyper"),
        "On synthetic targets, the embedding method does not improve with the depth of e.": STAYS,
    },
    "synthetic_embedding_dim": {
        "On synthetic targets, the embedding method does not improve with its dimension, 1,000 times the index.": (
            replace(STAYS, panels=("inner",))
        ),
        "On synthetic targets, the embedding method is worse at any dimension than hypernetworks with a wider f.": (
            replace(EVERYWHERE, panels=("inner",))
        ),
        "On synthetic targets, the embedding method is worse at any dimension than hypernetworks with a deeper f.": (
            replace(EVERYWHERE, panels=("inner_deeper",))
        ),
    },
    "synthetic_sensitivity": {
        "Ours: on synthetic targets, the hypernetwork is better at depths 3 and 6 whatever the paper leaves open.": (
            EVERYWHERE
        )
    },
    "assumption_1": {
        "Two approximators of one target are much closer to each other than to it.": replace(closer(), last=50),
        "Two approximators of one target are much closer to each other than to it, after 100 epochs.": (
            replace(closer(100), first=150, panels=("uniform",))
        ),
        "Two approximators of one target are much closer to each other than to it, after 150 epochs.": (
            replace(closer(150), first=150, panels=("uniform",))
        ),
    },
    "rotation_depth": _at_both_counts(_FIGURE_3) | {f"{_AT_BEST} by a wide margin.": better(wide=WIDE, at_best=True)},
    "rotation_embedding_dim": {
        "On rotations, the embedding method does not improve with its dimension, 10,000 times the index.": STAYS
    },
    "colorization_depth": {
        "On colorization, the hypernetwork is better than the embedding method by a wide margin.": better(wide=WIDE),
        "On colorization, the hypernetwork improves with the depth of f.": improves("hyper"),
        "On colorization, the embedding method does not improve with the depth of e.": STAYS,
    },
    "colorization_embedding_dim": {
        "On colorization, the embedding method does not improve with its dimension, 1,000 times the index.": STAYS
    },
    "colorization_sensitivity": {
        "Ours: on colorization, the hypernetwork is better at depths 3 and 6 whatever the paper leaves open.": (
            EVERYWHERE
        )
    },
    "learning_rate": {
        "The hypernetwork is better whatever the learning rate.": (
            replace(EVERYWHERE, panels=("mnist", "mnist_depth_6", "cifar10", "cifar10_depth_6"))
        )
    },
    "assumption_2": {
        "One more neuron is strictly better.": EACH_STEP,
        "One more neuron is strictly better, by the squared error, which the assumption is about.": (
            measured_by(EACH_STEP, "validation_loss")
        ),
    },
    "neural_process": {
        "Ours: a neural process predicts better from four images of a class than from one.": improves("process")
    },
    "gradient_clipping": {
        "Ours: with clipped gradients, the hypernetwork is better, whatever their greatest norm.": EVERYWHERE
    },
    "initialization": _at_both_counts({_PRINCIPLED: better(wide=WIDE)}),
}
CLAIMS = (
    *(Claim(text, name, rule) for name, rules in _RULES.items() for text, rule in rules.items()),
    # Claims that are registered in the modules of their experiments.
    *(
        Claim(text, name, rule, predicted)
        for module in MODULES
        for name, claims in getattr(module, "REGISTERED", {}).items()
        for text, (rule, predicted) in claims.items()
    ),
)
