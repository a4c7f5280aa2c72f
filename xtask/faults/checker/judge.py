"""Judges the history of a run by what docs/guarantees.md promises. README.md says what each line and each verdict means.

Written apart from ledger.mjs, which judges the same run while it goes on: what one of them overlooks, the other may see.
"""

from __future__ import annotations

import json
import sys
from array import array
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator

FORMAT = 1
EXAMPLES = 3
# What must be zero, whatever a row does.
BREACHES = (
    "lost",
    "forgotten",
    "duplicated",
    "reordered",
    "overtaken",
    "misdelivered",
    "invented",
    "unreasoned",
    "malformed",
)
# What is counted besides.
OTHERS = ("lost_though_recovered", "excused", "appended_twice", "doubtful")
# A replay begins a moment after the page's clock says that it is connected.
TTL_MARGIN_MS = 2000


class NoHistory(Exception):
    """The file is not a history at all."""


@dataclass(slots=True)
class Message:
    """One emit."""

    sent: int
    id: str | None
    ttl: int | None
    acked: int | None = None


@dataclass(slots=True)
class Page:
    """One page, from its first connection to its end."""

    client: int
    user: int
    streams: tuple[str, ...]
    joined: int
    # Times of `recovered: false` and of `recovered: true`.
    notified: list[int] = field(default_factory=list)
    recovered: list[int] = field(default_factory=list)
    # From a disconnect to the next connect; the second is missing while it is away.
    absences: list[list[int | None]] = field(default_factory=list)
    left: int | None = None
    refused: bool = False
    connects: int = 0
    # What came, by stream: numbers, and hashes of offsets beside them.
    numbers: dict[str, array] = field(default_factory=dict)
    offsets: dict[str, array] = field(default_factory=dict)
    # Roles in the order in which the page had them: stream, from, until.
    roles: list[tuple[str, int, int | None]] = field(default_factory=list)
    # A notification that is right only if the role that is written next is another one.
    unexplained: int | None = None
    # The latest sending of a message of ours that this page has received.
    latest_sent: int = -1


def user_of(stream: str) -> int:
    """Whom a stream is for; 0 is more than one user."""
    if is_of_role(stream):
        return 0
    return int(stream.rsplit(" ", 1)[-1])


def is_of_role(stream: str) -> bool:
    return stream.startswith("role:")


def is_ours(stream: str) -> bool:
    """Whether its publisher waits for our 201."""
    return " " not in stream


def offset_hash(offset: Any) -> int:
    return hash(offset) & 0x7FFF_FFFF_FFFF_FFFF if offset is not None else -1


