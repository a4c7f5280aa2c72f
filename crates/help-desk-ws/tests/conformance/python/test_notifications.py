"""python-socketio over each transport, against the service at WS_URL."""

import base64
import hashlib
import hmac
import json
import os
import queue
import re
import threading
import time
import unittest

import requests
import socketio

WS_URL = os.environ["WS_URL"]
JWT_SECRET = os.environ["JWT_SECRET"]
EMIT_TOKEN = os.environ["EMIT_TOKEN"]
NAMESPACE = "/notifications"
TIMEOUT = 30

NOTIFICATION = {"id": 7, "mensaje": "Ticket asignado: ñandú €", "ticketId": 456, "fecha": "2026-01-31T10:00:00.000Z"}

_users = iter(range(os.getpid() * 10_000, os.getpid() * 10_000 + 10_000))


def token_for(user, secret=JWT_SECRET, expires_in=3600, algorithm="HS256"):
    """A token as help-desk-back signs it."""
    now = int(time.time())
    parts = [
        {"alg": algorithm, "typ": "JWT"},
        {"usu_id": user, "rol_id": 2, "es_nacional": False, "iat": now, "exp": now + expires_in},
    ]
    signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    if algorithm == "none":
        return signed + "."
    return signed + "." + _base64url(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def emit(user, event, payload, path="/notifications/emit", field="payload"):
    """Emits as help-desk-back does; the number of sockets that it was delivered to."""
    answer = requests.post(
        WS_URL + path,
        json={"userId": user, "event": event, field: payload},
        headers={"Authorization": f"Bearer {EMIT_TOKEN}"},
        timeout=TIMEOUT,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["deliveredLocally"]


def without_offset(args):
    """What the back end gave: where events can be replayed, their offset comes after it."""
    has_offset = args and isinstance(args[-1], str) and re.fullmatch("[0-9]+-[0-9]+", args[-1])
    return args[:-1] if has_offset else args


class NotificationCases:
    """The cases; the transport comes from the class that inherits them."""

    transports = None
    settled_on = None

    def client(self, **options):
        """A client that is not connected yet, with everything that it receives in `received`."""
        client = socketio.Client(reconnection=False, **options)
        client.received = queue.Queue()
        for event in ("connect", "connect_error", "disconnect"):
            client.on(event, self._recorder(client, event), namespace=NAMESPACE)
        client.on("*", lambda event, *args: client.received.put((event, *without_offset(args))), namespace=NAMESPACE)
        self.addCleanup(client.disconnect)
        return client

    @staticmethod
    def _recorder(client, event):
        return lambda *args: client.received.put((event, *args))

    def connect(self, client, auth=None, headers=None, query=""):
        client.connect(
            WS_URL + query,
            transports=self.transports,
            namespaces=[NAMESPACE],
            auth=auth,
            headers=headers or {},
            wait_timeout=TIMEOUT,
        )

    def joined(self, user, **where):
        client = self.client()
        self.connect(client, **(where or {"auth": {"token": token_for(user)}}))
        self.assertEqual(client.transport(), self.settled_on)
        self.assertEqual(client.received.get(timeout=TIMEOUT), ("connect",))
        return client

    def refusal(self, auth):
        client = self.client()
        with self.assertRaises(socketio.exceptions.ConnectionError):
            self.connect(client, auth=auth)
        event, error = client.received.get(timeout=TIMEOUT)
        self.assertEqual(event, "connect_error")
        return error

    def assert_receives(self, client, user):
        self.assertEqual(emit(user, "new_notification", NOTIFICATION), 1)
        self.assertEqual(client.received.get(timeout=TIMEOUT), ("new_notification", NOTIFICATION))

    def test_receives_with_the_token_in_auth(self):
        user = next(_users)
        self.assert_receives(self.joined(user), user)

    def test_receives_with_the_token_in_the_header(self):
        user = next(_users)
        self.assert_receives(self.joined(user, headers={"Authorization": f"Bearer {token_for(user)}"}), user)

    def test_receives_with_the_token_in_the_query(self):
        user = next(_users)
        self.assert_receives(self.joined(user, query=f"?token={token_for(user)}"), user)

    def test_receives_what_is_posted_to_emit(self):
        user = next(_users)
        client = self.joined(user)
        self.assertEqual(emit(user, "ticket_closed", NOTIFICATION, "/emit", "data"), 1)
        self.assertEqual(client.received.get(timeout=TIMEOUT), ("ticket_closed", NOTIFICATION))

    def test_is_refused(self):
        user = next(_users)
        for auth, code in (
            (None, "token_missing"),
            ({"token": token_for(user, secret="another secret")}, "token_signature"),
            ({"token": token_for(user, expires_in=-10)}, "token_expired"),
            ({"token": token_for(user, algorithm="none")}, "token_algorithm"),
            ({"token": "not.a.token"}, "token_malformed"),
        ):
            with self.subTest(code=code):
                error = self.refusal(auth)
                self.assertEqual(error["data"]["code"], code)
                self.assertTrue(error["message"])

    def test_each_of_several_clients_of_a_user_receives_and_nobody_else(self):
        user, stranger = next(_users), next(_users)
        clients = [self.joined(user), self.joined(user)]
        other = self.joined(stranger)
        self.assertEqual(emit(user, "new_notification", NOTIFICATION), 2)
        for client in clients:
            self.assertEqual(client.received.get(timeout=TIMEOUT), ("new_notification", NOTIFICATION))
        # Had the other one received it, it would come before this.
        self.assertEqual(emit(stranger, "last", {}), 1)
        self.assertEqual(other.received.get(timeout=TIMEOUT), ("last", {}))

    def test_receives_in_order_while_it_connects(self):
        user = next(_users)
        client = self.client()
        connecting = threading.Thread(target=self.connect, args=(client, {"token": token_for(user)}))
        connecting.start()
        self.assertEqual(client.received.get(timeout=TIMEOUT), ("connect",))
        for number in range(200):
            emit(user, "number", number)
            # python-engineio refuses a polling payload of more than 16 packets.
            if number % 10 == 9:
                numbers = [client.received.get(timeout=TIMEOUT) for _ in range(10)]
                self.assertEqual(numbers, [("number", n) for n in range(number - 9, number + 1)])
        connecting.join(TIMEOUT)

    def test_gets_auth_expired_and_is_closed(self):
        client = self.joined(next(_users), auth={"token": token_for(next(_users), expires_in=3)})
        self.assertEqual(client.received.get(timeout=TIMEOUT)[0], "auth:expired")
        self.assertEqual(client.received.get(timeout=TIMEOUT)[0], "disconnect")

    def test_disconnects(self):
        user = next(_users)
        client = self.joined(user)
        client.disconnect()
        self.assertEqual(client.received.get(timeout=TIMEOUT)[0], "disconnect")
        deadline = time.monotonic() + TIMEOUT
        while emit(user, "count", {}) != 0:
            self.assertLess(time.monotonic(), deadline, "the service still counts the client")
            time.sleep(0.02)


class WebSocketOnly(NotificationCases, unittest.TestCase):
    transports = ["websocket"]
    settled_on = "websocket"


class PollingOnly(NotificationCases, unittest.TestCase):
    transports = ["polling"]
    settled_on = "polling"


class PollingWithUpgrade(NotificationCases, unittest.TestCase):
    transports = ["polling", "websocket"]
    settled_on = "websocket"


if __name__ == "__main__":
    # The clients leave it to the garbage collector to close their sockets.
    unittest.main(verbosity=2, warnings="ignore")
