"""Writes docs/speed.md, the README's lines on speed and a table of docs/gaussian_process.md from the benchmarks' JSON.

Command: `python benchmarks/report.py`
"""

import json
import pathlib
import re
import statistics

FOLDER = pathlib.Path(__file__).parent
ROOT = FOLDER.parent
MARKED = re.compile(r"(<!-- benchmarks/report\.py -->\n).*?(<!-- end -->)", re.DOTALL)

HEAD = """\
# Speed

Each script in `benchmarks/` makes one comparison: the contenders run in turns, and the result is the median time of
each. The results are in JSON files beside the scripts, from which `python benchmarks/report.py` generates this page.
"""


def read(name):
    """The JSON of a benchmark, with its rows by their first cell."""
    content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return {**content, "by_name": {row[0]: row[1:] for row in content["rows"]}}


def facts():
    """The rows of the page: name of the JSON file, quantity, result, command."""
    step, data, start = (read(name)["by_name"] for name in ("train_step", "data", "startup"))
    epoch, embedding, workers = (read(name)["by_name"] for name in ("experiment", "embedding", "workers"))
    contraction, serving, overhead = (read(name) for name in ("contraction", "serving", "tuning_overhead"))
    loads = max(seconds for _, seconds, _ in read("startup")["loads"])
    (rate,) = (row[-1] for row in serving["rows"] if row[:2] == ["serving_default, gRPC", 256])
    apply = [
        serving[f"{name}_over_default{where}"]
        for name, where in (("apply", "_in_process"), ("apply", ""), ("kept", ""))
    ]
    yield (
        "train_step",
        "training step, rotation/CIFAR-10, batch 64, one thread",
        f"{step['factorised'][0]:.1f} ms, {step['materialised'][1]:.2f} times the time with written kernels, "
        f"{step['PyTorch'][1]:.2f} times PyTorch's (`nn.Linear` and `bmm`). The matrix products alone take "
        f"{step['bare GEMMs'][0]:.1f} ms",
        "train_step.py",
    )
    yield (
        "train_step",
        "memory of a training step with batch 256, relative to written kernels",
        f"{step['materialised'][3]:.2f} with the paper's g of 10 hidden units; {step['materialised'][5]:.2f} with 100",
        "train_step.py",
    )
    bfloat16 = read("train_step")["bfloat16_instructions"]
    yield (
        "train_step",
        "training step in mixed_bfloat16, on a processor "
        f"{'with' if bfloat16 else 'without'} instructions for bfloat16; goal with these instructions 0.70",
        f"{step['mixed_bfloat16'][0] / step['factorised'][0]:.2f} times the time in float32; the matrix products alone "
        f"{step['bare GEMMs, bfloat16'][0] / step['bare GEMMs'][0]:.2f} times; a step of matrix products, casts of "
        f"weights and gradients, and updates alone {step['and updates, bfloat16'][0] / step['factorised'][0]:.2f}",
        "train_step.py",
    )
    yield (
        "contraction",
        'time of the route that `contraction="auto"` chooses, relative to the faster route; goal at most 1.15',
        f"{contraction['mean']:.3f} on average over {contraction['points']} shapes; {contraction['worst']:.2f} at "
        "worst",
        "contraction.py",
    )
    yield (
        "embedding",
        "training step of the embedding method, relative to a step that concatenates x and e(I)",
        "rotation/MNIST {:.2f}, rotation/CIFAR-10 {:.2f}, synthetic {:.2f} times the time".format(
            *(row[2] for row in embedding.values())
        ),
        "embedding.py",
    )
    yield (
        "experiment",
        "speed of an epoch of rotation/CIFAR-10, data included, depth 4, one thread, relative to PyTorch with PIL; "
        "goal 3",
        f"hypernetwork {epoch['hyper'][3]:.1f} times, embedding method {epoch['embed'][3]:.1f} times",
        "experiment.py --full",
    )
    yield (
        "data",
        "rotated images per second, and relative to PIL one image at a time",
        "; ".join(f"{name} {round(data[name][0], -4):,}, {data[name][2]:.1f} times" for name in ("mnist", "cifar10")),
        "data.py",
    )
    yield (
        "data",
        "share of an MNIST training step spent in Python or waiting for data",
        f"{100 * (data['mnist'][4] + data['mnist'][5]):.0f}%; with the data in memory the step takes "
        f"{data['mnist'][6]:.2f} ms instead of {data['mnist'][3]:.2f} ms",
        "data.py",
    )
    yield (
        "startup",
        "processor time of `import keras_hypernet`, relative to `import keras`; of `kh.load` of an entry",
        f"{start['import keras_hypernet'][1] / start['import keras'][1]:.2f} times; at most {loads:.2f} s",
        "startup.py",
    )
    yield (
        "workers",
        "grid of 32 short runs by two workers, including their start, relative to one worker; goal 0.60",
        f"{workers['two, as a part of one'][0]:.2f} times the time",
        "workers.py",
    )
    yield (
        "serving",
        "`keras-hypernet serve` by gRPC, 256 rows to `rotation_cifar_hyper`",
        f"{rate:,.0f} rows per second, {serving['grpc_over_fastapi']:.0f} times FastAPI around `model.predict`",
        "serving.py",
    )
    yield (
        "serving",
        "`apply` with generated weights, relative to `serving_default`, in rows per second",
        "in process {:.1f} times; by gRPC {:.1f} times, and {:.1f} times with cached weights".format(*apply),
        "serving.py",
    )
    yield (
        "serving",
        "growth of the server's memory from 1,000 to 100,000 requests",
        f"{100 * serving['memory_growth']:+.1f}%",
        "serving.py",
    )
    yield (
        "tuning_overhead",
        "processor time that a search adds to a trial of one minute",
        f"{100 * overhead['share_of_a_minute']:.1f}%",
        "tuning.py overhead",
    )
    yield (
        "tuning_budget",
        "distance from the grid's best validation error, with at most 40% of the grid's training steps; goal 0.01",
        f"Hyperband {_distances('hyperband')}; Bayesian optimization {_distances('bayesian')}",
        "tuning.py budget",
    )