class Judge:
    """Takes the lines of a history one by one, and says at the end what they prove."""

    def __init__(self) -> None:
        self.header: dict[str, Any] | None = None
        self.streams: dict[str, list[Message]] = {}
        self.pages: dict[int, Page] = {}
        self.closed: list[Page] = []
        self.redis_lost: list[int] = []
        self.redis_has: tuple[int, set[str]] | None = None
        self.lines = 0
        self.is_over = False
        self.counts: dict[str, int] = dict.fromkeys(BREACHES + OTHERS, 0)
        self.examples: dict[str, list[str]] = {}
        self.received = 0

    # Reading.

    def take(self, line: dict[str, Any]) -> None:
        kind = line.get("k")
        if self.header is None:
            if kind != "run" or line.get("format") != FORMAT:
                raise NoHistory(f"the first line is no header of format {FORMAT}: {line}")
            self.header = line
            self.lines = 1
            return
        if self.is_over:
            self.blame("malformed", f"a line after the end: {line}")
            return
        if kind == "end":
            self.is_over = True
            if line["lines"] != self.lines or line["dropped"] != 0:
                self.blame("malformed", f"{self.lines} lines were read, and the end says {line}")
            return
        self.lines += 1
        handler = getattr(self, f"on_{kind}", None)
        if handler is None:
            self.blame("malformed", f"an unknown kind of line: {line}")
        else:
            handler(line)

    def on_page(self, line: dict[str, Any]) -> None:
        client = line["c"]
        if client in self.pages:
            self.blame("malformed", f"page {client} begins twice")
            return
        self.pages[client] = Page(client, line["u"], tuple(line["streams"]), line["t"])

    def on_connected(self, line: dict[str, Any]) -> None:
        page = self.page(line)
        if page is None:
            return
        page.connects += 1
        if page.connects == 1:
            return
        if page.absences and page.absences[-1][1] is None:
            page.absences[-1][1] = line["t"]
        else:
            self.blame("malformed", f"page {page.client} connects and was connected")
        if line["recovered"]:
            page.recovered.append(line["t"])
            return
        page.notified.append(line["t"])
        rule = self.header["notify"]
        has_reason = rule == "allowed" or (
            rule == "after_loss" and any(lost <= line["t"] for lost in self.redis_lost)
        )
        self.judge_unexplained(page)
        if not has_reason:
            page.unexplained = line["t"]

    def judge_unexplained(self, page: Page) -> None:
        if page.unexplained is not None:
            self.blame("unreasoned", f"page {page.client} was notified at {page.unexplained}")
            page.unexplained = None

    def on_role(self, line: dict[str, Any]) -> None:
        page = self.page(line)
        if page is not None:
            # guarantees.md: a page whose token has other roles than before is notified.
            if page.roles and page.roles[-1][0] != line["s"]:
                page.unexplained = None
            page.roles.append((line["s"], line["t"], None))

    def on_disconnected(self, line: dict[str, Any]) -> None:
        page = self.page(line)
        # socket.io-client says so again when an attempt to reconnect fails late.
        if page is not None and not (page.absences and page.absences[-1][1] is None):
            page.absences.append([line["t"], None])
            if page.roles:
                stream, begin, _ = page.roles[-1]
                page.roles[-1] = (stream, begin, line["t"])

    def on_gave_up(self, line: dict[str, Any]) -> None:
        pass

    def on_refused(self, line: dict[str, Any]) -> None:
        page = self.pages.get(line["c"])
        if page is not None:
            page.refused = True

    def on_left(self, line: dict[str, Any]) -> None:
        page = self.page(line)
        if page is not None:
            page.left = line["t"]
            self.closed.append(self.pages.pop(page.client))

    def on_sent(self, line: dict[str, Any]) -> None:
        stream = self.streams.setdefault(line["s"], [])
        if line["n"] != len(stream) + 1:
            self.blame("malformed", f"number {line['n']} of stream {line['s']} follows {len(stream)}")
            return
        stream.append(Message(line["t"], line.get("id"), line.get("ttl")))

    def on_acked(self, line: dict[str, Any]) -> None:
        message = self.message(line["s"], line["n"])
        if message is None:
            self.blame("malformed", f"acknowledged and never sent: {line}")
        elif message.acked is not None:
            self.blame("malformed", f"acknowledged twice: {line}")
        else:
            message.acked = line["t"]

    def on_got(self, line: dict[str, Any]) -> None:
        page = self.page(line)
        if page is None:
            return
        stream, number = line["s"], line["n"]
        self.received += 1
        if user_of(stream) not in (0, page.user):
            self.blame("misdelivered", f"page {page.client} of user {page.user} received {stream}/{number}")
            return
        if self.message(stream, number) is None:
            self.blame("invented", f"page {page.client} received {stream}/{number}, which nobody sent")
            return
        if is_of_role(stream) and self.is_of_another_role(page, stream, number):
            self.blame("misdelivered", f"page {page.client} received {stream}/{number} and has another role")
            return
        page.numbers.setdefault(stream, array("I")).append(number)
        page.offsets.setdefault(stream, array("q")).append(offset_hash(line.get("o")))
        self.look_for_overtaking(page, stream, number)

    def on_redis_lost(self, line: dict[str, Any]) -> None:
        self.redis_lost.append(line["t"])

    def on_redis_has(self, line: dict[str, Any]) -> None:
        self.redis_has = (line["t"], set(line["ids"]))

    # Judging.

    def look_for_overtaking(self, page: Page, stream: str, number: int) -> None:
        """The log has one order: what was acknowledged before another was sent is before it on every page."""
        if not is_ours(stream) or self.redis_lost or self.redis_has:
            return
        message = self.message(stream, number)
        if message is None:
            return
        if message.acked is not None and message.acked < page.latest_sent:
            if number not in memoryview(page.numbers[stream])[:-1]:
                self.blame(
                    "overtaken",
                    f"page {page.client} received {stream}/{number}, acknowledged at {message.acked}, after one that "
                    f"was sent at {page.latest_sent}",
                )
        page.latest_sent = max(page.latest_sent, message.sent)

    def verdict(self) -> dict[str, Any]:
        if self.header is None:
            raise NoHistory("the file is empty")
        if not self.is_over:
            self.blame("malformed", "the history has no end")
        everyone = [*self.closed, *self.pages.values()]
        for page in everyone:
            self.judge_unexplained(page)
            self.judge_receipts(page)
            self.judge_absentees(page)
        messages = [message for stream in self.streams.values() for message in stream]
        return {
            "pages": len(everyone),
            "sent": len(messages),
            "acknowledged": sum(message.acked is not None for message in messages),
            "received": self.received,
            "notified": sum(len(page.notified) for page in everyone),
            "recovered": sum(len(page.recovered) for page in everyone),
            **self.counts,
            "broken": [name for name in BREACHES if self.counts[name]],
        }

    def judge_receipts(self, page: Page) -> None:
        """Each message once, and those of a stream in their order."""
        for stream, numbers in page.numbers.items():
            first_offset: dict[int, int] = {}
            highest = 0
            for number, offset in zip(numbers, page.offsets[stream]):
                message = self.message(stream, number)
                where = f"page {page.client} received {stream}/{number}"
                if number in first_offset:
                    was_lost = any(message.sent <= lost for lost in self.redis_lost)
                    if was_lost and first_offset[number] != offset:
                        self.blame("appended_twice", where)
                    else:
                        self.blame("duplicated", f"{where} again")
                elif message.acked is not None:
                    if number < highest:
                        self.blame("reordered", f"{where} after {highest}")
                    highest = max(highest, number)
                else:
                    self.blame("doubtful", where)
                first_offset[number] = offset

    def judge_absentees(self, page: Page) -> None:
        """What was acknowledged and never came."""
        for stream in (*page.streams, *sorted({role for role, _, _ in page.roles})):
            arrived = set(page.numbers.get(stream, ()))
            for number, message in enumerate(self.streams.get(stream, ()), 1):
                if is_of_role(stream) and not self.had_role(page, stream, message):
                    continue
                if number not in arrived and self.is_owed(page, message):
                    verdict = self.why_missing(page, stream, message)
                    where = f"page {page.client} misses {stream}/{number}, acknowledged at {message.acked}"
                    self.blame(verdict, where)
                    if verdict == "lost" and any(message.sent <= at for at in page.recovered):
                        self.blame("lost_though_recovered", where)

    def is_of_another_role(self, page: Page, stream: str, number: int) -> bool:
        """Whether it was sent when the page had connected with a role that is not its own."""
        if not page.roles:
            return True
        role, begin, _ = page.roles[-1]
        return role != stream and self.message(stream, number).sent > begin

    def had_role(self, page: Page, stream: str, message: Message) -> bool:
        """Whether the page had the role when it was sent, and long enough for it to arrive."""
        if message.acked is None:
            return False
        tolerance = self.header["on_its_way_ms"]
        return any(
            role == stream and message.sent > begin and (end is None or message.acked < end - tolerance)
            for role, begin, end in page.roles
        )

    def is_owed(self, page: Page, message: Message) -> bool:
        if message.acked is None or message.sent <= page.joined:
            return False
        return page.left is None or message.acked <= page.left - self.header["unnoticed_ms"]

    def why_missing(self, page: Page, stream: str, message: Message) -> str:
        tolerance = self.header["on_its_way_ms"]
        if any(message.sent <= at for at in page.notified):
            return "excused"
        if page.refused and page.absences and message.acked > page.absences[-1][0] - tolerance:
            return "excused"
        if message.ttl is not None and self.was_away_for_its_life(page, message):
            return "excused"
        if self.redis_has is not None:
            at, ids = self.redis_has
            return "forgotten" if message.acked < at and message.id not in ids else "lost"
        if any(abs(message.acked - lost) < tolerance for lost in self.redis_lost):
            return "forgotten"
        return "lost"

    def was_away_for_its_life(self, page: Page, message: Message) -> bool:
        """Whether the page was away when it was sent, and until its life was nearly over."""
        end = message.sent + message.ttl - TTL_MARGIN_MS
        return any(
            gone <= message.acked and (back is None or back >= end) for gone, back in page.absences
        )

    # Bookkeeping.

    def page(self, line: dict[str, Any]) -> Page | None:
        page = self.pages.get(line["c"])
        if page is None:
            self.blame("malformed", f"of a page that is not there: {line}")
        return page

    def message(self, stream: str, number: int) -> Message | None:
        messages = self.streams.get(stream, [])
        return messages[number - 1] if 0 < number <= len(messages) else None

    def blame(self, verdict: str, example: str) -> None:
        self.counts[verdict] += 1
        examples = self.examples.setdefault(verdict, [])
        if len(examples) < EXAMPLES:
            examples.append(example)


def parsed(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines as objects. A last line that was cut off is one that is missing."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def judge(lines: Iterable[dict[str, Any]]) -> Judge:
    """A judge that has seen all of these."""
    judge = Judge()
    for line in lines:
        judge.take(line)
    return judge


def main(arguments: list[str]) -> int:
    explain = "--explain" in arguments
    paths = [argument for argument in arguments if argument != "--explain"]
    if len(paths) != 1:
        print("usage: judge.py [--explain] HISTORY", file=sys.stderr)
        return 2
    try:
        with open(paths[0], encoding="utf-8") as file:
            seen = judge(parsed(file))
        verdict = seen.verdict()
    except (OSError, NoHistory, KeyError, TypeError) as error:
        print(f"{paths[0]} cannot be judged: {error!r}", file=sys.stderr)
        return 2
    print(json.dumps({**verdict, "examples": seen.examples}))
    if explain:
        for name, examples in seen.examples.items():
            for example in examples:
                print(f"{name}: {example}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
