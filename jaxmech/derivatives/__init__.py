"""How answers move (theory §12): sensitivities, frontiers, calibration, the least competition."""
