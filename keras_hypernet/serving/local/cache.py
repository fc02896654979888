"""WeightCache: what the condition alone decides, kept for the next request with the same condition."""

import collections
import hashlib
import threading


class WeightCache:
    """The weights theta_I, or embeddings e(I), of conditions that came before, the least recently used go first.

    Args:
        max_bytes: How much they may take together. With 0 nothing is kept.

    Example:

    >>> import numpy as np
    >>> cache = WeightCache(max_bytes=100)
    >>> key = cache.key("model", 1, {"condition": np.zeros(3)})
    >>> cache.get(key) is None, cache.put(key, {"kernel": np.ones(5)}, num_bytes=40)
    (True, None)
    >>> cache.get(key)["kernel"].shape, cache.num_bytes, cache.hits, cache.misses
    ((5,), 40, 1, 1)
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
        for part in sorted(condition):
            array = condition[part]
            digest.update(repr((part, array.dtype.str, array.shape)).encode())
            # An array of strings holds where they are, and not what they are.
            digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
        return name, version, digest.digest()

    def get(self, key):
        """Returns what is kept of a condition, or None; counts it as a hit or a miss, if anything can be kept."""
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
        """Keeps the weights of a condition, unless they alone are more than may be kept."""
        if num_bytes > self.max_bytes:
            return
        with self._lock:
            if key in self._kept:
                self.num_bytes -= self._kept.pop(key)[1]
            self._kept[key] = weights, num_bytes
            self.num_bytes += num_bytes
            while self.num_bytes > self.max_bytes:
                _, (_, freed) = self._kept.popitem(last=False)
                self.num_bytes -= freed

    def drop(self, name, version):
        """Forgets all of a version of a model."""
        with self._lock:
            for key in [key for key in self._kept if key[:2] == (name, version)]:
                self.num_bytes -= self._kept.pop(key)[1]
