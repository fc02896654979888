"""The README: its table matches the cards, its Python code runs, its commands and pictures exist."""

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


# The output of the examples, by the page and the first words of an example, or None for all code of the page.
PRINTED = {
    "layers": {
        ("README.md", "import keras\n"): r"\[\[ ?-?\d\.\d+ *\]\n \[ ?-?\d\.\d+ *\]\]\n",
        ("docs/serving/README.md", "import numpy as np\nimport tensorflow as tf\n\nserved"): "90 degrees\n",
        ("docs/models.md", "import keras\n"): "",
        ("docs/models.md", "import numpy as np\nimport keras\n"): (
            r"\['gru\w*/gru_cell/kernel', 'gru\w*/gru_cell/recurrent_kernel'\]\n"
        ),
        ("docs/models.md", "import numpy as np\nimport keras_hypernet"): "",
        ("docs/models.md", "from keras import ops"): r"\(8, 10\) 384\n",
        ("docs/models.md", "from keras import layers, ops"): (
            r"True \['conv/bias', 'conv/kernel', 'head/bias', 'head/kernel'\]\n"
        ),
        ("docs/concepts.md", None): r"Embedding: .*at 0\.00\d+, .* 0\.0625\nTaskEmbedding: .*at 0\.06\d+, .* 0\.0625\n",
        ("docs/from_pytorch.md", None): r"\{'\w+/kernel': \(1, 5, 32\), .*\}\n",
    },
    "trainings": {
        ("README.md", "import numpy"): r"depth 2: test error 0\.\d+ ± 0\.\d+\ndepth 4: test error .*\n",
        ("docs/tuning/README.md", "import keras_tuner"): "",
        ("docs/tuning/README.md", "import keras\n"): r"best depth [23], MSE \d\.\d+\nmy best depth \d, units (8|16)\n",
    },
    "fronts_and_processes": {
        ("docs/pareto.md", "import numpy"): (
            r"mean distance from the optimum 0\.\d+\n{'value/kernel': \(1, 1, 20\)}\n"
        ),
        ("docs/gaussian_process.md", "import keras_hypernet"): (
            r"process below the exact log-likelihood by [01]\.\d+\nfilm .*\nhyper .*\n"
        ),
    },
    "kernels_and_responses": {
        ("docs/hypernetworks_static.md", "import math"): r"\(8, 14, 14, 16\) 4240\n",
        ("docs/hyperparameter_response.md", "import dataclasses"): (
            r"(log decay -\d\.\d validation loss \d\.\d+\n){3}7850 weights\n"
        ),
    },
    "continual": {
        ("docs/continual.md", "import keras\n"): r"(task \d MSE 0\.0\d+\n){3}",
    },
    "own_tasks": {
        ("docs/tasks.md", "import keras_hypernet as kh\nfrom waves"): (
            r"test {'mse': 0\.[01]\d+, 'num_examples': 1000}\nbest depth [23]\n"
        ),
        ("docs/tasks.md", "from sklearn"): r"test ({'mse': 0\.\d+, 'num_examples': 44})\nbest depth [2-4]\nloaded \1\n",
        ("docs/tasks.md", "import numpy"): r"test MSE 0\.\d+ ± 0\.\d+\n",
    },
    "guides": {
        ("docs/guides/own_model.md", None): (
            r"test MSE 0\.0\d+, of a constant 0\.5\d\n\{.*\}\n20870 weights, of which one wave needs 1153\n"
            r"difference at the start True\nsaved_waves/waves/1\n"
        ),
        ("docs/guides/experiment.md", None): (
            r"test error 0\.\d+, by chance 0\.917\n2 runs, of which 2 have finished\n"
            r"(digits_depth\.\w+ ?){3}\n.*p = .*\n"
        ),
        ("docs/guides/depth.md", None): (r"(depth 3, learning rate 0\.0[13]: MSE \d+\.\d+\n){2}best depth 3: .*\n"),
    },
}
# Parts of an example, and the smaller part that the test runs instead. The expected output does not depend on them.
SMALLER = {
    ("README.md", "import numpy"): {"range(3)": "range(2)", "epochs=5": "epochs=1"},
    ("docs/tuning/README.md", "import keras_tuner"): {"max_trials=3": "max_trials=1", "(2, 9)": "(2, 3)"},
    ("docs/gaussian_process.md", "import keras_hypernet"): {"epochs=2": "epochs=1"},
    ("docs/guides/experiment.md", None): {
        "epochs=5": "epochs=1",
        "values=(2, 4)": "values=(4,)",
        "seeds=3": "seeds=1",
        "range(3)": "range(1)",
    },
    ("docs/guides/depth.md", None): {"epochs=5": "epochs=1", "depth=(2, 4)": "depth=[3]"},
}


