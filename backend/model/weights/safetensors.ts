/**
 * Reads safetensors files: a JSON header, then the bytes of every tensor. Only the header is read at first; a
 * tensor is read from its place in the file when it is asked for.
 * Format: https://huggingface.co/docs/safetensors/index#format
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { fileExists } from "../../bundle/file-exists.ts";
import { gitLfsAdvice, readJsonFile } from "../../bundle/json-file.ts";
import { elementCount, type TensorInfo, WeightError, type WeightSource } from "./weights.ts";

/** The format's own limit for the header. */
const MAX_HEADER_BYTES = 100_000_000;

/** Enough to recognize a pointer by its first line. */
const LFS_POINTER_BYTES = 64;

const BYTES_PER_VALUE = { F32: 4, F16: 2, BF16: 2 } as const;
type FloatType = keyof typeof BYTES_PER_VALUE;

const TensorEntry = z.object({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative()),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

const Header = z.record(z.string(), z.unknown());

/** A shard lies beside its index; a name that leads elsewhere would open a file that is not part of the weights. */
const ShardName = z
  .string()
  .regex(/^[\w-][\w.-]*\.safetensors$/, "expected the name of a file beside the index");
const ShardIndex = z.object({ weight_map: z.record(z.string(), ShardName) });

interface StoredTensor extends TensorInfo {
  readonly dtype: string;
  /** Byte offsets in the file. */
  readonly begin: number;
  readonly end: number;
}

/** Opens one safetensors file. @throws WeightError if it is another kind of file or cut short */
export async function openSafetensors(path: string): Promise<WeightSource> {
  const tensors = await readHeader(path);
  return {
    tensors,
    async read(name) {
      const stored = tensors.get(name);
      if (!stored) throw new WeightError(`${path} has no tensor '${name}'.`);
      const { dtype, shape, begin, end } = stored;
      if (!isFloatType(dtype)) {
        throw new WeightError(`Tensor '${name}' in ${path} is ${dtype}; F32, F16 and BF16 can be read.`);
      }
      const bytes = new Uint8Array(end - begin);
      if (bytes.length !== elementCount(shape) * BYTES_PER_VALUE[dtype]) {
        throw new WeightError(
          `Tensor '${name}' in ${path} has ${bytes.length} bytes, not what its shape needs.`,
        );
      }
      const file = await open(path, "r");
      try {
        await readExactly(file, bytes, begin, path);
      } finally {
        await file.close();
      }
      return toFloat32(bytes, dtype);
    },
  };
}

/**
 * Opens the weights of a model folder: `<stem>.safetensors`, or the shards that `<stem>.safetensors.index.json` names.
 * @param stem `model` for a base, `adapter_model` for an adapter
 */
export async function openWeightFolder(folder: string, stem: string): Promise<WeightSource> {
  const files = await weightFiles(folder, stem);
  const shards = await Promise.all(files.map((name) => openSafetensors(join(folder, name))));
  const owner = new Map(shards.flatMap((shard) => [...shard.tensors.keys()].map((name) => [name, shard])));
  const tensors = new Map(shards.flatMap((shard) => [...shard.tensors]));
  const missing = (await indexedTensors(folder, stem)).find((name) => !tensors.has(name));
  if (missing) {
    throw new WeightError(`The index of ${folder} names tensor '${missing}', but its file does not hold it.`);
  }
  return {
    tensors,
    async read(name) {
      const shard = owner.get(name);
      if (!shard) throw new WeightError(`The weights in ${folder} have no tensor '${name}'.`);
      return shard.read(name);
    },
  };
}

/** SHA-256 of the weight files of each of `stems` in a folder, in the order of their names, hexadecimal. */
export async function weightFolderHash(folder: string, stems: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  const files = await Promise.all(stems.map((stem) => weightFiles(folder, stem)));
  for (const name of files.flat()) {
    for await (const chunk of createReadStream(join(folder, name), { highWaterMark: 1 << 20 }))
      hash.update(chunk);
  }
  return hash.digest("hex");
}

async function weightFiles(folder: string, stem: string): Promise<string[]> {
  const single = `${stem}.safetensors`;
  if (await fileExists(join(folder, single))) return [single];
  const index = await readIndex(folder, stem);
  if (index) return [...new Set(Object.values(index.weight_map))].sort();
  // If a base has several files, each has its number in its name.
  const pickled = stem === "model" ? "pytorch_model" : stem;
  const files = await readdir(folder);
  if (files.some((name) => name.startsWith(pickled) && name.endsWith(".bin"))) {
    throw new WeightError(
      `${folder} has its weights only as a pickled .bin file, which can run code when opened and is not read here. ` +
        `Convert it once with transformers: save_pretrained(..., safe_serialization=True).`,
    );
  }
  throw new WeightError(`${folder} has neither ${single} nor ${single}.index.json.`);
}

async function indexedTensors(folder: string, stem: string): Promise<string[]> {
  if (await fileExists(join(folder, `${stem}.safetensors`))) return [];
  return Object.keys((await readIndex(folder, stem))?.weight_map ?? {});
}

async function readIndex(folder: string, stem: string): Promise<z.infer<typeof ShardIndex> | undefined> {
  const path = join(folder, `${stem}.safetensors.index.json`);
  if (!(await fileExists(path))) return undefined;
  return readJsonFile(path, ShardIndex, WeightError);
}

async function readHeader(path: string): Promise<Map<string, StoredTensor>> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const prefix = new Uint8Array(Math.min(size, LFS_POINTER_BYTES));
    await readExactly(file, prefix, 0, path);
    const advice = gitLfsAdvice(path, new TextDecoder().decode(prefix));
    if (advice !== undefined) throw new WeightError(advice);
    if (size < 8)
      throw new WeightError(`${path} is not a safetensors file: it has ${size} bytes. Fetch it again.`);
    const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
    if (length > MAX_HEADER_BYTES || 8 + length > size) {
      throw new WeightError(`${path} is not a safetensors file: its header would have ${length} bytes.`);
    }
    const text = new Uint8Array(length);
    await readExactly(file, text, 8, path);
    const header = Header.safeParse(parseJson(new TextDecoder().decode(text), path));
    if (!header.success)
      throw new WeightError(`${path} is not a safetensors file: its header is not an object.`);
    const tensors = new Map<string, StoredTensor>();
    for (const [name, value] of Object.entries(header.data)) {
      if (name === "__metadata__") continue;
      const entry = TensorEntry.safeParse(value);
      if (!entry.success)
        throw new WeightError(`${path} has a wrong entry for tensor '${name}'. Fetch it again.`);
      const [begin, end] = entry.data.data_offsets.map((offset) => 8 + length + offset) as [number, number];
      if (begin > end || end > size) {
        throw new WeightError(
          `${path} is cut short: tensor '${name}' ends at byte ${end} of ${size}. Fetch it again.`,
        );
      }
      tensors.set(name, { dtype: entry.data.dtype, shape: entry.data.shape, begin, end });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WeightError(`${path} is not a safetensors file: its header is not JSON.`, { cause });
  }
}

async function readExactly(
  file: Awaited<ReturnType<typeof open>>,
  target: Uint8Array,
  position: number,
  path: string,
): Promise<void> {
  for (let done = 0; done < target.length; ) {
    const { bytesRead } = await file.read(target, done, target.length - done, position + done);
    if (bytesRead === 0) throw new WeightError(`${path} ends too early. Fetch it again.`);
    done += bytesRead;
  }
}

function isFloatType(dtype: string): dtype is FloatType {
  return Object.hasOwn(BYTES_PER_VALUE, dtype);
}

/** Little-endian bytes, as the format stores them and every supported machine reads them. */
function toFloat32(bytes: Uint8Array<ArrayBuffer>, dtype: FloatType): Float32Array {
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes.buffer);
    case "F16":
      return Float32Array.from(new Float16Array(bytes.buffer));
    case "BF16": {
      const halves = new Uint16Array(bytes.buffer);
      const bits = new Uint32Array(halves.length);
      for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
      return new Float32Array(bits.buffer);
    }
  }
}
