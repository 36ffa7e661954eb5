"""For `ray job submit --working-dir . -- python jobs/tune.py --config …`: the command `dbd-ray tune`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
