"""Clients that stall or send garbage until `done` is set, while tests watch the other clients."""

import contextlib
import random
import selectors
import socket
import threading

import grpc

HEAD = "POST /v1/models/times:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"


def garbage(ports, done):
    """Sends random bytes to both interfaces."""
    generator = random.Random(0)
    while not done.is_set():
        for port in ports.values():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                body = generator.randbytes(generator.randrange(1, 5000))
                head = HEAD.format(len(body)).encode() if generator.randrange(2) else b""
                connection.sendall(head + body)


def half_headers(ports, number, done):
    """Keeps connections to both interfaces that never finish their headers, and replaces closed connections."""
    halves = {ports["rest"]: HEAD[:40].encode(), ports["grpc"]: b"PRI * HTTP/2.0\r\n"}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        open_now = dict.fromkeys(halves, 0)
        while not done.wait(0.1):
            for port, half in halves.items():
                with contextlib.suppress(OSError):
                    while open_now[port] < number and not done.is_set():
                        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                        connection.sendall(half)
                        selector.register(connection, selectors.EVENT_READ, port)
                        open_now[port] += 1
            for key, _ in selector.select(0):
                received = b""
                with contextlib.suppress(OSError):
                    received = key.fileobj.recv(2**16)
                if not received:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    open_now[key.data] -= 1


def stalled_body(ports, size, done):
    """Sends a body without its last 100 bytes and waits; starts again when the server closes the connection."""
    while not done.is_set():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports["rest"])) as connection:
            connection.settimeout(0.2)
            sent, body = 0, memoryview(HEAD.format(size).encode() + b" " * (size - 100))
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    if sent < len(body):
                        sent += connection.send(body[sent : sent + 2**20])
                    elif not connection.recv(2**16):
                        break


def stalled_calls(ports, number, done):
    """Begins calls by gRPC that never send their message."""

    def message():
        done.wait()
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}") as channel:
        predict = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        while not done.is_set():
            calls = [predict.future(message()) for _ in range(number)]
            while not done.wait(0.2) and not all(call.done() for call in calls):
                pass
            for call in calls:
                call.cancel()


def attack(ports, done):
    """Starts all attackers, with over a thousand connections to each interface; returns their threads."""
    attackers = [(garbage,), (half_headers, 1000), (stalled_calls, 100), *4 * [(stalled_body, 2**26)]]
    threads = [threading.Thread(target=run, args=(ports, *arguments, done)) for run, *arguments in attackers]
    for thread in threads:
        thread.start()
    return threads
