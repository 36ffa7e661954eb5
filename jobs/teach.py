"""For `ray job submit --working-dir . -- python jobs/teach.py --config …`: the command `dbd-ray teach`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["teach", *sys.argv[1:]])
