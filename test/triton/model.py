"""Triton's onnxruntime backend in Python, for a server that comes without the real one: runs a model's model.onnx.

Takes the place of libtriton_onnxruntime.so, so that the model repository is tested as it was written. Like the real
backend it joins the requests that Triton's batcher hands over into one run and cuts the outputs by row. Unlike it, it
runs on the CPU only and knows none of its parameters. Inputs named `batch_log` and the like do not exist: each run is a
line of the file that TRITON_TEST_LOG names, as JSON: model, version, rows of each request. A number of milliseconds in
the file TRITON_TEST_DELAY is waited before every run.
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
        self.name = args["model_name"]
        self.version = args["model_version"]
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
        feeds = {
            name: np.concatenate([pb_utils.get_input_tensor_by_name(r, name).as_numpy() for r in requests])
            for name in self.inputs
        }
        rows = [len(pb_utils.get_input_tensor_by_name(r, self.inputs[0]).as_numpy()) for r in requests]
        with open(os.environ["TRITON_TEST_LOG"], "a") as log:
            log.write(json.dumps({"model": self.name, "version": self.version, "rows": rows}) + "\n")
        with open(os.environ["TRITON_TEST_DELAY"]) as delay:
            time.sleep(float(delay.read()) / 1000)
        results = self.session.run(self.outputs, feeds)
        ends = np.cumsum(rows)
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor(name, np.ascontiguousarray(result[end - count : end]))
                    for name, result in zip(self.outputs, results)
                ]
            )
            for count, end in zip(rows, ends)
        ]
