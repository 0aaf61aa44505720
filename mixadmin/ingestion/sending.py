"""A lane: one worker's share of an ingestion, sent and written down as it goes.

Chunks are read and judged in one thread and sent by others. What came back is written
down from the first chunk on without a hole, so that everything before a part's position
is settled and counted, and what was sent beyond it may be sent again without harm:
Mixpanel tells events apart by $insert_id, day and distinct_id, and absolute profile
updates end the same when a row of them is repeated in its order. Updates that add up
are noted before they are sent, alone, and never sent twice without a person.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from queue import SimpleQueue

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from mixadmin.common.clock import db_now
from mixadmin.common.errors import Wait
from mixadmin.dataprep import reading
from mixadmin.dataprep.compression import Stream, Unreadable
from mixadmin.dataprep.judging import Chunk, Judge, Judged
from mixadmin.dataprep.parsing import readable, storable
from mixadmin.dataprep.rules import judge_for
from mixadmin.jobs import limits
from mixadmin.jobs.models import Job
from mixadmin.jobs.registry import Stopped, Turn
from mixadmin.jobs.runner import backoff, breaker_key, clamp_retry_after
from mixadmin.jobs.times import TIMES
from mixadmin.mixpanel.client import MixpanelClient
from mixadmin.mixpanel.errors import (
    MixpanelError,
    RateLimited,
    TransientError,
    UnexpectedResponse,
)
from mixadmin.service_accounts.clients import project_token, sending_clients

from . import delivery, kinds, samples, spools
from .actions import go_on_after_slice
from .delivery import Flight
from .models import (
    COUNTS,
    Ceiling,
    Ingestion,
    IngestionFile,
    Part,
    RejectedGroup,
    Spool,
    UnsettledBatch,
)
from .opening import FileFailed, opened, seed_of

# Between two writes of how far a part is, in seconds: what may be sent again after a
# kill. Chunks that come back in between are written together.
COMMIT_EVERY = 0.2
# Failures of one request, or in a row, after which the worker is given back.
TRIES = 5
# A pause longer than this gives the worker back, too.
LONG_PAUSE = 10.0
# The budget of a minute is taken in slabs, so that a row of the database is not written
# for each request.
SLABS = 50
EXAMPLES = 5
MOST_GROUPS = 500


class Window:
    """How many requests may be under way: more while all goes well, half after trouble."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._size = float(min(2, most))
        self._calm = False

    @property
    def size(self) -> int:
        return max(1, int(self._size))

    def grow(self) -> None:
        # Doubled each round until the first trouble, then one more each round.
        step = 1 / self._size if self._calm else 1.0
        self._size = min(self.most, self._size + step)

    def shrink(self) -> None:
        self._size = max(1.0, self._size / 2)
        self._calm = True


@dataclass(slots=True, eq=False)
class _InAir:
    """A flight, and where it is: under way, resting until `ready_at`, or settled."""

    flight: Flight
    future: "Future[Flight] | None" = None
    ready_at: float = 0.0
    tries: int = 0
    settled: bool = False
    # Of records that were held back: the line of each.
    numbers: list[int] | None = None

    def line(self, index: int) -> int:
        return self.numbers[index] if self.numbers else self.flight.chunk.number + index


def run_lane(turn: Turn, ingestion_id: int) -> bool:
    """Send parts of an ingestion until none is left for this lane or the turn is over."""
    ingestion = Ingestion.objects.select_related("project").get(pk=ingestion_id)
    stop_if_told(ingestion.state)
    if limits.check_breaker(breaker_key(turn.job)):
        # The first request is the probe; one at a time until it goes well.
        ingestion.concurrency = 1
    with lane(turn, ingestion) as sender:
        sender.send_decided()
        while part := take_part(turn.job, ingestion):
            try:
                finished = sender.send(part)
            except FileFailed as failed:
                fail_file(turn, part.file, failed)
                continue
            if finished:
                finish_file(part, ingestion)
            elif turn.is_over:
                return False
        sender.send_decided()
    go_on_after_slice(ingestion_id)
    return True


def stop_if_told(state: str) -> None:
    """Raise what ends a turn when an ingestion is not being worked at any more."""
    if state == Ingestion.State.PAUSED:
        raise Wait(
            Job.Wait.PAUSED, "Paused; it goes on when somebody resumes it.", None
        )
    if state not in Ingestion.GOING_ON:
        raise Stopped


