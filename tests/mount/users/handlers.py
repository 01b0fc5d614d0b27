# SPDX-License-Identifier: Apache-2.0
"""handlers.py MOUNT [FIFO] - logging handlers of Python, and EventsHandler of docs/recipes.md (on PYTHONPATH).

Without FIFO: ten messages through each handler; then those that rotate, with a case for each.  With FIFO: each of
its lines, up to "end", through three handlers that stay open; prints "done: LINE" then, whatever the handlers do."""

import contextlib
import io
import logging
import logging.handlers
import sys

from events import EventsHandler

mount = sys.argv[1]
path = mount + "/append.lines"


def logger_of(handler):
    name = type(handler).__name__
    logger = logging.Logger(name)
    logger.addHandler(handler)
    return name, logger


def through(handler, *texts):
    """What it prints while it logs these messages."""
    _, logger = logger_of(handler)
    printed = io.StringIO()
    with contextlib.redirect_stderr(printed):
        for text in texts:
            logger.warning(text)
        handler.close()
    return printed.getvalue()


def stream():
    with open(mount + "/stream", encoding="utf-8") as file:
        return file.read().splitlines()


def keep_open(fifo):
    loggers = [logger_of(handler) for handler in
               (logging.FileHandler(path), logging.handlers.WatchedFileHandler(path), EventsHandler(path))]
    with open(fifo, encoding="utf-8") as lines:
        for line in iter(lines.readline, "end\n"):
            for name, logger in loggers:
                with contextlib.suppress(OSError, ValueError):
                    logger.warning("%s %s", name, line.strip())
            print("done:", line.strip(), flush=True)


def main():
    from testlib import case, is_

    for handler in (logging.FileHandler, logging.handlers.WatchedFileHandler, EventsHandler):
        is_(f"{handler.__name__} prints nothing",
            through(handler(path), *(f"{handler.__name__} message {i}" for i in range(10))), "")

    # Up to Python 3.11 it asks for the size of the file, which is 0; later ones count what they have written.
    rotating = logging.handlers.RotatingFileHandler(path, maxBytes=20, backupCount=2)
    printed = through(rotating, "the first long message", "the second long message")
    case("RotatingFileHandler fails when it rotates", "PermissionError" in printed, printed)
    case("and loses the message", "the second long message" not in stream())

    timed = logging.handlers.TimedRotatingFileHandler(path, when="S", interval=1)
    timed.rolloverAt = 0  # the time has come
    printed = through(timed, "timed 1", "timed 2")
    is_("TimedRotatingFileHandler fails at each message", printed.count("PermissionError"), 2)
    case("and loses them", not [line for line in stream() if line.startswith("timed ")])


if len(sys.argv) > 2:
    keep_open(sys.argv[2])
else:
    main()
