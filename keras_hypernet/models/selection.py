"""The selection of layers and weights in hypernetize, and of the z for each layer."""

import collections
import fnmatch
import re
import typing

import keras

from keras_hypernet.common.suggestions import suggestion
from keras_hypernet.layers.registry import matching_weights
from keras_hypernet.models.graphs import copied, is_graph


class Leaf(typing.NamedTuple):
    """A layer that is not a graph itself, and the names of the graphs that contain it, the outermost first."""

    layer: keras.Layer
    owners: tuple

    @property
    def path(self):
        return "/".join((*self.owners, self.layer.name))

    def matches(self, chosen):
        """Whether a filter selects this layer."""
        if isinstance(chosen, str):
            names = (self.layer.name, self.path, *self.owners)
            return any(fnmatch.fnmatchcase(name, chosen) for name in names)
        if isinstance(chosen, type):
            return isinstance(self.layer, chosen)
        return bool(chosen.search(self.path) if isinstance(chosen, re.Pattern) else chosen(self.layer))


def leaves_of(model, owners=()):
    """The layers of a graph and of its nested graphs, each once."""
    leaves = {}
    for layer in model.layers:
        inner = leaves_of(layer, (*owners, layer.name)) if is_graph(layer) else [Leaf(layer, owners)]
        for leaf in inner:
            if not isinstance(leaf.layer, keras.layers.InputLayer):
                leaves.setdefault(id(leaf.layer), leaf)
    return list(leaves.values())


def unique_names(leaves):
    """A unique name for each layer, by the layer's id: its own name, or its path if several layers have this name."""
    counts = collections.Counter(leaf.layer.name for leaf in leaves)
    return {
        id(leaf.layer): leaf.layer.name if counts[leaf.layer.name] == 1 else leaf.path.replace("/", "_")
        for leaf in leaves
    }


def check_leaves(leaves):
    """Raises ValueError for a Lambda, for a layer that is quantized or has LoRA, and if two layers share a weight.

    If two layers share a weight, each copy would have its own weight.
    """
    owners = {}
    for leaf in leaves:
        if isinstance(leaf.layer, keras.layers.Lambda):
            raise ValueError(
                f"Layer {leaf.path!r} is a Lambda, which cannot be loaded in safe mode: write a registered layer."
            )
        if getattr(leaf.layer, "quantization_mode", None) or getattr(leaf.layer, "lora_enabled", False):
            raise ValueError(f"`model` must be as before `quantize` and `enable_lora`. Received: layer {leaf.path!r}")
        for weight in leaf.layer.weights:
            other = owners.setdefault(id(weight), leaf)
            if other is not leaf:
                raise ValueError(
                    f"Each weight must belong to one layer. Received: {weight.path!r}, which the layers {other.path!r} "
                    f"and {leaf.path!r} share. Use one layer twice, or put both into one layer of your own."
                )


def choose(leaves, names, filters, patterns):
    """The selected layers: a dict from the id of a layer to its copy and the paths of its weights to generate.

    The arguments `filters` and `patterns` are `layers` and `weights` of `hypernetize`.
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
    copies = {id(leaf.layer): copied(leaf.layer, names[id(leaf.layer)]) for leaf in leaves if leaf.layer.weights}
    for copy in copies.values():
        copy.trainable = True  # also if the layer is frozen, because its weights may be generated
    candidates = [leaf for leaf in leaves if id(leaf.layer) in copies and copies[id(leaf.layer)].trainable_weights]
    filters = filters if isinstance(filters, (list, tuple)) or filters is None else [filters]
    for each in filters or []:
        if not any(leaf.matches(each) for leaf in candidates):
            raise ValueError(f"`layers` has {each!r}, which matches no layer with weights: {_offer(each, candidates)}")
    kept = [leaf for leaf in candidates if filters is None or any(leaf.matches(each) for each in filters)]
    pairs = {id(leaf.layer): copies[id(leaf.layer)] for leaf in kept}
    for pattern in patterns or []:
        if not any(matching_weights(copy, [pattern]) for copy in pairs.values()):
            known = [f"{copy.name}/{path}" for copy in pairs.values() for path in matching_weights(copy, None)]
            raise ValueError(f"`weights` {pattern!r} matches no weight of these layers: {suggestion(pattern, known)}")
    chosen = {key: (copy, matching_weights(copy, patterns)) for key, copy in pairs.items()}
    for leaf in kept:
        if isinstance(leaf.layer, keras.layers.BatchNormalization):  # frozen: no update of its statistics
            copies[id(leaf.layer)].trainable = leaf.layer.trainable
    if not chosen:
        raise ValueError("`model` has no weights that could be generated.")
    return {key: (copy, generated) for key, (copy, generated) in chosen.items() if generated}


def _offer(chosen, leaves):
    """The end of an error about a filter that matches nothing."""
    if isinstance(chosen, str):
        return suggestion(chosen, sorted({name for leaf in leaves for name in (leaf.layer.name, *leaf.owners)}))
    return f"there are {', '.join(f'{leaf.path} ({type(leaf.layer).__name__})' for leaf in leaves)}."


def z_of_layers(encoded, leaves, names, chosen):
    """The z of each selected layer, by the layer's id, from one z or a dict by names or name patterns of layers."""
    if not isinstance(encoded, dict):
        if keras.tree.is_nested(encoded):
            raise ValueError(f"`generator` must return one z, or a dict by layer names. Received: {encoded}")
        return dict.fromkeys(chosen, encoded)
    leaves, name_of = {id(leaf.layer): leaf for leaf in leaves}, {}
    for key in chosen:
        exact = [name for name in encoded if name in (names[key], leaves[key].path)]
        matching = exact or [name for name in encoded if leaves[key].matches(name)]
        if not matching:
            raise ValueError(
                f"`generator` must return a z for each chosen layer. Received: none for {leaves[key].path!r}, but for "
                f"{', '.join(encoded)}."
            )
        name_of[key] = matching[0]
    unused = sorted(set(encoded) - set(name_of.values()))
    if unused:
        offered = suggestion(unused[0], [leaves[key].path for key in chosen])
        raise ValueError(f"`generator` returns a z for {unused[0]!r}, which no layer takes: {offered}")
    return {key: encoded[name] for key, name in name_of.items()}
