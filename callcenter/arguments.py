"""What commands accept on their command line, and what they say to nonsense."""

from argparse import ArgumentTypeError
from collections.abc import Callable


def whole_number(least: int, greatest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= greatest):
            raise ArgumentTypeError(f"found {text!r}; accepted: a whole number from {least} to {greatest}")
        return int(text)

    return parse
