"""The receiver's command: `python -m datasets.receiver --dataset NAME --target PLACE --path FOLDER --port PORT`.

Ends by itself, with 0, some minutes after nobody uses it any more: a Job that its user forgot costs nothing for long.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from datasets.receiver.blob_client import Container
from datasets.receiver.blob_place import BlobPlace
from datasets.receiver.folder_place import FolderPlace
from datasets.receiver.places import PlaceError
from datasets.receiver.receiving import Receiving
from datasets.receiver.server import Receiver, serve
from datasets.receiver.sign_in import Tokens
from datasets.receiver.web import Web

IDLE_SECONDS = 600
log = logging.getLogger("receiver")


class _EndedError(Exception):
    """The pod is to end."""


def main() -> int:
    """Serve until nobody is left; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m datasets.receiver", description=__doc__)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--target", required=True, help="a container's https address, or a mounted folder")
    parser.add_argument("--path", default="", help="the dataset's folder in it")
    parser.add_argument("--port", type=int, default=int(os.environ.get("TRAINYARD_RECEIVER_PORT", "8470")))
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    web = Web()
    tokens = Tokens(web)
    place = (
        BlobPlace(Container(chosen.target, tokens, web), chosen.dataset, chosen.path)
        if chosen.target.startswith("https://")
        else FolderPlace(Path(chosen.target), chosen.dataset, chosen.path)
    )
    receiver = Receiver(Receiving(place, chosen.dataset, chosen.path), web, tokens)
    server = serve(receiver, chosen.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    log.info("dataset %s: ready for %s on port %d", chosen.dataset, place.describe(), server.server_port)
    signal.signal(signal.SIGTERM, _end)
    try:
        while not receiver.over.is_set() and receiver.receiving.idle_seconds() < IDLE_SECONDS:
            receiver.receiving.tick()
            receiver.over.wait(1)
        time.sleep(0.2)  # the answer that ended it goes out
    except _EndedError:
        log.info("told to end")
        try:
            receiver.stop()
        except PlaceError as error:
            log.warning("the last manifest could not be saved: %s", error)
    server.shutdown()
    return 0


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise _EndedError


if __name__ == "__main__":
    # The threads of unfinished requests must not keep the pod.
    code = main()
    logging.shutdown()
    os._exit(code)
