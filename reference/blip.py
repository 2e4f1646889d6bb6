"""Writes test/fixtures/tiny-blip: a tiny random BLIP, a PEFT adapter for it, and what transformers and peft compute.

The pictures are noise and the weights are large, so that tokens differ from row to row and the smallest error
shows.
"""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BlipConfig, BlipForConditionalGeneration

FOLDER = Path(__file__).parent.parent / "test/fixtures/tiny-blip"
SIZE = 32
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
WORDS = "a the dog cat man woman child ball runs sits jumps on in with red blue of photograph beach grass".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ing", ",", "-"]


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Makes weights large enough that attention and tokens are not uniform."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        scale = 0.1 if parameter.ndim == 1 else 0.35
        noise = torch.randn(parameter.shape, generator=generator) * scale
        norm_weight = parameter.ndim == 1 and ("norm" in name.lower()) and name.endswith("weight")
        parameter.data.copy_(noise + 1 if norm_weight else noise)


def tiny_blip() -> BlipForConditionalGeneration:
    config = BlipConfig(
        vision_config=dict(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=8
        ),
        text_config=dict(
            vocab_size=len(VOCABULARY) + 2, hidden_size=32, encoder_hidden_size=32, intermediate_size=64,
            num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
            bos_token_id=len(VOCABULARY), eos_token_id=2, sep_token_id=3, pad_token_id=0,
        ),
    )  # fmt: skip
    model = BlipForConditionalGeneration(config).eval()
    randomize(model, 0)
    model.tie_weights()
    return model


def adapted(model: BlipForConditionalGeneration) -> PeftModel:
    torch.manual_seed(3)
    peft_model = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.05, target_modules=["query", "value"])
    )
    generator = torch.Generator().manual_seed(1)
    for name, parameter in peft_model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return peft_model.eval()


@torch.no_grad()
def expectations(model: BlipForConditionalGeneration, pixels: torch.Tensor) -> dict:
    """What the graph must compute for uint8 pixels [batch, 3, size, size]."""
    values = (pixels.float() / 255 - MEAN) / STD
    interpolate = pixels.shape[-1] != SIZE
    states = model.vision_model(pixel_values=values, interpolate_pos_encoding=interpolate).last_hidden_state
    bos = torch.full((len(pixels), 1), model.config.text_config.bos_token_id)
    logits = model.text_decoder(input_ids=bos, encoder_hidden_states=states).logits[:, 0]
    generate = dict(
        pixel_values=values, max_new_tokens=10, do_sample=False, num_beams=1, interpolate_pos_encoding=interpolate
    )
    answer = model.generate(**generate, output_scores=True, return_dict_in_generate=True)
    prompt = [5, 22]
    # BLIP's generate overwrites the first id with its begin token and drops the last.
    prompted = model.generate(**generate, input_ids=torch.tensor([[2, *prompt, 3]] * len(pixels)))
    beams = {n: model.generate(**{**generate, "num_beams": n})[:, 1:].tolist() for n in (2, 3, 8)}
    prompted_beams = model.generate(
        **{**generate, "num_beams": 3}, input_ids=torch.tensor([[2, *prompt, 3]] * len(pixels))
    )
    chosen = answer.sequences[:, 1:]
    logs = torch.stack(answer.scores, 1).log_softmax(-1).gather(2, chosen[..., None])[..., 0]
    return {
        "pixels": pixels.flatten().tolist(),
        "shape": list(pixels.shape),
        "encoder": [round(v, 6) for v in states.flatten().tolist()],
        "first_logits": [round(v, 6) for v in logits.flatten().tolist()],
        "token_ids": chosen.tolist(),
        "log_probabilities": [[round(v, 6) for v in row] for row in logs.tolist()],
        "prompt_ids": prompt,
        "beam_token_ids": beams,
        "prompted_beam_token_ids": prompted_beams[:, 1 + len(prompt) :].tolist(),
        "prompted_token_ids": prompted[:, 1 + len(prompt) :].tolist(),
    }


def main() -> None:
    # Only transformers 5 has these; the other scripts that import this file also run with version 4.
    from transformers import BertTokenizer, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    shutil.rmtree(FOLDER, ignore_errors=True)
    base = FOLDER / "base"
    model = tiny_blip()
    model.save_pretrained(base)
    processor = BlipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    processor.save_pretrained(base)
    (base / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    # The same base as transformers 5 saves it after loading it, with its processor; the weights are those above.
    again, tokenizer = FOLDER / "transformers-5", BertTokenizer(vocab=str(base / "vocab.txt"))
    BlipForConditionalGeneration.from_pretrained(base).save_pretrained(again)
    (again / "model.safetensors").unlink()
    BlipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(again)

    generator = torch.Generator().manual_seed(2)
    noise = lambda size: torch.randint(0, 256, (4, 3, size, size), generator=generator, dtype=torch.uint8)
    own, larger = noise(SIZE), noise(2 * SIZE)
    report = {"base": expectations(model, own), "larger": expectations(model, larger[:2])}

    peft_model = adapted(model)
    peft_model.save_pretrained(FOLDER / "adapter")
    (FOLDER / "adapter/README.md").unlink(missing_ok=True)
    merged = peft_model.merge_and_unload()
    report["adapted"] = expectations(merged, own)
    name = "text_decoder.bert.encoder.layer.1.crossattention.self.value.weight"
    report["merged"] = {"name": name, "values": merged.state_dict()[name].flatten().tolist()}
    (FOLDER / "reference.json").write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
