"""For `ray job submit --working-dir . -- python jobs/ablate.py --config …`: the command `dbd-ray ablate`."""

import sys

from dbd_ray.cli import main

if __name__ == "__main__":
    main(["ablate", *sys.argv[1:]])
