"""The model a second time as ONNX, kept only if it is valid and answers as the model does."""

from trainyard_trainer.onnx.export import FORMAT, MODEL_FILE, Exported, export
from trainyard_trainer.onnx.proof import proof_rows

__all__ = ["FORMAT", "MODEL_FILE", "Exported", "export", "proof_rows"]
