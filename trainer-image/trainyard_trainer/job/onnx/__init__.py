"""Export of the model to ONNX. The file is kept only if it is valid and reproduces the predictions of the model."""
