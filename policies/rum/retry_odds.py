"""What retrying can give, for a verifier that errs now and then.

`expected` is for tries that do not depend on each other. Real ones do: some scenes are hard, and some failures cannot
be mended, so what is measured lies below.
"""

from __future__ import annotations

from dataclasses import dataclass

from tutelage_core.errors import ConfigurationError


@dataclass(frozen=True)
class RetryOdds:
    """What is to be expected of a task with retry.

    Attributes:
        success: share of tasks that end with a verified success that is one.
        false_success: share that end with a success that is none.
        tries: mean number of attempts.
    """

    success: float
    false_success: float
    tries: float


def expected(success: float, false_positive: float, false_negative: float, tries: int) -> RetryOdds:
    """Return the odds of independent tries.

    Args:
        success: chance that one try works, 0..1.
        false_positive: chance of a yes for a try that *failed*, 0..1.
        false_negative: chance of a no for a try that *worked*, 0..1.
        tries: at most.

    Raises:
        ConfigurationError: a chance is none, or there is no try.
    """
    for name, chance in (("success", success), ("false_positive", false_positive), ("false_negative", false_negative)):
        if not 0.0 <= chance <= 1.0:
            raise ConfigurationError(f"{name} must be in 0..1, got {chance}")
    if tries < 1:
        raise ConfigurationError(f"tries must be at least 1, got {tries}")
    again = success * false_negative + (1.0 - success) * (1.0 - false_positive)
    begun = sum(again**k for k in range(tries))  # (1 - again^K) / (1 - again), and K for a verifier that never agrees
    return RetryOdds(success * (1.0 - false_negative) * begun, (1.0 - success) * false_positive * begun, begun)
