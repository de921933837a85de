"""Metadata of other programs as they write it, with values that all differ from the defaults here."""

from __future__ import annotations

A1111 = """a lighthouse, (storm:1.2), <lora:film:0.6>
Negative prompt: blurry, text
Steps: 27, Sampler: DPM++ 2M SDE, Schedule type: Karras, CFG scale: 6.5, Seed: 4242, Size: 640x768, \
Model hash: 6ce0161689, Model: v1-5-pruned, VAE: kl-f8, Denoising strength: 0.55, Clip skip: 2, Hires upscale: 1.5, \
Hires steps: 12, Hires upscaler: R-ESRGAN 4x+, Lora hashes: "film: 8fe21bb5a1ab", Version: v1.10.1"""

FORGE = """a lighthouse
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 7, Size: 896x1152, \
Model hash: 4610115bb0, Model: flux1-dev, RNG: CPU, Version: f2.0.1v1.10.1-previous-650-g82eb7566"""

FORGE_MODULES = """a lighthouse
Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Seed: 7, Size: 896x1152, Model: krea, \
Module 1: clip_l, Module 2: ae, Hires Module 1: Use same choices, Version: neo-2.27"""

CIVITAI = """a lighthouse
Negative prompt: Steps: 22, Sampler: DPM++ 2M Karras, CFG scale: 3.8, Seed: 89, Size: 832x1216, Clip skip: 2, \
Created Date: 2024-09-23T06:17:42.9952795Z, Civitai resources: [{"type":"checkpoint","modelVersionId":128078,\
"modelName":"SD XL","modelVersionName":"v1.0 VAE fix"},{"type":"lora","weight":0.85,"modelVersionId":210432,\
"modelName":"Double Exposure","modelVersionName":"v2"}], Civitai metadata: {}"""

SDNEXT_HIRES = """a lighthouse
Negative prompt: blurry
Steps: 30, Size: 832x1216, Sampler: DPM++ 2M, Seed: 387, CFG scale: 6, Model: faetastic, App: SD.Next, \
Version: cb0eb55, Operations: upscale; img2img, Refine: True, Hires force: False, Hires steps: 20, HiRes mode: 1, \
Hires upscaler: ESRGAN 4x Remacri, Hires scale: 1.5, Hires size: 1248x1824, Hires strength: 0.3, \
Hires CFG scale: 5, LoRA networks: "film, grain\""""

SDNEXT = """a lighthouse
Negative prompt: blurry
Steps: 24, Size: 1024x768, Sampler: Euler a, Seed: 99, CFG scale: 5, App: SD.Next, Version: 1e84f55, \
Pipeline: StableDiffusionXLPipeline, Operations: txt2img, Model: sdxl-base, Model hash: 31e35c80fc"""

OLD = """a lighthouse
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 1, Size: 512x512"""

FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "full_negative_prompt": ["(worst quality, low quality:1.4)"],
    "full_prompt": ["cinematic still a lighthouse", "a lighthouse, sharp focus"],
    "guidance_scale": 4.5,
    "lora_combined_1": "sd_xl_offset_example-lora_1.0 : 0.1",
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "",
    "performance": "Speed",
    "prompt": "a lighthouse",
    "refiner_model": "None",
    "refiner_switch": 0.5,
    "resolution": "(1152, 896)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "3141592653589793238",
    "sharpness": 2.0,
    "steps": 30,
    "styles": "['Fooocus V2', 'Fooocus Sharp']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}

FOOOCUS_A1111 = """cinematic still a lighthouse
Negative prompt: ugly
Steps: 30, Sampler: DPM++ 2M SDE Karras, Seed: 31, Size: 1152x896, CFG scale: 4.5, Sharpness: 2, \
ADM Guidance: "(1.5, 0.8, 0.3)", Model: juggernautXL, Model hash: aeb7e9e689, Performance: Speed, Scheduler: karras, \
VAE: sdxl_vae, Raw prompt: a lighthouse, Lora hashes: "offset: 4852686128", Lora weights: "offset: 0.1", \
Version: Fooocus v2.5.5"""

