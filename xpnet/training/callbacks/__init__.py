"""xpnet's own callbacks, each in a file of its name.

    ProgressBar         a line per epoch and, on a terminal, a bar below them
    CSVLogger           the history as a file, after each epoch
    TensorBoard         event files for TensorBoard
    Checkpoint          files from which the training can be resumed
    Statistics          weights, gradients and outputs, layer by layer
    EarlyStopping       ends a training that no longer improves
    ReduceOnPlateau     reduces the learning rate of a training that no longer improves
    StopOnNaN           finds the layer whose output was the first that is NaN or infinite

To write your own, subclass `xpnet.training.Callback`.
"""

from xpnet.training.callbacks.checkpoint import Checkpoint as Checkpoint
from xpnet.training.callbacks.csv_logger import CSVLogger as CSVLogger
from xpnet.training.callbacks.early_stopping import EarlyStopping as EarlyStopping
from xpnet.training.callbacks.progress_bar import ProgressBar as ProgressBar
from xpnet.training.callbacks.reduce_on_plateau import ReduceOnPlateau as ReduceOnPlateau
from xpnet.training.callbacks.statistics import Statistics as Statistics
from xpnet.training.callbacks.stop_on_nan import StopOnNaN as StopOnNaN
from xpnet.training.callbacks.tensorboard import TensorBoard as TensorBoard
