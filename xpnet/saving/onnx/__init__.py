"""Networks to and from ONNX files. The package onnx writes and checks them: it is the format's own."""
