"""What happens to the frames of a video in a denoiser call."""
