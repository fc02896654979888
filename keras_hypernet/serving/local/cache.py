"""WeightCache: a cache of the weights of recent conditions; run_default: serving_default by its two halves."""

import collections
import hashlib
import threading

from keras_hypernet.serving.config import FIRST_HALVES


class WeightCache:
    """The weights theta_I, or embeddings e(I), of recent conditions, up to `max_bytes`; 0 turns the cache off.

    The least recently used entries are dropped first.
    """

    def __init__(self, max_bytes):
        self.max_bytes = max_bytes
        self.num_bytes = self.hits = self.misses = 0
        self._kept = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._kept)

    @staticmethod
    def key(name, version, condition):
        """The key of one condition, a dict of arrays, for a version of a model."""
        digest = hashlib.blake2b(digest_size=16)
        for part, array in sorted(condition.items()):
            digest.update(repr((part, array.dtype.str, array.shape)).encode())
            # The bytes of an array of strings are memory addresses.
            digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
        return name, version, digest.digest()

    def get(self, key):
        """Returns the entry of a key, or None, and counts a hit or a miss unless the cache is off."""
        if not self.max_bytes:
            return None
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                self.hits += 1
                return self._kept[key][0]
            self.misses += 1
            return None

    def put(self, key, weights, num_bytes):
        """Adds an entry, unless the entry alone exceeds the maximum size."""
        if num_bytes > self.max_bytes:
            return
        with self._lock:
            self._remove(key)
            self._kept[key] = weights, num_bytes
            self.num_bytes += num_bytes
            while self.num_bytes > self.max_bytes:
                self._remove(next(iter(self._kept)))

    def drop(self, name, version):
        """Removes all entries of a version of a model."""
        with self._lock:
            for key in [key for key in self._kept if key[:2] == (name, version)]:
                self._remove(key)

    def _remove(self, key):
        self.num_bytes -= self._kept.pop(key, (None, 0))[1]


def run_default(servable, inputs, cache):
    """Runs `serving_default` of a `Servable`: by its halves, with a `WeightCache`, if all rows share one condition.

    Only the request decides whether the halves run, not the cache, so that equal requests get equal responses. The
    whole signature sums float32 in another order, so its outputs differ by rounding.
    """
    first = next((name for name in FIRST_HALVES if name in servable.inputs), None)
    condition = {name: inputs[name] for name in servable.inputs.get(first, ())}
    x = {name: array for name, array in inputs.items() if name not in condition}
    if first is None or not all(_is_shared(part, len(next(iter(x.values())))) for part in condition.values()):
        return servable.run("serving_default", inputs)
    condition = {name: part[:1] for name, part in condition.items()}
    key = cache.key(servable.name, servable.version, condition)
    weights = cache.get(key)
    if weights is None:
        weights = servable.run(first, condition)
        cache.put(key, weights, sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in weights.values()))
    return servable.run("apply", {**x, **weights})


def _is_shared(condition, rows):
    """Whether all rows of x have the same condition, given once or for each row."""
    return rows > 0 and (len(condition) == 1 or (len(condition) == rows and bool((condition == condition[0]).all())))