INVOKEAI_2 = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "model_hash": "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": "a (tall lighthouse)1.3 storm++ [blurry, text]", "weight": 1.0}],
        "steps": 50,
        "cfg_scale": 7.5,
        "threshold": 0.0,
        "perlin": 0.0,
        "height": 768,
        "width": 512,
        "seed": 3357757885,
        "seamless": False,
        "hires_fix": False,
        "type": "txt2img",
        "postprocessing": None,
        "sampler": "k_dpmpp_2_a",
        "variations": [],
    },
}

INVOKEAI_3 = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a lighthouse-- storm",
    "negative_prompt": "blurry",
    "width": 1024,
    "height": 768,
    "seed": 2718281828,
    "rand_device": "cpu",
    "cfg_scale": 5.5,
    "cfg_rescale_multiplier": 0.7,
    "steps": 33,
    "scheduler": "dpmpp_2m_k",
    "clip_skip": 1,
    "model": {"key": "77d4", "hash": "blake3:1234", "name": "dreamshaper-xl", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"key": "55", "name": "film grain", "base": "sdxl", "type": "lora"}, "weight": 0.65}],
    "controlnets": [{"control_model": {"name": "canny"}, "control_weight": 1}],
    "app_version": "4.2.9",
}

NOVELAI = {
    "prompt": "{{lighthouse}}, [storm] (really)",
    "steps": 28,
    "height": 1216,
    "width": 832,
    "scale": 5.5,
    "uncond_scale": 1.0,
    "cfg_rescale": 0.2,
    "seed": 3071474384,
    "n_samples": 1,
    "noise_schedule": "karras",
    "sampler": "k_dpmpp_2s_ancestral",
    "strength": 0.69,
    "noise": 0.667,
    "sm": False,
    "uc": "lowres, {bad anatomy}",
    "request_type": "PromptGenerateRequest",
}
NOVELAI_TEXTS = {
    "Title": "AI generated image",
    "Description": "{{lighthouse}}, [storm] (really)",
    "Software": "NovelAI",
    "Source": "Stable Diffusion XL C1E1DE52",
}

SWARMUI = {
    "sui_image_params": {
        "prompt": "a lighthouse, (storm:1.3)",
        "negativeprompt": "blurry",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 882695506,
        "steps": 26,
        "cfgscale": 6.5,
        "aspectratio": "8:5",
        "width": 1216,
        "height": 768,
        "sampler": "euler_ancestral",
        "scheduler": "sgm_uniform",
        "clipstopatlayer": -2,
        "initimagecreativity": 0.0,
        "automaticvae": True,
        "loras": ["styles/film.safetensors", "grain"],
        "loraweights": ["0.4", "0.7"],
        "swarm_version": "0.9.5.0",
    },
    "sui_extra_data": {"date": "2025-04-04"},
}

EASY_DIFFUSION = {
    "prompt": "a lighthouse",
    "negative_prompt": "blurry",
    "seed": 1234,
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "width": 512,
    "height": 640,
    "use_stable_diffusion_model": "sd-v1-5",
    "use_vae_model": "vae-ft-mse",
    "sampler_name": "euler_a",
    "clip_skip": True,
    "use_lora_model": ["film"],
    "lora_alpha": [0.5],
    "num_outputs": 1,
    "output_format": "png",
}

DRAW_THINGS = {
    "c": "a lighthouse",
    "uc": "blurry",
    "model": "sd_v1.5_f16.ckpt",
    "sampler": "DPM++ 2M Karras",
    "scale": 6.5,
    "seed": 424242,
    "seed_mode": "Scale Alike",
    "size": "512x768",
    "steps": 22,
    "strength": 1,
    "lora": [{"model": "film.ckpt", "weight": 0.6}],
}
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/"><exif:UserComment><rdf:Alt>
<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></exif:UserComment></rdf:Description></rdf:RDF></x:xmpmeta>"""

MIDJOURNEY = "a lighthouse in a storm --ar 16:9 --no people, boats --v 6.1 Job ID: 12345678-1234-1234-1234-123456789abc"
