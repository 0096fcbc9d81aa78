"""What script writers may ask of a running WebUI, besides having pictures made."""