def _distances(oracle):
    budget = read("tuning_budget")
    distances = ", ".join(f"{row[3] - row[5]:.3f}" for row in budget["rows"] if row[0] == oracle)
    return f"{distances} (three seeds), mean {budget['mean_behind'][oracle]:.3f}"


def bases():
    """The section on the bases."""
    yield "\n## Bases\n"
    content = read("bases")
    yield f"By `bases.py` on {content['machine']['processor']}: a training step of HyperDense, one thread, batch 64,"
    yield "conditions of dimension 64. Memory is the growth during a step, variables included.\n"
    yield "| layer | basis | parameters of the kernel | ms per step | / Dense | memory (MiB) | / Dense |"
    yield "|---|---|---|---|---|---|---|"
    for layer, basis, parameters, *measured in content["rows"]:
        if measured[0] == "":
            cells = ["not run: over a gigabyte", "", "", ""]
        else:
            cells = [f"{value:.{digits}f}" for value, digits in zip(measured, (1, 2, 0, 2), strict=True)]
        yield f"| {layer} | {basis} | {parameters} | {' | '.join(cells)} |"


def convolutions():
    """The section on convolutions."""
    content = read("conv")
    yield "\n## Convolutions\n"
    yield f"By `conv.py` on {content['machine']['processor']}: HyperConv2D, a kernel of 3 x 3 for each image, forward"
    yield "and all gradients, one thread, relative to the time of a plain Conv2D without XLA.\n"
    columns = "plain (ms) | `Full` | `LowRank(8)` | `Full`, XLA | `LowRank(8)`, XLA"
    yield f"| batch, image, channels -> filters, rank | {columns} |"
    yield "|---|---|---|---|---|---|"
    for batch, size, channels, filters, rank, plain, *ratios in content["rows"]:
        shape = f"{batch}, {size} x {size}, {channels} -> {filters}, {rank}"
        yield f"| {shape} | {plain:.0f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios[:4])} |"
    auto = [row[-1] for row in content["grid"]["rows"]]
    yield f"\nOn a grid of {len(auto)} small shapes, the chosen route takes at most {max(auto):.2f} times the least."


