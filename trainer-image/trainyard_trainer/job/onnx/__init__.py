"""The model a second time as ONNX, kept only if it is valid and answers as the model does."""
