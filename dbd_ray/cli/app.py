"""The commands and their options."""

from pathlib import Path
from typing import Annotated

import typer

from dbd_ray.cli import data_commands, serve_command, steps, study_commands
from dbd_ray.cli.options import Config, Set, given
from dbd_ray.cli.settings_help import settings_help
from dbd_ray.config import AblateConfig, EvaluateConfig, ServeConfig, TrainConfig, TuneConfig

app = typer.Typer(
    help="Defocus blur detection on Ray: which pixels of a photo are in focus.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]

app.command(epilog=data_commands.PREPARE_EPILOG)(data_commands.prepare)
app.command(epilog=data_commands.TEACH_EPILOG)(data_commands.teach)


@app.command(epilog=settings_help(TrainConfig))
def train(
    config: Config = None,
    set_: Set = None,
) -> None:
    r"""Train on prepared data with Ray Train; running the same command again resumes an interrupted run.

    dbd-ray train --config jobs/configs/cuhk-mobilenetv2.yaml

    dbd-ray train --set name=mine --set 'data=\[runs/cuhk]' --set workers.count=2
    """
    steps.train(config, set_ or [])


app.command(epilog=settings_help(TuneConfig, options=("grid", "trials")))(study_commands.tune)
app.command(epilog=settings_help(AblateConfig))(study_commands.ablate)


@app.command(
    epilog=settings_help(
        EvaluateConfig,
        options=(
            *("model", "root", "layout", "polarity", "prepared", "split", "refine", "out", "device"),
            *("against", "promote"),
        ),
    )
)
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="Packaged model, checkpoint folder, or models:/NAME@ALIAS.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Folder or URI of labelled photos, measured at native size.")] = None,
    layout: Annotated[str | None, typer.Option(help="cuhk (default), dut, szu-bd, folder, or sharp.")] = None,
    polarity: Annotated[str | None, typer.Option(help="With --layout folder: focus or blur.")] = None,
    prepared: Annotated[str | None, typer.Option(help="A prepared dataset instead, measured at its size.")] = None,
    split: Annotated[str | None, typer.Option(help="test (default), train, or val.")] = None,
    refine: Annotated[str | None, typer.Option(help="guided (default) or bilinear.")] = None,
    out: Annotated[str | None, typer.Option(help="Folder of the report.")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or cuda:N.")] = None,
    against: Annotated[str | None, typer.Option(help="A model to compare with, photo by photo.")] = None,
    promote: Annotated[
        bool | None, typer.Option("--promote", help="Compare with @champion, and take its place if better.")
    ] = None,
    config: Config = None,
    set_: Set = None,
) -> None:
    """Measure a model: every metric, PR curve, worst cases, comparison with published results.

    dbd-ray evaluate runs/mine/model --root cuhk/ --out runs/mine/report

    dbd-ray evaluate models:/dbd-ray@candidate --root cuhk/ --out runs/mine/report --promote
    """
    steps.evaluate(
        given(
            model=model,
            root=root,
            layout=layout,
            polarity=polarity,
            prepared=prepared,
            split=split,
            refine=refine,
            out=out,
            device=device,
            against=against,
            promote=promote,
        ),
        config,
        set_ or [],
    )


@app.command()
def predict(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    model: Annotated[
        str | None,
        typer.Option(help="Packaged model (default: the only one), checkpoint folder, or models:/NAME@ALIAS."),
    ] = None,
    save: Annotated[str, typer.Option(help="Which results: of focus,overlay,depth,json.")] = "focus,overlay,json",
    refine: Annotated[str, typer.Option(help="guided or bilinear.")] = "guided",
    tile: Annotated[
        int, typer.Option(min=1, max=32, help="Look at so many tiles along the longer side: finds small subjects.")
    ] = 1,
    polarity: Annotated[str, typer.Option(help="What white means in the focus maps: focus or blur.")] = "focus",
    batch_size: Annotated[int, typer.Option(min=1, help="Photos per forward pass.")] = 8,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Refuse photos of more pixels; default 160 million.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", help="Look into folders below the given ones too.")] = False,
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help="auto, eager, fused, compiled, onnx or openvino.")] = "auto",
) -> None:
    """Find what is in focus in photos.

    dbd-ray predict *.jpg --out focus --save focus,overlay,json
    """
    steps.predict(
        photos,
        out,
        model=model,
        save=save,
        refine=refine,
        tile=tile,
        polarity=polarity,
        batch_size=batch_size,
        max_pixels=max_pixels,
        recursive=recursive,
        device=device,
        engine=engine,
    )


app.command(epilog=settings_help(ServeConfig, options=("model", "keys_file")))(serve_command.serve)


@app.command()
def export(
    format: Annotated[str, typer.Argument(help="onnx.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    model: Annotated[
        str | None,
        typer.Option(help="Packaged model (default: the only one), checkpoint folder, or models:/NAME@ALIAS."),
    ] = None,
) -> None:
    """Write a model as a file for other programs.

    dbd-ray export onnx --out dbd.onnx
    """
    steps.export(format, model, out)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The .pth file that the authors released.")],
    architecture: Annotated[str, typer.Option(help="resnext101 or vgg16.")],
    out: Annotated[Path, typer.Option(help="Folder of the new checkpoint.")],
) -> None:
    """Turn the depth-distillation authors' released weights into a checkpoint, without running what is in them."""
    steps.import_(file, architecture, out)


@app.command()
def models() -> None:
    """List the models that come with the package and the architectures that can be trained."""
    steps.models()
