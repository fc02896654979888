"""Searches that several tests read."""

import pytest
from tiny_search import tiny_search


@pytest.fixture(scope="session")
def grid(tmp_path_factory):
    """The result of a grid over depth and method, in this process."""
    return tiny_search("both", depth=(2, 3), directory=tmp_path_factory.mktemp("grid"))
