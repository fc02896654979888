"""The README: its table is that of the cards, its Python runs, its commands exist, its pictures are there."""

import pathlib
import re
import subprocess
import sys

import pytest

import keras_hypernet as kh
from keras_hypernet.cli import zoo_table

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_zoo_table_is_that_of_the_cards():
    (table,) = re.findall(r"<!-- keras-hypernet list --markdown -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert table == zoo_table(kh.list_entries()), "put the output of `keras-hypernet list --markdown` there"


@pytest.mark.parametrize("number", range(3))
def test_python_runs(number, tmp_path):
    blocks = _blocks("python")
    assert len(blocks) == 3
    if "saved_models/" in blocks[number] and not (ROOT / "saved_models").is_dir():
        pytest.skip("this is not a checkout: saved_models/ is not here")
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    done = subprocess.run(
        [sys.executable, "-c", blocks[number]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = ["", r"depth 2: test error 0\.\d+ ± 0\.\d+\ndepth 4: test error .*\n", "90 degrees\n"][number]
    assert re.fullmatch(expected, done.stdout)


def test_the_first_commands_are_the_ones_that_are_tested():
    commands = [line for block in _blocks("bash") for line in block.splitlines()]
    assert commands[:2] == ["pip install . && keras-hypernet demo", "pip install -e '.[test]' && pytest"]


def test_links_lead_somewhere():
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / target).exists(), target
