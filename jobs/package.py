"""Put a trained model into the package: `python jobs/package.py runs/X/model --metrics runs/X/report/metrics.json`.

Weights are stored in float16 (normalisation layers stay in float32). Averaged weights give soft maps; --harden
multiplies the logits of `lite` by a factor that the validation split chose, which moves no pixel across one half. --mix
takes the mean of the weights with those that the model was fine-tuned from, which keeps what these knew (Wortsman et
al., "Robust fine-tuning of zero-shot models", CVPR 2022). The card gets the measured metrics and what they were
measured on; measure the packaged model again afterwards.
"""

import argparse
import json
from pathlib import Path

import torch

from dbd_ray.checkpoints import load_checkpoint, save_checkpoint
from dbd_ray.models.lite import Lite

WEIGHTS = Path(__file__).parents[1] / "dbd_ray" / "weights"


def main() -> None:
    """Read, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--name", help="what it is called in the package; default: as its run")
    parser.add_argument("--harden", type=float, default=1.0, metavar="FACTOR", help="multiply the logits of lite")
    parser.add_argument("--mix", type=Path, help="checkpoint folder that the model was fine-tuned from")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of its evaluation")
    options = parser.parse_args()
    network, card = load_checkpoint(options.model)
    if options.mix:
        other, _ = load_checkpoint(options.mix)
        network.load_state_dict(mixed(network.state_dict(), other.state_dict()))
    if options.harden != 1:
        if not isinstance(network, Lite):
            parser.error(f"--harden: {card.network.architecture} cannot, only lite can")
        network.scale_logits(options.harden)
    measured = json.loads(options.metrics.read_text())
    card = card.model_copy(
        update={
            "name": options.name or card.name,
            "metrics": measured["metrics"],
            "provenance": {
                **card.provenance,
                "hardened": options.harden,
                **({"mixed_with": options.mix.parent.name} if options.mix else {}),
                "measured_on": f"{measured['dataset']}, {measured['images']} photos",
            },
        }
    )
    save_checkpoint(WEIGHTS / card.name, network, card, half=True)


def mixed(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The mean of two states of one network; counters stay the first one's."""
    return {name: (values + other[name]) / 2 if values.is_floating_point() else values for name, values in one.items()}


if __name__ == "__main__":
    main()
