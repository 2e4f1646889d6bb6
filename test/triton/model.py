"""Triton's onnxruntime backend in Python, for a server that comes without the real one: runs a model's model.onnx.

It takes the place of libtriton_onnxruntime.so, so that a model repository is tested as it was written. Like the real
backend it joins the requests that Triton's batcher hands over into one run and cuts the outputs by row. Unlike it, it
knows the CPU only and none of the real one's parameters.

For the tests, every run is a line in the file that TRITON_TEST_LOG names, and takes the milliseconds longer that the
file TRITON_TEST_DELAY_MS holds.
"""

import json
import os
import time

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.model = {"model": args["model_name"], "version": args["model_version"]}
        self.batches = config["max_batch_size"] > 0
        self.inputs = [port["name"] for port in config["input"]]
        self.outputs = [port["name"] for port in config["output"]]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        if self.batches:
            return self.run(requests)
        return [response for request in requests for response in self.run([request])]

    def run(self, requests):
        """One run over the rows of all `requests`; their responses."""
        feeds = {
            name: np.concatenate([pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests])
            for name in self.inputs
        }
        rows = [len(pb_utils.get_input_tensor_by_name(r, "pixels").as_numpy()) for r in requests]
        with open(os.environ["TRITON_TEST_LOG"], "a") as log:
            log.write(json.dumps({**self.model, "rows": rows}) + "\n")
        with open(os.environ["TRITON_TEST_DELAY_MS"]) as delay:
            time.sleep(float(delay.read() or 0) / 1000)
        results = self.session.run(self.outputs, feeds)
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.ascontiguousarray(result[end - count : end]))
                    for name, result in zip(self.outputs, results)
                ]
            )
            for count, end in zip(rows, np.cumsum(rows))
        ]