def peers():
    """The section on other libraries."""
    yield "\n## Other libraries\n"
    if not (FOLDER / "peers.json").exists():
        yield "Not measured: `benchmarks/peers.py` has not run."
        return
    content = read("peers")
    yield "| library | release | weights for each sample |"
    yield "|---|---|---|"
    yield "| keras_hypernet | this | native: a layer takes a batch of conditions |"
    yield from (f"| {' | '.join(library)} |" for library in content["libraries"])
    yield f"\nBy `peers.py` on {content['machine']['processor']}: a training step on rotation/CIFAR-10, one thread, the"
    yield "same weights of f. g is the paper's, a convnet of three layers, or a frozen network with adapters of rank 8."
    yield "Memory is the growth during the steps. Keras compiles with XLA, unless `jit_compile=False`.\n"
    yield "| g | batch | generated weights | contender | ms per step | our time / this | memory (MiB) | ours / this |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind, batch, generated, name, milliseconds, ratio, *memory, _ in content["rows"]:
        cells = ["", ""] if memory[0] is None else [f"{memory[0]:.0f}", f"{memory[1]:.2f}"]
        yield f"| {kind} | {batch} | {generated:,} | {name} | {milliseconds:.1f} | {ratio:.2f} | {' | '.join(cells)} |"
    yield from _against_the_best_peer(content["rows"])
    yield "\nA convolution with a kernel for each image, forward and all gradients, against PyTorch's vmap and grouped"
    mean = content["convolutions"]["geometric_mean"]
    yield f"convolution; the geometric mean of the last column is {mean:.2f}, with the goal of 1.15.\n"
    yield "| batch, image, channels -> filters, rank | keras_hypernet (ms) | vmap (ms) | grouped (ms) | first / best |"
    yield "|---|---|---|---|---|"
    for batch, size, channels, filters, rank, *milliseconds, ratio in content["convolutions"]["rows"]:
        times = " | ".join(f"{value:.0f}" for value in milliseconds)
        yield f"| {batch}, {size} x {size}, {channels} -> {filters}, {rank} | {times} | {ratio:.2f} |"


def starting():
    """The section on import and load."""
    content = read("startup")
    yield "\n## Starting\n"
    yield f"By `startup.py` on {content['machine']['processor']}, {_load(content)}:"
    yield "new processes in turns, in processor seconds. Keras imports TensorFlow, and this package imports Keras,"
    yield "without garbage collection during the imports.\n"
    yield "| what | processor seconds |"
    yield "|---|---|"
    yield from (f"| {what} | {seconds:.2f} |" for what, _, seconds in content["rows"])
    loads = content["loads"]
    ours, alone = (statistics.median(row[column] for row in loads) for column in (1, 2))
    yield f"\nThe median over the {len(loads)} entries is {ours:.3f} processor seconds for `kh.load`, and {alone:.3f}"
    yield "for `keras.saving.load_model` alone, which checks neither card nor checksum nor size.\n"
    yield "| entry | `kh.load` | `load_model` |"
    yield "|---|---|---|"
    yield from (f"| {name} | {ours:.3f} | {alone:.3f} |" for name, ours, alone in loads)


def _load(content):
    return f"load average before it {content['load_before']:.1f}"


