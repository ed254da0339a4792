"""Sentences about an ensemble that the terminal, the report and the model card share."""

from raysearch.ensemble.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE

CLEARLY_BELOW = 0.02
"""A member whose accuracy is this much below the best single model's is weak."""


def explain_temperature(temperature: float) -> str:
    """A sentence if the temperature is at a limit of its range; otherwise empty."""
    if temperature >= MAX_TEMPERATURE:
        return (
            f"The temperature is at the upper limit of its range, {MAX_TEMPERATURE:g}: the probabilities carry no "
            "information about the labels."
        )
    if temperature <= MIN_TEMPERATURE:
        return (
            f"The temperature is at the lower limit of its range, {MIN_TEMPERATURE:g}: nearly all held-out samples are "
            "classified correctly and do not determine it. The scaled probabilities are too confident."
        )
    return ""


def explain_member(name: str, alone: float, best: float, weight: float, members: int, adds: float | None) -> str:
    """A sentence if a member is weak alone and heavy in the vote; otherwise empty.

    ``alone`` and ``best``: accuracies of the member and of the best single model on all samples. ``adds``: the
    member's cross-fitted contribution to the accuracy; None if it is unknown.
    """
    if best - alone < CLEARLY_BELOW - 1e-9 or weight <= 1 / members or adds is None:
        return ""
    return (
        f"Member {name}: its accuracy alone is {100 * alone:.1f} %, the best single model's {100 * best:.1f} %. Its "
        f"weight is {weight:.3f}, because the selection scores the vote and not its members. Without this member, the "
        f"cross-fitted accuracy of the vote {_describe_loss(adds)}."
    )


def _describe_loss(adds: float) -> str:
    points = f"{100 * abs(adds):.1f}"
    if points == "0.0":
        return "does not change"
    return f"is {points} points {'lower' if adds > 0 else 'higher'}"
