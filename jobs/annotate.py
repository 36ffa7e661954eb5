"""For `ray job submit --working-dir . -- python jobs/annotate.py SRC OUT`: the command `dbd-ray annotate`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["annotate", *sys.argv[1:]])
