"""How long things may take. What each state may last is its deadline; the sweeper looks when it has passed."""

from datetime import timedelta

CHARACTERS_PER_SECOND = 15  # how fast Telnyx's voices speak, for deadlines only
PROMPT_GRACE = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=10)
CONFIRM_WITHIN = timedelta(seconds=10)
CONNECT_WITHIN = timedelta(seconds=10)
RING_GRACE = timedelta(seconds=5)
HANG_UP_WITHIN = timedelta(seconds=5)
ASK_AGAIN_AFTER = timedelta(seconds=5)  # what Telnyx was in no state to take
PARTING_GRACE = timedelta(seconds=2)  # between participant.left and the call.hangup that says why
PARTING_UNEXPLAINED = timedelta(seconds=10)  # after that he counts as dropped: nobody may lose the caller
TELNYX_WAIT_GRACE_SECS = 60  # ours fires first
LEG_LIMIT_SECS = 14_400
MUSIC_PAUSE = timedelta(seconds=5)
MUSIC_LOOPS = 10
MUSIC_SECS = 300  # how long a loop of that many is trusted before it is renewed


def length_of(text: str) -> timedelta:
    """How long a text takes to speak."""
    return timedelta(seconds=len(text) / CHARACTERS_PER_SECOND)
