import core  # noqa: F401  before torch: it sets what PyTorch reads when it is loaded
