"""A run's network as ONNX, which other programs can compute. Needs onnx and onnxscript, see requirements-export.txt."""

import logging
import warnings

import torch

from core.exchange.packages import needed
from core.networks import build
from core.runs import store
from core.runs.files import StoreError
from core.runs.store import Run


class _Named(torch.nn.Module):
    """The network with a tuple of tensors for an answer."""

    def __init__(self, network: build.Network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return tuple(each for each in self.network(images) if each is not None)


def network_of(run: Run) -> build.Network:
    """The network of a run with the weights of `last.pt`, for evaluation. Raises StoreError."""
    network = build.build(run.config, len(run.data.classes))
    try:
        network.load_state_dict(store.load_checkpoint(run)["network"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{run.folder / 'last.pt'} does not fit the run's settings; train the run again") from error
    return network.eval()


def exported(run: Run) -> bytes:
    """The network as an ONNX file, in float32.

    Input `images`: (B, channels, S, S) float32 as core/networks/build.py prepares them, from -1 (background) to 1.
    Outputs: `embeddings` (B, D) and, of a network that classifies, `logits` (B, C). B is free.
    Raises StoreError without usable weights, PackageMissing without the packages.
    """
    for package in ("onnx", "onnxscript"):
        needed(package)
    network, config = network_of(run), run.config
    example = torch.zeros(2, config.channels, config.image_size, config.image_size)
    outputs = ["embeddings"] + ["logits"] * (network.classifier is not None)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch to itself
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Named(network),
            (example,),
            input_names=["images"],
            output_names=outputs,
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    return program.model_proto.SerializeToString()
