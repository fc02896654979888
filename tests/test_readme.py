"""The README: its table is that of the cards, its Python runs, its commands exist, its pictures are there."""

import json
import re
import runpy
import subprocess
import sys

import pytest
from helpers import ROOT

import keras_hypernet as kh
from keras_hypernet_cli.models import zoo_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_zoo_table_is_that_of_the_cards():
    (table,) = re.findall(r"<!-- keras-hypernet list --markdown -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert table == zoo_table(kh.list_entries()), "put the output of `keras-hypernet list --markdown` there"


# What the examples print.
PRINTED = {
    ("README.md", "import keras\n"): r"\[\[ ?-?\d\.\d+ *\]\n \[ ?-?\d\.\d+ *\]\]\n",
    ("README.md", "import numpy"): r"depth 2: test error 0\.\d+ ± 0\.\d+\ndepth 4: test error .*\n",
    ("docs/tuning/README.md", "import keras\n"): r"best depth [23], MSE \d\.\d+\nmy best depth \d, units (8|16)\n",
    ("docs/serving/README.md", "import numpy as np\nimport tensorflow as tf\n\nserved"): "90 degrees\n",
    ("docs/models.md", "import keras\n"): "",
    ("docs/tasks.md", "from sklearn"): r"test ({'mse': 0\.\d+, 'num_examples': 44})\nbest depth [2-5]\nloaded \1\n",
    ("docs/tasks.md", "import numpy"): r"test MSE 0\.\d+ ± 0\.\d+\n",
}


def _example(page, begin):
    return next(block for block in _blocks(page, "python") if block.startswith(begin))


@pytest.mark.parametrize(
    "numbers", [(0, 3, 4), *[pytest.param(each, marks=pytest.mark.full) for each in ((1, 2), (5, 6))]]
)
def test_python_runs(numbers, tmp_path):
    examples = [list(PRINTED)[number] for number in numbers]
    if not (ROOT / "saved_models").is_dir():  # which a checkout alone has
        examples = [(page, begin) for page, begin in examples if page != "docs/serving/README.md"]
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    script = "import json, sys\nfor block in json.loads(sys.argv[1]):\n    exec(block, {})\n    print('----')"
    command = [sys.executable, "-c", script, json.dumps([_example(*example) for example in examples])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for example, printed in zip(examples, done.stdout.split("----\n"), strict=False):
        assert re.fullmatch(PRINTED[example], printed)


def test_every_example_of_the_readme_is_run():
    assert _blocks("README.md", "python") == [_example(*example) for example in PRINTED if example[0] == "README.md"]


def test_the_first_commands_are_the_ones_that_are_tested():
    commands = [line for block in _blocks("README.md", "bash") for line in block.splitlines()]
    assert commands[:2] == ["pip install . && keras-hypernet demo", "pip install -e '.[test]' && pytest"]


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{name}.md" for name in ("models", "experiments", "zoo", "speed"))]
)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target.partition("#")[0]).exists(), target


def test_the_readme_is_short():
    text = re.sub(r"<!-- keras-hypernet list.*?<!-- end -->", "", README, flags=re.DOTALL)
    assert len(text.splitlines()) <= 120


def test_speeds_are_those_that_were_measured():
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("this is not a checkout: benchmarks/ is not here")
    report = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))
    assert report["page"]() == (ROOT / "docs" / "speed.md").read_text(encoding="utf-8"), "run benchmarks/report.py"
    assert report["readme"]() == README, "run benchmarks/report.py"
