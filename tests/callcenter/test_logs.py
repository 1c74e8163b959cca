import json
import logging
import logging.config

import pytest
import structlog

from callcenter.logs import configuration, mask_numbers


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+442071234567", "+4420****4567"),
        ("from=+12025550123&to=%2B12025550199", "from=+1202****0123&to=%2B1202****0199"),
        ("sip:ana@+442071234567.example", "sip:ana@+4420****4567.example"),
        ("2026-01-01T00:00:00+00:00, +5 and 442071234567", "2026-01-01T00:00:00+00:00, +5 and 442071234567"),
    ],
)
def test_phone_numbers_are_masked(text: str, masked: str) -> None:
    assert mask_numbers(text) == masked


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> "Line":
    return Line(capsys)


class Line:
    """What one record looks like on standard error in production."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        config = configuration(level="INFO", as_json=True)
        handler = config["handlers"]["stderr"]
        self._config = {
            **config,
            "loggers": {"told": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
            "root": {},
            "handlers": {"stderr": {**handler, "stream": "ext://sys.stderr"}},
            "incremental": False,
        }

    def read(self) -> dict[str, object]:
        return dict(json.loads(self._capsys.readouterr().err))

    def logger(self) -> logging.Logger:
        logging.config.dictConfig(self._config)
        return logging.getLogger("told")


def test_a_standard_logger_writes_json_with_its_keys_and_the_bound_ones(line: Line) -> None:
    with structlog.contextvars.bound_contextvars(call_session_id="s-1"):
        line.logger().info("Call from %s was queued.", "+442071234567", extra={"queue": "support"})
    record = line.read()
    assert record["event"] == "Call from +4420****4567 was queued."
    assert (record["queue"], record["call_session_id"], record["level"]) == ("support", "s-1", "info")


def test_secrets_are_hidden_by_their_key_and_numbers_in_tracebacks_too(line: Line) -> None:
    try:
        raise ValueError("no route to +442071234567")
    except ValueError:
        line.logger().exception("Dialling failed.", extra={"api_key": "KEY1", "client_state": "abc"})
    record = line.read()
    assert (record["api_key"], record["client_state"]) == ("[hidden]", "[hidden]")
    assert "+4420****4567" in str(record["exception"])
    assert "+442071234567" not in json.dumps(record)
