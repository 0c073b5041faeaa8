"""Plots of a training and of a trained model, and the computational graph of a Variable.

Each function draws a `matplotlib.figure.Figure` of its own, without pyplot, so the caller's
backend, open figures and notebook are left alone. matplotlib is imported when something is drawn.
Each takes arrays of any library, and a path where to write the plot, as PNG, PDF or SVG by its
suffix.

    curves                                  loss and metrics by epoch
    mistakes                                the samples that were classified worst
    confusion_matrix, worst_mistakes        which class was predicted for which
    predictions                             regression: predicted against actual values, and errors
    filters, feature_maps                   the weights of a layer, and its output
    samples                                 images of each class
    pictures                                arrays as images, with values from 0 to 1
    gradient_flow                           the size of each parameter's gradient
    lr_range_test, lr_finder                the range of useful learning rates
    learning_rate                           the learning rate of a schedule, by step
    dot                                     a computational graph, in the language of Graphviz
    save                                    write a figure to a file
"""

from xpnet.plots._epochs import curves as curves
from xpnet.plots._gradients import gradient_flow as gradient_flow
from xpnet.plots._graph import dot as dot
from xpnet.plots._images import (
    feature_maps as feature_maps,
    filters as filters,
    pictures as pictures,
)
from xpnet.plots._mistakes import (
    Mistake as Mistake,
    confusion_matrix as confusion_matrix,
    mistakes as mistakes,
    worst_mistakes as worst_mistakes,
)
from xpnet.plots._numbers import predictions as predictions
from xpnet.plots._rates import (
    RangeTest as RangeTest,
    learning_rate as learning_rate,
    lr_finder as lr_finder,
    lr_range_test as lr_range_test,
)
from xpnet.plots._samples import samples as samples
from xpnet.plots._style import save as save

__all__ = [
    "Mistake",
    "RangeTest",
    "confusion_matrix",
    "curves",
    "dot",
    "feature_maps",
    "filters",
    "gradient_flow",
    "learning_rate",
    "lr_finder",
    "lr_range_test",
    "mistakes",
    "pictures",
    "predictions",
    "samples",
    "save",
    "worst_mistakes",
]
