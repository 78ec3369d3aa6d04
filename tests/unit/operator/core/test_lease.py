"""A Lease never has two holders, whatever requests are late or lost and whatever process is paused."""

from collections.abc import Coroutine, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trainyard_operator.core.lease import NEVER, Record, Standing, Timing
from trainyard_operator.core.plan import Body
from trainyard_operator.kube.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError, UnavailableError
from trainyard_operator.kube.leases import LeaseName, Leases
from trainyard_operator.kube.port import Resource

TIMING = Timing.of_leader(10)
LEASE = LeaseName("ops", "trainyard-leader")
TIME = datetime(2026, 11, 29, tzinfo=UTC)
PROCESSES = 2


def held(by: str, version: str = "1", renewed: str = "a") -> Record:
    return Record(holder=by, duration=10, renewed=renewed, acquired="a", version=version)


def test_a_holder_stops_before_another_can_start() -> None:
    assert TIMING.deadline < TIMING.duration
    ours = Standing("a", TIMING).written(held("a"), sent=100)
    assert ours.holds(100 + TIMING.deadline - 0.001)
    assert not ours.holds(100 + TIMING.deadline)
    theirs = Standing("b", TIMING).observed(held("a"), now=100)
    assert theirs.free_in(100 + TIMING.deadline) == pytest.approx(TIMING.duration - TIMING.deadline)
    assert theirs.free_in(110) == 0


def test_other_processes_wait_for_the_duration_of_the_holder() -> None:
    slow = replace(held("a"), duration=60)
    assert Standing("b", TIMING).observed(slow, now=0).free_in(20) == 40


def test_each_renewal_restarts_the_wait() -> None:
    standing = Standing("b", TIMING).observed(held("a", "1", "a"), now=0)
    assert standing.observed(held("a", "1", "a"), now=9).free_in(9) == 1
    assert standing.observed(held("a", "2", "b"), now=9).free_in(9) == 10


def test_a_released_lease_is_free_at_once() -> None:
    ours = Standing("a", TIMING).written(held("a"), sent=0)
    given = ours.released(time="b")
    assert given is not None
    assert (given.holder, given.version) == ("", "1")
    assert Standing("b", TIMING).observed(given, now=0).free_in(0) == 0
    assert not ours.written(given, sent=1).holds(1)
    assert Standing("b", TIMING).observed(held("a"), now=0).released(time="b") is None


def test_a_deleted_lease_is_free_after_its_duration() -> None:
    gone = Standing("b", TIMING).observed(held("a"), now=0).observed(None, now=50)
    assert gone.free_in(50) == TIMING.duration
    assert gone.observed(None, now=55).free_in(55) == TIMING.duration - 5
    assert Standing("b", TIMING).observed(None, now=0).free_in(0) == 0, "no process has observed a Lease"


def test_a_released_lease_that_is_deleted_later_is_free_after_its_duration() -> None:
    """A process that released the Lease does not know who held it afterwards."""
    ours = Standing("a", TIMING).written(held("a"), sent=0)
    given = ours.written(replace(held(""), version="2"), sent=1)
    assert given.free_in(50) == 0
    assert given.observed(None, now=50).free_in(50) == TIMING.duration
    assert ours.observed(None, now=1).free_in(1) == 0, "while this process certainly holds it, no other process has it"


def test_transitions_are_counted_and_the_time_of_a_change_is_kept() -> None:
    first = Standing("a", TIMING).wanted(time="t1")
    assert (first.transitions, first.acquired) == (0, "t1")
    again = Standing("a", TIMING).written(replace(first, version="5"), sent=0).wanted(time="t2")
    assert (again.transitions, again.acquired, again.renewed, again.version) == (0, "t1", "t2", "5")
    other = Standing("b", TIMING).observed(first, now=0).wanted(time="t3")
    assert (other.transitions, other.acquired) == (1, "t3")


@dataclass(frozen=True)
class Call:
    """A request in progress."""

    verb: str
    body: Body | None

    def __await__(self) -> Generator["Call", Body, Body]:
        return (yield self)


