"""The program of the AWS stand-in: the moto server, quiet, and quick to read a part of an object.

Not here: who starts it and what it holds (`aws_server`).
"""

import logging
import sys

from moto.server import main

if __name__ == "__main__":
    # Started by its path: this folder is where it looks first.
    from ranged_reads import read_ranges_alone  # type: ignore[import-not-found]

    # One line a request would fill the disk, and cost more than some requests.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    read_ranges_alone()
    main(sys.argv[1:])
