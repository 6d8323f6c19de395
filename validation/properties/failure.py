"""How a broken law is told: one sentence with the seed, and the experiment that shows it again."""

from __future__ import annotations

from collections.abc import Sequence

from validation.experiment import Experiment
from validation.experiment_toml import experiment_toml


class PropertyError(AssertionError):
    """A pipeline breaks a law.

    The message is one sentence. A note holds the experiments as TOML; tracebacks show it.
    """

    def __init__(self, law: str, sentence: str, experiments: Sequence[Experiment]) -> None:
        self.law = law
        self.experiments = tuple(experiments)
        seeds = ", ".join(str(e.seed) for e in self.experiments)
        hashes = ", ".join(e.config_sha256()[:12] for e in self.experiments)
        seed, experiment = ("seed", "experiment") if len(self.experiments) == 1 else (
            "seeds", "experiments"
        )  # fmt: skip
        super().__init__(f"{law}: {sentence} ({seed} {seeds}; {experiment} {hashes})")
        for one in self.experiments:
            self.add_note(f"# experiment {one.config_sha256()[:12]}\n{experiment_toml(one)}")
