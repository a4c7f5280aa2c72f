"""The judge itself: each verdict by a history that was made by hand."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import judge as judging
import mutate
from judge import BREACHES, NoHistory, judge

HEADER = {"k": "run", "format": 1, "notify": "never", "unnoticed_ms": 5000, "on_its_way_ms": 1000}


class Story:
    """A history that is told line by line."""

    def __init__(self, **header):
        self.lines = [{**HEADER, **header}]

    def add(self, kind, **fields):
        self.lines.append({"k": kind, **fields})
        return self

    def page(self, c, u=None, streams=None, t=0):
        user = c if u is None else u
        self.add("page", c=c, u=user, streams=streams or ["0", str(user)], t=t)
        return self.add("connected", c=c, t=t, recovered=False)

    def emit(self, s, n, t, acked=True, **more):
        self.add("sent", s=s, n=n, t=t, **{"id": f"{s}-{n}", **more})
        return self.add("acked", s=s, n=n, t=t + 5) if acked else self

    def got(self, c, s, *numbers, t=100_000, o=None):
        for n in numbers:
            self.add("got", c=c, s=s, n=n, t=t, o=o or f"{n}-0")
        return self

    def away(self, c, t, back, recovered):
        self.add("disconnected", c=c, t=t, reason="transport close")
        return self.add("connected", c=c, t=back, recovered=recovered)

    def done(self):
        return [*self.lines, {"k": "end", "lines": len(self.lines), "dropped": 0}]


def good():
    """Three pages, private and common streams, a replay, and a notification that nobody minds."""
    story = Story().page(1).page(2).page(3)
    for n in range(1, 6):
        story.emit("1", n, 100 * n).got(1, "1", n)
        story.emit("0", n, 100 * n + 50).got(1, "0", n).got(2, "0", n)
        story.got(3, "0", n)
    story.add("disconnected", c=2, t=1000, reason="transport close")
    story.emit("2", 1, 1100).emit("2", 2, 1200).emit("0", 6, 1300).got(1, "0", 6).got(3, "0", 6)
    story.add("connected", c=2, t=2000, recovered=True).got(2, "2", 1, 2).got(2, "0", 6)
    return story


class Verdicts(unittest.TestCase):
    def check(self, story, **expected):
        verdict = judge(story.done()).verdict()
        counts = {name: verdict[name] for name in (*BREACHES, *judging.OTHERS) if verdict[name]}
        self.assertEqual(counts, expected)
        self.assertEqual(verdict["broken"], [name for name in BREACHES if name in expected])

    def test_a_good_history_has_no_breach(self):
        self.check(good())
        verdict = judge(good().done()).verdict()
        self.assertEqual((verdict["pages"], verdict["sent"], verdict["acknowledged"]), (3, 13, 13))
        self.assertEqual((verdict["notified"], verdict["recovered"]), (0, 1))

    def test_what_was_acknowledged_and_never_came_is_lost(self):
        self.check(Story().page(1).emit("1", 1, 10).emit("1", 2, 20).got(1, "1", 2), lost=1)
        self.check(Story().page(1).page(2).emit("0", 1, 10).got(1, "0", 1), lost=1)

    def test_what_was_not_acknowledged_need_not_come_and_may(self):
        self.check(Story().page(1).emit("1", 1, 10, acked=False))
        self.check(Story().page(1).emit("1", 1, 10, acked=False).got(1, "1", 1), doubtful=1)
        self.check(Story().page(1).emit("1", 1, 10, acked=False).got(1, "1", 1, 1), doubtful=1, duplicated=1)

    def test_what_was_sent_before_a_page_came_is_not_for_it(self):
        self.check(Story().emit("1", 1, 10).page(1, t=10))

    def test_a_page_that_recovered_after_a_gap_has_lost(self):
        story = Story().page(1).add("disconnected", c=1, t=10, reason="transport close").emit("1", 1, 20)
        self.check(story.add("connected", c=1, t=30, recovered=True), lost=1, lost_though_recovered=1)

    def test_a_notification_excuses_what_was_sent_before_it(self):
        story = Story(notify="allowed").page(1).emit("1", 1, 10).away(1, 20, 30, False).emit("1", 2, 31)
        self.check(story, excused=1, lost=1)

    def test_a_notification_needs_a_reason(self):
        self.check(Story().page(1).away(1, 10, 20, False), unreasoned=1)
        self.check(Story(notify="allowed").page(1).away(1, 10, 20, False))
        self.check(Story(notify="after_loss").page(1).away(1, 10, 20, False), unreasoned=1)
        self.check(Story(notify="after_loss").page(1).add("redis_lost", t=15).away(1, 10, 20, False))

    def test_another_role_is_a_reason_for_a_notification(self):
        def story(role):
            first = Story().page(1).add("role", c=1, s="role:1", t=1)
            return first.away(1, 10, 20, False).add("role", c=1, s=role, t=20)

        self.check(story("role:2"))
        self.check(story("role:1"), unreasoned=1)
        self.check(story("role:2").away(1, 30, 40, False), unreasoned=1)

    def test_twice_is_duplicated(self):
        self.check(Story().page(1).emit("1", 1, 10).got(1, "1", 1, 1), duplicated=1)
        self.check(Story().page(1).emit("1", 1, 10).got(1, "1", 1, 1, 1), duplicated=2)

    def test_two_pages_of_a_user_get_it_once_each(self):
        self.check(Story().page(1, u=9).page(2, u=9).emit("9", 1, 10).got(1, "9", 1).got(2, "9", 1))

    def test_twice_under_another_offset_after_a_loss_is_appended_twice(self):
        for lost_at, second, expected in [(20, "9-0", "appended_twice"), (20, "1-0", "duplicated"), (5, "9-0", "duplicated")]:
            story = Story().page(1).emit("1", 1, 10).add("redis_lost", t=lost_at).got(1, "1", 1)
            self.check(story.got(1, "1", 1, o=second), **{expected: 1})

    def test_a_lower_number_after_a_higher_one_is_reordered(self):
        # Sent before the other was acknowledged: only the stream's own order is broken.
        story = Story().page(1).add("sent", s="1", n=1, t=10, id="1").add("sent", s="1", n=2, t=11, id="2")
        story.add("acked", s="1", n=1, t=20).add("acked", s="1", n=2, t=20)
        self.check(story.got(1, "1", 2, 1), reordered=1)

    def test_what_was_acknowledged_before_another_was_sent_comes_first_whatever_its_stream(self):
        story = lambda: Story().page(1).emit("1", 1, 10).emit("0", 1, 20)
        self.check(story().got(1, "1", 1).got(1, "0", 1))
        self.check(story().got(1, "0", 1).got(1, "1", 1), overtaken=1)
        # One that was under way at the same time has no place before it.
        self.check(Story().page(1).emit("1", 1, 10).emit("0", 1, 12).got(1, "0", 1).got(1, "1", 1))

    def test_publishers_that_are_not_ours_have_no_order_among_each_other(self):
        streams = ["0", "1", "node 1", "emitter 1"]
        story = Story().page(1, streams=streams).emit("node 1", 1, 10).emit("emitter 1", 1, 20)
        self.check(story.got(1, "emitter 1", 1).got(1, "node 1", 1))

    def test_what_is_for_another_user_is_misdelivered(self):
        self.check(Story().page(1).page(2).emit("2", 1, 10).got(2, "2", 1).got(1, "2", 1), misdelivered=1)
        self.check(Story().page(1).page(2).emit("2", 1, 10).got(1, "2", 1), misdelivered=1, lost=1)

    def test_what_is_for_a_role_is_for_who_has_it(self):
        story = lambda: Story().page(1).add("role", c=1, s="role:1", t=0).emit("role:1", 1, 10)
        self.check(story(), lost=1)
        story = lambda: Story().page(1).add("role", c=1, s="role:1", t=0).emit("role:1", 1, 10).got(1, "role:1", 1)
        self.check(story().emit("role:2", 1, 20))
        self.check(story().emit("role:2", 1, 20).got(1, "role:2", 1), misdelivered=1)
        changed = lambda: story().away(1, 5000, 6000, True).add("role", c=1, s="role:2", t=6000)
        self.check(changed().emit("role:1", 2, 7000))
        self.check(changed().emit("role:1", 2, 7000).got(1, "role:1", 2), misdelivered=1)
        self.check(changed().emit("role:2", 1, 7000), lost=1)
        # Sent while it was away: it may come by either role, and need not.
        self.check(story().add("disconnected", c=1, t=5000, reason="x").emit("role:2", 1, 5500).add("connected", c=1, t=6000, recovered=True).add("role", c=1, s="role:2", t=6000).got(1, "role:2", 1))

    def test_what_nobody_sent_is_invented(self):
        self.check(Story().page(1).got(1, "1", 1), invented=1)
        self.check(Story().page(1).emit("1", 1, 10).got(1, "1", 1, 0), invented=1)

    def test_what_redis_lost_is_forgotten(self):
        story = Story().page(1).emit("1", 1, 1000).emit("1", 2, 4500).emit("1", 3, 9000)
        self.check(story.add("redis_lost", t=5000), forgotten=1, lost=2)
        story = Story().page(1).emit("1", 1, 10).emit("1", 2, 20).emit("1", 3, 40)
        self.check(story.add("redis_has", t=30, ids=["1-1"]), forgotten=1, lost=2)

    def test_a_page_that_was_closed_needs_nothing_from_then_on(self):
        story = Story().page(1).emit("1", 1, 1000).emit("1", 2, 3000).emit("1", 3, 9000)
        self.check(story.add("left", c=1, t=7000), lost=1)
        story = Story().page(1).add("left", c=1, t=7000).page(1, t=8000).emit("1", 1, 9000)
        self.check(story, lost=1)

    def test_a_page_that_was_refused_is_told_from_its_disconnect_on(self):
        story = Story().page(1).emit("1", 1, 1000).emit("1", 2, 4500).emit("1", 3, 6000)
        story.add("disconnected", c=1, t=5000, reason="transport close").add("refused", c=1, t=5500)
        self.check(story, lost=1, excused=2)

    def test_a_ttl_excuses_only_who_was_away_for_all_of_it(self):
        story = lambda: Story().page(1).add("disconnected", c=1, t=900, reason="x").emit("1", 1, 1000, ttl=10_000)
        self.check(story().add("connected", c=1, t=12_000, recovered=True), excused=1)
        self.check(story().add("connected", c=1, t=3000, recovered=True), lost=1, lost_though_recovered=1)
        self.check(Story().page(1).emit("1", 1, 1000, ttl=10_000), lost=1)

    def test_a_history_that_contradicts_itself_is_malformed(self):
        emitted = lambda: Story().page(1).emit("1", 1, 10).got(1, "1", 1)
        self.check(emitted().add("acked", s="1", n=1, t=20), malformed=1)
        self.check(emitted().add("acked", s="1", n=2, t=20), malformed=1)
        self.check(emitted().add("sent", s="1", n=3, t=20), malformed=1)
        self.check(emitted().got(2, "1", 1), malformed=1)
        self.check(emitted().add("page", c=1, u=1, streams=[], t=20), malformed=1)
        self.check(emitted().add("connected", c=1, t=20, recovered=True), malformed=1)
        self.check(emitted().add("mystery"), malformed=1)

    def test_a_history_that_was_cut_off_is_malformed(self):
        for lines in (good().lines, good().done()[:-3], [*good().lines, {"k": "end", "lines": 3, "dropped": 0}]):
            self.assertIn("malformed", judge(lines).verdict()["broken"])
        dropped = [*good().lines, {"k": "end", "lines": len(good().lines), "dropped": 7}]
        self.assertIn("malformed", judge(dropped).verdict()["broken"])

    def test_what_is_no_history_is_not_judged(self):
        for lines in ([], [{"k": "page", "c": 1}], [{**HEADER, "format": 2}]):
            with self.assertRaises(NoHistory):
                judge(lines).verdict()


class Program(unittest.TestCase):
    def run_on(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "history.jsonl")
            path.write_text(text, encoding="utf-8")
            program = Path(judging.__file__)
            return subprocess.run([sys.executable, program, path], capture_output=True, text=True, check=False)

    def test_a_history_is_judged_in_one_line(self):
        text = "".join(f"{json.dumps(line)}\n" for line in good().done())
        self.assertEqual(json.loads(self.run_on(text).stdout)["broken"], [])
        # The last line is half there.
        self.assertEqual(json.loads(self.run_on(text[:-9]).stdout)["broken"], ["malformed"])

    def test_anything_else_is_an_error(self):
        self.assertEqual(self.run_on("nonsense\n").returncode, 2)
        self.assertEqual(self.run_on("").returncode, 2)


class Mutations(unittest.TestCase):
    def test_every_mutation_of_a_good_history_is_noticed(self):
        for seed in range(20):
            outcomes = dict(mutate.outcomes(good().done(), seed))
            self.assertEqual(outcomes.pop("a page that missed something is not notified"), None)
            self.assertEqual(set(outcomes.values()), {True}, (seed, outcomes))

    def test_a_hidden_notification_is_noticed(self):
        story = Story(notify="allowed").page(1).emit("1", 1, 10).away(1, 20, 30, False)
        outcomes = dict(mutate.outcomes(story.done(), 1))
        self.assertIs(outcomes["a page that missed something is not notified"], True)


if __name__ == "__main__":
    unittest.main()
