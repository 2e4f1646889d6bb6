/** Writes an ONNX model to disk. The structure is encoded in memory; the weights pass through one at a time. */

import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { weightsPath } from "../../bundle/graph-files.ts";
import { byteLength, type Graph, type Initializer } from "./graph.ts";
import { encodeFieldHead, encodeGraph, encodeModelHead, encodeTensorHead, GRAPH, MODEL } from "./protobuf.ts";

/**
 * Larger weights go to a file of their own: protobuf is limited to 2 GiB, and readers hold the whole message in
 * memory.
 */
const EXTERNAL_DATA_FROM_BYTES = 1_000_000_000;
/** Smaller constants stay inside, where shape inference can see them. */
const EXTERNAL_TENSOR_FROM_BYTES = 1024;
const EXTERNAL_ALIGNMENT_BYTES = 4096;

/** Called while weights are written, with the bytes so far and in total. */
export type WriteProgress = (doneBytes: number, totalBytes: number) => void;

/**
 * Writes `graph` to `path`, and its weights to `path + ".data"` if they are over 1 GB.
 * @returns SHA-256 of all bytes written, hexadecimal
 */
export async function writeModel(
  graph: Graph,
  path: string,
  onProgress: WriteProgress = () => {},
): Promise<string> {
  const totalBytes = graph.initializers.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const hash = createHash("sha256");
  let done = 0;
  const advance = (tensor: Initializer) => {
    done += byteLength(tensor);
    onProgress(done, totalBytes);
  };

  const dataPath = weightsPath(path);
  const offsets = new Map<string, number>();
  await rm(dataPath, { force: true });
  if (totalBytes > EXTERNAL_DATA_FROM_BYTES) {
    await withSink(dataPath, hash, async (sink) => {
      for (const tensor of graph.initializers) {
        if (byteLength(tensor) < EXTERNAL_TENSOR_FROM_BYTES) continue;
        await sink.align(EXTERNAL_ALIGNMENT_BYTES);
        offsets.set(tensor.name, sink.position);
        await sink.write(await bytesOf(tensor));
        advance(tensor);
      }
    });
  }

  await withSink(path, hash, async (sink) => {
    const structure = encodeGraph(graph);
    const tensors = graph.initializers.map((tensor) => {
      const head = encodeTensorHead(tensor, offsets.get(tensor.name), basename(dataPath));
      const inline = offsets.has(tensor.name) ? 0 : byteLength(tensor);
      return { tensor, head, inline, fieldHead: encodeFieldHead(GRAPH.initializer, head.length + inline) };
    });
    const graphBytes = tensors.reduce(
      (sum, { fieldHead, head, inline }) => sum + fieldHead.length + head.length + inline,
      structure.length,
    );
    await sink.write(encodeModelHead());
    await sink.write(encodeFieldHead(MODEL.graph, graphBytes));
    await sink.write(structure);
    for (const { tensor, fieldHead, head, inline } of tensors) {
      await sink.write(fieldHead);
      await sink.write(head);
      if (inline === 0) continue;
      await sink.write(await bytesOf(tensor));
      advance(tensor);
    }
  });
  return hash.digest("hex");
}

async function bytesOf(tensor: Initializer): Promise<Uint8Array> {
  const bytes = await tensor.read();
  if (bytes.length !== byteLength(tensor)) {
    throw new Error(
      `This is a bug: tensor '${tensor.name}' gave ${bytes.length} bytes for ${tensor.type} [${tensor.shape}].`,
    );
  }
  return bytes;
}

interface Sink {
  readonly position: number;
  write(bytes: Uint8Array): Promise<void>;
  align(bytes: number): Promise<void>;
}

async function withSink(path: string, hash: Hash, body: (sink: Sink) => Promise<void>): Promise<void> {
  const file: FileHandle = await open(path, "w");
  let position = 0;
  const sink: Sink = {
    get position() {
      return position;
    },
    async write(bytes) {
      hash.update(bytes);
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
        done += bytesWritten;
      }
      position += bytes.length;
    },
    async align(alignment) {
      const padding = (alignment - (position % alignment)) % alignment;
      if (padding > 0) await this.write(new Uint8Array(padding));
    },
  };
  try {
    await body(sink);
  } finally {
    await file.close();
  }
}
