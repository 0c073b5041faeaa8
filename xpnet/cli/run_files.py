"""Papers: what a run needs to be resumed and to be repeated.

To be resumed: its settings, how it reads its data, and the digest of its own model's code go into the
checkpoint, which has a checksum. To be repeated: `config.toml`, and `model.py` if the model is one of
the user's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from xpnet.cli import config
from xpnet.errors import StateError
from xpnet.saving.safetensors import replacing
from xpnet.training import Callback
from xpnet.training._claim import Claim
from xpnet.training.checkpoint import read_text
from xpnet.training.environment import environment
from xpnet.training.model_file import COPY, Source

if TYPE_CHECKING:
    from xpnet.training import Trainer


class Papers(Callback):
    """Writes what repeats the run, and gives the checkpoint what resumes it.

    Parameters
    ----------
    folder : Path
    settings : mapping
        The value of each flag.
    reading : dict
        How the data are read: see `xpnet.cli.dataset`.
    source : Source or None
        The code of the model, if it is the user's own.
    environments : sequence of mappings
        Of a resumed run, those that it had before: see `config.write`.
    """

    order: ClassVar[int] = -1  # before the weights: whoever finds these can resume the run

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        reading: dict[str, Any],
        source: Source | None = None,
        environments: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        from xpnet.cli.settings import FILE_KEYS

        kept = {name: settings[name] for name in FILE_KEYS}
        if source is not None:
            kept["model"] = f"{COPY}:{source.function}"
        self.folder = folder
        self.settings = config.described(kept, folder)
        self.reading = reading
        self.source = source
        self.environments = [dict(found) for found in environments]
        self.claim = Claim(folder)

    def on_start(self, trainer: "Trainer") -> None:
        """Claim the folder, and write into it."""
        self.claim.acquire()
        try:
            now = {"step": trainer.steps, **environment()}
            before = self.environments[-1:] or [{}]
            if {**now, "step": 0} != {**before[0], "step": 0}:
                self.environments.append(now)
            if self.source is not None:
                self.source.trust()  # this training executes it
                with replacing(self.folder / COPY) as temporary:
                    temporary.write_bytes(self.source.code)
            config.write(self.folder / config.FILE, self.settings, self.environments)
        except BaseException:
            self.claim.release()
            raise

    def on_end(self, trainer: "Trainer") -> None:
        self.claim.release()

    def on_error(self, trainer: "Trainer", error: BaseException) -> None:
        self.claim.release()

    def state_dict(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "reading": self.reading,
            "source": None if self.source is None else self.source.digest,
            "environments": self.environments,
        }


class Record(NamedTuple):
    """What a checkpoint holds of the papers.

    Attributes
    ----------
    settings : dict
        As `config.described` gave them.
    reading : dict
    source : str or None
        The digest of the model's own code.
    environments : list of dict
    epochs, steps : int
        Those that are done.
    """

    settings: dict[str, Any]
    reading: dict[str, Any]
    source: str | None
    environments: list[dict[str, Any]]
    epochs: int
    steps: int


def papers_of(file: Path) -> Record:
    """Read what `Papers` gave to a checkpoint.

    Raises
    ------
    StateError
        The file is damaged, or no checkpoint of `xpnet train`.
    """
    state = read_text(file)
    try:
        position = state["position"]
        found = state["callbacks"]["Papers.0"]
        names = ("settings", "reading", "source", "environments")
        values: list[Any] = [found[name] for name in names]
        values += [position["epoch"], state["steps"]]
        record = Record(*values)
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_papers(file, repr(error)) from error
    kinds = (dict, dict, str | None, list, int, int)
    for name, value, kind in zip(Record._fields, record, kinds, strict=True):
        if not isinstance(value, kind):
            raise _no_papers(file, f"{name} is {value!r}")
    if not record.environments or not all(map(_is_environment, record.environments)):
        raise _no_papers(file, "its environments are none")
    if type(record.settings.get("epochs")) is not int:
        raise _no_papers(file, "it has no epochs")
    return record


def _is_environment(value: Any) -> bool:
    """Whether that may be an environment, and can be printed."""
    plain = isinstance(value, dict) and all(isinstance(x, (str, int)) for x in value.values())
    return plain and type(value.get("step")) is int and f"{value}".isprintable()


def _no_papers(file: Path, reason: str) -> StateError:
    return StateError(
        f"{file}: it does not hold the settings of a run: {reason}. Was it written by xpnet train?"
    )