def _files(page):
    """The Python files that a page asks to save, by name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return dict(re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def _example(page, begin):
    blocks = _blocks(page, "python")
    return "".join(blocks) if begin is None else next(block for block in blocks if block.startswith(begin))


def _smaller(page, begin):
    """The code of an example, of which parts are smaller."""
    code = _example(page, begin)
    for shown, run in SMALLER.get((page, begin), {}).items():
        assert shown in code
        code = code.replace(shown, run)
    return code


@pytest.mark.parametrize(
    "group", [name if name == "layers" else pytest.param(name, marks=pytest.mark.full) for name in PRINTED]
)
def test_python_runs(group, tmp_path, monkeypatch, capsys):
    examples = PRINTED[group]
    if not (ROOT / "saved_models").is_dir():  # which only a checkout has
        examples = {key: printed for key, printed in examples.items() if key[0] != "docs/serving/README.md"}
    for page in {page for page, _ in examples}:
        for name, code in _files(page).items():
            (tmp_path / name).write_text(code, encoding="utf-8")
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    if group != "own_tasks":
        monkeypatch.chdir(tmp_path)
        for example, expected in examples.items():
            exec(_smaller(*example), {"__name__": "__main__"})
            assert re.fullmatch(expected, capsys.readouterr().out), example
        return
    # Those that register a task, which other processes import from its file: a script without a guard for `__main__`.
    code = "\nprint('----')\n".join(_example(*example) for example in examples)
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for expected, printed in zip(examples.values(), done.stdout.split("----\n"), strict=True):
        assert re.fullmatch(expected, printed)


PAGES = [path for pattern in ("*.md", "docs/**/*.md", "results/**/README.md") for path in sorted(ROOT.glob(pattern))]
# Pages whose examples other tests run, by the file of those tests.
RUN_ELSEWHERE = {
    "docs/experiments.md": "experiments/test_own.py",
    "docs/guides/serving.md": "serving/test_docs.py",
    "docs/serving/README.md": "serving/test_docs.py",
}


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_every_example_is_run(page):
    if page in RUN_ELSEWHERE:
        assert page.rpartition("/")[2] in (ROOT / "tests" / RUN_ELSEWHERE[page]).read_text(encoding="utf-8")
        return
    run = "".join(_example(*key) for group in PRINTED.values() for key in group if key[0] == page)
    run += "".join(_files(page).values())
    assert [block for block in _blocks(page, "python") if block not in run] == []


def test_the_first_commands_are_the_ones_that_are_tested():
    commands = [line for block in _blocks("README.md", "bash") for line in block.splitlines()]
    assert commands[:2] == ["pip install . && keras-hypernet demo", "pip install -e '.[test]' && pytest"]


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        name, _, section = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        assert not section or section in _sections(path), target


def _sections(path):
    """The anchors of the sections of a page, as GitHub creates them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_readme_is_short():
    text = re.sub(r"<!-- keras-hypernet list.*?<!-- end -->", "", README, flags=re.DOTALL)
    assert len(text.splitlines()) <= 120


def test_results_in_pages_are_those_of_the_rows():
    if not (ROOT / "results").is_dir():
        pytest.skip("results/ is not in this checkout")
    filled = runpy.run_path(str(ROOT / "docs" / "result_tables.py"))["filled"]
    for page in ("pareto", "gaussian_process", "hypernetworks_static", "hyperparameter_response", "continual"):
        text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
        assert filled(text, ROOT / "results") == text, "run python docs/result_tables.py"


def test_speeds_are_those_that_were_measured():
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("this is not a checkout: benchmarks/ is not here")
    report = runpy.run_path(str(ROOT / "benchmarks" / "report.py"))
    assert report["page"]() == (ROOT / "docs" / "speed.md").read_text(encoding="utf-8"), "run benchmarks/report.py"
    assert report["readme"]() == README, "run benchmarks/report.py"
    processes = (ROOT / "docs" / "gaussian_process.md").read_text(encoding="utf-8")
    assert report["neural_processes"]() == processes, "run benchmarks/report.py"
