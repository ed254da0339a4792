"""Numbers with units, as plans and messages show them."""


def format_bytes(size: float) -> str:
    """Bytes as MB, GB or TB (powers of 1000)."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale or unit == "MB":
            return f"{size / scale:.{0 if size >= 10 * scale else 1}f} {unit}"
    raise AssertionError


def format_duration(hours: float) -> str:
    """Hours as days, h, min or s."""
    for unit, scale in (("days", 24), ("h", 1), ("min", 1 / 60), ("s", 1 / 3600)):
        if hours >= 2 * scale or unit == "s":
            return f"{hours / scale:.{0 if hours >= 10 * scale else 1}f} {unit}"
    raise AssertionError


def format_count(number: float, name: str) -> str:
    """``1 CPU``, ``2 CPUs``."""
    return f"{number:g} {name}{'' if number == 1 else 's'}"
