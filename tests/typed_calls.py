"""Example calls, checked by mypy and never run: exactly the lines that are marked as errors must be errors."""

from typing import Any

import keras

import keras_hypernet as kh


def right(x: Any, condition: Any) -> None:
    generator = keras.Sequential([kh.layers.TaskEmbedding(5, 3), keras.layers.Dense(4)])
    primary = [kh.layers.HyperDense(10, activation="elu", basis=kh.bases.LowRank(8)), kh.layers.HyperConv1D(4, (3,))]
    model: kh.Hypernetwork = kh.Hypernetwork(generator, primary, name="mine")
    theta: dict = model.generate(condition)
    model.apply(x, kh.models.interpolate(theta, kh.models.average([theta]), 0.5))
    kh.hypernetize(kh.specialize(model, condition), generator, layers=["conv*"], base="zeros").num_parameters()
    kh.layers.Hyper(keras.layers.Dense(3), weights="*kernel")(x, condition)
    names: list[str] = [card.name for card in kh.list_entries()]
    kh.export(names[0], "saved_models", keep=2).name.upper()
    task = kh.ArrayTask(x=x, condition=condition, y=x, metric="mse")
    kh.fit(model, task, kh.Recipe(width=4, learning_rate=0.1), directory="runs")[-1]["loss"]
    error: float = kh.evaluate(kh.load("rotation_mnist_hyper"), kh.RotationTask("digits"), split="test")["error"]
    kh.tuning.search(task, "hyper", trials=3, depth=(2, 4)).best.depth + error
    kh.theory.spectral_complexity([x]), kh.theory.rotation_parameters((28, 28, 1), depth=4, width=50)["N_g"]
    kh.serving.Client("localhost:8501", timeout=3).predict(x, condition)


def wrong(x: Any, condition: Any, model: kh.Hypernetwork, task: kh.Task, recipe: kh.Recipe) -> None:
    kh.layers.HyperDense("ten")  # type: ignore[arg-type]
    kh.bases.LowRank(rank="two")  # type: ignore[arg-type]
    kh.bases.Chunked(100)  # type: ignore[call-arg]
    kh.Hypernetwork(model)  # type: ignore[call-arg]
    model.generate()  # type: ignore[call-arg]
    model.apply(x, [condition])  # type: ignore[arg-type]
    kh.load(3)  # type: ignore[arg-type]
    kh.lod("rotation_mnist_hyper")  # type: ignore[attr-defined]
    kh.Recipe(width="4")  # type: ignore[arg-type]
    kh.fit(model, recipe, task)  # type: ignore[arg-type]
    kh.tuning.search(task, epoch=3, epochs="3")  # type: ignore[arg-type]
    kh.theory.lower_bound(0.1, 2)  # type: ignore[call-arg]
    kh.serving.Client(8501)  # type: ignore[arg-type]