def take_part(job: Job, ingestion: Ingestion) -> Part | None:
    """A part for this lane: the one that it has begun, or one that nobody works at."""
    parts = (
        Part.objects.filter(
            file__ingestion=ingestion, slice=ingestion.slice, done=False
        )
        .exclude(file__state=IngestionFile.State.FAILED)
        .select_related("file__upload", "file__bucket")
    )
    if mine := parts.filter(job=job).first():
        _begin_file(mine)
        return mine
    free = Q(job=None) | Q(job__state__in=Job.ENDED)
    while part := parts.filter(free).first():
        if Part.objects.filter(pk=part.pk, job=part.job_id, done=False).update(job=job):
            part.job = job
            _begin_file(part)
            return part
    return None


def _begin_file(part: Part) -> None:
    """Note that a file is being sent, unless that was so before. What was held back of
    one that is done does not make it unfinished again."""
    if part.releases:
        return
    waiting = IngestionFile.objects.filter(pk=part.file_id)
    waiting.exclude(state=IngestionFile.State.SENDING).update(
        state=IngestionFile.State.SENDING,
        started_at=Coalesce("started_at", db_now()),
        ended_at=None,
    )


def finish_file(part: Part, ingestion: Ingestion) -> None:
    """Note that a file is done, once the last of its parts is."""
    if part.slice + 1 < len(ingestion.slices):
        return
    left = Part.objects.filter(file=part.file_id, slice=part.slice, done=False)
    if left.filter(releases=False).exists():
        return
    IngestionFile.objects.filter(
        pk=part.file_id, state=IngestionFile.State.SENDING
    ).update(state=IngestionFile.State.DONE, ended_at=db_now())


