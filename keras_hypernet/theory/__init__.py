"""The paper's theory in numbers: the sizes of its networks, spectral complexity, and the bounds of Theorems 1 to 5.

The computations need only NumPy. N_g, N_q, N_f and N_e are numbers of parameters: of g and q, the primary networks of
the hypernetwork and of the embedding method, of the hypernetwork f and of the embedding network e.

Reference: Galanti and Wolf, "On the Modularity of Hypernetworks", 2020.
"""

from keras_hypernet.theory.bounds import (
    embedding_primary_bound,
    hypernetwork_primary_bound,
    hypernetwork_total_bound,
    lower_bound,
    plot_bounds,
)
from keras_hypernet.theory.sizes import (
    assumption_1_parameters,
    assumption_2_parameters,
    colorization_parameters,
    dense_parameters,
    rotation_parameters,
    synthetic_depth_parameters,
    synthetic_embedding_dim_parameters,
)
from keras_hypernet.theory.spectral import spectral_complexity

__all__ = [
    "assumption_1_parameters",
    "assumption_2_parameters",
    "colorization_parameters",
    "dense_parameters",
    "embedding_primary_bound",
    "hypernetwork_primary_bound",
    "hypernetwork_total_bound",
    "lower_bound",
    "plot_bounds",
    "rotation_parameters",
    "spectral_complexity",
    "synthetic_depth_parameters",
    "synthetic_embedding_dim_parameters",
]
