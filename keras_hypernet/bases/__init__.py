"""Bases: how a weight is generated from the condition.

A weight is `W(z) = K0 + G(z)`: a constant term, and a part that a basis computes from the condition z `[B, R]`. For a
weight of i inputs, o outputs and N = i o entries, without K0:

| basis | parameters | use it for |
|---|---|---|
| `Full()` | R N | small layers, such as those of the paper: every weight is free to follow the condition |
| `Mixture(n)` | n N + R n | conditions of many entries, if few directions matter |
| `LowRank(r)` | r (i + o) + R r | large or pretrained layers: an adapter that costs little more than the layer |
| `Chunked(size, d)` | d N / size, and the head | the fewest parameters; layers may share the head; slowest |

A bias, a scale and an offset are always `Full`. `docs/speed.md` has the time and the memory of a step with each basis.

The scale of the condition matters: all initializers assume entries of z with a second moment of one. Generated weights
shrink with z, and a network whose weights start near zero hardly learns. `keras.layers.Embedding` starts with entries
of at most 0.05: use `keras_hypernet.layers.TaskEmbedding` instead, or set `HyperfanIn(condition_second_moment=...)`.
"""

from keras_hypernet.bases import initializers
from keras_hypernet.bases.base import Basis
from keras_hypernet.bases.chunked import Chunked
from keras_hypernet.bases.full import Full, Mixture
from keras_hypernet.bases.low_rank import LowRank
from keras_hypernet.bases.sharing import get, serialize

__all__ = ["Basis", "Chunked", "Full", "LowRank", "Mixture", "get", "initializers", "serialize"]
