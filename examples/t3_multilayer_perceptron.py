"""Lesson 3: a multi-layer perceptron with any number of hidden layers, for three kinds of task.

Regression predicts a number (how much has a patient's diabetes progressed in a year?), binary
classification a yes or no (is a tumour benign?), selection one of several classes (which digit?).
The network and its training are the same code; a task only defines the targets, the loss, and the
prediction. `hidden` is the width of one hidden layer, or a list with the width of each.

    python examples/t3_multilayer_perceptron.py --hidden 32
    python examples/t3_multilayer_perceptron.py --hidden 32,16 --backend torch
"""

from argparse import ArgumentTypeError

from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F


def hidden(text):
    """'32' becomes the int 32, one hidden layer; '32,16' the list [32, 16], two layers."""
    if not all(width.isdecimal() and int(width) for width in text.split(",")):
        raise ArgumentTypeError(f"expected a width as in 32, or several as in 32,16; got {text!r}")
    return [int(width) for width in text.split(",")] if "," in text else int(text)


def regression(t):
    """Train on standardised targets with the squared error; predictions are scaled back."""
    mean, std = t.mean(), t.std()
    return (t[:, None] - mean) / std, 1, F.mean_squared_error, lambda y: y[:, 0] * std + mean


def binary(t):
    """One output: the logit of 'yes'."""
    return t[:, None] * 1.0, 1, F.binary_cross_entropy_with_logits, lambda y: y[:, 0] > 0.0


def select_one(t):
    """One output for each class; the largest is chosen."""
    return t, int(t.max()) + 1, F.softmax_cross_entropy, lambda y: y.argmax(axis=1)


def train(x, t, outputs, loss_of):
    """A new network, and the mean of its losses in each epoch."""
    take = backend.xp.take
    network = xpnet.MLP(x.shape[1], args.hidden, outputs)
    # Strong decay of the weights: with few data, large weights would fit the noise.
    optimizer = xpnet.AdamW(network.parameters(), lr=0.003, weight_decay=1.0)
    curve = []
    for _ in range(args.epochs):
        order = rng.permutation(x.shape[0])
        losses = []
        for start in range(0, x.shape[0], 32):
            rows = backend.asarray(order[start : start + 32])
            loss = loss_of(network(take(x, rows, axis=0)), take(t, rows, axis=0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.data)
        curve.append(float(backend.xp.mean(backend.xp.stack(losses))))
    return network, curve


args, backend, rng = begin(
    __doc__,
    needs=("matplotlib", "sklearn"),
    hidden=(hidden, 32, "a width, or several with commas between them"),
    epochs=(positive, 30, "passes over the data"),
)

from sklearn import datasets, dummy, metrics, model_selection  # noqa: E402 - begin() checks for it

TASKS = {
    "diabetes": (datasets.load_diabetes, regression),
    "cancer": (datasets.load_breast_cancer, binary),
    "digits": (datasets.load_digits, select_one),
}

print(f"hidden: {args.hidden}\n\ntask       kind         test score            baseline")
figure, axes = canvas(columns=3, width=9.0, height=2.8)
for ax, (name, (load, kind)) in zip(axes, TASKS.items(), strict=True):
    x, x_test, t, t_test = model_selection.train_test_split(
        *load(return_X_y=True), test_size=0.25, random_state=42
    )
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-9  # some pixels of the digits are always 0
    targets, outputs, loss_of, predict = kind(t)
    targets = backend.asarray(targets, backend.dtype if targets.dtype.kind == "f" else None)
    on_device = [backend.asarray((part - mean) / std, backend.dtype) for part in (x, x_test)]
    network, curve = train(on_device[0], targets, outputs, loss_of)
    score, baseline = metrics.accuracy_score, dummy.DummyClassifier()  # the most frequent class
    if kind is regression:
        score, baseline = metrics.r2_score, dummy.DummyRegressor()  # the mean
    found = score(t_test, predict(xpnet.to_numpy(network(on_device[1]))))
    base = baseline.fit(x, t).score(x_test, t_test)
    print(f"{name:10} {kind.__name__:12} {score.__name__:14} {found:6.3f} {base:10.3f}")
    ax.plot(range(1, args.epochs + 1), curve)
    ax.set(title=f"{name}: {found:.3f} on test data", xlabel="epoch")
    ax.set_ylabel(loss_of.__name__.replace("_", " "), fontsize=8)
save(figure, args.out / "t3_multilayer_perceptron.png")
