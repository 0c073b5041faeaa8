"""Pictures of a training and of what it made. They need matplotlib, imported when one is drawn.

Each function makes a `matplotlib.figure.Figure` of its own and draws it without pyplot, so nothing
of the caller's (its backend, its open figures, its notebook) is touched. All of them take a path to
be written to, as PNG, PDF or SVG by its suffix, and arrays of any library.

    curves                              loss and metrics by epoch
    confusion_matrix, worst_mistakes    what was taken for what
    predictions                         numbers: predicted against actual, and the errors
    filters, feature_maps               what a layer has learned, and what it sees
    gradient_flow                       how large each parameter's gradient is
    lr_range_test, lr_finder            the range of useful learning rates
    learning_rate                       a schedule
"""

from xpnet.plots.epochs import curves as curves
from xpnet.plots.gradients import gradient_flow as gradient_flow
from xpnet.plots.graph import computational_graph as computational_graph, dot as dot
from xpnet.plots.images import (
    feature_maps as feature_maps,
    filters as filters,
    pictures as pictures,
)
from xpnet.plots.mistakes import (
    Mistake as Mistake,
    confusion_matrix as confusion_matrix,
    mistakes as mistakes,
    worst_mistakes as worst_mistakes,
)
from xpnet.plots.numbers import predictions as predictions
from xpnet.plots.rates import (
    RangeTest as RangeTest,
    learning_rate as learning_rate,
    lr_finder as lr_finder,
    lr_range_test as lr_range_test,
)
from xpnet.plots.style import save as save

__all__ = [
    "Mistake",
    "RangeTest",
    "computational_graph",
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
    "save",
    "worst_mistakes",
]
