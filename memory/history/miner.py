"""A worker process of memory.history.mining: mines the chunks of commits that come down a line.

It ends with the process that started it, however that ends: the line is then closed, and git's
output has no reader.
"""

import queue
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from evo_agent.core.errors import RepositoryError
from evo_agent.memory.history.mining import Chunk, mine

Answer = Chunk | tuple[str, str]  # or a RepositoryError's cause and remedy


def main(number: int) -> None:
    """Answer every chunk of the line at a file descriptor, in order, until it is closed."""
    answers: queue.Queue[Answer] = queue.Queue(2)
    with Connection(number) as line:
        # Sent by a thread: the one that reads may be busy writing, and mining goes on meanwhile.
        threading.Thread(target=_send, args=(line, answers), daemon=True).start()
        job = line.recv()
        while True:
            try:
                answers.put(mine(job, line.recv()))
            except RepositoryError as error:
                answers.put((error.cause, error.remedy))


def _send(line: Connection, answers: "queue.Queue[Answer]") -> None:
    with suppress(OSError):  # nobody reads any more: the other thread learns it, too
        while True:
            line.send(answers.get())


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except (EOFError, OSError, KeyboardInterrupt):
        sys.exit(0)
