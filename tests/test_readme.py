"""The README: its table is that of the cards, its Python runs, its commands exist, its pictures are there."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

import keras_hypernet as kh
from keras_hypernet_cli.models import zoo_table

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_zoo_table_is_that_of_the_cards():
    (table,) = re.findall(r"<!-- keras-hypernet list --markdown -->\n(.*?)\n<!-- end -->", README, re.DOTALL)
    assert table == zoo_table(kh.list_entries()), "put the output of `keras-hypernet list --markdown` there"


@pytest.mark.parametrize("number", range(4))
def test_python_runs(number, tmp_path):
    blocks = _blocks("python")
    assert len(blocks) == 4
    if "saved_models/" in blocks[number] and not (ROOT / "saved_models").is_dir():
        pytest.skip("this is not a checkout: saved_models/ is not here")
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    done = subprocess.run(
        [sys.executable, "-c", blocks[number]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = [
        r"\[\[ ?-?\d\.\d+ *\]\n \[ ?-?\d\.\d+ *\]\]\n",
        r"depth 2: test error 0\.\d+ ± 0\.\d+\ndepth 4: test error .*\n",
        r"best depth [23], MSE \d\.\d+\nmy best depth \d, units (8|16)\n",
        "90 degrees\n",
    ][number]
    assert re.fullmatch(expected, done.stdout)


def test_the_first_commands_are_the_ones_that_are_tested():
    commands = [line for block in _blocks("bash") for line in block.splitlines()]
    assert commands[:2] == ["pip install . && keras-hypernet demo", "pip install -e '.[test]' && pytest"]


def test_links_lead_somewhere():
    text = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).exists(), target


# Where the weights of `apply` come from, and what stands between it and the client.
_APPLY = (("apply", "_in_process"), ("apply", ""), ("kept", ""))


def _benchmark(name):
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def _behind(oracle):
    rows = _benchmark("tuning_budget")["rows"]
    behind = [row[3] - row[5] for row in rows if row[0] == oracle]
    mean = _benchmark("tuning_budget")["mean_behind"][oracle]
    assert mean == pytest.approx(sum(behind) / len(behind))
    return ", ".join(f"{value:.3f}" for value in behind) + f", mean {mean:.3f}"


def test_speeds_are_those_that_were_measured():
    def measured(name):
        return {row[0]: row[1:] for row in _benchmark(name)["rows"]}

    (section,) = re.findall(r"^## Speed\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    steps, rates, start = measured("train_step"), measured("data"), measured("startup")
    expected = [
        f"{steps['factorised'][0]:.1f} ms; {steps['materialised'][1]:.2f} of",
        f"{steps['PyTorch'][1]:.2f} of PyTorch's",
        f"matrix products alone take {steps['bare GEMMs'][0]:.1f} ms",
        f"{steps['materialised'][3]:.2f} with the paper's g of 10 hidden units,",
        f"{steps['materialised'][5]:.2f} with 100 |",
        *(f"{round(rates[name][0], -4):,}, {rates[name][2]:.1f} times" for name in ("mnist", "cifar10")),
        f"| {100 * (rates['mnist'][4] + rates['mnist'][5]):.0f}% |",
        f"| {rates['mnist'][6]:.2f} ms of {rates['mnist'][3]:.2f} ms |",
        f"| {start['what keras_hypernet adds'][0]:.2f} s; 0.3 s or less |",
    ]
    contraction = _benchmark("contraction")
    expected.append(f"over {contraction['points']} shapes | at most {contraction['worst']:.2f} times |")
    epochs, embedding = measured("experiment"), measured("embedding")
    expected += [
        f"hypernetwork {epochs['hyper'][3]:.1f} times as fast, embedding method {epochs['embed'][3]:.1f} times",
        "rotation/MNIST {:.2f}, rotation/CIFAR-10 {:.2f}, synthetic {:.2f} |".format(
            *(row[2] for row in embedding.values())
        ),
    ]
    workers = measured("workers")
    expected.append(f"included; 0.60 or less | {workers['two, as a part of one'][0]:.2f} of the time of one worker |")
    serving, search = (_benchmark(name) for name in ("serving", "tuning_overhead"))
    (rate,) = (row[-1] for row in serving["rows"] if row[:2] == ["serving_default, gRPC", 256])
    expected += [
        f"{rate:,.0f} rows a second, {serving['grpc_over_fastapi']:.0f} times as many",
        "in process {:.1f} times; by gRPC {:.1f} times, and {:.1f} times where".format(
            *(serving[f"{name}_over_default{where}"] for name, where in _APPLY)
        ),
        f"against 1,000 | {100 * serving['memory_growth']:+.1f}% |",
        f"a trial of one minute, in seconds of the processor | {100 * search['share_of_a_minute']:.1f}% |",
        f"Hyperband {_behind('hyperband')}; three depths at random",
        f"so few steps) {_behind('bayesian')}. So",
    ]
    assert [text for text in expected if text not in section] == []
    assert max(row[0] for name, row in start.items() if name.startswith("load")) < 0.35
