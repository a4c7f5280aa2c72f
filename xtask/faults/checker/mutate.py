"""Breaks a good history in every way that the judge is there to notice, and fails when it does not notice one.

    python3 mutate.py HISTORY [SEED]
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any, Callable, Iterator

from judge import BREACHES, judge, user_of

Lines = list[dict[str, Any]]
# What a mutation makes of a history, or `None` where the history offers nothing to break.
Mutation = Callable[[Lines, random.Random], Lines | None]


def owed_receipts(lines: Lines) -> list[int]:
    """Where a page receives, once, what is owed to it beyond doubt."""
    verdict = judge(lines)
    verdict.verdict()
    receipts: dict[tuple[int, str, int], list[int]] = {}
    pages = {line["c"] for line in lines if line["k"] == "left"}
    for index, line in enumerate(lines):
        if line["k"] == "got":
            receipts.setdefault((line["c"], line["s"], line["n"]), []).append(index)
    owed = []
    for (client, stream, number), where in receipts.items():
        page, message = verdict.pages.get(client), verdict.message(stream, number)
        if client in pages or page is None or len(where) > 1 or stream not in page.streams:
            continue
        if verdict.is_owed(page, message) and verdict.why_missing(page, stream, message) == "lost":
            owed.append(where[0])
    return owed


def lose(lines: Lines, rng: random.Random) -> Lines | None:
    owed = owed_receipts(lines)
    return without(lines, rng.choice(owed)) if owed else None


def lose_though_recovered(lines: Lines, rng: random.Random) -> Lines | None:
    recovered: dict[int, list[int]] = {}
    for line in lines:
        if line["k"] == "connected" and line["recovered"]:
            recovered.setdefault(line["c"], []).append(line["t"])
    sent = {(line["s"], line["n"]): line["t"] for line in lines if line["k"] == "sent"}
    owed = [
        index
        for index in owed_receipts(lines)
        if any(sent[lines[index]["s"], lines[index]["n"]] <= at for at in recovered.get(lines[index]["c"], ()))
    ]
    return without(lines, rng.choice(owed)) if owed else None


def repeat(lines: Lines, rng: random.Random) -> Lines | None:
    owed = owed_receipts(lines)
    if not owed:
        return None
    index = rng.choice(owed)
    return numbered([*lines[: index + 1], lines[index], *lines[index + 1 :]])


def swap_in_stream(lines: Lines, rng: random.Random) -> Lines | None:
    return swap(lines, rng, same_stream=True)


def swap_streams(lines: Lines, rng: random.Random) -> Lines | None:
    # The order of streams is not judged where Redis has lost data.
    if any(line["k"] in ("redis_lost", "redis_has") for line in lines):
        return None
    return swap(lines, rng, same_stream=False)


def swap(lines: Lines, rng: random.Random, same_stream: bool) -> Lines | None:
    """Moves a receipt behind the next one of its page, which was sent when the first had been acknowledged."""
    sent = {(line["s"], line["n"]): line["t"] for line in lines if line["k"] == "sent"}
    acked = {(line["s"], line["n"]): line["t"] for line in lines if line["k"] == "acked"}
    of_page: dict[int, list[int]] = {}
    for index in sorted(owed_receipts(lines)):
        if " " not in lines[index]["s"]:
            of_page.setdefault(lines[index]["c"], []).append(index)
    pairs = []
    for indices in of_page.values():
        for first, second in zip(indices, indices[1:]):
            one, other = lines[first], lines[second]
            is_later = acked[one["s"], one["n"]] < sent[other["s"], other["n"]]
            if is_later and (one["s"] == other["s"]) == same_stream:
                pairs.append((first, second))
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    return [*lines[:first], *lines[first + 1 : second + 1], lines[first], *lines[second + 1 :]]


def misdeliver(lines: Lines, rng: random.Random) -> Lines | None:
    users = {line["c"]: line["u"] for line in lines if line["k"] == "page"}
    candidates = [index for index in owed_receipts(lines) if user_of(lines[index]["s"]) != 0]
    if not candidates or len(set(users.values())) < 2:
        return None
    index = rng.choice(candidates)
    strangers = [client for client, user in users.items() if user != users[lines[index]["c"]]]
    return changed(lines, index, c=rng.choice(strangers))


def invent(lines: Lines, rng: random.Random) -> Lines | None:
    owed = owed_receipts(lines)
    if not owed:
        return None
    index = rng.choice(owed)
    return numbered([*lines[: index + 1], {**lines[index], "n": 1_000_000}, *lines[index + 1 :]])


def notify_without_reason(lines: Lines, rng: random.Random) -> Lines | None:
    if lines[0]["notify"] != "never":
        return None
    recovered = [index for index, line in enumerate(lines) if line["k"] == "connected" and line["recovered"]]
    return changed(lines, rng.choice(recovered), recovered=False) if recovered else None


def hide_notification(lines: Lines, rng: random.Random) -> Lines | None:
    """A page that missed something is told that it recovered."""
    before = judge(lines)
    before.verdict()
    notified = [
        index
        for index, line in enumerate(lines)
        if line["k"] == "connected" and not line["recovered"] and misses(before, line)
    ]
    return changed(lines, rng.choice(notified), recovered=True) if notified else None


def misses(seen: Any, line: dict[str, Any]) -> bool:
    """Whether the page misses what only this notification excuses."""
    page = seen.pages.get(line["c"])
    if page is None or line["t"] not in page.notified or page.notified[-1] != line["t"] or page.refused:
        return False
    others = page.notified[:-1]
    for stream in page.streams:
        arrived = set(page.numbers.get(stream, ()))
        for number, message in enumerate(seen.streams.get(stream, ()), 1):
            is_excused = any(message.sent <= at for at in others) or message.ttl is not None
            is_doubtful = any(abs((message.acked or 0) - lost) < 1000 for lost in seen.redis_lost)
            if number not in arrived and seen.is_owed(page, message) and message.sent <= line["t"]:
                if not is_excused and not is_doubtful and seen.redis_has is None:
                    return True
    return False


def acknowledge_twice(lines: Lines, rng: random.Random) -> Lines | None:
    acked = [index for index, line in enumerate(lines) if line["k"] == "acked"]
    if not acked:
        return None
    index = rng.choice(acked)
    return numbered([*lines[: index + 1], lines[index], *lines[index + 1 :]])


def acknowledge_unsent(lines: Lines, rng: random.Random) -> Lines | None:
    acked = [index for index, line in enumerate(lines) if line["k"] == "acked"]
    return changed(lines, rng.choice(acked), n=1_000_000) if acked else None


def cut_off_the_end(lines: Lines, rng: random.Random) -> Lines | None:
    return lines[: rng.randrange(1, len(lines))]


def drop_a_line(lines: Lines, rng: random.Random) -> Lines | None:
    index = rng.randrange(1, len(lines) - 1)
    return [*lines[:index], *lines[index + 1 :]]


def receive_before_connecting(lines: Lines, rng: random.Random) -> Lines | None:
    owed = owed_receipts(lines)
    if not owed:
        return None
    got = lines[rng.choice(owed)]
    return numbered([lines[0], got, *lines[1:]])


# What must be noticed, and as what.
MUTATIONS: dict[str, tuple[Mutation, str]] = {
    "a receipt is lost": (lose, "lost"),
    "a receipt is lost, and the page came back with recovered: true": (lose_though_recovered, "lost_though_recovered"),
    "a receipt is repeated": (repeat, "duplicated"),
    "two receipts of a stream are exchanged": (swap_in_stream, "reordered"),
    "two receipts of two streams are exchanged": (swap_streams, "overtaken"),
    "a receipt goes to a page of another user": (misdeliver, "misdelivered"),
    "a page receives what nobody sent": (invent, "invented"),
    "a page that recovered is notified": (notify_without_reason, "unreasoned"),
    "a page that missed something is not notified": (hide_notification, "lost"),
    "an emit is acknowledged twice": (acknowledge_twice, "malformed"),
    "an emit is acknowledged and was never sent": (acknowledge_unsent, "malformed"),
    "a page receives before it connects": (receive_before_connecting, "malformed"),
    "the history is cut off": (cut_off_the_end, "malformed"),
    "a line is missing": (drop_a_line, "malformed"),
}


def without(lines: Lines, index: int) -> Lines:
    return numbered([*lines[:index], *lines[index + 1 :]])


def changed(lines: Lines, index: int, **fields: Any) -> Lines:
    return [*lines[:index], {**lines[index], **fields}, *lines[index + 1 :]]


def numbered(lines: Lines) -> Lines:
    """With an end that knows the number of lines."""
    return [*lines[:-1], {**lines[-1], "lines": len(lines) - 1}]


def outcomes(lines: Lines, seed: int) -> Iterator[tuple[str, bool | None]]:
    """Each mutation, and whether it was noticed; `None` where the history offers nothing to break."""
    for name, (mutation, verdict) in MUTATIONS.items():
        broken = mutation(lines, random.Random(seed))
        if broken is None:
            yield name, None
        else:
            found = judge(broken).verdict()
            is_breach = verdict not in BREACHES or verdict in found["broken"]
            yield name, found[verdict] > 0 and is_breach


def main(arguments: list[str]) -> int:
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    with open(arguments[0], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    before = judge(lines).verdict()
    if before["broken"]:
        print(f"the history is not good: {before['broken']}", file=sys.stderr)
        return 2
    unnoticed = 0
    for name, is_noticed in outcomes(lines, seed):
        print(f"{'nothing to break' if is_noticed is None else 'noticed' if is_noticed else 'NOT NOTICED':16} {name}")
        unnoticed += is_noticed is False
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
