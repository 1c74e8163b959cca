"""Every operation the simulator answers, by resource: a table of fields and a handler each."""

from callcenter.simulator.commands import (
    applications,
    calls,
    conference_media,
    conferences,
    dialling,
    media,
    queues,
    recordings,
)
from callcenter.simulator.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *dialling.OPERATIONS,
    *calls.OPERATIONS,
    *media.OPERATIONS,
    *queues.OPERATIONS,
    *conferences.OPERATIONS,
    *conference_media.OPERATIONS,
    *recordings.OPERATIONS,
    *applications.OPERATIONS,
)
