"""The command `xpnet train mnist`, end to end, against the same training in PyTorch and Keras.

    python benchmarks/end_to_end.py                       both models, in every library installed
    python benchmarks/end_to_end.py --check               exit code 1 if xpnet takes longer than its limit
    python benchmarks/end_to_end.py --model lenet --epochs 1 --libraries xpnet,xpnet-eager

    mlp      784-400-10, momentum, 10 epochs: the defaults of the command
    lenet    two convolutions, Adam, one cycle of the learning rate, 8 epochs

Each training is a process of its own, from the start of Python to the accuracy on the test images, on
all cores unless --threads says how many. PyTorch and Keras read the images from xpnet's package.
Keras computes by PyTorch. It has no schedule of one cycle; its learning rate falls linearly, which takes as long.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

from benchmarks.peers.race import missing_package
from benchmarks.peers.results import save

LIBRARIES = ("xpnet", "xpnet-eager", "torch", "keras")
BATCH = 100
ACCURACY = 0.02  # how far the libraries may be apart: after one epoch, they still differ
Results = dict[
    str, dict[str, Any]
]  # of each model: "epochs"; "libraries", with seconds and accuracy
LIMITS = {"mlp": 6.0, "lenet": 40.0}  # seconds of `xpnet train` where eager code takes 16 and 136
EPOCHS = {"mlp": 10, "lenet": 8}
FLAGS = {"mlp": [], "lenet": ["--lr", "0.003", "--schedule", "one-cycle"]}  # those of the README


def images() -> list[np.ndarray]:
    """MNIST: training images (n, 784) and digits, and those of the test."""
    from xpnet.data import load_mnist

    (x, t), (x_test, t_test) = load_mnist()
    return [np.asarray(a) for a in (x.reshape(-1, 784), t, x_test.reshape(-1, 784), t_test)]


def by_torch(model: str, epochs: int) -> float:
    """Train in PyTorch; returns the accuracy on the test images."""
    import torch
    from torch import nn

    x, t, x_test, t_test = map(torch.from_numpy, images())
    t = t.long()
    if model == "mlp":
        net = nn.Sequential(nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 10))
        optimizer: Any = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    else:
        x = x.view(-1, 1, 28, 28)
        x_test = x_test.view(-1, 1, 28, 28)
        net = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25),
            nn.Linear(800, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(net.parameters())
    steps = epochs * len(x) // BATCH
    schedules = torch.optim.lr_scheduler
    schedule: Any
    if model == "mlp":
        schedule = schedules.LambdaLR(optimizer, lambda step: 1 - step / steps)
    else:  # a second schedule of one optimizer would begin with the first one's learning rate
        schedule = schedules.OneCycleLR(optimizer, 0.003, steps, cycle_momentum=False)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[rows]), t[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        return float((net(x_test).argmax(1) == t_test).float().mean())


def by_keras(model: str, epochs: int) -> float:
    """Train in Keras; returns the accuracy on the test images."""
    import keras
    from keras import layers

    x, t, x_test, t_test = images()
    steps = epochs * len(x) // BATCH
    if model == "mlp":
        net = [keras.Input((784,)), layers.Dense(400, activation="relu"), layers.Dense(10)]
    else:
        x = x.reshape(-1, 28, 28, 1)
        x_test = x_test.reshape(-1, 28, 28, 1)
        net = [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 5, padding="same", activation="relu"), layers.MaxPool2D(2),
            layers.Conv2D(32, 5, activation="relu"), layers.MaxPool2D(2), layers.Flatten(),
            layers.Dropout(0.25), layers.Dense(128, activation="relu"), layers.Dropout(0.25),
            layers.Dense(10),
        ]  # fmt: skip
    lr = 0.1 if model == "mlp" else 0.003
    schedule = keras.optimizers.schedules.PolynomialDecay(lr, steps, end_learning_rate=0.0)
    optimizer = keras.optimizers.Adam(schedule)
    if model == "mlp":
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    network = keras.Sequential(net)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss, metrics=["accuracy"])
    network.fit(x, t, batch_size=BATCH, epochs=epochs, verbose=0)
    return float(network.evaluate(x_test, t_test, batch_size=1000, verbose=0)[1])


def by_command(model: str, epochs: int, eager: bool) -> float:
    """Train by the command line; returns the accuracy on the test images."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xpnet", "train", "mnist", "--model", model]
        command += ["--epochs", str(epochs), "--out", str(Path(folder) / "run")]
        command += FLAGS[model]
        if eager:
            command.append("--no-compile")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        config = json.loads((Path(folder) / "run" / "config.json").read_text())
    return float(config["test_accuracy"])


