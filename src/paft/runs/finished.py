"""The method of a finished run, opened again by ``paft calibrate`` and ``paft prompts attack``."""

from dataclasses import dataclass
from pathlib import Path

from paft.config.load import load_config
from paft.config.schema import Config
from paft.errors import UserError, nearest
from paft.methods.registry import resolve
from paft.models.model import Model
from paft.models.open import open_model
from paft.runs.directory import RunDirectory
from paft.utils.console import Console


@dataclass(frozen=True)
class FinishedMethod:
    """A method of a run that can be asked.

    Attributes:
        config: of the run.
        adapter: what the method has trained; None for one that does not train.
        run_trains: whether any method of the run trains.
    """

    directory: RunDirectory
    config: Config
    name: str
    adapter: Path | None
    run_trains: bool

    @classmethod
    def of(cls, run: Path, name: str) -> "FinishedMethod":
        """Return a method of a run.

        Raises:
            UserError: there is no such run or method, or the method is not trained yet.
        """
        directory = RunDirectory(run)
        directory.read_config()  # says what is wrong with a folder that is no run
        config = load_config(directory.config_file)
        variants = {v.name: v for v in resolve(config.methods, config.training, config.baselines)}
        if name not in variants:
            raise UserError(f"{run}: no method {name!r}{nearest(name, variants)}")
        adapter = directory.method(name) / "adapter" if variants[name].method.trains else None
        if adapter is not None and not adapter.is_dir():
            raise UserError(f"{run}: {name} is not trained yet; finish the run first")
        return cls(directory, config, name, adapter, any(v.method.trains for v in variants.values()))

    def open_model(self, console: Console) -> Model:
        """Return the run's model as the run opened it; ``use_adapter(self.adapter)`` makes it the method's."""
        return open_model(
            self.config.model,
            console,
            batch_tokens=self.config.evaluation.batch_tokens,
            trains=self.run_trains,
            answers=self.directory.path / "answers.jsonl",
        )
