"""Mathematics of diffusion over callables: noising laws, schedules, samplers, guidance and noise.

Two callables meet here. `Predictor(x, sigma, conditioning) -> denoised` is one network call; `Denoiser(x, sigma) ->
denoised` is what a sampler sees, after guidance. `x` is a tensor [B, C, H, W], `sigma` a Python float that all pictures
of a batch share. Nothing in this room knows a model, a file or a device; laws, schedules and samplers do not import
torch, so that their names can be listed in milliseconds.
"""
