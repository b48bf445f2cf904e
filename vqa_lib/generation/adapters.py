"""Low-rank adapters of a UNet: our own, trained by DPO, and T2V-Turbo's published one.

Both change the layers that T2V-Turbo's changes: every nn.Linear, nn.Conv2d and nn.Conv3d.
"""

import json
from pathlib import Path

import torch
from diffusers import UNet3DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

GUIDANCE_WIDTH = 256  # of T2V-Turbo's guidance embedding
ADAPTED = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d)


def adapted_layers(unet: UNet3DConditionModel) -> list[tuple[str, torch.nn.Module]]:
    """The layers that an adapter changes, by name, in the order of `named_modules()`."""
    return [(name, layer) for name, layer in unet.named_modules() if isinstance(layer, ADAPTED)]


def add_adapter(unet: UNet3DConditionModel, rank: int) -> None:
    """Put fresh LoRA layers (alpha = rank) into a UNet; they change nothing yet, and are all that learns."""
    names = [name for name, _ in adapted_layers(unet)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=names), unet)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in name)


def switch_adapter(unet: UNet3DConditionModel, on: bool) -> None:
    """With the adapter off, the UNet is its own reference."""
    for layer in unet.modules():
        if isinstance(layer, LoraLayer):
            layer.enable_adapters(on)


def adapter_weights(unet: UNet3DConditionModel) -> dict[str, torch.Tensor]:
    """The adapter's weights by name."""
    return {name: parameter.detach() for name, parameter in unet.named_parameters() if "lora_" in name}


def save_adapter(unet: UNet3DConditionModel, folder: Path, facts: dict) -> None:
    """Write adapter.safetensors and, last, adapter.json. facts: has "rank", and what else is to be known of it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_weights(unet), folder / "adapter.safetensors")
    (folder / "adapter.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def merge_adapter(unet: UNet3DConditionModel, folder: str | Path) -> None:
    """Merge an adapter that `save_adapter` wrote into a UNet's weights, in place.

    Raises:
        ValueError: the adapter was made for another UNet.
    """
    folder = Path(folder)
    facts = json.loads((folder / "adapter.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "adapter.safetensors")
    add_adapter(unet, facts["rank"])
    expected = {name: value.shape for name, value in adapter_weights(unet).items()}
    if {name: value.shape for name, value in weights.items()} != expected:
        raise ValueError(f"{folder}: the adapter was made for another UNet: its layers or their shapes differ")
    unet.load_state_dict(weights, strict=False)
    for name, layer in list(unet.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            unet.set_submodule(name, layer.get_base_layer())


def with_guidance_embedding(unet: UNet3DConditionModel) -> UNet3DConditionModel:
    """A UNet with the same weights and a guidance embedding (`time_cond_proj_dim`), as T2V-Turbo is built.

    The published adapter changes that embedding's weights but does not hold them; the official code takes them as they
    are drawn. Here they are 0, so that loading twice gives the same generator.

    Raises:
        ValueError: the weights do not fit the UNet of their own config.
    """
    if unet.config.time_cond_proj_dim is not None:
        return unet
    wider = UNet3DConditionModel.from_config(unet.config, time_cond_proj_dim=GUIDANCE_WIDTH).to(unet.dtype)
    missing, unexpected = wider.load_state_dict(unet.state_dict(), strict=False)
    if missing != ["time_embedding.cond_proj.weight"] or unexpected:
        raise ValueError(f"the guidance embedding does not fit this UNet: missing {missing}, unexpected {unexpected}")
    torch.nn.init.zeros_(wider.time_embedding.cond_proj.weight)
    return wider


def merge_turbo_lora(unet: UNet3DConditionModel, path: str | Path) -> None:
    """Merge T2V-Turbo's `unet_lora.pt` into a UNet's weights, in place: W + up down, scale 1.

    The file is a list of tensors, alternately up (outputs, rank, 1...) and down (rank, inputs, kernel...), a pair for
    each of `adapted_layers`, as cloneofsimo's LoRA writes it. The rank is 32, or the layer's narrower side if less.
    The UNet must have its guidance embedding already (`with_guidance_embedding`): the file has a pair for it.

    Raises:
        ValueError: not a list of tensors, a wrong number of them, or a shape that does not fit its layer.
    """
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, list) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        raise ValueError(f"{path}: expected a list of tensors, got {type(tensors).__name__}")
    layers = adapted_layers(unet)
    if len(tensors) != 2 * len(layers):
        raise ValueError(f"{path}: expected two tensors for each of {len(layers)} layers, got {len(tensors)} tensors")
    changes = []
    for (name, layer), up, down in zip(layers, tensors[::2], tensors[1::2], strict=True):
        outputs, *rest = layer.weight.shape
        rank = down.shape[0] if down.ndim else 0
        if up.numel() != outputs * rank or up.shape[:2] != (outputs, rank) or list(down.shape[1:]) != rest:
            raise ValueError(
                f"{path}: {name} has weights {tuple(layer.weight.shape)}; "
                f"up {tuple(up.shape)} and down {tuple(down.shape)} do not fit it"
            )
        changes.append((up.float().flatten(1) @ down.float().flatten(1)).view(layer.weight.shape))
    with torch.no_grad():  # only now: a file that does not fit leaves the weights alone
        for (_, layer), change in zip(layers, changes, strict=True):
            layer.weight.add_(change.to(layer.weight))
