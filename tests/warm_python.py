"""A Python whose imports are done: notebooks of the tests fork from it, instead of importing everything once more each.

`python tests/warm_python.py SOCKET` imports, then listens. A script beside the socket, `python`, takes the place of the
interpreter: `python -m module ...` becomes a fork of the listening process, with the caller's arguments, folder,
environment, input and outputs; anything else is handed to the real interpreter. Whoever kills the script kills the
fork, and the script ends as the fork does. For Linux.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path

PRELOADED = (
    "papermill.cli",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "vqa_lib.comparing",
    "vqa_lib.figures",
    "vqa_lib.generation.dpo",
    "vqa_lib.generation.united",
    "vqa_lib.scoring",
    "vqa_lib.seed_tables",
    "vqa_lib.training.run",
    "vqa_lib.training.sft",
    "vqa_lib.viewing.training",
)
NUMBER = struct.Struct("!q")
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
CLIENT = """#!{python} -SE
import json, os, signal, socket, struct, sys
if sys.argv[1:2] != ["-m"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
number = struct.Struct("!q")
with socket.socket(socket.AF_UNIX) as server:
    server.connect({socket!r})
    call = {{"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ), "python": {script!r}}}
    call = json.dumps(call).encode()
    socket.send_fds(server, [number.pack(len(call))], [0, 1, 2])
    server.sendall(call)
    (pid,) = number.unpack(server.recv(8, socket.MSG_WAITALL))
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda received, frame: os.kill(pid, received))
    (code,) = number.unpack(server.recv(8, socket.MSG_WAITALL))
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def write_client(path: Path, address: Path) -> None:
    """The script that takes the interpreter's place."""
    path.write_text(CLIENT.format(python=sys.executable, socket=str(address), script=str(path)))
    path.chmod(0o755)


def serve(address: str) -> None:
    """Import, listen at the address, and fork for each caller, until standard input ends."""
    # Read once, by matplotlib as it is imported: where figures of a notebook go.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in PRELOADED:
        importlib.import_module(name)
    del os.environ["MPLBACKEND"]
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    if lost := [name for name in names[1:] if name != "jemalloc_bg_thd"]:  # jemalloc starts its own anew in a fork
        raise RuntimeError(f"threads that a fork would lose have begun with the imports: {lost}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever handles a call ends unnoticed
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _handle(connection)
            connection.close()


def _handle(connection: socket.socket) -> None:
    """Fork what the caller asked for, and tell the caller how it ended; the process ends here."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
    (size,) = NUMBER.unpack(length)
    call = json.loads(connection.recv(size, socket.MSG_WAITALL))
    worker = os.fork()
    if worker == 0:
        connection.close()
        _become(call, streams)
    for stream in streams:
        os.close(stream)
    connection.sendall(NUMBER.pack(worker))
    ended = os.pidfd_open(worker)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:  # the caller is gone
        os.kill(worker, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(NUMBER.pack(code))
    os._exit(0)


def _become(call: dict, streams: list[int]) -> None:
    """Run the module that was asked for, as `python -m` would; the process ends here."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody is left behind when all of them are killed
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        os.chdir(call["folder"])
        os.environ.clear()
        os.environ.update(call["environment"])
        os.environ.pop("JPY_PARENT_PID", None)  # the kernel's parent is not who started it
        sys.executable = call["python"]
        module, *words = call["arguments"]
        sys.argv = [module, *words]
        sys.path[:0] = [call["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
