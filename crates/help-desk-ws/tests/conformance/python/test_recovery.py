"""python-socketio that keeps its position: the code in docs/front-end.md, against the service at WS_URL."""

import asyncio
import os
import pathlib
import re
import unittest

from test_notifications import TIMEOUT, WS_URL, _users, emit, token_for

GUIDE = pathlib.Path(__file__).parents[5] / "docs" / "front-end.md"


class Proxy:
    """A network that can be cut."""

    def __init__(self):
        self.is_broken = False
        self._writers = set()
        self._connections = set()

    async def start(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return "http://127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader, writer):
        if self.is_broken:
            writer.transport.abort()
            return
        host, port = re.fullmatch(r"http://([^:/]+):(\d+)/?", WS_URL).groups()
        other_reader, other_writer = await asyncio.open_connection(host, int(port))
        pair = {writer, other_writer}
        self._writers |= pair
        self._connections.add(asyncio.current_task())
        await asyncio.gather(self._copy(reader, other_writer), self._copy(other_reader, writer))
        self._writers -= pair

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.transport.abort()

    def cut(self):
        self.is_broken = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self):
        self.is_broken = False

    async def stop(self):
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)


@unittest.skipIf(os.environ.get("REFERENCE"), "the reference service has none of this")
class Recovery(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.proxy = Proxy()
        url = await self.proxy.start()
        self.user = next(_users)
        self.shown = []
        self.reloads = 0
        self.changed = asyncio.Condition()
        section = GUIDE.read_text().split("### python-socketio\n")[1]
        code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
        code = code.replace("https://ws.example.com", url)
        code = code.replace("AsyncClient()", "AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.1)")
        self.names = {
            "get_token": lambda: token_for(self.user),
            "reload_notifications": self.reload,
            "show": self.show,
        }
        exec(code, self.names)  # the guide's code is what is tested
        self.running = asyncio.create_task(self.names["main"]())
        await self.until(lambda: self.reloads == 1)

    async def asyncTearDown(self):
        await self.names["client"].shutdown()
        self.running.cancel()
        await self.proxy.stop()

    async def reload(self):
        async with self.changed:
            self.reloads += 1
            self.changed.notify_all()

    async def show(self, notification):
        async with self.changed:
            self.shown.append(notification["n"])
            self.changed.notify_all()

    async def until(self, condition):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), TIMEOUT)

    async def emit(self, first, last, user=None):
        for number in range(first, last + 1):
            await asyncio.to_thread(emit, user or self.user, "new_notification", {"n": number})

    async def test_gets_everything_once_and_in_order(self):
        for sent in (0, 20, 40):
            emitting = asyncio.create_task(self.emit(sent + 1, sent + 20))
            await self.until(lambda: len(self.shown) >= sent + 3)
            self.proxy.cut()
            await emitting
            self.proxy.mend()
            await self.until(lambda: len(self.shown) >= sent + 20)
        self.assertEqual(self.shown, list(range(1, 61)))
        self.assertEqual(self.reloads, 1)

    async def test_gets_what_it_missed_though_it_had_never_been_sent_anything(self):
        self.proxy.cut()
        await self.emit(1, 3)
        self.proxy.mend()
        await self.until(lambda: len(self.shown) >= 3)
        self.assertEqual((self.shown, self.reloads), ([1, 2, 3], 1))

    async def test_reads_its_list_when_more_was_sent_than_is_kept(self):
        self.proxy.cut()
        await self.emit(1, 257)  # REPLAY_MAX_EVENTS, and one
        self.proxy.mend()
        await self.until(lambda: self.reloads == 2)
        self.assertEqual(self.shown, [])

    async def test_recovers_nothing_of_another_user(self):
        self.proxy.cut()
        await self.emit(1, 3)
        self.user = next(_users)
        self.proxy.mend()
        await self.until(lambda: self.reloads == 2)
        await self.emit(9, 9)
        await self.until(lambda: self.shown)
        self.assertEqual(self.shown, [9])


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
