"""Python's command line in a process that is forked from one with torch loaded: no start of several seconds.

`start` and `run` take what would follow `python` (a script or `-m` and a module, then its arguments), as
`subprocess.Popen` and `subprocess.run` do. Nothing but the start differs: streams, working directory, environment,
signals and exit code are the process's own. Warnings are errors.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from clients import forkserver


class Process:
    """A command that runs; ends with the `with` block."""

    def __init__(self, arguments: tuple[str, ...], cwd: Path, environment: Mapping[str, str]) -> None:
        pipes = [forkserver.Pipe(duplex=False) for _ in range(2)]
        writers = [writer for _, writer in pipes]
        self._process = forkserver.Process(target=_serve, args=(writers, arguments, str(cwd), dict(environment)))
        self._process.start()
        for writer in writers:
            writer.close()
        # reading may begin within a character of a progress bar
        self.stdout, self.stderr = (
            os.fdopen(os.dup(reader.fileno()), encoding="utf-8", errors="replace") for reader, _ in pipes
        )
        for reader, _ in pipes:
            reader.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.join()
        for stream in (self.stdout, self.stderr):
            stream.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()

    def communicate(self) -> tuple[str, str]:
        """What is still to come of both streams, until the end. A command may print little on stdout."""
        errors = self.stderr.read()
        output = self.stdout.read()
        self._process.join()
        return output, errors


def start(*arguments: str, cwd: Path, env: Mapping[str, str]) -> Process:
    return Process(arguments, cwd, env)


def run(*arguments: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    with start(*arguments, cwd=cwd, env=env) as process:
        output, errors = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def torchrun(count: int, *arguments: str, cwd: Path, env: Mapping[str, str]) -> list[subprocess.CompletedProcess[str]]:
    """The same command in `count` processes that find each other by the variables that torchrun gives its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in range(count):
            its = {"TORCHELASTIC_RUN_ID": "tests", "RANK": rank, "LOCAL_RANK": rank, **group}
            variables = {**env, **{name: str(value) for name, value in its.items()}}
            processes.append(stack.enter_context(start(*arguments, cwd=cwd, env=variables)))
        outputs = [process.communicate() for process in processes]
    codes = [process.returncode for process in processes]
    assert None not in codes
    return [subprocess.CompletedProcess(arguments, code or 0, *said) for code, said in zip(codes, outputs, strict=True)]


def _serve(writers: list[Connection], arguments: tuple[str, ...], cwd: str, environment: dict[str, str]) -> None:
    for stream, writer in zip((1, 2), writers, strict=True):
        os.dup2(writer.fileno(), stream)
        writer.close()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C
    if arguments[0] == "-m":
        sys.argv = list(arguments[1:])
        sys.path.insert(0, cwd)
        sys.modules.pop(f"{arguments[1]}.__main__", None)  # runpy warns of one that is there
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")
