"""``python -m bench [dialing] [intake] [policies]``: run every bench, or those that are named."""

import argparse
from collections.abc import Callable, Mapping

from bench import dialing, intake, policies

BENCHES: Mapping[str, Callable[[], str]] = {"dialing": dialing.run, "intake": intake.run, "policies": policies.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)} (default: all)")
    names = parser.parse_args().names or list(BENCHES)
    for name in names:
        if name not in BENCHES:
            parser.error(f"found {name!r}; accepted: {', '.join(BENCHES)}")
        print(f"{name}: {BENCHES[name]()}")


if __name__ == "__main__":
    main()
