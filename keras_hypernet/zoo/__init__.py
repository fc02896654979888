"""The pretrained models: their cards, and functions that find, verify, load and save entries."""

from keras_hypernet.zoo.card import Card, EntryError
from keras_hypernet.zoo.store import list_entries, load, save_entry, verify_entry

__all__ = ["Card", "EntryError", "list_entries", "load", "save_entry", "verify_entry"]
