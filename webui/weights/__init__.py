"""Bytes ↔ named tensors: safetensors, torch pickles (read without running them), diffusers folders, saving."""
