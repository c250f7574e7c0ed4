"""How exact products of fp32 are."""

import torch


def product_precision() -> str:
    """Triton's name for what `torch.set_float32_matmul_precision` says: ieee or tf32."""
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