def continual():
    """The section on tasks one after another."""
    yield "\n## Tasks one after another\n"
    if not (FOLDER / "continual.json").exists():
        yield "Not measured: `benchmarks/continual.py` has not run."
        return
    content = read("continual")
    yield f"By `continual.py` on {content['machine']['processor']}, {_load(content)},"
    yield f"against {content['library']}: a training step of split digits with the penalty for four past tasks, one"
    yield "thread, the same sizes. The memory is the growth in steps after those that trace and compile.\n"
    yield "| contender | trained parameters | ms of processor time a step | our time / this | memory (MiB) |"
    yield "|---|---|---|---|---|"
    for name, parameters, milliseconds, ratio, memory in content["rows"]:
        yield f"| {name} | {parameters:,} | {milliseconds:.2f} | {ratio:.2f} | {memory:.1f} |"
    if not (FOLDER / "continual_errors.json").exists():
        yield "\nErrors were not measured: `benchmarks/continual_errors.py` has not run."
        return
    content = read("continual_errors")
    yield f"\nBy `continual_errors.py` on {content['machine']['processor']}: the errors of {content['library']} on the"
    yield "tasks and images of continual_digits, with the published settings, and with three settings of the"
    yield f"experiment (see the script); {content['steps']:,} steps for each task.\n"
    yield "| digits | settings | seed | error, task known | task inferred | right after a task's own steps | minutes |"
    yield "|---|---|---|---|---|---|---|"
    for *labels, known, inferred, learned, minutes in content["rows"]:
        cells = (*labels, f"{known:.4f}", f"{inferred:.3f}", f"{learned:.4f}", f"{minutes:.0f}")
        yield f"| {' | '.join(map(str, cells))} |"


def _against_the_best_peer(rows):
    ahead, goals = [], {"time": [], "memory": []}
    for case in dict.fromkeys(tuple(row[:3]) for row in rows):
        others = [row for row in rows if (*row[:3],) == case and not row[3].startswith("keras_hypernet")]
        for quantity, column in (("time", 5), ("memory", 7)):
            if others[0][column] is None:
                continue
            ratio, name = max((row[column], row[3]) for row in others)
            if case[2] == 308_400:
                goals[quantity].append(f"{ratio:.2f} at batch {case[1]}")
            if ratio > 1:
                ahead.append(
                    f"{case[0]} of batch {case[1]}, {case[2]:,} weights: {ratio:.2f} times the {quantity} of {name}"
                )
    reached = [
        f"{quantity} {', '.join(goals[quantity])} (goal {goal})" for quantity, goal in (("time", 0.5), ("memory", 0.35))
    ]
    yield f"\nWith 308,400 generated weights, against the best other contender: {'; '.join(reached)}."
    yield f"Cases in which another contender is better: {'; '.join(ahead) or 'none'}."


def gpu():
    """The section on GPUs."""
    yield "\n## On a GPU\n"
    if not (FOLDER / "gpu.json").exists():
        yield "Not measured: `benchmarks/gpu.py` has not run on a GPU."
        return
    content = read("gpu")
    yield "By `gpu.py`: HyperDense forward and backward, by each route, and the bare matrix products of a route. In"
    yield "the rows tf32 and float32, the tensors are float32, and the products have the stated precision. `auto` is"
    yield "the route that the plan chose at the time of the measurement.\n"
    yield "| framework | device | precision | shapes | `auto` / better route: median, worst | better route / products |"
    yield "|---|---|---|---|---|---|"
    for framework, device in content["devices"].items():
        rows = [row for row in content["all_rows"] if row[0] == framework]
        if not rows:
            yield f"| {framework} | not measured: {device} | | | | |"
        for precision in dict.fromkeys(row[1] for row in sorted(rows, key=lambda row: row[1])):
            auto, share = zip(*(row[-2:] for row in rows if row[1] == precision), strict=True)
            middle, worst, limit = statistics.median(auto), max(auto), statistics.median(share)
            results = f"{len(auto)} | {middle:.2f}, {worst:.2f} | median {limit:.2f}"
            yield f"| {framework} | {device} | {precision} | {results} |"
    yield from _gpu_convolutions(content.get("convolutions", {"rows": []})["rows"])
    yield from _gpu_step(content["step"])
    yield "\nTests of the layers on the GPU, in full precision:\n"
    for framework, tests in content["tests"].items():
        yield f"- {framework}: {tests.get('summary') or 'not run: ' + tests['not measured']}"


def _gpu_convolutions(rows):
    yield "\nHyperConv2D, a kernel of 3 x 3 for each image, by each route:\n"
    if not rows:
        yield "Not measured on this device."
        return
    routes = "`mapped` | `grouped` | `shifts` | `patches` | products (ms) | `auto` / fastest"
    yield f"| framework | precision | batch, image, channels -> filters, rank | {routes} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for framework, precision, batch, size, channels, filters, rank, *milliseconds, _, auto, _ in rows:
        times = " | ".join("" if time is None else f"{time:.3f}" for time in milliseconds)
        shape = f"{batch}, {size} x {size}, {channels} -> {filters}, {rank}"
        yield f"| {framework} | {precision} | {shape} | {times} | {auto:.2f} |"


