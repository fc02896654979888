"""How the C library hands out memory to a server: what a request took is kept for the next one."""

import ctypes

# mallopt's numbers of them, and what GNU's library chooses by itself at most.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _KEPT_AT_THE_END = 32 * 2**20, 128 * 2**20


def keep_memory():
    """Has blocks of up to 32 MiB taken from the heap, of which 128 MiB may stay free at its end.

    By default larger tensors get pages of their own, which the system has to clear for each request and takes back
    after it; for a message of a megabyte that costs more than all else about it.

    Returns:
        Whether the C library can be told so; GNU's can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another library; TypeError on Windows
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, _KEPT_AT_THE_END))
