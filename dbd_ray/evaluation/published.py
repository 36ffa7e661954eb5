"""Published results on the two public test sets, for comparison with a model's own."""

from collections.abc import Mapping
from dataclasses import dataclass

from dbd_ray.names import F_BETA, F_MAX

COMPARISON_REMARK = (
    "Published F values follow different definitions, and some papers state none: the same maps on the same photos "
    "score between .57 and .82. Ours here is f_adaptive_pooled_dd_notebook, the definition in the released notebook "
    "of depth distillation (Cun & Pun), whose paper is also the source of the values without a note; against the "
    "maximum F of Distill-DBDGAN, read f_max_of_mean_curve instead. MAE is comparable throughout, and every "
    "comparison holds only on the official test photos (CUHK: 100, DUT: 500)."
)
_CUN_PUN = "Cun & Pun, ECCV 2020 (arXiv 2007.08113)"
_JONNA = "Jonna, Medhi & Sahay, ACM TOMM 19(2s), 2023 (doi 10.1145/3557897)"
_D_DFFNET = "D-DFFNet, 2023"
_MAX_F = "maximum F, read off the published curves (±.005)"


@dataclass(frozen=True)
class Published:
    """One method's published results.

    Args:
        method: Name of the method.
        cuhk: (F, MAE) on the 100 CUHK test photos, beta squared 0.3; None where not published.
        dut: (F, MAE) on the 500 DUT test photos, likewise.
        source: Who reported the values.
        note: How the F differs from the source's usual one; empty where it does not.
    """

    method: str
    cuhk: tuple[float | None, float | None]
    dut: tuple[float | None, float | None]
    source: str = _CUN_PUN
    note: str = ""


PUBLISHED: tuple[Published, ...] = (
    Published("LBP", (0.787, 0.136), (0.719, 0.193)),
    Published("DHCF", (0.477, 0.372), (0.468, 0.410)),
    Published("HiFST", (0.772, 0.219), (0.687, 0.248)),
    Published("BTB-F (BTBNet)", (0.867, 0.107), (0.761, 0.194)),
    Published("BTB-C", (0.889, 0.082), (0.827, 0.138)),
    Published("DeFusionNet", (0.818, 0.117), (0.823, 0.118)),
    Published("CENet", (0.906, 0.059), (0.817, 0.135)),
    Published("DSC", (0.898, 0.057), (0.844, 0.109)),
    Published("BDRAR", (0.912, 0.046), (0.877, 0.080)),
    Published("BASNet", (0.922, 0.049), (0.827, 0.120)),
    Published("CPD", (0.901, 0.055), (0.866, 0.092)),
    Published("Depth distillation, VGG", (0.919, 0.048), (0.844, 0.113)),
    Published("Depth distillation, ResNeXt-101", (0.927, 0.042), (0.891, 0.073)),
    Published("D-DFFNet", (None, 0.036), (None, 0.070), _D_DFFNET, "its F is of another class and threshold"),
    Published("Distill-DBDGAN, teacher", (0.937, None), (0.908, None), _JONNA, _MAX_F),
    Published("Distill-DBDGAN, student", (0.930, None), (0.903, None), _JONNA, _MAX_F),
)


@dataclass(frozen=True)
class ComparisonRow:
    """One line of the comparison table.

    Args:
        method: Name of the method.
        f_beta: F in [0,1], or None where not published.
        mae: Mean absolute error in [0,1], or None where not published.
        source: Who reported the values.
        note: Remark on the definition of the F.
        ours: Whether this is the evaluated model.
    """

    method: str
    f_beta: float | None
    mae: float | None
    source: str
    note: str
    ours: bool = False


def comparison_rows(dataset: str, metrics: Mapping[str, float], name: str = "this model") -> list[ComparisonRow]:
    """List a model's metrics together with the published results on a dataset.

    Args:
        dataset: `cuhk` or `dut`; nothing is published here for any other.
        metrics: Values by name, from `FocusMetrics.compute`.
        name: Name of the evaluated model in its row.

    Returns:
        Rows from the lowest MAE to the highest, then those without MAE; empty for other datasets.
    """
    if dataset not in ("cuhk", "dut"):
        return []
    rows = []
    for published in PUBLISHED:
        f_beta, mae = published.cuhk if dataset == "cuhk" else published.dut
        rows.append(ComparisonRow(published.method, f_beta, mae, published.source, published.note))
    rows.append(
        ComparisonRow(
            name,
            metrics[F_BETA],
            metrics["mae"],
            source="this report",
            note=f"maximum F {metrics[F_MAX]:.3f}",
            ours=True,
        )
    )
    return sorted(rows, key=lambda row: (row.mae is None, row.mae or 0.0, -(row.f_beta or 0.0)))