@contextmanager
def lane(turn: Turn, ingestion: Ingestion) -> Iterator["Lane"]:
    """A lane with its threads and clients, for one turn."""
    most = -(-ingestion.concurrency // max(1, ingestion.lanes))
    if ingestion.what.ordered:
        most = ingestion.concurrency
    by_token = ingestion.credential == Ingestion.Credential.TOKEN
    by_token |= ingestion.what.ordered
    pool = ThreadPoolExecutor(most, thread_name_prefix="sender")
    with sending_clients(ingestion.project, most, with_token=by_token) as clients:
        try:
            yield Lane(turn, ingestion, pool, clients)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class Lane:
    """Sends part after part. `send` raises what ends the turn; what was written stays."""

    def __init__(
        self,
        turn: Turn,
        ingestion: Ingestion,
        pool: ThreadPoolExecutor,
        clients: list[MixpanelClient],
    ) -> None:
        self.turn = turn
        self.ingestion = ingestion
        self.window = Window(len(clients))
        self._pool = pool
        self._clients: SimpleQueue[MixpanelClient] = SimpleQueue()
        for client in clients:
            self._clients.put(client)
        self._token = ""
        if ingestion.what.ordered or ingestion.credential == Ingestion.Credential.TOKEN:
            self._token = project_token(ingestion.project)
        ceiling = Ceiling.objects.filter(project=ingestion.project).first()
        self._most_bytes = min(
            ingestion.batch_bytes, ceiling.bytes if ceiling else ingestion.batch_bytes
        )
        # The token goes into each profile update, with its name and signs.
        self._more = len(self._token) + 13 if ingestion.what.ordered else 0
        self._air: deque[_InAir] = deque()
        self._busy: Counter[str] = Counter()
        self._fatal: MixpanelError | None = None
        self._failures = 0
        self._answered = False
        self._not_before = 0.0
        self._budget = [0, 0]
        self._committed_at = time.monotonic()
        self._restart = False

    # --- One part -----------------------------------------------------------------

    def send(self, part: Part) -> bool:
        """Send a part from where it is. True when it is done, False when not yet."""
        self._begin(part)
        try:
            if part.releases:
                return self._release()
            return self._send_file()
        finally:
            self._air.clear()
            self._busy.clear()
            self._rejected.close()
            self._held.close()

    def _begin(self, part: Part) -> None:
        self.part = part
        for name in _ADDED:
            # What this turn adds to the books.
            setattr(part, name, 0)
        self._restart = False
        self._rejected = self._spool(Spool.Kind.REJECTED)
        self._held = self._spool(Spool.Kind.HELD)
        self._groups: dict[
            tuple[str, str, str], tuple[int, list[dict[str, object]]]
        ] = {}

    def _spool(self, kind: str) -> spools.Writer:
        return spools.Writer(self.part, self.ingestion, kind, self.turn.job.token)

    def _send_file(self) -> bool:
        part, file = self.part, self.part.file
        judge = judge_of(self.ingestion, file, self.turn, part.slice)
        with opened(file, turn=self.turn, position=part.position) as source:
            self._after_a_kill(judge, source.stream)
            chunks = reading.chunks(
                source.stream,
                offset=part.position,
                number=part.next_line,
                end=part.end,
                most_lines=self.ingestion.batch_records,
                most_bytes=self._most_bytes,
            )
            finished = True
            try:
                for chunk in chunks:
                    judged = judge.judge(chunk, now=time.time())
                    flight = Flight(chunk, judged, stored=source.stored(chunk.end))
                    self._launch(_InAir(flight))
                    if self.turn.is_over or self._restart:
                        finished = False
                        break
            except Unreadable as broken:
                self._drain()
                raise FileFailed(broken.code, broken.message) from None
            self._drain()
            source.check()
        if finished:
            self._commit(done=True)
        return finished

    def _release(self) -> bool:
        """Send what was held back until its time had come."""
        part = self.part
        found = Spool.objects.filter(
            part__file=part.file_id, part__slice=part.slice, kind=Spool.Kind.HELD
        )
        due = max((spool.due or 0.0 for spool in found), default=0.0)
        if due >= time.time():
            until = datetime.fromtimestamp(due + 1, UTC)
            words = (
                "These records are dated in the future; they are sent once it has come."
            )
            raise Wait(Job.Wait.FUTURE, words, until)
        judge = judge_of(
            self.ingestion, part.file, self.turn, part.slice, unsliced=True
        )
        kept = spools.entries(found.order_by("pk"))
        for _ in range(part.position):
            next(kept)
        position = part.position
        while entries := _some(kept, self.ingestion.batch_records, self._most_bytes):
            lines = [one.raw() for one in entries]
            chunk = Chunk(lines, position, 0, position + len(lines))
            judged = judge.judge(chunk, now=max(time.time(), due + 1))
            numbers = [one.line for one in entries]
            self._launch(_InAir(Flight(chunk, judged), numbers=numbers))
            position = chunk.end
            if self.turn.is_over:
                self._drain()
                return False
        self._drain()
        self._commit(done=True)
        return True

    # --- Chunks on their way ------------------------------------------------------

    def _launch(self, air: _InAir) -> None:
        """Send a flight as soon as there is room, or write it down if there is nothing
        to send of it."""
        judged = air.flight.judged
        air.flight.fit(self._most_bytes, more=self._more)
        if judged.deltas:
            self._send_alone(air)
            return
        if self._busy and any(key in self._busy for key in judged.keys):
            # Two updates of one profile must not overtake one another.
            self._drain()
        if not judged.good:
            air.settled = True
            self._air.append(air)
            self._pump(self._has_room)
            return
        self._spend(len(judged.good), delivery.size_of(judged.good))
        self._pump(self._has_room)
        self._air.append(air)
        self._busy.update(judged.keys)
        self._submit(air)

    def _submit(self, air: _InAir) -> None:
        send = (
            delivery.send_profiles(
                self._token,
                groups=self.ingestion.what.path == "groups",
                divisible=not air.flight.judged.deltas,
            )
            if self.ingestion.what.ordered
            else delivery.send_events(self._token)
        )
        air.future = self._pool.submit(self._deliver, air.flight, send)

    def _deliver(self, flight: Flight, send: delivery.Send) -> Flight:
        """In a thread of the pool. Touches no database."""
        client = self._clients.get()
        try:
            return delivery.deliver(flight, client, send)
        finally:
            self._clients.put(client)

    def _has_room(self) -> bool:
        under_way = sum(1 for air in self._air if not air.settled)
        return under_way < self.window.size and len(self._air) <= 2 * self.window.most

    def _drain(self) -> None:
        """Wait until everything is back, and write it down."""
        self._pump(lambda: all(air.settled for air in self._air))
        if self._air:
            self._commit()

    def _pump(self, enough: Callable[[], bool]) -> None:
        """Take in what comes back, send again what must be, write down what is done,
        until `enough()`. Raises what ends the turn, once nothing is under way."""
        while True:
            self._take_in()
            if self._fatal:
                if not any(air.future for air in self._air):
                    self._commit()
                    error, self._fatal = self._fatal, None
                    raise error
            else:
                self._send_again()
            if self._commit_in() <= 0 or len(self._air) > 2 * self.window.most:
                self._commit()
            self.turn.heard()
            if not self._fatal and enough():
                return
            self._sleep()

    def _commit_in(self) -> float:
        """Seconds until what is settled is written down."""
        return self._committed_at + COMMIT_EVERY - time.monotonic()

    def _sleep(self) -> None:
        """Until something comes back, a rest is over, or something is to be written."""
        now = time.monotonic()
        rests = [
            max(air.ready_at, self._not_before) - now
            for air in self._air
            if not air.settled and air.future is None
        ]
        seconds = min([TIMES.heartbeat / 2, *rests])
        if self._air and self._air[0].settled:
            seconds = min(seconds, self._commit_in())
        under_way = [air.future for air in self._air if air.future is not None]
        if under_way:
            wait(under_way, timeout=max(seconds, 0.001), return_when=FIRST_COMPLETED)
        elif seconds > 0 and not self._fatal:
            time.sleep(min(seconds, LONG_PAUSE))

    def _take_in(self) -> None:
        for air in self._air:
            if air.future is None or not air.future.done():
                continue
            future, air.future = air.future, None
            try:
                future.result()
            except MixpanelError as error:
                self._went_wrong(air, error)
            else:
                self._failures = 0
                self.window.grow()
                if not self._answered:
                    self._answered = True
                    limits.note(breaker_key(self.turn.job), ok=True)
                air.settled = True
                self._busy.subtract(air.flight.judged.keys)
                self._busy += Counter()  # drop what is at zero
                self._learn_ceiling(air.flight)

    def _went_wrong(self, air: _InAir, error: MixpanelError) -> None:
        self.window.shrink()
        air.tries += 1
        self._failures += 1
        if isinstance(error, RateLimited):
            pause = clamp_retry_after(error.retry_after, air.tries)
            limits.close(
                budget_key(self.ingestion), db_now() + timedelta(seconds=pause)
            )
            self._not_before = time.monotonic() + pause
            self._held_back(pause, Job.Wait.RATE)
        elif isinstance(error, TransientError | UnexpectedResponse):
            pause = backoff(air.tries)
            self._held_back(pause, Job.Wait.RETRY)
        else:
            self._fatal = error
            return
        air.ready_at = time.monotonic() + pause
        if pause > LONG_PAUSE or air.tries >= TRIES or self._failures >= TRIES:
            # Others can use this worker better while Mixpanel needs time.
            self._fatal = error
            if not isinstance(error, RateLimited):
                limits.note(breaker_key(self.turn.job), ok=False)

    def _held_back(self, seconds: float, reason: str) -> None:
        now = time.time()
        with self.turn.commit(progress=False):
            samples.hold(self.ingestion, now=now, until=now + seconds, reason=reason)

    def _send_again(self) -> None:
        now = time.monotonic()
        for air in self._air:
            if air.settled or air.future is not None:
                continue
            if now >= max(air.ready_at, self._not_before):
                self._submit(air)

    def _learn_ceiling(self, flight: Flight) -> None:
        """Mixpanel took less at once than was thought; remember it for the project."""
        if flight.too_large is None:
            return
        lower = max(kinds.LEAST_BYTES, flight.too_large // 2)
        if lower < self._most_bytes:
            self._most_bytes = lower
            self._restart = True
            Ceiling.objects.update_or_create(
                project=self.ingestion.project,
                defaults={"bytes": lower, "learned_at": db_now()},
            )

    def _spend(self, records: int, size: int) -> None:
        """Take from the budget of the project's minute. Raises Wait when it is used."""
        if records > self._budget[0] or size > self._budget[1]:
            most = (
                settings.INGEST_EVENTS_PER_MINUTE,
                settings.INGEST_BYTES_PER_MINUTE,
            )
            slab = [
                max(n, all_ // SLABS)
                for n, all_ in zip((records, size), most, strict=True)
            ]
            try:
                limits.spend(
                    budget_key(self.ingestion),
                    slab,
                    limits=most,
                    per=60,
                    what="records a minute",
                )
            except Wait as full:
                self._drain()
                if full.until:
                    seconds = full.until.timestamp() - time.time()
                    self._held_back(seconds, full.reason)
                raise
            self._budget = [
                n + more for n, more in zip(self._budget, slab, strict=True)
            ]
        self._budget = [self._budget[0] - records, self._budget[1] - size]

    # --- Updates that must not be sent twice --------------------------------------

    def _send_alone(self, air: _InAir) -> None:
        """Note the updates, send them, and note what became of them. Alone, so that the
        part's position is just before them while nobody knows."""
        self._drain()
        flight, judged = air.flight, air.flight.judged
        self._spend(len(judged.good), delivery.size_of(judged.good))
        chunk = flight.chunk
        batch = UnsettledBatch(
            part=self.part,
            start=chunk.offset,
            end=chunk.end,
            number=chunk.number,
            first_line=air.line(judged.indexes[0]),
            last_line=air.line(judged.indexes[-1]),
            records=len(judged.good),
            sent_at=db_now(),
        )
        with self.turn.commit(progress=False):
            batch.save()
        error = self._sent_alone(air)
        if error is None:
            self._air.append(air)
            self._commit(settles=batch)
            return
        if not error.may_have_happened:
            if flight.left and flight.unsettled < len(judged.good):
                # Some of its pieces were settled; write those down, ask about none.
                self._never_sent(air, batch)
            else:
                with self.turn.commit(progress=False):
                    batch.delete()
            limits.note(breaker_key(self.turn.job), ok=error.status is not None)
            raise error
        batch.state = UnsettledBatch.State.UNKNOWN
        batch.error_kind = error.kind
        batch.error_message = str(error)[:2000]
        _narrow(batch, air)
        self._air.append(air)
        self._commit(keeps=batch)

    def _sent_alone(self, air: _InAir) -> MixpanelError | None:
        """Send a flight and wait for it. The error, if there was one."""
        self._submit(air)
        future, air.future = air.future, None
        assert future is not None
        while not future.done():
            wait([future], timeout=TIMES.heartbeat / 2)
            self.turn.heard()
        error = future.exception()
        air.settled = True
        if error is not None and not isinstance(error, MixpanelError):
            raise error
        return error

    def _never_sent(self, air: _InAir, batch: UnsettledBatch) -> None:
        """Some of a batch was settled and the rest certainly did not happen: nobody has
        to be asked, but the rest is sent as a batch of its own."""
        _narrow(batch, air)
        batch.state = UnsettledBatch.State.AGAIN
        self._air.append(air)
        self._commit(keeps=batch)

    def send_decided(self) -> None:
        """Send batches again of which a person says so, or that were never sent."""
        batches = UnsettledBatch.objects.filter(part__file__ingestion=self.ingestion)
        batches = batches.select_related("part__file__upload", "part__file__bucket")
        # Being sent for the second time when the worker died: unknown again.
        batches.filter(
            state=UnsettledBatch.State.SENDING, start__lt=F("part__position")
        ).update(state=UnsettledBatch.State.UNKNOWN, error_kind="worker_lost")
        for batch in batches.filter(state=UnsettledBatch.State.AGAIN):
            self._send_decided(batch)

    def _send_decided(self, batch: UnsettledBatch) -> None:
        part = batch.part
        judge = judge_of(self.ingestion, part.file, self.turn, part.slice)
        self._begin(part)
        with opened(part.file, turn=self.turn, position=batch.start) as source:
            chunks = reading.chunks(
                source.stream,
                offset=batch.start,
                number=batch.number,
                end=batch.end,
                most_lines=self.ingestion.batch_records,
                most_bytes=kinds.MOST_BYTES,
            )
            found = [(chunk, judge.judge(chunk, now=time.time())) for chunk in chunks]
        lines: list[bytes] = []
        numbers: list[int] = []
        for chunk, judged in found:
            for line, index in zip(judged.good, judged.indexes, strict=True):
                if batch.first_line <= chunk.number + index <= batch.last_line:
                    lines.append(line)
                    numbers.append(chunk.number + index)
        judged = Judged(lines, range(len(lines)), deltas=list(range(len(lines))))
        chunk = Chunk(lines, batch.start, 0, batch.end)
        air = _InAir(Flight(chunk, judged), numbers=numbers)
        with self.turn.commit(progress=False):
            batch.state = UnsettledBatch.State.SENDING
            batch.sent_at = db_now()
            batch.save()
        error = self._sent_alone(air)
        flight = air.flight
        settled = len(lines) - flight.unsettled
        part.imported, part.refused = flight.imported, len(flight.refused)
        part.unsettled = -settled
        part.requests, part.sent_bytes = flight.requests, flight.sent_bytes
        self._keep_rejected(air)
        if error is None:
            self._write(settles=batch)
            return
        _narrow(batch, air)
        batch.state = (
            UnsettledBatch.State.UNKNOWN
            if error.may_have_happened
            else UnsettledBatch.State.AGAIN
        )
        batch.error_kind, batch.error_message = error.kind, str(error)[:2000]
        self._write(keeps=batch)
        if not error.may_have_happened:
            raise error

    def _after_a_kill(self, judge: Judge, stream: Stream) -> None:
        """A batch that was being sent when the worker died may have arrived."""
        part = self.part
        for batch in part.batches.filter(
            state=UnsettledBatch.State.SENDING, start__gte=part.position
        ):
            chunks = reading.chunks(
                stream,
                offset=part.position,
                number=part.next_line,
                end=batch.end,
                most_lines=self.ingestion.batch_records,
                most_bytes=kinds.MOST_BYTES,
            )
            batch.state = UnsettledBatch.State.UNKNOWN
            batch.error_kind = "worker_lost"
            batch.error_message = "The worker died while these were being sent."
            batch.records = 0
            for chunk in chunks:
                judged = judge.judge(chunk, now=time.time())
                batch.records += len(judged.good)
                self._air.append(_InAir(Flight(chunk, judged), settled=True))
            self._commit(keeps=batch)

    # --- Writing down ---------------------------------------------------------------

    def _commit(
        self,
        *,
        done: bool = False,
        settles: UnsettledBatch | None = None,
        keeps: UnsettledBatch | None = None,
    ) -> None:
        """Write down what is settled from the part's position on, without a hole."""
        self._committed_at = time.monotonic()
        part = self.part
        taken = 0
        while self._air and self._air[0].settled:
            self._count(self._air.popleft())
            taken += 1
        part.done = done
        if taken or done or keeps or settles:
            self._write(progress=bool(taken), settles=settles, keeps=keeps)

    def _write(
        self,
        *,
        progress: bool = True,
        settles: UnsettledBatch | None = None,
        keeps: UnsettledBatch | None = None,
    ) -> None:
        part = self.part
        try:
            self._rejected.flush()
            self._held.flush()
        except OSError as error:
            # Nothing of it counts yet, so it goes on from the last note once there is
            # room again.
            words = f"Rejected records cannot be kept on this disk: {error.strerror}."
            until = db_now() + timedelta(seconds=TIMES.backoff_most)
            raise Wait(Job.Wait.RETRY, words, until) from None
        with self.turn.commit(progress=progress):
            # The counts are added, since a person's decision may change them as well.
            rows = Part.objects.filter(pk=part.pk)
            rows.update(
                **{name: getattr(part, name) for name in _WRITTEN},
                **{name: F(name) + getattr(part, name) for name in _ADDED},
            )
            self._rejected.commit()
            self._held.commit()
            for key, (count, examples) in self._groups.items():
                _count_group(self.ingestion, key, count, examples)
            sent = {name: getattr(part, name) for name in samples.ADDED}
            samples.add(self.ingestion, now=time.time(), **sent)
            if settles:
                settles.delete()
            if keeps:
                keeps.save()
        self._groups.clear()
        for name in _ADDED:
            setattr(part, name, 0)
        stop_if_told(
            Ingestion.objects.values_list("state", flat=True).get(pk=self.ingestion.pk)
        )

    def _count(self, air: _InAir) -> None:
        part, flight = self.part, air.flight
        chunk, judged = flight.chunk, flight.judged
        part.position = chunk.end
        part.next_line = chunk.number + len(chunk.lines)
        part.stored = max(part.stored, flight.stored)
        known = len(chunk.lines) - judged.blank - judged.elsewhere
        if part.releases:
            # They were read before; now they are on the books of what became of them.
            part.held -= known
        else:
            part.read += known
        part.blank += judged.blank
        part.imported += flight.imported
        part.refused += len(flight.refused)
        part.invalid += len(judged.invalid)
        part.dropped += len(judged.dropped)
        part.held += len(judged.held)
        part.unsettled += flight.unsettled
        part.unverified += flight.unverified
        part.requests += flight.requests
        part.sent_bytes += flight.sent_bytes
        for code, count in judged.notes.items():
            part.notes[code] = part.notes.get(code, 0) + count
        second = int(time.time())
        pace = [row for row in part.pace if row[0] > second - 60]
        if pace and pace[-1][0] == second:
            pace[-1] = [second, pace[-1][1] + known, pace[-1][2] + flight.sent_bytes]
        else:
            pace.append([second, known, flight.sent_bytes])
        part.pace = pace
        self._keep_rejected(air)

    def _keep_rejected(self, air: _InAir) -> None:
        flight = air.flight
        lines, name = flight.chunk.lines, self.part.file.name
        unfit = dict(flight.chunk.unfit)
        # A refused record is kept as it went out: with the $insert_id that it was given,
        # so that sending it again after a repair changes nothing else.
        judged = flight.judged
        sent = {}
        if flight.refused:
            sent = dict(zip(judged.indexes, judged.good, strict=True))
        for problem in (*judged.invalid, *flight.refused):
            number = air.line(problem.index)
            line = sent.get(problem.index) or lines[problem.index]
            field, message = readable(problem.field), readable(problem.message)[:500]
            self._rejected.add(
                spools.entry(
                    line,
                    file=name,
                    line=number,
                    code=problem.code,
                    field=field,
                    message=message,
                    cut=problem.index in unfit,
                )
            )
            key = (problem.code, field[:255], message)
            count, examples = self._groups.get(key, (0, []))
            if len(examples) < EXAMPLES:
                text = storable(line[:2000].decode("utf-8", "replace"))
                examples = [*examples, {"file": name, "line": number, "record": text}]
            self._groups[key] = (count + 1, examples)
        for (index, due), line in zip(judged.held, judged.held_lines, strict=True):
            number = air.line(index)
            self._held.add(spools.entry(line, file=name, line=number, due=due), due=due)


_WRITTEN = ("position", "next_line", "stored", "done", "notes", "pace")
_ADDED = (*COUNTS, "unverified", "requests", "sent_bytes")


def _narrow(batch: UnsettledBatch, air: _InAir) -> None:
    """Let a batch stand for what is left of its flight."""
    places = air.flight.judged.indexes
    left = [places[n] for piece in air.flight.left for n in piece.indexes]
    batch.records = len(left)
    batch.first_line, batch.last_line = air.line(min(left)), air.line(max(left))


def _some(
    kept: Iterator[spools.Entry], most: int, most_bytes: int
) -> list[spools.Entry]:
    found: list[spools.Entry] = []
    size = 0
    for one in kept:
        found.append(one)
        size += len(one.raw()) + 1
        if len(found) >= most or size >= most_bytes // 2:
            break
    return found


def _count_group(
    ingestion: Ingestion,
    key: tuple[str, str, str],
    count: int,
    examples: list[dict[str, object]],
) -> None:
    code, field, message = key
    groups = RejectedGroup.objects.filter(ingestion=ingestion)
    same = groups.filter(code=code, field=field, message=message)
    if same.update(count=F("count") + count):
        return
    if groups.count() >= MOST_GROUPS:
        code, field, message = code, "", spools.OTHER
        if groups.filter(code=code, field="", message=spools.OTHER).update(
            count=F("count") + count
        ):
            return
    try:
        with transaction.atomic():
            groups.create(
                ingestion=ingestion,
                code=code,
                field=field,
                message=message,
                count=count,
                examples=examples,
            )
    except IntegrityError:
        # Another lane was faster.
        groups.filter(code=code, field=field, message=message).update(
            count=F("count") + count
        )


def judge_of(
    ingestion: Ingestion,
    file: IngestionFile,
    turn: Turn,
    slice_: int = 0,
    *,
    unsliced: bool = False,
) -> Judge:
    """What sorts the records of one file, for one slice of time."""
    times = None
    if ingestion.slices and not unsliced:
        chosen = ingestion.slices[slice_]
        times = (chosen["from"], chosen["to"])
    return judge_for(
        ingestion.kind,
        mends=ingestion.mends,
        insert_id_fields=ingestion.insert_id_fields,
        seed=partial(seed_of, file, turn),
        time_slice=times,
        counts_undated=slice_ == 0,
    )


def budget_key(ingestion: Ingestion) -> str:
    return f"ingest:{ingestion.project_id}"


def fail_file(turn: Turn, file: IngestionFile, failed: FileFailed) -> None:
    """Note that a file cannot be read to its end; others go on."""
    with turn.commit():
        IngestionFile.objects.filter(pk=file.pk).update(
            state=IngestionFile.State.FAILED,
            error_kind=failed.code,
            error_message=failed.message,
            ended_at=db_now(),
        )
