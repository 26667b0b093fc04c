"""The program of the AWS stand-in: the moto server, quiet.

Not here: who starts it and what it holds (`aws_server`).
"""

import logging
import sys

from moto.server import main

if __name__ == "__main__":
    # One line a request would fill the disk, and cost more than some requests.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    main(sys.argv[1:])
