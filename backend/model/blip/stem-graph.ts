/**
 * The convolutional stem whose output a hybrid ViT reads instead of pixels (Dosovitskiy et al. 2020,
 * arXiv:2010.11929, section 3.1), as a piece of an ONNX graph. It is EfficientNet-Lite's backbone (Tan and Le 2019,
 * arXiv:1905.11946): inverted residual blocks without squeeze-and-excitation and with ReLU6. Convolutions are float
 * in every precision but fp16.
 */

import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { elementCount, tensorInfo, type WeightSource } from "../weights/weights.ts";
import type { StemConfig } from "./config.ts";

/**
 * Adds the stem to `graph`. Batch normalization is folded into the convolutions when the graph is written.
 * @param picture float [batch, 3, size, size], normalized; size is a multiple of `stemStride`
 * @param module where the stem's tensors lie, named as in the package efficientnet-lite-pytorch
 * @returns [batch, head_channels, size / stemStride, size / stemStride]
 */
export function addStem(
  graph: GraphBuilder,
  weights: WeightSource,
  stem: StemConfig,
  module: string,
  picture: Value,
): Value {
  const convolve = (x: Value, convolution: string, norm: string, shape: ConvolutionShape) =>
    addConvolution(graph, weights, x, {
      ...shape,
      weight: `${module}.${convolution}.weight`,
      norm: `${module}.${norm}`,
      epsilon: stem.batch_norm_eps,
    });

  let x = relu6(graph, convolve(picture, "_conv_stem", "_bn0", { kernel: 3, stride: 2 }));
  let channels = stem.channels;
  let index = 0;
  for (const stage of stem.stages) {
    for (let repeat = 0; repeat < stage.repeats; repeat++) {
      const block = `_blocks.${index++}`;
      const stride = repeat === 0 ? stage.stride : 1;
      const input = x;
      if (stage.expand_ratio > 1) {
        const expanded = convolve(x, `${block}._expand_conv`, `${block}._bn0`, { kernel: 1, stride: 1 });
        x = relu6(graph, expanded);
      }
      const groups = channels * stage.expand_ratio;
      const depthwise = { kernel: stage.kernel_size, stride, groups };
      x = relu6(graph, convolve(x, `${block}._depthwise_conv`, `${block}._bn1`, depthwise));
      x = convolve(x, `${block}._project_conv`, `${block}._bn2`, { kernel: 1, stride: 1 });
      if (stride === 1 && channels === stage.channels) x = graph.op("Add", [x, input]);
      channels = stage.channels;
    }
  }
  return relu6(graph, convolve(x, "_conv_head", "_bn1", { kernel: 1, stride: 1 }));
}

/** How many pixels one cell of the stem's map covers in each direction. */
export function stemStride({ stages }: Pick<StemConfig, "stages">): number {
  return stages.reduce((product, { stride }) => product * stride, 2);
}

interface ConvolutionShape {
  readonly kernel: number;
  readonly stride: number;
  readonly groups?: number;
}

interface NormalizedConvolution extends ConvolutionShape {
  /** [out, in / groups, kernel, kernel] */
  readonly weight: string;
  /** Module of the batch normalization after the convolution. */
  readonly norm: string;
  readonly epsilon: number;
}

/** Convolution and batch normalization as one convolution with a bias, with TensorFlow's SAME padding. */
function addConvolution(
  graph: GraphBuilder,
  weights: WeightSource,
  x: Value,
  { weight, norm, epsilon, kernel, stride, groups = 1 }: NormalizedConvolution,
): Value {
  const { shape } = tensorInfo(weights, weight);
  const outputs = shape[0] as number;
  const folding = async () => {
    const [gain, shift, mean, variance] = await Promise.all(
      ["weight", "bias", "running_mean", "running_var"].map((part) => weights.read(`${norm}.${part}`)),
    );
    return fold({ gain, shift, mean, variance } as BatchNorm, epsilon);
  };
  const folded = graph.computed(`${weight}.folded`, shape, async () => {
    const [values, { scales }] = await Promise.all([weights.read(weight), folding()]);
    const each = elementCount(shape) / outputs;
    return values.map((value, i) => value * (scales[Math.floor(i / each)] as number));
  });
  const bias = graph.computed(`${norm}.folded`, [outputs], async () => (await folding()).biases);
  // The odd pixel of padding comes last. For sizes that the strides divide, it does not depend on the size.
  const padding = Math.max(kernel - stride, 0);
  const before = Math.floor(padding / 2);
  const after = padding - before;
  return graph.op("Conv", [x, folded, bias], {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [before, before, after, after],
    group: groups,
  });
}

/** The vectors of a batch normalization, [channels] each. */
interface BatchNorm {
  readonly gain: Float32Array;
  readonly shift: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/** The factors and the summands, one per channel, that fold the normalization into the preceding convolution. */
function fold(
  { gain, shift, mean, variance }: BatchNorm,
  epsilon: number,
): { scales: Float32Array; biases: Float32Array } {
  const scales = gain.map((g, i) => g / Math.sqrt((variance[i] as number) + epsilon));
  const biases = shift.map((s, i) => s - (mean[i] as number) * (scales[i] as number));
  return { scales, biases };
}

function relu6(graph: GraphBuilder, x: Value): Value {
  return graph.op("Clip", [x, graph.floats([0], []), graph.floats([6], [])]);
}
