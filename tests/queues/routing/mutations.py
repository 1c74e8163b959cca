"""Deliberate mistakes in the pass, each of which the worked cases must notice.

``python -m tests.queues.routing.mutations`` makes each in a copy of ``queues/routing`` and runs the cases there.
A mutation is a piece of text that stands exactly once in a file, and what is written in its place.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
CASES = Path(__file__).parent / "cases"
JUDGE = """
import sys
from pathlib import Path
from queues.routing import dry_run, explain, state_json

print("it runs", flush=True)
for file in sorted(Path(sys.argv[1]).glob("*.json")):
    lines, agree = dry_run.judge(state_json.parse(file.read_bytes()))
    if not agree:
        sys.exit("\\n".join(lines))
"""


class Mutation(NamedTuple):
    title: str
    file: str
    old: str
    new: str


MUTATIONS = [
    # Section 1
    Mutation("any state will do", "eligibility.py", 'agent.status != "available" or ', ""),
    Mutation("reserved agents may", "eligibility.py", " or agent.reserved", ""),
    Mutation(
        "one call above capacity", "eligibility.py", "active_calls >= agent.capacity", "active_calls > agent.capacity"
    ),
    Mutation("wrap-up ends a second late", "eligibility.py", "now < until for", "now <= until for"),
    Mutation(
        "cool-downs are forgotten", "eligibility.py", "(agent.wrap_up_until, agent.ready_at)", "(agent.wrap_up_until,)"
    ),
    Mutation(
        "paused members may",
        "floor.py",
        "if agent.id in self._free and not membership.paused:",
        "if agent.id in self._free:",
    ),
    Mutation("paused members are waited for", "eligibility.py", " or membership.paused", ""),
    Mutation(
        "delays end a second late",
        "eligibility.py",
        "demand.wait < membership.delay",
        "demand.wait <= membership.delay",
    ),
    Mutation("max_penalty is exclusive", "eligibility.py", "penalty > self.max_penalty", "penalty >= self.max_penalty"),
    Mutation("min_penalty is exclusive", "eligibility.py", "penalty < self.min_penalty", "penalty <= self.min_penalty"),
    Mutation("raising lowers too", "eligibility.py", "is not None and penalty < self.raise_penalty", "is not None"),
    Mutation("penalty rules a second late", "eligibility.py", "rule.after <= wait", "rule.after < wait"),
    Mutation(
        "penalty rules as listed",
        "eligibility.py",
        "sorted(queue.penalty_rules, key=lambda rule: rule.after)",
        "queue.penalty_rules",
    ),
    Mutation(
        "few members: one fewer",
        "eligibility.py",
        "members <= queue.penalty_members_limit",
        "members < queue.penalty_members_limit",
    ),
    Mutation(
        "few members: the free ones",
        "floor.py",
        "members = penalties.total()",
        "members = len(self._free_members[queue.id])",
    ),
    Mutation(
        "levels are exclusive",
        "eligibility.py",
        "agent.skills.get(skill, 0) < level",
        "agent.skills.get(skill, 0) <= level",
    ),
    Mutation(
        "a missing skill is level 1",
        "eligibility.py",
        "agent.skills.get(skill, 0) < level",
        "agent.skills.get(skill, 1) < level",
    ),
    Mutation("rings a second late", "eligibility.py", "ring.after <= wait", "ring.after < wait"),
    Mutation(
        "rings raise", "eligibility.py", "min(level, ring.levels.get(skill, level))", "ring.levels.get(skill, level)"
    ),
    Mutation("rings drop nothing", "eligibility.py", "if skill not in ring.drop", "if True"),
    Mutation(
        "declines end a second late",
        "eligibility.py",
        "demand.now < demand.call.declined.get(agent.id, demand.now)",
        "demand.now <= demand.call.declined.get(agent.id, demand.now - 1)",
    ),
    Mutation(
        "declines never end",
        "eligibility.py",
        "demand.now < demand.call.declined.get(agent.id, demand.now)",
        "agent.id in demand.call.declined",
    ),
    # Section 2
    Mutation(
        "the penalty comes last",
        "strategies.py",
        "(*penalty, *self.key(candidate), *last)",
        "(*self.key(candidate), *last[:2], *penalty, last[2])",
    ),
    Mutation(
        "shortest idle first", "strategies.py", "(candidate.idle_since, candidate", "(-candidate.idle_since, candidate"
    ),
    Mutation(
        "position after id",
        "strategies.py",
        "candidate.membership.position, candidate.agent.id)",
        "candidate.agent.id, candidate.membership.position)",
    ),
    Mutation("idle basis ignored", "strategies.py", 'queue.idle_basis == "available_since"', "True"),
    Mutation(
        "no login time",
        "strategies.py",
        "agent.login_at if agent.last_handled_end is None",
        "0 if agent.last_handled_end is None",
    ),
    Mutation(
        "calls in hand do not count",
        "strategies.py",
        "def longest_idle(candidate: Candidate) -> Key:\n    return (candidate.active_calls,)",
        "def longest_idle(candidate: Candidate) -> Key:\n    return ()",
    ),
    Mutation(
        "never called goes last",
        "strategies.py",
        "(0, 0) if end is None else (1, end)",
        "(1, 0) if end is None else (0, end)",
    ),
    Mutation(
        "handled in total",
        "strategies.py",
        "candidate.agent.calls_handled if here is None else here",
        "candidate.agent.calls_handled",
    ),
    Mutation("most talk first", "strategies.py", "(candidate.agent.talk_seconds,)", "(-candidate.agent.talk_seconds,)"),
    Mutation("the last offered again", "strategies.py", "position <= pointer", "position < pointer"),
    Mutation(
        "the pointer stays in the pass",
        "floor.py",
        "            self.pointers[queue_id] = agent.memberships[queue_id].position\n",
        "",
    ),
    Mutation("ring_all rings everybody", "strategies.py", "if candidate.penalty == ranked[0].penalty", "if True"),
    Mutation("worst skill first", "strategies.py", "(-_levels(candidate),)", "(_levels(candidate),)"),
    Mutation(
        "all skills count", "strategies.py", "for skill in candidate.required", "for skill in candidate.agent.skills"
    ),
    Mutation("a draw short of one", "strategies.py", "% 1001", "% 1000"),
    Mutation("a draw of the wrong end", "strategies.py", "digest()[:8]", "digest()[-8:]"),
    Mutation(
        "the weight of the own penalty",
        "strategies.py",
        "(1 + candidate.penalty)",
        "(1 + candidate.membership.penalty)",
    ),
    Mutation(
        "weighted by penalty first", "strategies.py", 'loses more often.", penalty_first=False)', 'loses more often.")'
    ),
    Mutation(
        "a missing last call is inherited from nobody",
        "state_json.py",
        'Membership(**{"last_call_end": last, **membership})',
        "Membership(**membership)",
    ),
    Mutation(
        "a ranking as promise's pairs would have it",
        "one_pass.py",
        "candidates.sort(key=STRATEGIES[demand.queue.strategy].rank)",
        "candidates.sort(key=strategy_of(demand.queue).rank)",
    ),
    # Section 3
    Mutation("lighter queues first", "scoring.py", "return -demand.queue.weight,", "return demand.queue.weight,"),
    Mutation("lower scores first", "scoring.py", ", -score, call", ", score, call"),
    Mutation("newer first", "scoring.py", "call.enqueued_at, call.kind", "-call.enqueued_at, call.kind"),
    Mutation("callbacks first", "scoring.py", 'call.kind == "callback"', 'call.kind == "live"'),
    Mutation("a point is 60 s everywhere", "scoring.py", "demand.queue.aging_seconds_per_point", "60"),
    Mutation("hidden a second too long", "snapshot.py", "self.hidden_until <= now", "self.hidden_until < now"),
    # Section 4
    Mutation(
        "the next call, not the top",
        "one_pass.py",
        "turns[:] = skipped + turns[place + 1 :]",
        "turns[:] = turns[place + 1 :]",
    ),
    Mutation("nobody is withheld", "floor.py", "there.queue_priority < here", "False"),
    Mutation(
        "withheld for equals",
        "floor.py",
        "there.queue_priority < here",
        "there.queue_priority <= here and queue_id != demand.queue.id",
    ),
    Mutation(
        "withheld from a sticky offer", "floor.py", "if not first or agent is self.favourite(demand):", "if not first:"
    ),
    Mutation(
        "never withheld from whoever prefers somebody",
        "floor.py",
        "if not first or agent is self.favourite(demand):",
        "if not first or demand.preferred is not None:",
    ),
    Mutation(
        "withheld for what he may not have",
        "floor.py",
        "        if not self._is_allowed(demand, agent):\n            return False\n",
        "",
    ),
    Mutation(
        "an offer takes no slot", "floor.py", "self.active_calls[agent.id] += 1", "self.active_calls[agent.id] += 0"
    ),
    # Section 5
    Mutation(
        "preferences age a second early",
        "snapshot.py",
        "now - preferred_at <= self.max_age",
        "now - preferred_at < self.max_age",
    ),
    Mutation(
        "holds a second too long", "floor.py", "demand.wait < sticky.hold_seconds", "demand.wait <= sticky.hold_seconds"
    ),
    Mutation("holds for whoever is not ready", "floor.py", "            and preferred.status in COMING_BACK\n", ""),
    Mutation(
        "holds for the unqualified", "floor.py", "            and broken_by_pair(demand, preferred) is None\n", ""
    ),
    Mutation("nothing holds", "floor.py", "return not self.holds(demand) and self", "return self"),
    Mutation("his call goes to others too", "floor.py", "return agent is favourite", "return True"),
    # Section 6
    Mutation(
        "a broken promise a second early",
        "scoring.py",
        "demand.wait <= queue.promise_secs",
        "demand.wait < queue.promise_secs",
    ),
    Mutation(
        "beta forgotten",
        "scoring.py",
        "numerator * queue.beta.numerator, denominator * queue.beta.denominator",
        "numerator, denominator",
    ),
    Mutation("priority steps of 4", "scoring.py", "PRIORITY_STEP = 8", "PRIORITY_STEP = 4"),
    Mutation("penalty steps of 8", "scoring.py", "PENALTY_STEP = 4", "PENALTY_STEP = 8"),
    Mutation("no gate", "floor.py", "return penalty == 0 or", "return True or"),
    Mutation("the gate a second late", "floor.py", "2 * demand.wait >= penalty", "2 * demand.wait > penalty"),
    Mutation("the gate after all of it", "floor.py", "2 * demand.wait >= penalty", "demand.wait >= penalty"),
    Mutation("two are plenty", "floor.py", "PLENTY = 3", "PLENTY = 2"),
    Mutation(
        "plenty in one main queue",
        "floor.py",
        "        return all(\n            self._main_available",
        "        return any(\n            self._main_available",
    ),
    Mutation("second choices are plenty", "floor.py", "            if membership.penalty == 0\n", ""),
    Mutation(
        "the rest before promise's pairs",
        "one_pass.py",
        "rank=(place[0], False, *place[1:], penalty)",
        "rank=(place[0], 2, *place[1:], penalty)",
    ),
    Mutation(
        "pairs before queue weights",
        "one_pass.py",
        "rank=(place[0], False, *place[1:], penalty)",
        "rank=(-99, False, *place[1:], penalty)",
    ),
    Mutation(
        "call by call under promise", "one_pass.py", "score * PENALTY_STEP ** (least_suitable - penalty)", "score"
    ),
    Mutation(
        "the penalty before the call's id",
        "one_pass.py",
        "rank=(place[0], False, *place[1:], penalty)",
        "rank=(place[0], False, *place[1:-1], penalty, place[-1])",
    ),
    Mutation(
        "pairs by the strategy too",
        "floor.py",
        'return queue.scoring == "promise"',
        'return queue.scoring == "promise" or queue.strategy == "promise"',
    ),
    Mutation("only the best rank of a call", "one_pass.py", "if takers or floor.favourite(demand):", "if takers:"),
]


def surviving(mutation: Mutation | None) -> str | None:
    """Run the cases on a copy with the mutation made; what they missed, or None if they noticed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "queues"
        shutil.copytree(ROOT / "queues" / "routing", copy / "routing", ignore=shutil.ignore_patterns("__pycache__"))
        (copy / "__init__.py").touch()
        if mutation:
            file = copy / "routing" / mutation.file
            text = file.read_text()
            if text.count(mutation.old) != 1:
                return f"{mutation.title}: {mutation.old!r} does not stand exactly once in {mutation.file}"
            file.write_text(text.replace(mutation.old, mutation.new))
        done = subprocess.run([sys.executable, "-c", JUDGE, CASES], cwd=folder, capture_output=True, check=False)
    title = mutation.title if mutation else "the pass as it is"
    if not done.stdout.startswith(b"it runs"):
        return f"{title}: it does not run"
    return f"{title}: no case differs" if done.returncode == 0 else None


def main() -> int:
    missed = [line for mutation in MUTATIONS if (line := surviving(mutation))]
    lines = [*missed, f"{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} mutations were noticed"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
