"""``python -m bench [NAME ...]``: run every bench, or those that are named. Exits 1 if one found something wrong."""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial

from bench import contention, dialing, ingest, policies, routing

BENCHES: Mapping[str, Callable[[], str]] = {
    "contention": contention.run,
    "dialing": dialing.run,
    "ingest": ingest.run,
    "policies": policies.run,
    "routing": routing.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)} (default: all)")
    parser.add_argument(
        "--peer", action="store_true", help="ingest: beside granian and dj-stripe, which it installs into .dev/peers"
    )
    arguments = parser.parse_args()
    benches = {**BENCHES, "ingest": partial(ingest.run, peer=arguments.peer)}
    names = arguments.names or list(BENCHES)
    if unknown := [name for name in names if name not in BENCHES]:
        parser.error(f"found {unknown[0]!r}; accepted: {', '.join(BENCHES)}")
    wrong = False
    for name in names:
        said = benches[name]()
        print(f"{name}: {said}", flush=True)
        wrong |= "WRONG" in said
    sys.exit(wrong)


if __name__ == "__main__":
    main()
