"""For `ray job submit --working-dir . -- python jobs/prepare.py --config …`: the command `dbd-ray prepare`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["prepare", *sys.argv[1:]])
