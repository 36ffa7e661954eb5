"""Put a trained model into the package: `python jobs/package.py runs/X/model --metrics runs/X/report/metrics.json`.

Weights are stored in float16 (normalisation layers stay in float32). The card gets the measured metrics and what they
were measured on; measure the packaged model again afterwards.
"""

import argparse
import json
from pathlib import Path

from dbd_ray.checkpoints import load_checkpoint, save_checkpoint

WEIGHTS = Path(__file__).parents[1] / "dbd_ray" / "weights"


def main() -> None:
    """Read, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of its evaluation")
    options = parser.parse_args()
    network, card = load_checkpoint(options.model)
    measured = json.loads(options.metrics.read_text())
    card = card.model_copy(
        update={
            "metrics": measured["metrics"],
            "provenance": {**card.provenance, "measured_on": f"{measured['dataset']}, {measured['images']} photos"},
        }
    )
    save_checkpoint(WEIGHTS / card.name, network, card, half=True)


if __name__ == "__main__":
    main()