def plan_costs():
    """The section on what `plan` counts for an entry."""
    yield "\n## What `auto` counts\n"
    yield "The cost of a route is its operations, plus the entries that it moves through memory times a number that"
    yield "depends on the device and on the bits of an entry. `plan_costs.py` compares these numbers on the measured"
    yield "shapes: the time of the chosen route divided by the time of the faster route. Other devices use the"
    yield "number of the first line.\n"
    yield "| device | bits | shapes | operations for an entry | mean | worst | best mean with another factor |"
    yield "|---|---|---|---|---|---|---|"
    rows = read("plan_costs")["rows"]
    for device, bits, shapes, number, mean, worst, in_use in rows:
        if in_use:
            others = min(row[4] for row in rows if row[:2] == [device, bits] and not row[-1])
            yield f"| {device} | {bits} | {shapes} | {number:.0f} | {mean:.3f} | {worst:.2f} | {others:.3f} |"


def _gpu_step(step):
    yield "\nThe training step of rotation/CIFAR-10, JAX against PyTorch with the same weights:\n"
    if "rows" not in step:
        yield f"Not measured: {step['not measured']}"
        return
    yield "| device | precision | batch | contender | ms | factorised / this | memory (MiB) |"
    yield "|---|---|---|---|---|---|---|"
    for precision, batch, name, milliseconds, ratio, memory in step["rows"]:
        size = "" if memory is None else f"{memory:.0f}"
        yield f"| {step['device']} | {precision} | {batch} | {name} | {milliseconds:.3f} | {ratio:.2f} | {size} |"
    yield "\nThe bare products allocate their results; a training step updates the weights in place."


def page():
    """The text of docs/speed.md."""
    lines = [HEAD, "| what | measured | script | processor |", "|---|---|---|---|"]
    lines += [
        f"| {what} | {result} | `{command}` | {read(name)['machine']['processor']} |"
        for name, what, result, command in facts()
    ]
    sections = bases, convolutions, peers, continual, starting, gpu, plan_costs
    return "\n".join([*lines, *(line for section in sections for line in section())]) + "\n"


def readme():
    """The README with the current lines on speed."""
    told = ("train_step.py", "contraction.py", "data.py", "startup.py", "serving.py")
    first = {command: f"- {what}: {result}.\n" for _, what, result, command in reversed(list(facts()))}
    lines = "".join(first[command] for command in told)
    return MARKED.sub(lambda marks: marks[1] + lines + marks[2], (ROOT / "README.md").read_text(encoding="utf-8"))


def neural_processes():
    """docs/gaussian_process.md with the current table of `neural_processes.py`."""
    content = read("neural_processes")
    seeds, machine = len(content["rows"][0][-1]), content["machine"]["processor"]
    lines = [f"| {' | '.join(content['columns'][:-1])} |", "|---" * len(content["columns"][:-1]) + "|"]
    for kernel, contender, parameters, _, exact, milliseconds, by_seed in content["rows"]:
        ours = f"{statistics.fmean(by_seed):.3f} ± {statistics.stdev(by_seed):.2g}"
        lines.append(f"| {kernel} | {contender} | {parameters:,} | {ours} | {exact:.3g} | {milliseconds:.3g} |")
    lines += ["", f"{content['library']}; {content['steps']:,} steps, {seeds} seeds; on {machine}."]
    text = (ROOT / "docs" / "gaussian_process.md").read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- results of neural_processes -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(lambda marks: marks[1] + "\n".join(lines) + "\n" + marks[2], text)


if __name__ == "__main__":
    (ROOT / "docs" / "speed.md").write_text(page(), encoding="utf-8")
    (ROOT / "docs" / "gaussian_process.md").write_text(neural_processes(), encoding="utf-8")
    (ROOT / "README.md").write_text(readme(), encoding="utf-8")
