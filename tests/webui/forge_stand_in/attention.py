"""Forge's ways to calculate attention, of which it chooses one when it starts."""


def attention_xformers():
    """For cards of NVIDIA, where that is installed."""


def attention_pytorch():
    """PyTorch's own."""


def attention_split():
    """In pieces."""


def attention_sub_quad():
    """In pieces, too."""


attention_function = attention_pytorch