class Calls:
    """A client whose requests wait until the state machine decides their result."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:  # noqa: ARG002
        return await Call("get", None)

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:  # noqa: ARG002
        return await Call("create", body)

    async def replace(self, resource: Resource, namespace: str, name: str, body: Body) -> Body:  # noqa: ARG002
        return await Call("replace", body)


@dataclass
class Process:
    """One replica: what it knows about the Lease, and its request in progress."""

    standing: Standing
    step: Coroutine[Any, Any, Standing] | None = None
    call: Call | None = None
    response: Body | ApiError | None = None


class Replicas(RuleBasedStateMachine):
    """Requests and responses of two replicas in any order, with time between any two of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.deleted = NEVER
        self.lease: Body | None = None
        self.versions = 0
        self.leases = Leases(Calls(), lambda: self.now, lambda: TIME)
        self.processes = [Process(Standing(f"p{n}", TIMING)) for n in range(PROCESSES)]

    # ---- the API server ----------------------------------------------------------------------------------------------

    def serve(self, call: Call) -> Body | ApiError:
        known = self.lease["metadata"]["resourceVersion"] if self.lease is not None else None
        if call.body is None:
            return self.lease if self.lease is not None else NotFoundError(404, "NotFound", "")
        if call.verb == "create" and known is not None:
            return AlreadyExistsError(409, "AlreadyExists", "")
        if call.verb == "replace" and known is None:
            return NotFoundError(404, "NotFound", "")
        if call.verb == "replace" and known != call.body["metadata"]["resourceVersion"]:
            return ConflictError(409, "Conflict", "")
        self.versions += 1
        metadata = {**call.body["metadata"], "resourceVersion": str(self.versions)}
        self.lease = {**call.body, "metadata": metadata}
        return self.lease

    # ---- rules -------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 4.0, 9.0, 10.5]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(n=st.integers(0, PROCESSES - 1), what=st.sampled_from(["reaches the server", "is answered", "hears nothing"]))
    def advance(self, n: int, what: str) -> None:
        """Start a step, or advance its request by one stage. ``hears nothing``: the request or the response is lost."""
        process = self.processes[n]
        if process.step is None:
            self.begin(process)
        elif what == "reaches the server" and process.response is None:
            self.reach_the_server(process)
        elif what == "is answered" and process.response is not None:
            self.proceed(process, process.response)
        elif what == "hears nothing":
            self.proceed(process, UnavailableError(0, "Timeout", ""))

    @rule(n=st.integers(0, PROCESSES - 1))
    def complete_a_step(self, n: int) -> None:
        """Run a whole step without delay, which is the usual case."""
        process = self.processes[n]
        if process.step is None:
            self.begin(process)
        while process.step is not None:
            if process.response is None:
                self.reach_the_server(process)
            self.proceed(process, process.response)

    @rule(n=st.integers(0, PROCESSES - 1))
    def release(self, n: int) -> None:
        process = self.processes[n]
        if process.step is None and process.standing.holds(self.now):
            process.step = self.leases.release(LEASE, process.standing)
            process.standing = replace(process.standing, certain=NEVER)
            self.proceed(process, None)

    @precondition(lambda self: self.now - self.deleted > TIMING.duration)
    @rule(n=st.integers(0, PROCESSES - 1), late=st.booleans())
    def restart(self, n: int, late: bool) -> None:
        """Restart a process. ``late``: the API server still handles the request in progress."""
        process = self.processes[n]
        if late and process.call is not None and process.response is None:
            self.serve(process.call)
        if process.step is not None:
            process.step.close()
        self.processes[n] = Process(Standing(process.standing.identity, TIMING))

    @precondition(lambda self: all(self.knows_the_holder(process) for process in self.processes))
    @rule()
    def delete_the_lease(self) -> None:
        """Delete the Lease. Both replicas know its holder by then: a holder that none has seen cannot be waited for."""
        self.lease, self.deleted = None, self.now

    def knows_the_holder(self, process: Process) -> bool:
        if self.lease is None or process.standing.seen is None or process.standing.gone:
            return False
        return process.standing.seen.holder == self.lease["spec"]["holderIdentity"]

    def begin(self, process: Process) -> None:
        process.step = self.leases.step(LEASE, process.standing)
        self.proceed(process, None)

    def reach_the_server(self, process: Process) -> None:
        assert process.call is not None
        process.response = self.serve(process.call)

    def proceed(self, process: Process, response: Body | ApiError | None) -> None:
        assert process.step is not None
        process.call = process.response = None
        try:
            if isinstance(response, ApiError):
                process.call = process.step.throw(response)
            else:
                process.call = process.step.send(response)
        except StopIteration as end:
            process.standing, process.step = end.value, None
        except ApiError:
            process.step = None

    @invariant()
    def one_holds_it_at_most(self) -> None:
        holders = [each.standing.identity for each in self.processes if each.standing.holds(self.now)]
        assert len(holders) <= 1, holders


Replicas.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestReplicas = Replicas.TestCase
