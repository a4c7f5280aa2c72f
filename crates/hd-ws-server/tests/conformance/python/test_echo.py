"""python-socketio over each transport, against the echo server at SERVER_URL. With PARSER=msgpack it has that parser."""

import os
import queue
import unittest

import socketio

SERVER_URL = os.environ["SERVER_URL"]
REFERENCE = os.environ.get("REFERENCE") == "1"
SERIALIZER = os.environ.get("PARSER", "default")
TIMEOUT = 30


class EchoClient:
    """A client whose received events can be waited for."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.socket = socketio.Client(reconnection=False, serializer=SERIALIZER)
        self.events = {}
        for event in ("auth", "message-back", "connect_error", "disconnect"):
            self.events[event] = queue.Queue()
            self.socket.on(event, self._recorder(event), namespace=namespace)

    def _recorder(self, event):
        return lambda *args: self.events[event].put(args)

    def connect(self, transports, auth=None):
        self.socket.connect(
            SERVER_URL,
            transports=transports,
            namespaces=[self.namespace],
            auth=auth,
            wait_timeout=TIMEOUT,
        )

    def received(self, event):
        return self.events[event].get(timeout=TIMEOUT)

    def emit(self, event, *args):
        self.socket.emit(event, args, namespace=self.namespace)

    def call(self, event, *args):
        return self.socket.call(event, args, namespace=self.namespace, timeout=TIMEOUT)


class EchoCases:
    """The cases; the transport comes from the class that inherits them."""

    transports = None
    settled_on = None

    def client(self, namespace="/", auth=None):
        client = EchoClient(namespace)
        self.addCleanup(client.socket.disconnect)
        client.connect(self.transports, auth)
        self.assertEqual(client.socket.transport(), self.settled_on)
        return client

    def test_connects_and_the_payload_arrives(self):
        client = self.client(auth={"token": "abc"})
        self.assertEqual(client.received("auth"), ({"token": "abc"},))

    def test_connects_without_a_payload(self):
        self.assertEqual(self.client().received("auth"), ({},))

    def test_is_refused_in_an_unknown_namespace(self):
        client = EchoClient("/unknown")
        self.addCleanup(client.socket.disconnect)
        with self.assertRaises(socketio.exceptions.ConnectionError):
            client.connect(self.transports)
        (error,) = client.received("connect_error")
        self.assertIn("Invalid namespace", str(error))

    def test_is_echoed_text_and_json(self):
        client = self.client()
        client.emit("message", 1, "2", {"3": ["4", None, True]}, "€ 🙂")
        self.assertEqual(client.received("message-back"), (1, "2", {"3": ["4", None, True]}, "€ 🙂"))

    def test_is_echoed_binary_in_a_custom_namespace(self):
        client = self.client("/custom")
        data = bytes(range(256))
        client.emit("message", data, {"deep": [data]})
        self.assertEqual(client.received("message-back"), (data, {"deep": [data]}))

    def test_gets_an_ack_with_text(self):
        self.assertEqual(self.client().call("message-with-ack", 1, "2"), (1, "2"))

    def test_gets_an_ack_with_binary(self):
        data = bytes(range(256))
        self.assertEqual(self.client().call("message-with-ack", data, {"deep": data}), (data, {"deep": data}))

    def test_is_echoed_in_order(self):
        # python-engineio refuses a polling payload of more than 16 packets. Node sends such, so it
        # is asked for ten events at a time.
        at_once = 10 if REFERENCE else 100
        client = self.client()
        for start in range(0, 100, at_once):
            numbers = list(range(start, start + at_once))
            for number in numbers:
                client.emit("message", number)
            self.assertEqual([client.received("message-back")[0] for _ in numbers], numbers)

    def test_outlives_several_heartbeats(self):
        # One ping interval is 300 ms and the server gives up 2 s after a ping.
        client = self.client()
        with self.assertRaises(queue.Empty):
            client.events["disconnect"].get(timeout=3)
        self.assertEqual(client.call("message-with-ack", "alive"), "alive")

    def test_disconnects(self):
        client = self.client()
        client.socket.disconnect()
        client.received("disconnect")
        self.assertFalse(client.socket.connected)


class WebSocketOnly(EchoCases, unittest.TestCase):
    transports = ["websocket"]
    settled_on = "websocket"


class PollingOnly(EchoCases, unittest.TestCase):
    transports = ["polling"]
    settled_on = "polling"


class PollingWithUpgrade(EchoCases, unittest.TestCase):
    transports = ["polling", "websocket"]
    settled_on = "websocket"


if __name__ == "__main__":
    unittest.main(verbosity=2)
