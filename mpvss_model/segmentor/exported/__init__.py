"""Key-frame networks as ONNX files: written, checked, and run by ONNX Runtime behind the interface of segmentors."""
