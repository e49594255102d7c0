"""Counts things in words."""


def count(number: int, thing: str) -> str:
    """Gives `1 gate`, `2 gates`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
