"""Put a trained model into the package: `python jobs/package.py runs/X/model --metrics runs/X/report/metrics.json`.

Weights are stored in float16 (normalisation layers stay in float32). Averaged weights give soft maps; --harden
multiplies the logits of `lite` by a factor that the validation split chose, which moves no pixel across one half. --mix
takes the mean of the weights with those that the model was fine-tuned from, which keeps what these knew (Wortsman et
al., "Robust fine-tuning of zero-shot models", CVPR 2022). The card gets the measured metrics and what they were
measured on, which must be of the model that is given or of what it becomes here; measure the packaged model again
afterwards.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from dbd_ray.checkpoints.files import load_checkpoint, save_checkpoint
from dbd_ray.models.lite import Lite

WEIGHTS = Path(__file__).parents[1] / "dbd_ray" / "weights"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read a checkpoint, change its weights as the options say, and write it into the package in float16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint folder")
    parser.add_argument("--name", help="what it is called in the package; default: as its run")
    parser.add_argument("--harden", type=float, default=1.0, metavar="FACTOR", help="multiply the logits of lite")
    parser.add_argument("--mix", type=Path, help="checkpoint folder that the model was fine-tuned from")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of its evaluation")
    options = parser.parse_args(arguments)
    network, card = load_checkpoint(options.model)
    try:
        measured = json.loads(options.metrics.read_text(encoding="utf-8"))
        measured_model = measured["model"]["fingerprint"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        parser.error(f"--metrics: {options.metrics} is no metrics.json of `dbd-ray evaluate` ({error!r})")
    if options.mix:
        other, _ = load_checkpoint(options.mix)
        network.load_state_dict(mixed(network.state_dict(), other.state_dict()))
    if options.harden != 1:
        if not isinstance(network, Lite):
            parser.error(f"--harden: {card.network.architecture} cannot, only lite can")
        network.scale_logits(options.harden)
    with tempfile.TemporaryDirectory() as folder:
        packaged = save_checkpoint(folder, network, card, half=True)
    # a report has the first digits
    if not measured_model or not any(one.fingerprint.startswith(measured_model) for one in (card, packaged)):
        parser.error(
            f"--metrics: {options.metrics} was measured on {measured['model'].get('name')}@{measured_model}, which is "
            f"neither {options.model} (@{card.fingerprint[:16]}) nor what is packaged (@{packaged.fingerprint[:16]}); "
            "give the report of one of these"
        )
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
    """Take the mean of two states of one network; counters stay those of the first."""
    return {name: (values + other[name]) / 2 if values.is_floating_point() else values for name, values in one.items()}


if __name__ == "__main__":
    main()
