"""`python -m webui.training.starter STEP`: make the starter checkpoint. See docs/starter.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from webui.training.starter import diffusion, export, pictures, report, tiny, vae
from webui.training.starter.captions import vocabulary_of
from webui.training.starter.recipe import PROFILES, Profile
from webui.training.starter.state import Average, load_state

STEPS = ("draw", "half-vae", "vae", "diffusion", "judge", "export", "report", "all")


def main(arguments: list[str] | None = None) -> int:
    """Run one step, or all of them in order. Each continues where it stopped."""
    parser = argparse.ArgumentParser(prog="python -m webui.training.starter", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="small")
    parser.add_argument("--work", type=Path, default=Path("data/starter"), help="folder of data, states and logs")
    parser.add_argument("--out", type=Path, default=Path("models/starter"), help="where the finished files go")
    parser.add_argument("--vae-minutes", type=float, default=180.0)
    parser.add_argument("--diffusion-minutes", type=float, default=480.0)
    parser.add_argument("--preview-minutes", type=float, default=5.0)
    parser.add_argument("--judge-steps", type=int, default=1200)
    parser.add_argument("--pictures", type=int, default=200, help="generated pictures to judge")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves torch's choice")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    for step in STEPS[:-1] if options.step == "all" else (options.step,):
        run_step(step, options, PROFILES[options.profile])
    return 0


def run_step(step: str, options: argparse.Namespace, profile: Profile) -> None:
    """One step of the recipe."""
    archive = options.work / f"{profile.name}.npz"
    if step == "draw":
        pictures.fetch(options.work / "packages")
        pictures.save(pictures.draw(options.work / "packages", profile), archive)
        return
    drawings = pictures.load(archive)
    if step == "half-vae":
        vae.train_half(drawings, profile, options.work, options.vae_minutes / 3, options.device)
        return
    if step == "vae":
        vae.train_full(drawings, profile, options.work, options.vae_minutes * 2 / 3, options.device)
        return
    inner = vae.load_half(profile, options.work)
    mean, deviation = export.latent_statistics(inner, drawings, profile)
    drawings = drawings.taught(profile)
    vocabulary = vocabulary_of(drawings)
    if step == "diffusion":
        moments = export.scaled_moments(inner.to(options.device), mean, deviation)
        minutes, work = options.diffusion_minutes, options.work
        diffusion.train(drawings, profile, moments, vocabulary, work, minutes, options.device)
    elif step == "export":
        autoencoder = vae.load_full(profile, options.work)
        export.fold_scale(autoencoder, mean, deviation)
        notes = export.metadata(profile, export.preview_factors(autoencoder, drawings, profile))
        autoencoder.to(options.device)
        model = diffusion.Trained(profile, vocabulary)
        average = Average(model, 0)
        if not load_state(options.work / f"{profile.name}-diffusion.pt", {"average": average}):
            raise SystemExit(f"{options.work} holds no trained UNet of the {profile.name} profile; train it first.")
        average.copy_to(model)
        decoder = tiny.train(autoencoder, export.SD1_SCALE, drawings, profile, options.preview_minutes, options.device)
        export.export(model.eval(), autoencoder, decoder, vocabulary, notes, options.out)
    elif step == "judge":
        report.train_judge(drawings, profile, options.work, options.judge_steps)
    else:
        report.write(drawings, profile, options.out, options.work, options.pictures)


if __name__ == "__main__":
    sys.exit(main())
