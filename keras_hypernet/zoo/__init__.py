"""The pretrained models: cards, and how an entry is found, verified, loaded and saved."""

from keras_hypernet.zoo.card import Card, EntryError
from keras_hypernet.zoo.store import list_entries, load, save_entry, verify_entry

__all__ = ["Card", "EntryError", "list_entries", "load", "save_entry", "verify_entry"]
