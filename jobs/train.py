"""For `ray job submit --working-dir . -- python jobs/train.py --config …`: the command `dbd-ray train`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
