/** Weights in the published layout of Salesforce/blip-image-captioning-base: every tensor's name and shape, contents made up. */

import { randomFillSync } from "node:crypto";

const HIDDEN = 768;
const INTERMEDIATE = 3072;
const LAYERS = 12;
const VOCABULARY = 30_524;
const BYTES_PER_VALUE = 2; // F16

type Shapes = Record<string, readonly number[]>;

const linear = (name: string, out: number, input: number): Shapes => ({
  [`${name}.weight`]: [out, input],
  [`${name}.bias`]: [out],
});
const norm = (name: string): Shapes => ({ [`${name}.weight`]: [HIDDEN], [`${name}.bias`]: [HIDDEN] });

function visionShapes(): Shapes {
  const embeddings = "vision_model.embeddings";
  const shapes: Shapes = {
    [`${embeddings}.class_embedding`]: [1, 1, HIDDEN],
    [`${embeddings}.position_embedding`]: [1, 577, HIDDEN],
    [`${embeddings}.patch_embedding.weight`]: [HIDDEN, 3, 16, 16],
    [`${embeddings}.patch_embedding.bias`]: [HIDDEN],
    ...norm("vision_model.post_layernorm"),
  };
  for (let i = 0; i < LAYERS; i++) {
    const layer = `vision_model.encoder.layers.${i}`;
    Object.assign(
      shapes,
      linear(`${layer}.self_attn.qkv`, 3 * HIDDEN, HIDDEN),
      linear(`${layer}.self_attn.projection`, HIDDEN, HIDDEN),
      norm(`${layer}.layer_norm1`),
      norm(`${layer}.layer_norm2`),
      linear(`${layer}.mlp.fc1`, INTERMEDIATE, HIDDEN),
      linear(`${layer}.mlp.fc2`, HIDDEN, INTERMEDIATE),
    );
  }
  return shapes;
}

function textShapes(): Shapes {
  const embeddings = "text_decoder.bert.embeddings";
  const head = "text_decoder.cls.predictions";
  const shapes: Shapes = {
    [`${embeddings}.word_embeddings.weight`]: [VOCABULARY, HIDDEN],
    [`${embeddings}.position_embeddings.weight`]: [512, HIDDEN],
    ...norm(`${embeddings}.LayerNorm`),
    ...linear(`${head}.transform.dense`, HIDDEN, HIDDEN),
    ...norm(`${head}.transform.LayerNorm`),
    [`${head}.bias`]: [VOCABULARY],
  };
  for (let i = 0; i < LAYERS; i++) {
    const layer = `text_decoder.bert.encoder.layer.${i}`;
    for (const attention of ["attention", "crossattention"]) {
      for (const part of ["query", "key", "value"]) {
        Object.assign(shapes, linear(`${layer}.${attention}.self.${part}`, HIDDEN, HIDDEN));
      }
      Object.assign(shapes, linear(`${layer}.${attention}.output.dense`, HIDDEN, HIDDEN));
      Object.assign(shapes, norm(`${layer}.${attention}.output.LayerNorm`));
    }
    Object.assign(
      shapes,
      linear(`${layer}.intermediate.dense`, INTERMEDIATE, HIDDEN),
      linear(`${layer}.output.dense`, HIDDEN, INTERMEDIATE),
      norm(`${layer}.output.LayerNorm`),
    );
  }
  return shapes;
}

/** Files of such a repository, weights in float16: about 450 MB. */
export function blipBaseFiles(): Record<string, Buffer> {
  const plain = Array.from({ length: VOCABULARY - 4 }, (_, i) => `word${i}`);
  const words = ["[PAD]", "[UNK]", ...plain, "[DEC]", "[ENC]"];
  const config = {
    architectures: ["BlipForConditionalGeneration"],
    model_type: "blip",
    vision_config: { model_type: "blip_vision_model", image_size: 384 },
    text_config: { model_type: "blip_text_model" },
  };
  const preprocessor = {
    image_mean: [0.48145466, 0.4578275, 0.40821073],
    image_std: [0.26862954, 0.26130258, 0.27577711],
    resample: 3,
    size: { height: 384, width: 384 },
  };
  return {
    "config.json": Buffer.from(JSON.stringify(config)),
    "preprocessor_config.json": Buffer.from(JSON.stringify(preprocessor)),
    "vocab.txt": Buffer.from(words.map((word) => `${word}\n`).join("")),
    "model.safetensors": safetensors({ ...visionShapes(), ...textShapes() }),
  };
}

/** https://huggingface.co/docs/safetensors: length of the header, header, tensors. */
function safetensors(shapes: Shapes): Buffer {
  let at = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const begin = at;
      at += BYTES_PER_VALUE * shape.reduce((product, size) => product * size, 1);
      return [name, { dtype: "F16", shape, data_offsets: [begin, at] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header));
  const file = Buffer.alloc(8 + text.length + at);
  file.writeBigUInt64LE(BigInt(text.length));
  text.copy(file, 8);
  randomFillSync(file, 8 + text.length);
  // Without the highest bit of its exponent each is a number, of less than 2.
  for (let high = 8 + text.length + 1; high < file.length; high += BYTES_PER_VALUE) {
    file[high] = (file[high] as number) & 0xbf;
  }
  return file;
}
