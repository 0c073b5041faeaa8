"""CSVLogger: write the history to a CSV file, which spreadsheets and other programs can read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from xpnet.training._claim import require_new
from xpnet.training.callback import Callback

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer


class CSVLogger(Callback):
    """Writes the history after each epoch: a line of column names, then a row per epoch.

    Each time a new file replaces the old one, so the file is complete whenever the process ends. A
    `Run` writes such a file already.

    Parameters
    ----------
    path : str or path-like
        Its folder is created if necessary. A new training does not overwrite an older one's file.

    Raises
    ------
    StateError
        Raised by `fit`: the file is an older training's.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.training import CSVLogger, Trainer
    >>> data = F.asarray([[1.0]]), F.asarray([[2.0]])
    >>> model = xpnet.Affine(1, 1, weight="zeros")
    >>> optimizer = xpnet.SGD(model.parameters(), lr=0.125)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "history.csv")
    ...     trainer = Trainer(model, F.mean_squared_error, optimizer, callbacks=[CSVLogger(path)])
    ...     history = trainer.fit(data, epochs=2, batch_size=1)
    ...     print(path.read_text())
    epoch,train_loss,lr,seconds,samples_per_s
    1,4,0.125,...
    2,1,0.125,...
    """

    reads_gradients: ClassVar[bool] = False
    only_on_root: ClassVar[bool] = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_start(self, trainer: "Trainer") -> None:
        """Raise now if the folder cannot be created, or if the file is an older training's."""
        if not trainer.resumed:
            require_new(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        trainer.history.write_csv(self.path)

    def on_epoch(self, trainer: "Trainer") -> None:
        trainer.history.write_csv(self.path)
