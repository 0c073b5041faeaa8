"""Training: the training loop, its callbacks, checkpoints and run folders.

>>> from xpnet.training import Trainer
>>> import xpnet
>>> from xpnet import functions as F, metrics
>>> model = xpnet.MLP(2, 8, 2, rng=0)
>>> trainer = Trainer(
...     model, F.softmax_cross_entropy, xpnet.Adam(model.parameters(), lr=0.05), [metrics.accuracy], rng=0
... )
>>> x, t = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
>>> history = trainer.fit((x, t), epochs=100, batch_size=4)
>>> history["train_accuracy"][-1]
1.0
"""

from xpnet.training.callback import Callback, Progress
from xpnet.training.callbacks import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    ProgressBar,
    ReduceOnPlateau,
    Statistics,
    StopOnNaN,
    TensorBoard,
)
from xpnet.training.evaluation import evaluate, predict
from xpnet.training.history import History
from xpnet.training.interrupt import Interrupts
from xpnet.training.precision import MixedPrecision
from xpnet.training.predictions import Predictions
from xpnet.training.run import Run, TrainedModel, open_run
from xpnet.training.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "Interrupts",
    "MixedPrecision",
    "Predictions",
    "Progress",
    "ProgressBar",
    "ReduceOnPlateau",
    "Run",
    "Statistics",
    "StopOnNaN",
    "TensorBoard",
    "TrainedModel",
    "Trainer",
    "evaluate",
    "open_run",
    "predict",
]
