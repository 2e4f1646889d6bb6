/**
 * Import this before ONNX Runtime, which otherwise keeps a device id in the user's home and reports its use to
 * Microsoft. A thread has only a copy of the environment, so code that starts a thread which loads ONNX Runtime
 * must import this too.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
 */

process.env.ORT_DISABLE_TELEMETRY ??= "1";
