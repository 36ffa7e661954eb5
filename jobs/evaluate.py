"""For `ray job submit --working-dir . -- python jobs/evaluate.py --config …`: the command `dbd-ray evaluate`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
