"""Next delay after the n-th failure in a row.  Pure.  May import: nothing."""

from __future__ import annotations

__all__ = ["delay_s", "spread_s"]


def delay_s(failures: int, *, first_s: float = 0.5, most_s: float = 10.0, luck: float = 0.5) -> float:
    """Exponential delay with ±30 % jitter, so that 400 gateways do not knock in step.

    Args:
        failures: failures in a row, 1 for the first.
        first_s: delay after the first failure, in seconds.
        most_s: ceiling before jitter, in seconds.
        luck: a uniform random number in [0, 1); 0.5 means no jitter.

    Returns:
        Seconds to wait.
    """
    steps = min(max(failures, 1) - 1, 30)
    return float(min(first_s * 2.0**steps, most_s)) * (0.7 + 0.6 * luck)


def spread_s(failures: int, *, first_s: float = 1.0, most_s: float = 10.0, luck: float = 0.5) -> float:
    """Exponential delay with full jitter, for what many gateways ask at once: a city that comes back.

    Args:
        failures: failures in a row, 1 for the first.
        first_s: longest delay after the first failure, in seconds.
        most_s: longest delay of all, in seconds.
        luck: a uniform random number in [0, 1).

    Returns:
        Seconds to wait, anywhere from a tenth of the longest to the longest.
    """
    steps = min(max(failures, 1) - 1, 30)
    return float(min(first_s * 2.0**steps, most_s)) * (0.1 + 0.9 * luck)
