"""Making a checkpoint of other checkpoints: formulas, block weights, a VAE and LoRAs baked in, written as a stream."""
