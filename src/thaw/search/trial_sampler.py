"""The sampler of a study: each trial draws from a seed of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler, TPESampler

from thaw.data.random_draws import derived_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState


class TrialSampler(BaseSampler):
    """Optuna's TPE sampler, seeded for each trial from ``seed`` and the number of the trial.

    Seeds of workers would be equal on several machines, whose first trials would be the same.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = self._seeded(0)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Seed the sampler for ``trial``."""
        self._tpe = self._seeded(trial.number)
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw values of several parameters."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a value of one parameter."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass on that the trial has ended."""
        self._tpe.after_trial(study, trial, state, values)

    def _seeded(self, number: int) -> TPESampler:
        seed = derived_seed(self._seed, number, bits=31)
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)
