"""The embedded broker, as the supervisor runs it."""

import os

import pytest
import redis

from mixadmin.common.local import broker_socket
from mixadmin.common.stack import AlreadyRunning, Stack, broker, lock, take_port
from mixadmin.common.supervisor import supervise
from tests.common.test_supervisor import until


@pytest.mark.parametrize("name", ["data", "d" * 120], ids=["short path", "long path"])
def test_messages_outlive_a_killed_broker_and_only_the_owner_reaches_it(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    path = broker_socket(folder)

    def connection():
        return redis.Redis(unix_socket_path=str(path))

    with supervise([broker(folder, os.environ)], output=[].append) as supervisor:
        with connection() as client:
            assert client.rpush("queue", "message") == 1
            assert client.config_get("port") == {"port": "0"}
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.parent.stat().st_mode & 0o777 == 0o700

        supervisor.kill("broker")
        until(lambda: supervisor.restarts("broker") == 1)

        def message():
            try:
                with connection() as client:
                    return client.lrange("queue", 0, -1)
            except redis.ConnectionError:
                return None

        assert until(message) == [b"message"]
    assert not path.exists()
    if path.parent.parent != folder:
        path.parent.rmdir()


def test_a_data_directory_has_one_supervisor(tmp_path):
    held = lock(tmp_path)
    message = f"mixadmin already runs on {tmp_path} .process {os.getpid()}"
    with pytest.raises(AlreadyRunning, match=message):
        lock(tmp_path)
    stack = Stack(tmp_path, output=[].append)
    with pytest.raises(AlreadyRunning, match=message):
        stack.start()
    held.close()
    lock(tmp_path).close()


def test_a_taken_port_is_named_and_the_data_directory_is_free_again(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = Stack(tmp_path, port=port, output=[].append)
        with pytest.raises(AlreadyRunning, match=f"127.0.0.1 port {port}"):
            stack.start()
    assert take_port("127.0.0.1", 0) > 0
    lock(tmp_path).close()
