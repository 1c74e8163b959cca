"""What the processes count: the faults of RELIABILITY §5 that leave no row, and the times of its §9.

What rows can answer is asked of them when Prometheus asks (callcenter.metrics), and is not counted here.
"""

from webhooks.metering import Counter, Histogram
from webhooks.telnyx.errors import TelnyxRejected

QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (0.1, 0.25, 0.5, 1, 1.5, 3, 5, 10, 15, 30, 60, 120, 300)

# what Telnyx tells us --------------------------------------------------------------------------------------

inbox_duplicates_total = Counter("inbox_duplicates_total", "Webhooks of events that were stored already.")
inbox_out_of_order_total = Counter(
    "inbox_out_of_order_total", "Events applied after a later one of the same leg or conference."
)
event_age_seconds = Histogram(
    "event_age_seconds", "From an event's occurred_at to the arrival of its first webhook.", buckets=SLOW
)
event_to_state_seconds = Histogram(
    "event_to_state_seconds", "From the arrival of a webhook to the commit of its effects.", buckets=SLOW
)
webhook_rejected_total = Counter(
    "webhook_rejected_total",
    "Webhooks refused unstored.",
    label="reason",
    among=(
        "length_required",
        "too_large",
        "content_type",
        "cut_short",
        "timestamp_shape",
        "timestamp_stale",
        "signature_shape",
        "signature_wrong",
        "malformed",
    ),
)
webhook_ack_seconds = Histogram("webhook_ack_seconds", "From a webhook to its answer, in the view.", buckets=QUICK)
webhook_skew_seconds = Histogram(
    "webhook_skew_seconds",
    "Our clock minus the timestamp that a good signature covers.",
    buckets=(-60, -30, -10, -2, 2, 10, 30, 60),
)

# what we tell Telnyx ---------------------------------------------------------------------------------------

telnyx_429_total = Counter("telnyx_429_total", "Commands and looks that Telnyx turned away as too many.")
command_rejected_total = Counter(
    "command_rejected_total",
    "Commands that Telnyx refused, by its code; lost: no effect found; away, invalid: not sent.",
    label="code",
    among=(
        *sorted({code for kind in TelnyxRejected.__subclasses__() for code in kind.codes}),
        "lost",
        "away",
        "invalid",
    ),
)
command_wait_seconds = Histogram(
    "command_wait_seconds",
    "From the writing of a command to its first sending.",
    buckets=SLOW,
    label="priority",
    among=("hang_up", "answer", "dial", "rest"),
)
lease_expired_total = Counter(
    "lease_expired_total",
    "Work taken up again because whoever had it ended or froze.",
    label="of",
    among=("event", "command"),
)
fence_rejected_total = Counter(
    "fence_rejected_total",
    "Outcomes and effects dropped because another had taken over the command or event meanwhile.",
)

# how work is handed on -------------------------------------------------------------------------------------

nudge_failed_total = Counter(
    "nudge_failed_total",
    "Nudges that reached no broker.",
    label="why",
    among=("queue_full", "not_published", "broker_away"),
)
sweeper_rescued_total = Counter(
    "sweeper_rescued_total",
    "Overdue work that the sweeper found in the rows and did itself.",
    label="task",
    among=("webhooks.apply", "webhooks.send", "webhooks.close"),
)
db_errors_total = Counter("db_errors_total", "Times that the database failed us: lost, refused, too slow, or locked.")

# what happens to calls -------------------------------------------------------------------------------------

offer_delay_seconds = Histogram(
    "offer_delay_seconds", "From when caller and agent were both free to the offer, rings and holds included.",
    buckets=SLOW,
)  # fmt: skip
conflict_total = Counter("conflict_total", "Requests to the API answered 409: the state was another than thought.")
