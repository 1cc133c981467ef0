"""What the code in a TorchScript file may call: it is read before anything runs it.

`torch.jit.load` runs no Python, but its operators could open files; a model's need numbers alone.
"""

import re
import zipfile
from pathlib import Path
from typing import Final

_CALLS: Final = re.compile(r"\b(?:torch|ops)\.([A-Za-z_][\w.]*)\(")
_ALLOWED: Final = frozenset(  # numbers in, numbers out; nothing that opens a file
    """
    __and__ __contains__ __derive_index __getitem__ __isnot__ __not__ __or__ __range_length abs add add_ amax amin any
    append arange argmax argmin avg_pool2d batch_norm bitwise_and bitwise_or cat clamp clamp_ clamp_min clamp_min_ clone
    contiguous conv2d conv_transpose2d _convolution convolution cos cumsum detach dim div div_ dropout eq expand
    expand_as feature_dropout flatten floor floor_divide gather ge group_norm gt index index_select instance_norm len le
    leaky_relu leaky_relu_ lt masked_fill matmul max max_pool2d mean min minimum maximum mul mul_ narrow ne neg numel
    numtotensor ones ones_like pad permute pow prim.NumToTensor reflection_pad2d relu relu_ remainder reshape round
    rsqrt rsub select size slice softmax sqrt square squeeze stack sub sum t tanh tensor to transpose unbind
    unchecked_cast hardtanh hardtanh_ pixel_shuffle
    unsqueeze upsample_nearest2d view view_as where zeros zeros_like warn format device dtype _weight_norm Size
    round_ numpy_T scalar_tensor full full_like new_zeros prim.min prim.max sym_size
    """.split()  # noqa: SIM905  (a list of these lines is three times as long)
)


def check_torchscript(path: Path) -> None:
    """Reads the code in a TorchScript file, before anything runs it.

    Raises:
        ValueError: When it is damaged, or calls what no exported model needs.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            code = [file.read(name).decode() for name in names if "/code/" in name and name.endswith(".py")]
    except (zipfile.BadZipFile, UnicodeDecodeError, KeyError, RuntimeError) as error:
        raise ValueError("it is damaged, or no TorchScript") from error
    if not code:
        raise ValueError("it is no TorchScript")
    for text in code:
        called = {name.removeprefix("aten.").removeprefix("prims.") for name in _CALLS.findall(text)}
        if strange := sorted(called - _ALLOWED):
            raise ValueError(f"its code calls {strange[0]}, which no exported model does")