def train(library: str, model: str, epochs: int) -> float:
    """Train in one library; returns the accuracy on the test images."""
    if library == "torch":
        return by_torch(model, epochs)
    if library == "keras":
        return by_keras(model, epochs)
    return by_command(model, epochs, eager=library == "xpnet-eager")


def environment(threads: int) -> dict[str, str]:
    """The environment of a training on so many threads; 0 for what a user has, all cores."""
    env = dict(os.environ, PYTHONPATH=str(ROOT))
    env.pop("OPENBLAS_CORETYPE", None)  # set on some machines, to a kernel of half the speed
    env["KERAS_BACKEND"] = "torch"  # its default, TensorFlow, is another gigabyte
    for library in ("OMP", "OPENBLAS", "MKL"):
        name = f"{library}_NUM_THREADS"
        env.pop(name, None)
        if threads:
            env[name] = str(threads)
    return env


def timed(library: str, model: str, epochs: int, threads: int) -> list[float] | str:
    """The seconds of a whole process and its accuracy; or which package is not installed.

    Raises
    ------
    RuntimeError
        The process failed otherwise.
    """
    command = [sys.executable, __file__, "--one", library, "--model", model]
    command += ["--epochs", str(epochs)]
    began = time.perf_counter()
    env = environment(threads)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        return missing_package(done.stderr)
    (accuracy,) = re.findall(r"^accuracy ([\d.]+)$", done.stdout, re.MULTILINE)
    return [seconds, float(accuracy)]


def markdown(results: Results) -> str:
    """A table for each model: seconds from the start of Python to the accuracy."""
    tables = []
    for model, found in results.items():
        lines = [f"| {model}, epochs: {found['epochs']} | seconds | test accuracy |"]
        lines.append("|---|---:|---:|")
        for library, result in found["libraries"].items():
            cells = f"({result}) | "
            if not isinstance(result, str):
                cells = f"{result[0]:.1f} | {result[1]:.2%}"
            lines.append(f"| {library} | {cells} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def astray(results: Results) -> list[str]:
    """The libraries whose accuracy is below the best one's by more than ACCURACY: they train something else."""
    found = []
    for model, figures in results.items():
        reached = {k: x[1] for k, x in figures["libraries"].items() if not isinstance(x, str)}
        best = max(reached.values(), default=0.0)
        for library, accuracy in reached.items():
            if accuracy < best - ACCURACY:
                found.append(f"{model}: {library} reaches {accuracy:.2%}, the best one {best:.2%}")
    return found


def slow(results: Results) -> list[str]:
    """The models for which `xpnet train`, with its own number of epochs, takes longer than its limit."""
    found = []
    for model, figures in results.items():
        result = figures["libraries"].get("xpnet", "not measured")
        is_whole = figures["epochs"] == EPOCHS[model]
        if is_whole and (isinstance(result, str) or result[0] > LIMITS[model]):
            found.append(f"{model}: expected at most {LIMITS[model]} seconds, got {result}")
    return found


def main() -> int:
    """Train in each library, print seconds and accuracies, and check the limits."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=LIMITS, action="append")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--libraries", default=",".join(LIBRARIES))
    parser.add_argument("--threads", type=int, default=0, help="by default, all cores")
    parser.add_argument("--check", action="store_true", help="exit code 1 above a limit")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    models = options.model or list(LIMITS)
    if options.one:
        print(f"accuracy {train(options.one, models[0], options.epochs)}")
        return 0
    results: Results = {}
    for model in models:
        epochs = options.epochs or EPOCHS[model]
        libraries = {}
        for library in options.libraries.split(","):
            libraries[library] = timed(library, model, epochs, options.threads)
            print(f"{model}, {library}: measured", file=sys.stderr, flush=True)
        results[model] = {"epochs": epochs, "libraries": libraries}
    print(markdown(results))
    if options.out:
        save(options.out, options.threads, results)
    exceeded = [*slow(results), *astray(results)]
    print("\n".join(["", *exceeded]))
    return int(options.check and bool(exceeded))


if __name__ == "__main__":
    sys.exit(main())
