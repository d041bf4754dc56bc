"""A process that has the program loaded and runs each command line in a fork of itself.

In: JSON lines on standard input, `{"arguments", "folder", "seconds"}`. Out: one line each, with
exit code, both streams, seconds, and peak memory in bytes. So a case costs no import, cannot harm
the next one, and can be stopped.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

import separate.audio
import separate.audio.read
import separate.cli.main
import separate.separator


def run(arguments: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """Run one command line in `folder`; it is stopped after `seconds` (exit code -9)."""
    streams = [folder / "stdout", folder / "stderr"]
    start = time.monotonic()
    child = os.fork()
    if not child:
        os.chdir(folder)
        for number, path in enumerate(streams, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["separate", *arguments]
        try:
            separate.cli.main.main()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    timer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status, usage = os.wait4(child, 0)
    timer.cancel()
    timer.join()
    code = os.waitstatus_to_exitcode(status)
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in streams]
    return {
        "code": code,
        "out": texts[0],
        "err": texts[1],
        "seconds": time.monotonic() - start,
        "peak": usage.ru_maxrss * 1024,
    }


def main() -> None:
    """Serve until standard input ends."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        order = json.loads(line)
        result = run(order["arguments"], Path(order["folder"]), order["seconds"])
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
