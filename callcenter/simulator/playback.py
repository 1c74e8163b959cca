"""What plays where: one thing at a time, the rest in line (CONTRACT §6: behind a loop without end nothing comes).

A speech lasts its characters ÷ 15 seconds, a file 30 s or the ``secs`` of its URL's query.
"""

from urllib.parse import parse_qs, urlsplit

from callcenter.simulator.model import Channel, Conference, Json, Leg, Loop, Media, Participant
from callcenter.simulator.payloads import conference_whole, leg_ids, media_of, participant_media
from callcenter.simulator.world import World

FILE_SECS = 30.0
CHARACTERS_PER_SEC = 15.0


def speech(payload: str, *, loop: Loop = 1, silent: bool = False) -> Media:
    secs = len(payload) / CHARACTERS_PER_SEC
    return Media(kind="speak", source=payload, secs=secs, loop=loop, silent=silent)


def audio_file(*, audio_url: str | None, media_name: str | None, loop: Loop = 1, overlay: bool = False) -> Media:
    """A file by URL, by stored name, or (both None) sent inline."""
    return Media(
        kind="playback",
        source=audio_url or media_name or "playback_content",
        secs=_secs_of(audio_url),
        loop=loop,
        media_url=audio_url,
        media_name=media_name,
        overlay=overlay,
    )


def _secs_of(audio_url: str | None) -> float:
    if audio_url is None:
        return FILE_SECS
    try:
        given = float(parse_qs(urlsplit(audio_url).query).get("secs", [""])[0])
    except ValueError:
        return FILE_SECS
    return given if 0 <= given < 1e6 else FILE_SECS


def leg_channel(world: World, leg: Leg) -> Channel:
    def announce(end: str, media: Media, status: str) -> None:
        payload = leg_ids(leg)
        if media.kind == "playback":
            payload |= media_of(media) | {"overlay": media.overlay}
        if end == "ended":
            # Telnyx knows no cancelled speech: one that was stopped has completed.
            payload["status"] = "completed" if (media.kind, status) == ("speak", "cancelled") else status
        world.emit(f"call.{media.kind}.{end}", payload, leg=leg)

    return Channel(announce=announce, changed=lambda: world.touch(leg))


def participant_channel(world: World, participant: Participant) -> Channel:
    def announce(end: str, media: Media, status: str) -> None:
        payload = participant_media(participant) | media_of(media)
        world.emit(f"conference.participant.{media.kind}.{end}", payload, leg=participant.leg)

    return Channel(announce=announce, changed=lambda: world.touch(participant.leg))


def conference_channel(world: World, conference: Conference) -> Channel:
    def announce(end: str, media: Media, status: str) -> None:
        payload: Json = conference_whole(conference) | media_of(media)
        world.emit(f"conference.{media.kind}.{end}", payload, leg=None)

    return Channel(announce=announce, changed=lambda: world.touch_conference(conference))


def play(world: World, channel: Channel, media: Media, *, stop: str | None = None) -> None:
    """Play it now or put it in line; ``stop`` first ends what is ``current``, or ``all`` with the line."""
    if media.overlay and channel.current is not None:
        if channel.overlay is not None:
            _end(channel, channel.overlay, "cancelled")
        channel.overlay = media
        _start(world, channel, media)
        return
    if stop is not None:
        _clear(channel, whole_line=stop == "all")
    channel.waiting.append(media)
    _next(world, channel)


def stop(world: World, channel: Channel, which: str = "all", *, overlay: bool = False) -> None:
    """Stop the overlay, the ``current`` item (the next then plays), or ``all`` of it."""
    if overlay:
        if channel.overlay is not None:
            _end(channel, channel.overlay, "cancelled")
        return
    _clear(channel, whole_line=which == "all")
    _next(world, channel)


def hush(channel: Channel, status: str) -> None:
    """End everything, because the listener is gone."""
    channel.waiting.clear()
    for media in channel.audible:
        _end(channel, media, status)


def _clear(channel: Channel, *, whole_line: bool) -> None:
    if whole_line:
        channel.waiting.clear()
    if channel.overlay is not None:
        _end(channel, channel.overlay, "cancelled")
    if channel.current is not None:
        _end(channel, channel.current, "cancelled")


def _next(world: World, channel: Channel) -> None:
    if channel.current is None and channel.waiting:
        channel.current = channel.waiting.popleft()
        _start(world, channel, channel.current)


def _start(world: World, channel: Channel, media: Media) -> None:
    if not media.silent:
        channel.announce("started", media, "")
    if media.loop != "infinity":
        media.timer = world.after(media.secs * media.loop, lambda: _finish(world, channel, media))
    channel.changed()


def _finish(world: World, channel: Channel, media: Media) -> None:
    _end(channel, media, "completed")
    if media.on_end is not None:
        media.on_end()
    _next(world, channel)


def _end(channel: Channel, media: Media, status: str) -> None:
    if media.timer is not None:
        media.timer.cancel()
    if media is channel.current:
        channel.current = None
    else:
        channel.overlay = None
    if not media.silent:
        channel.announce("ended", media, status)
    channel.changed()
