"""Listens by Socket.io, as a page would, and prints one line of JSON for everything that is told.

Usage: listen.py URL TOKEN [TRANSPORT]
"""

import json
import sys
import threading

import socketio

# Handlers run in threads of their own.
LINES = threading.Lock()


def tell(name, data=None):
    with LINES:
        print(json.dumps([name, data]), flush=True)


def main(url, token, transports):
    client = socketio.Client(reconnection=False)
    client.on("connect", lambda: tell("connect"))
    client.on("disconnect", lambda *reason: tell("disconnect"))
    client.on("connect_error", lambda data: tell("connect_error", data))
    client.on("*", lambda event, *data: tell(event, data[0] if data else None))
    auth = json.loads(token) if token.startswith("{") else {"token": token}
    try:
        client.connect(url, auth=auth, transports=transports, wait_timeout=20)
    except socketio.exceptions.ConnectionError as error:
        tell("refused", str(error))
        return
    client.wait()


main(sys.argv[1], sys.argv[2], sys.argv[3:] or None)
