"""What `plan` takes for each cost of an entry, on the shapes that were measured: which cost a device should have.

    python benchmarks/plan_costs.py

Measures nothing: reads the times of both routes in contraction.json and gpu.json, and computes, for each device and
bits of an entry, the mean and the worst of the chosen route's time divided by the faster route's. The costs in use are
in `OPERATIONS_PER_ENTRY` of keras_hypernet/layers/contraction.py; a device that has been measured gets its cost there.
"""

import json
import pathlib
import statistics

from measure import report

from keras_hypernet.bases.base import Sizes
from keras_hypernet.layers import HyperDense
from keras_hypernet.layers.contraction import OPERATIONS_PER_ENTRY, ROUTES

FOLDER = pathlib.Path(__file__).parent
COSTS = (0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


def measured():
    """Dict from device and bits to pairs of the costs of both routes and their times, for each measured shape."""
    points = {key: [] for key in OPERATIONS_PER_ENTRY}
    for name in ("contraction", "gpu"):
        content = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for values in content["all_rows"]:
            row = dict(zip(content["columns"], values, strict=True))
            key = "cpu" if name == "contraction" else "gpu", 16 if row.get("precision") == "bfloat16" else 32
            conditions = row.get("conditions", row.get("batch"))
            shape = Sizes(conditions * row["points"], conditions, row["input_dim"], row["units"], row["rank"])
            layer = HyperDense(shape.outputs)
            points[key].append((layer.costs(shape), {route: row[f"{route} (ms)"] for route in ROUTES}))
    return points


def ratios(points, of_entry):
    """The chosen route's time divided by the faster route's, for each shape, with a cost of an entry."""
    for costs, times in points:
        chosen = min(costs, key=lambda route: costs[route].operations + of_entry * costs[route].entries)
        yield times[chosen] / min(times.values())


def rows():
    """For each device and bits of an entry, and each cost: number of shapes, mean and worst ratio, whether in use."""
    for (device, bits), points in measured().items():
        for of_entry in COSTS:
            over = list(ratios(points, of_entry))
            in_use = of_entry == OPERATIONS_PER_ENTRY[device, bits]
            yield [device, bits, len(points), of_entry, statistics.mean(over), max(over), in_use]


if __name__ == "__main__":
    columns = ["device", "bits", "shapes", "operations for an entry", "mean", "worst", "in use"]
    report("plan_costs", "The route of `plan` by cost of an entry, in times of the faster route", columns, list(rows()))
