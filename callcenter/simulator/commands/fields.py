"""Fields that several operations share."""

from callcenter.simulator.params import Fields, between, client_state, nested, one_of, sized, text

COMMON: Fields = {"client_state": client_state, "command_id": text}
REGION: Fields = {"region": one_of("Australia", "Europe", "Middle East", "US")}
ROLE = one_of("barge", "monitor", "none", "whisper")
BEEP = one_of("always", "never", "on_enter", "on_exit")
RECORD_FIELDS: Fields = {
    "record": one_of("record-from-answer"),
    "record_channels": one_of("single", "dual"),
    "record_custom_file_name": sized(1, 40),
    "record_format": one_of("wav", "mp3"),
    "record_max_length": between(0, 43_200),
    "record_timeout_secs": between(0),
    "record_track": one_of("both", "inbound", "outbound"),
    "record_trim": one_of("trim-silence"),
}
WEBHOOK_FIELDS: Fields = {
    "webhook_url": text,
    "webhook_url_method": one_of("POST", "GET"),
    "webhook_urls": nested({}),
    "webhook_urls_method": one_of("POST", "GET"),
    "webhook_retries_policies": nested({}),
}
