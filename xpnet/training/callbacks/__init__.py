"""Callbacks that xpnet has: what looks on while a Trainer works, and what has a say in it.

    ProgressBar         a line an epoch; on a terminal a bar below
    CSVLogger           the history, as a file, after each epoch
    TensorBoard         event files for TensorBoard
    Checkpoint          the training itself, as files from which it goes on
    Statistics          weights, gradients and outputs, layer by layer
    EarlyStopping       ends a training that gets no better
    ReduceOnPlateau     a smaller learning rate for one that gets no better
    LinearDecay         a learning rate that falls epoch by epoch
    StopOnNaN           tells the layer in which the first number that is none arose

Your own is a subclass of `xpnet.training.Callback`.
"""

from xpnet.training.callbacks.checkpoint import Checkpoint as Checkpoint
from xpnet.training.callbacks.csv_logger import CSVLogger as CSVLogger
from xpnet.training.callbacks.early_stopping import EarlyStopping as EarlyStopping
from xpnet.training.callbacks.progress_bar import ProgressBar as ProgressBar
from xpnet.training.callbacks.reduce_on_plateau import (
    LinearDecay as LinearDecay,
    ReduceOnPlateau as ReduceOnPlateau,
)
from xpnet.training.callbacks.statistics import Statistics as Statistics
from xpnet.training.callbacks.stop_on_nan import StopOnNaN as StopOnNaN
from xpnet.training.callbacks.tensorboard import TensorBoard as TensorBoard
