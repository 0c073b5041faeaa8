"""The error of a flag, with the flag's name."""

import typer


def bad_flag(flag: str, message: str) -> typer.BadParameter:
    """The error for a flag with an invalid value, or one that does not go with another flag."""
    return typer.BadParameter(message, param_hint=f"'{flag}'")
