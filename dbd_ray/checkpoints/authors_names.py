"""Parameter names of the networks that both papers' authors released, from ours."""

import re

# modules of one level of depth distillation's decoder: ours -> theirs, {n} is the level counted from 1
_LEVEL = {
    "squeeze": "deconv{n}.prev",
    "squeeze_norm": "deconv{n}.bn",
    "field.pyramid.stages": "deconv{n}.sk.convs",
    "field.descriptor": "deconv{n}.sk.fc",
    "field.selectors": "deconv{n}.sk.fcs",
    "expand": "deconv{n}.next",
    "expand_norm": "deconv{n}.bn2",
    "focus_head": "classifier{n}.sides.0",
    "depth_head": "classifier{n}.sides.1",
    "attention.inner": "sideatt{n}.conv1",
    "attention.norm": "sideatt{n}.bn",
    "attention.outer": "sideatt{n}.conv2",
}
# modules of one ResNeXt bottleneck; theirs came from Lua Torch, where layers are nested sequences without names
_BOTTLENECK = {
    "conv1": "0.0.0.0",
    "bn1": "0.0.0.1",
    "conv2": "0.0.0.3",
    "bn2": "0.0.0.4",
    "conv3": "0.0.1",
    "bn3": "0.0.2",
    "downsample.0": "0.1.0",
    "downsample.1": "0.1.1",
}
_DEPTH_DISTILLATION = {
    "focus_fusion": "fusion",
    "depth_fusion": "fusiond",
    "encoder.features.conv1": "pretrained_net.layer0.0",
    "encoder.features.bn1": "pretrained_net.layer0.1",
}
_TEACHER = {
    "encoder.features.conv1": "input_adjust.0",
    "encoder.features.bn1": "input_adjust.1",
    "attention.query": "SA2_Ex5.query_conv",
    "attention.key": "SA2_Ex5.key_conv",
    "attention.value": "SA2_Ex5.value_conv",
    "attention": "SA2_Ex5",
    "focus_head": "OUTMASK",
}
_FIELDS = ("ASPP_3", "ASPP_6", "ASPP_12", "ASPP_18")
_FIELD = {"0": "norm1", "2": "conv1", "3": "norm2", "5": "conv2"}
_STUDENT = {
    "encoder.features.conv_stem": "encoder.stem_conv",
    "encoder.features.bn1": "encoder.stem_batch_norm",
    "encoder.features.conv_head": "encoder.head_conv",
    "encoder.features.bn2": "encoder.head_batch_norm",
    "focus_head": "final_conv",
}
_B3_STAGES = (2, 3, 3, 5, 5, 6, 2)  # blocks of EfficientNet-B3, which they count through
_B3_BLOCK = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "se.conv_reduce": "_se_reduce",
    "se.conv_expand": "_se_expand",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_B3_FIRST_BLOCK = _B3_BLOCK | {"bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}  # which do not expand


def of_depth_distillation(name: str) -> str:
    """Translate a parameter's name, for instance `levels.0.squeeze.weight` -> `deconv1.prev.weight`."""
    module, _, tensor = name.rpartition(".")
    if module in _DEPTH_DISTILLATION:
        return f"{_DEPTH_DISTILLATION[module]}.{tensor}"
    if level := re.fullmatch(r"levels\.(\d+)\.(.+?)((?:\.\d+)*)", module):
        number, part, index = int(level[1]) + 1, level[2], level[3]
        return f"{_LEVEL[part].format(n=number)}{index}.{tensor}"
    if block := re.fullmatch(r"encoder\.features\.layer(\d)\.(\d+)\.(.+)", module):
        stage, number, part = int(block[1]), int(block[2]), block[3]
        # their first stage begins with the max-pool of the stem
        nested = "layer1.1" if stage == 1 else f"layer{stage}"
        return f"pretrained_net.{nested}.{number}.{_BOTTLENECK[part]}.{tensor}"
    return name.replace("encoder.features.", "pretrained_net.features.")


def of_dbdgan_teacher(name: str) -> str:
    """Translate a parameter's name, for instance `levels.0.1.weight` -> `dec4.upsample.0.conv.1.weight`."""
    module, _, tensor = name.rpartition(".")
    if level := re.fullmatch(r"levels\.(\d)\.(\d)", module):
        return f"dec{4 - int(level[1])}.upsample.0.conv.{level[2]}.{tensor}"
    if field := re.fullmatch(r"field\.stages\.(\d)\.(\d)", module):
        return f"denasppmodel.{_FIELDS[int(field[1])]}.{_FIELD[field[2]]}.{tensor}"
    if block := re.fullmatch(r"encoder\.features\.layer(\d)\.(.+)", module):
        return f"conv{block[1]}.{block[2].replace('se.', 'se_module.')}.{tensor}"
    return f"{_TEACHER[module]}.{'gamma' if tensor == 'gain' else tensor}"


def of_dbdgan_student(name: str) -> str:
    """Translate a parameter's name, for instance `enlarge.0.weight` -> `up_conv1.weight`."""
    module, _, tensor = name.rpartition(".")
    if level := re.fullmatch(r"(enlarge|levels)\.(\d)(\.\d)?", module):
        number = "_input" if level[2] == "4" else str(int(level[2]) + 1)
        return f"{'up_conv' if level[1] == 'enlarge' else 'double_conv'}{number}{level[3] or ''}.{tensor}"
    if block := re.fullmatch(r"encoder\.features\.blocks\.(\d)\.(\d)\.(.+)", module):
        stage, place, part = int(block[1]), int(block[2]), block[3]
        parts = _B3_FIRST_BLOCK if stage == 0 else _B3_BLOCK
        return f"encoder.blocks.{sum(_B3_STAGES[:stage]) + place}.{parts[part]}.{tensor}"
    return f"{_STUDENT[module]}.{tensor}"
